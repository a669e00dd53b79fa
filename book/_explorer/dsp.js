/**
 * What `mccgaa/data/dsp.py` does to a signal: the numbers of scipy's `sosfiltfilt` and
 * `resample_poly`, to within rounding.
 */

const add = (a, b) => [a[0] + b[0], a[1] + b[1]];
const sub = (a, b) => [a[0] - b[0], a[1] - b[1]];
const mul = (a, b) => [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]];
const div = (a, b) => {
  const size = b[0] ** 2 + b[1] ** 2;
  return mul(a, [b[0] / size, -b[1] / size]);
};
const sqrt = (a) => {
  const size = Math.sqrt(Math.hypot(...a));
  const angle = Math.atan2(a[1], a[0]) / 2;
  return [size * Math.cos(angle), size * Math.sin(angle)];
};

/**
 * Design a digital Butterworth band-pass filter.
 *
 * @param {number} order of the analogue low-pass filter that it is made from.
 * @param {number} low Hz.
 * @param {number} high Hz.
 * @param {number} rate Hz.
 * @returns {{gain: number, sections: {a1: number, a2: number}[]}} `order` sections with
 *   the numerator 1 - z^-2, one behind another.
 */
export function bandpass(order, low, high, rate) {
  // The bilinear transform bends frequencies, which are bent the other way first.
  const twice = 2 * rate;
  const [w1, w2] = [low, high].map((f) => twice * Math.tan((Math.PI * f) / rate));
  const poles = []; // in the s plane
  for (let i = 0; i < order; i++) {
    const angle = (Math.PI * (2 * i + order + 1)) / (2 * order);
    const pole = [Math.cos(angle), Math.sin(angle)].map((x) => (x * (w2 - w1)) / 2);
    const shift = sqrt(sub(mul(pole, pole), [w1 * w2, 0]));
    poles.push(add(pole, shift), sub(pole, shift));
  }
  const below = poles.map((pole) => sub([twice, 0], pole)).reduce(mul, [1, 0]);
  const digital = poles.map((pole) => div(add([twice, 0], pole), sub([twice, 0], pole)));
  return {
    gain: ((w2 - w1) * twice) ** order / below[0],
    // Each pair of conjugate poles is a section.
    sections: digital
      .filter((pole) => pole[1] > 0)
      .map(([re, im]) => ({ a1: -2 * re, a2: re ** 2 + im ** 2 })),
  };
}

/** Filter in place, as if the first sample had been there for ever. */
function run({ gain, sections }, y) {
  for (let i = 0; i < y.length; i++) y[i] *= gain;
  // A constant leaves the first section as zero, so the others are at rest.
  let rest = -y[0];
  for (const { a1, a2 } of sections) {
    let s1 = rest;
    let s2 = rest;
    for (let i = 0; i < y.length; i++) {
      const x = y[i];
      const out = x + s1;
      s1 = s2 - a1 * out;
      s2 = -x - a2 * out;
      y[i] = out;
    }
    rest = 0;
  }
}

/**
 * Filter forwards and backwards, which shifts nothing in time.
 *
 * @param filter of `bandpass`.
 * @param {ArrayLike<number>} x T samples.
 * @param {number} edge samples by which x is extended at both ends, turned around the
 *   last one; fewer than T.
 * @returns {Float64Array} T samples.
 */
export function filterBothWays(filter, x, edge) {
  const T = x.length;
  const y = new Float64Array(T + 2 * edge);
  y.set(x, edge);
  for (let i = 1; i <= edge; i++) {
    y[edge - i] = 2 * x[0] - x[i];
    y[edge + T - 1 + i] = 2 * x[T - 1] - x[T - 1 - i];
  }
  run(filter, y);
  run(filter, y.reverse());
  return y.reverse().slice(edge, edge + T);
}

/**
 * Change the rate of a signal by up / down.
 *
 * The signal goes on along the line from its first sample to its last, so that no offset
 * makes an edge.
 *
 * @param {ArrayLike<number>} x T samples.
 * @param {number} up without a common divisor with
 * @param {number} down
 * @returns {Float64Array} ceil(T up / down) samples.
 */
export function resample(x, up, down) {
  const T = x.length;
  const { half, weights } = kernel(Math.max(up, down));
  const slope = (x[T - 1] - x[0]) / Math.max(1, T - 1);
  const at = (i) =>
    i < 0 ? x[0] + slope * i : i < T ? x[i] : x[T - 1] + slope * (i - T + 1);
  const y = new Float64Array(Math.ceil((T * up) / down));
  for (let m = 0; m < y.length; m++) {
    const centre = m * down;
    const last = Math.floor((centre + half) / up);
    let sum = 0;
    for (let i = Math.ceil((centre - half) / up); i <= last; i++) {
      sum += at(i) * weights[half + centre - i * up];
    }
    y[m] = sum * up;
  }
  return y;
}

/** A low-pass filter at the Nyquist frequency of the lower rate: a windowed sinc. */
function kernel(rate) {
  const half = 10 * rate;
  const weights = new Float64Array(2 * half + 1);
  let sum = 0;
  for (let i = -half; i <= half; i++) {
    const x = (Math.PI * i) / rate;
    const kaiser = bessel0(5 * Math.sqrt(1 - (i / half) ** 2)) / bessel0(5);
    weights[half + i] = (i === 0 ? 1 : Math.sin(x) / x) * kaiser;
    sum += weights[half + i];
  }
  return { half, weights: weights.map((w) => w / sum) };
}

/** The modified Bessel function of order 0. */
function bessel0(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/**
 * Write a ratio as up / down with a small `down`, as Python's
 * `Fraction(ratio).limit_denominator(most)`.
 *
 * @param {number} ratio above 0.
 * @param {number} most
 * @returns {[number, number]}
 */
export function fraction(ratio, most = 1000) {
  let [whole, below] = [ratio, 1n];
  while (!Number.isInteger(whole)) {
    whole *= 2;
    below *= 2n;
  }
  const limit = BigInt(most);
  let [n, d] = [BigInt(whole), below];
  if (d <= limit) return [Number(n), Number(d)];
  let [p0, q0, p1, q1] = [0n, 1n, 1n, 0n];
  while (q0 + (n / d) * q1 <= limit) {
    const a = n / d;
    [p0, q0, p1, q1] = [p1, q1, p0 + a * p1, q0 + a * q1];
    [n, d] = [d, n - a * d];
  }
  const k = (limit - q0) / q1;
  const nearer = 2n * d * (q0 + k * q1) <= below;
  const found = nearer ? [p1, q1] : [p0 + k * p1, q0 + k * q1];
  return found.map(Number);
}
