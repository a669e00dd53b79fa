/**
 * From a record to a model's input, as `mccgaa/data/transform.py` does for `classify`:
 * short gaps are interpolated, 0.5 to 40 Hz are kept at the record's own rate, the rate
 * is changed, windows are cut out, and each lead is standardised within its window.
 */

import { bandpass, filterBothWays, fraction, resample } from "./dsp.js";
import { LEADS, NORMALISED, RecordError } from "./record.js";

const [LOW, HIGH] = [0.5, 40]; // Hz
const ORDER = 4; // Butterworth, run forwards and backwards
const EDGE = 3 * (2 * ORDER + 1); // samples that the filter adds at both ends
const MAX_GAP = 0.2; // seconds
const MAX_NAN_SHARE = 0.05; // of a lead's samples

/**
 * Turn a record of any length into as many inputs of a model as it takes.
 *
 * Windows lie end to end; where the record is no whole number of them, the last one ends
 * with the record and overlaps the one before. A shorter record is padded with zeros.
 *
 * @param record of `assemble`.
 * @param {{samplingRate: number, length: number}} input what the model expects.
 * @returns {{windows: Float32Array[], starts: number[]}} each window (12 x length), lead
 *   by lead, and the sample at the model's rate that it begins with.
 * @throws {RecordError} the record cannot become the model's input.
 */
export function prepareWindows(record, { samplingRate, length }) {
  const leads = fillGaps(record).map((x) => toRate(filtered(record, x), record, samplingRate));
  const last = Math.max(0, leads[0].length - length);
  const starts = [];
  for (let at = 0; at < last; at += length) starts.push(at);
  starts.push(last);
  return { windows: starts.map((at) => cut(leads, record, at, length)), starts };
}

/** Keep the band, without shifting anything in time. */
function filtered(record, x) {
  const { name, rate } = record;
  if (record.units === NORMALISED) return x; // its source has filtered it
  if (rate <= 2 * HIGH) {
    throw new RecordError(
      `${name} has ${rate} Hz; the band up to ${HIGH} Hz needs more than ${2 * HIGH} Hz.`,
    );
  }
  if (x.length <= EDGE) {
    throw new RecordError(`${name} is too short (${(x.length / rate).toFixed(2)} s).`);
  }
  return filterBothWays(bandpass(ORDER, LOW, HIGH, rate), x, EDGE);
}

function toRate(x, record, want) {
  return record.rate === want ? x : resample(x, ...fraction(want / record.rate));
}

/** Cut a window (12 x length) out, and standardise and pad its leads. */
function cut(leads, record, from, length) {
  const out = new Float32Array(LEADS.length * length);
  leads.forEach((whole, lead) => {
    const x = whole.slice(from, from + length);
    if (x.length < 2) throw new RecordError(`${record.name} holds no ECG.`);
    const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
    const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
    const deviation = Math.sqrt(variance);
    if (!record.present[lead] || record.flat[lead] || deviation < 1e-9) return;
    out.set(x.map((v) => (v - mean) / deviation), lead * length);
  });
  return out;
}

/** Interpolate invalid samples in short runs; refuse a record with long ones. */
function fillGaps({ name, rate, signal }) {
  return signal.map((trace, lead) => {
    const valid = [...trace.keys()].filter((i) => !Number.isNaN(trace[i]));
    if (valid.length === trace.length) return trace;
    let gap = Math.max(valid[0], trace.length - 1 - valid.at(-1));
    for (let k = 1; k < valid.length; k++) {
      gap = Math.max(gap, valid[k] - valid[k - 1] - 1);
    }
    if (gap > MAX_GAP * rate) {
      throw new RecordError(
        `${name}: lead ${LEADS[lead]} is invalid for ${(gap / rate).toFixed(2)} s; up ` +
          `to ${MAX_GAP} s are interpolated.`,
      );
    }
    const share = 1 - valid.length / trace.length;
    if (share > MAX_NAN_SHARE) {
      throw new RecordError(
        `${name}: ${(100 * share).toFixed(1)}% of lead ${LEADS[lead]} is invalid; up to ` +
          `${100 * MAX_NAN_SHARE}% is interpolated.`,
      );
    }
    const filled = trace.slice();
    filled.fill(trace[valid[0]], 0, valid[0]);
    filled.fill(trace[valid.at(-1)], valid.at(-1) + 1);
    for (let k = 1; k < valid.length; k++) {
      const [a, b] = [valid[k - 1], valid[k]];
      for (let i = a + 1; i < b; i++) {
        filled[i] = trace[a] + ((trace[b] - trace[a]) * (i - a)) / (b - a);
      }
    }
    return filled;
  });
}
