/**
 * ECG files: WFDB (header and one file of format 16), CSV and NPY, read as
 * `mccgaa/data/wfdb_records.py` and `other_formats.py` read them.
 */

import { assemble, checkExtent, LEADS, RecordError, UNCALIBRATED } from "./record.js";

const FIRST =
  /^[-\w]+(\/\d+)?[ \t]+(\d{1,4})[ \t]+(\d{1,7}(?:\.\d+)?)(?:\/[\d.]+(?:\([-\d.]+\))?)?[ \t]+(\d{1,10})(?:[ \t].*)?$/;
const SIGNAL =
  /^(?<file>[-\w]+(?:\.\w+)?)[ \t]+(?<format>\d{1,3})(?:x(?<frame>\d+))?(?::(?<skew>\d+))?(?:\+(?<offset>\d{1,9}))?[ \t]+(?<gain>\d{1,9}(?:\.\d+)?)(?:\((?<baseline>-?\d{1,10})\))?(?:\/(?<units>\S+))?[ \t]+\d{1,2}[ \t]+(?<zero>-?\d{1,10})[ \t]+-?\d+[ \t]+(?<checksum>-?\d{1,10})[ \t]+\d+[ \t]+(?<lead>\S.*)$/;
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const INFINITE = /^[-+]?inf(inity)?$/i;
// What pandas reads as an absent value.
const ABSENT = new Set(["", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "None"]);

/**
 * Read the files that make one ECG.
 *
 * @param {{name: string, content: () => Promise<ArrayBuffer>}[]} files one .csv or .npy, or
 *   a .hea with its signal file.
 * @param {{rate: number | null, units: string, allowMissing: boolean}} stated what a CSV
 *   or NPY file does not say: Hz, and mV, uV or V.
 * @returns a record, as `assemble` gives it.
 * @throws {RecordError}
 */
export async function readRecord(files, { rate = null, units = "mV", allowMissing = false }) {
  const ending = (file) => file.name.toLowerCase().split(".").at(-1);
  const one = (...kinds) => files.find((file) => kinds.includes(ending(file)));
  const header = one("hea");
  const table = one("csv", "npy");
  if (header) {
    const traces = await readWfdb(header, files);
    return assemble(header.name, traces, allowMissing);
  }
  if (table) {
    if (!rate) {
      throw new RecordError(
        `${table.name} does not say its sampling rate; enter it in Hz.`,
      );
    }
    const read = ending(table) === "csv" ? readCsv : readNpy;
    const { data, names } = read(table.name, await table.content());
    const all = names.map(() => units);
    const traces = { data, names, units: all, rate, unitsStated: false };
    return assemble(table.name, traces, allowMissing);
  }
  if (one("dat")) {
    throw new RecordError(
      `${one("dat").name} comes without its header; choose the .hea file and the .dat ` +
        "file together.",
    );
  }
  throw new RecordError(
    `${files[0].name} is of no format that this page reads; expected .hea with .dat, ` +
      ".csv or .npy.",
  );
}

async function readWfdb(header, files) {
  const text = new TextDecoder().decode(await header.content());
  const { rate, length, signals } = parseHeader(header.name, text);
  checkExtent(header.name, rate, length);
  const where = new Set(signals.map((s) => `${s.file}+${s.offset}`));
  if (where.size > 1 || signals.some((s) => s.format !== 16 || !s.gain)) {
    throw new RecordError(
      `${header.name} is not one calibrated signal file of format 16, which is all that ` +
        "this page reads of WFDB; `mccgaa classify` reads the rest.",
    );
  }
  const { file, offset } = signals[0];
  const found = files.find((one) => one.name === file);
  if (!found) {
    throw new RecordError(
      `${header.name} names the signal file ${file}; choose both together.`,
    );
  }
  const content = new DataView(await found.content());
  const expected = offset + 2 * signals.length * length;
  if (content.byteLength !== expected) {
    throw new RecordError(
      `${file} has ${content.byteLength} bytes but ${header.name} states ` +
        `${signals.length} leads of ${length} samples, which are ${expected} bytes: one ` +
        "is damaged.",
    );
  }
  const checked = signals.some((s) => s.checksum !== 0);
  const data = signals.map(({ gain, baseline, checksum, lead }, row) => {
    const trace = new Float64Array(length);
    let sum = 0;
    for (let i = 0; i < length; i++) {
      const step = content.getInt16(offset + 2 * (i * signals.length + row), true);
      trace[i] = step === -32768 ? NaN : (step - baseline) / gain;
      sum += step;
    }
    if (checked && (sum - checksum) % 65536 !== 0) {
      throw new RecordError(
        `${header.name}: the samples of lead ${lead} do not add up to the header's ` +
          `checksum ${checksum}; header or signal file is damaged.`,
      );
    }
    return trace;
  });
  const names = signals.map((s) => s.lead);
  return { data, names, units: signals.map((s) => s.units), rate, unitsStated: true };
}

/** Parse a header of header(5)'s grammar. */
export function parseHeader(name, text) {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const [head, ...rest] = lines.filter((line) => line && !line.startsWith("#"));
  const first = FIRST.exec(head ?? "");
  if (!first) {
    throw new RecordError(
      `${name} is not a WFDB header: its first line must read NAME LEADS RATE SAMPLES.`,
    );
  }
  const [, segments, count, rate, length] = first;
  if (segments) {
    throw new RecordError(`${name} has several segments; expected one 12-lead ECG.`);
  }
  if (Number(count) !== rest.length || !rest.length) {
    throw new RecordError(
      `${name} announces ${count} leads but describes ${rest.length}.`,
    );
  }
  const signals = rest.map((line) => {
    const s = SIGNAL.exec(line)?.groups;
    if (!s) {
      throw new RecordError(
        `${name} is not a WFDB header: "${line.slice(0, 60)}" does not describe a lead ` +
          "in a file beside it.",
      );
    }
    if ((s.frame ?? "1") !== "1" || (s.skew ?? "0") !== "0") {
      throw new RecordError(
        `${name} has leads of different rates or skews; expected one clock.`,
      );
    }
    const gain = Number(s.gain);
    return {
      file: s.file,
      format: Number(s.format),
      offset: Number(s.offset ?? 0),
      gain,
      baseline: Number(s.baseline ?? s.zero),
      units: gain ? (s.units ?? "mV") : UNCALIBRATED,
      checksum: Number(s.checksum),
      lead: s.lead,
    };
  });
  return { rate: Number(rate), length: Number(length), signals };
}

/** Read a table with one column per lead, named by it; a column `time` is ignored. */
export function readCsv(name, bytes) {
  const wrong = (why) =>
    new RecordError(`${name} is not a table of numbers with one column per lead (${why}).`);
  const lines = new TextDecoder().decode(bytes).split(/\r?\n/);
  const cells = (line) => line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
  const columns = cells(lines[0]);
  const rows = lines.slice(1).map((line, i) => {
    const row = cells(line);
    if (row.length > columns.length) {
      throw wrong(`line ${i + 2} has more cells than the header`);
    }
    return columns.map((_, c) => number(row[c] ?? "", i + 2));
  });
  function number(cell, line) {
    if (ABSENT.has(cell)) return NaN;
    if (INFINITE.test(cell)) return cell.startsWith("-") ? -Infinity : Infinity;
    if (!NUMBER.test(cell)) throw wrong(`"${cell.slice(0, 20)}" in line ${line}`);
    return Number(cell);
  }
  // A blank line is a lost sample, except at the end.
  while (rows.length && rows.at(-1).every(Number.isNaN)) rows.pop();
  const kept = [...columns.keys()].filter((c) => columns[c].toLowerCase() !== "time");
  return {
    data: kept.map((c) => Float64Array.from(rows, (row) => row[c])),
    names: kept.map((c) => columns[c]),
  };
}

/** Read an array (12, T) or (T, 12) of the standard leads. */
export function readNpy(name, bytes) {
  const view = new DataView(bytes);
  const wrong = () =>
    new RecordError(`${name} is not a numpy file that holds one array of real numbers.`);
  const magic = [0x93, ..."NUMPY"].map((c) => (typeof c === "string" ? c.charCodeAt(0) : c));
  if (bytes.byteLength < 12 || magic.some((byte, i) => view.getUint8(i) !== byte)) {
    throw wrong();
  }
  const early = view.getUint8(6) === 1;
  const start = early ? 10 : 12;
  const size = early ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + size > bytes.byteLength) throw wrong();
  const head = new TextDecoder().decode(new Uint8Array(bytes, start, size));
  const type = /'descr': '([<>|=])([iuf])([1248])'/.exec(head);
  const shape = /'shape': \(([^)]*)\)/.exec(head)?.[1].match(/\d+/g)?.map(Number) ?? [];
  const read = type && reader(view, type[2], Number(type[3]), type[1] !== ">");
  if (!read) throw wrong();
  const across = LEADS.length;
  const leadsFirst = shape[0] === across;
  if (shape.length !== 2 || leadsFirst === (shape[1] === across)) {
    throw new RecordError(
      `${name} holds an array of shape (${shape.join(", ")}); expected (${across}, ` +
        `samples) or (samples, ${across}).`,
    );
  }
  const length = leadsFirst ? shape[1] : shape[0];
  const width = Number(type[3]);
  if (bytes.byteLength < start + size + width * across * length) throw wrong();
  // Lead by lead in memory, or sample by sample.
  const byLead = leadsFirst !== /'fortran_order': True/.test(head);
  const data = LEADS.map((_, lead) =>
    Float64Array.from({ length }, (_, i) =>
      read(start + size + width * (byLead ? lead * length + i : i * across + lead)),
    ),
  );
  return { data, names: [...LEADS] };
}

/** How to read one number of a numpy type, or undefined. */
function reader(view, kind, width, little) {
  const long = (get) => (at) => Number(view[get](at, little));
  const readers = {
    i1: (at) => view.getInt8(at),
    i2: (at) => view.getInt16(at, little),
    i4: (at) => view.getInt32(at, little),
    i8: long("getBigInt64"),
    u1: (at) => view.getUint8(at),
    u2: (at) => view.getUint16(at, little),
    u4: (at) => view.getUint32(at, little),
    u8: long("getBigUint64"),
    f2: (at) => half(view.getUint16(at, little)),
    f4: (at) => view.getFloat32(at, little),
    f8: (at) => view.getFloat64(at, little),
  };
  return readers[kind + width];
}

/** A number of half precision from its 16 bits. */
function half(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const [exponent, rest] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  if (exponent === 0) return sign * rest * 2 ** -24;
  return sign * (1 + rest / 1024) * 2 ** (exponent - 15);
}
