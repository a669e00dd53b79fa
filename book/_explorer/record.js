/**
 * One ECG of any format: twelve leads by name, in mV, as `mccgaa/data/record.py` reads it.
 */

export const LEADS = "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split(" ");
export const NORMALISED = "NU"; // WFDB's "normalised units": z-scored at the source
export const UNCALIBRATED = "uncalibrated"; // no gain stated
const TO_MILLIVOLT = { mv: 1, uv: 1e-3, "µv": 1e-3, "μv": 1e-3, v: 1e3, nv: 1e-6 };
const PREFIXES = ["mdc_ecg_lead_", "ecg ", "lead "];
const IMPLAUSIBLE = 30; // mV that 1 % of an ECG's samples never pass
const AGREE = 0.2; // how far limb leads may be from those of I and II, as a share of these
const MAX_SECONDS = 3600;

/** A file that is not twelve trustworthy leads; its message says why, and what to do. */
export class RecordError extends Error {}

/** The index of a lead among `LEADS`, or -1. */
export function leadOf(name) {
  let plain = name.trim().toLowerCase();
  for (const prefix of PREFIXES) {
    if (plain.startsWith(prefix)) plain = plain.slice(prefix.length);
  }
  return LEADS.findIndex((lead) => lead.toLowerCase() === plain);
}

/**
 * Sort traces into the twelve leads by name, in mV, and judge them.
 *
 * @param {string} name of the file.
 * @param {{data: ArrayLike<number>[], names: string[], units: string[], rate: number,
 *   unitsStated: boolean}} traces what a reader of `formats.js` returned.
 * @param {boolean} allowMissing fill absent leads with zeros.
 * @returns {{name: string, signal: Float32Array[], rate: number, units: string,
 *   present: boolean[], flat: boolean[]}} NaN where a sample is invalid.
 * @throws {RecordError}
 */
export function assemble(name, traces, allowMissing = false) {
  checkExtent(name, traces.rate, traces.data[0]?.length ?? 0);
  const { rows, unknown } = places(name, traces.names);
  const used = rows.filter((row) => row !== undefined);
  const { unit, factors } = commonUnit(name, traces.units, used);
  const length = traces.data[0].length;
  const signal = rows.map((row) =>
    row === undefined
      ? new Float32Array(length)
      : Float32Array.from(traces.data[row], (v) => v * factors.get(row)),
  );
  const present = rows.map((row) => row !== undefined);
  if (unit === "mV") derive(signal, present);
  checkLeads(name, present, unknown, allowMissing);
  let [beyond, bad] = [0, -1];
  const flat = signal.map((trace, lead) => {
    let [low, high] = [Infinity, -Infinity];
    for (const v of trace) {
      if (v < low) low = v;
      if (v > high) high = v;
      if (Math.abs(v) > IMPLAUSIBLE) beyond += 1;
    }
    if (low > high) bad = lead;
    if (low === -Infinity || high === Infinity) {
      throw new RecordError(`${name} holds infinite values.`);
    }
    return low === high;
  });
  const share = beyond / (LEADS.length * length);
  if (!traces.unitsStated && unit === "mV" && share > 0.01) {
    throw new RecordError(
      `${name} passes ${IMPLAUSIBLE} mV in ${(100 * share).toFixed(0)}% of its samples, ` +
        "which no ECG does; choose its true units (µV?).",
    );
  }
  if (bad >= 0) throw new RecordError(`${name}: lead ${LEADS[bad]} has no valid sample.`);
  if (flat.every((is, lead) => is || !present[lead])) {
    throw new RecordError(`${name}: every lead is flat.`);
  }
  return { name, signal, rate: traces.rate, units: unit, present, flat };
}

/** Refuse a rate or a length that no ECG has. */
export function checkExtent(name, rate, length) {
  if (!(rate >= 50 && rate <= 50000)) {
    throw new RecordError(
      `${name} has a sampling rate of ${rate} Hz; expected 50 to 50,000 Hz.`,
    );
  }
  if (!length) throw new RecordError(`${name} holds no samples.`);
  if (length > MAX_SECONDS * rate) {
    throw new RecordError(
      `${name} lasts ${Math.round(length / rate)} s; expected one ECG of at most ` +
        `${MAX_SECONDS} s.`,
    );
  }
}

/** The row of each of the twelve leads, undefined where it is absent; and other names. */
function places(name, names) {
  const rows = new Array(LEADS.length).fill(undefined);
  const unknown = [];
  names.forEach((given, row) => {
    const lead = leadOf(given);
    if (lead < 0) unknown.push(given);
    else if (rows[lead] !== undefined) {
      throw new RecordError(`${name} has lead ${LEADS[lead]} twice.`);
    } else rows[lead] = row;
  });
  return { rows, unknown };
}

/** Compute absent limb leads from I and II, in place, where those that are there agree. */
function derive(signal, present) {
  const [one, two] = signal;
  if (!present[0] || !present[1]) return;
  const limbs = [
    (i) => two[i] - one[i], // III
    (i) => -(one[i] + two[i]) / 2, // aVR
    (i) => one[i] - two[i] / 2, // aVL
    (i) => two[i] - one[i] / 2, // aVF
  ].map((of) => Float32Array.from(one, (_, i) => of(i)));
  const allowed = AGREE * Math.max(spread(one), spread(two));
  const wrong = limbs.some((limb, k) => {
    return present[2 + k] && spread(limb.map((v, i) => signal[2 + k][i] - v)) > allowed;
  });
  if (wrong) return;
  limbs.forEach((limb, k) => {
    if (!present[2 + k]) signal[2 + k] = limb;
    present[2 + k] = true;
  });
}

/** The standard deviation of what is valid, 0 where nothing is. */
function spread(values) {
  let [count, sum, squares] = [0, 0, 0];
  for (const v of values) {
    if (Number.isNaN(v)) continue;
    count += 1;
    sum += v;
    squares += v * v;
  }
  return count ? Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2)) : 0;
}

/** Refuse a record that lacks leads, unless that is allowed and no name is odd. */
function checkLeads(name, present, unknown, allowMissing) {
  const missing = LEADS.filter((_, lead) => !present[lead]);
  // Other channels (Frank leads, respiration) do no harm if all twelve are there.
  if (missing.length && unknown.length) {
    const shown = unknown.map((one) => JSON.stringify(one)).join(", ");
    throw new RecordError(
      `${name} has unknown leads ${shown} and lacks ${missing.join(", ")}; expected ` +
        `${LEADS.join(", ")}.`,
    );
  }
  if (missing.length === LEADS.length || (missing.length && !allowMissing)) {
    throw new RecordError(
      `${name} has ${LEADS.length - missing.length} of the twelve leads: ` +
        `${missing.join(", ")} missing. Tick "Fill missing leads with zeros" to do without.`,
    );
  }
}

/** The unit that the used rows share, and each row's factor into it. */
function commonUnit(name, units, used) {
  const plain = used.map((row) => units[row].trim());
  for (const special of [NORMALISED, UNCALIBRATED]) {
    if (plain.every((unit) => unit.toLowerCase() === special.toLowerCase())) {
      return { unit: special, factors: new Map(used.map((row) => [row, 1])) };
    }
  }
  const factors = new Map(
    used.map((row, i) => {
      const factor = TO_MILLIVOLT[plain[i].toLowerCase()];
      if (factor === undefined) {
        throw new RecordError(
          `${name} states a lead in ${JSON.stringify(plain[i])}; expected mV, µV, V, or ` +
            "NU for all leads.",
        );
      }
      return [row, factor];
    }),
  );
  return { unit: "mV", factors };
}
