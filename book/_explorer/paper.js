/** An ECG on clinical paper, 25 mm/s and 10 mm/mV, as SVG; a unit is a millimetre. */

import { LEADS } from "./record.js";

const SPEED = 25; // mm per second
const GAIN = 10; // mm per millivolt
const UNSCALED = 12; // mm of the highest wave of a signal without millivolts
const [LEFT, RIGHT, RULER, BOTTOM] = [10, 4, 6, 3]; // mm around the traces
const [BELOW, ABOVE, MOST, NAME] = [5, 10.5, 30, 5]; // mm of a row around its baseline
const NAMESPACE = "http://www.w3.org/2000/svg";

/**
 * Draw ten seconds of a record.
 *
 * @param {SVGElement} svg what it holds is replaced.
 * @param record of `assemble`.
 * @param {{start: number, seconds: number, layout: "3x4" | "12x1", withoutLeads: Set,
 *   withoutSeconds: Set}} view from where on, how long, and what is blanked out.
 * @param {{onLead: (lead: number) => void, onSecond: (second: number) => void}} clicks
 */
export function drawPaper(svg, record, view, { onLead, onSecond }) {
  const { rows, gain, height } = layOut(record, view);
  const width = LEFT + SPEED * view.seconds + RIGHT;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  rule(svg, width, height, rows.at(-1).baseline);
  for (let second = 0; second < view.seconds; second++) {
    const off = view.withoutSeconds.has(second);
    const x = LEFT + SPEED * second;
    const wide = Math.min(SPEED, SPEED * (view.seconds - second));
    if (off) add(svg, "rect", { class: "off", x, y: RULER, width: wide, height: height - RULER });
    const box = { x: x + 0.3, y: 0.6, width: wide - 0.6, height: RULER - 1.2, rx: 1 };
    const cell = add(svg, "rect", { class: off ? "second pressed" : "second", ...box });
    cell.addEventListener("click", () => onSecond(second));
    add(svg, "text", { class: "number", x: x + wide / 2, y: RULER / 2 + 1.35 }).textContent =
      `${second + 1} s`;
  }
  for (const { parts, baseline, top, bottom } of rows) {
    for (const { lead, from, to } of parts) {
      const off = view.withoutLeads.has(lead);
      const x = LEFT + SPEED * from;
      const box = { x, y: top, width: SPEED * (to - from), height: bottom - top };
      if (off) add(svg, "rect", { class: "off", ...box });
      const shape = trace(record, lead, view.start, from, to, baseline, gain);
      add(svg, "path", { class: off ? "trace faint" : "trace", d: shape });
      if (from > 0) add(svg, "path", { class: "trace", d: `M${x} ${baseline - 3}v6` });
      add(svg, "text", { class: "name", x: x + 1.5, y: top + 4.5 }).textContent = LEADS[lead];
      const hit = add(svg, "rect", { class: "hit", ...box });
      hit.addEventListener("click", () => onLead(lead));
    }
    if (record.units === "mV") {
      // The calibration pulse: 1 mV, 0.2 s.
      const pulse = `M2 ${baseline}h1v-${GAIN}h5v${GAIN}h1`;
      add(svg, "path", { class: "trace", d: pulse });
    }
  }
}

/** Place the leads: four columns of three and a rhythm strip, or twelve rows. */
function layOut(record, { start, seconds, layout }) {
  const quarter = seconds / 4;
  const whole = (lead) => [{ lead, from: 0, to: seconds }];
  const row = (r) =>
    [0, 1, 2, 3].map((c) => ({ lead: 3 * c + r, from: c * quarter, to: (c + 1) * quarter }));
  const leads =
    layout === "12x1" ? LEADS.map((_, lead) => whole(lead)) : [row(0), row(1), row(2), whole(1)];
  const gain = record.units === "mV" ? GAIN : UNSCALED / largest(record);
  let at = RULER;
  const rows = leads.map((parts) => {
    let [low, high] = [0, 0];
    for (const { lead, from, to } of parts) {
      for (const [, v] of samples(record, lead, start, from, to)) {
        if (v * gain < low) low = v * gain;
        if (v * gain > high) high = v * gain;
      }
    }
    const top = at;
    const baseline = top + NAME + Math.min(Math.max(high, ABOVE - NAME), MOST);
    at = baseline + Math.min(Math.max(-low, BELOW), MOST);
    return { parts, baseline, top, bottom: at };
  });
  return { rows, gain, height: at + BOTTOM };
}

function largest(record) {
  let most = 0;
  LEADS.forEach((_, lead) => {
    for (const [, v] of samples(record, lead, 0, 0, Infinity)) most = Math.max(most, Math.abs(v));
  });
  return most || 1;
}

/** A lead's seconds and values around its median. */
function* samples(record, lead, start, from, to) {
  const { rate } = record;
  const x = record.signal[lead];
  const middle = median(x);
  const end = Math.min(x.length, Math.round((start + to) * rate));
  for (let i = Math.round((start + from) * rate); i < end; i++) {
    yield [i / rate - start, x[i] - middle];
  }
}

const medians = new WeakMap();

function median(x) {
  if (!medians.has(x)) {
    const sorted = x.filter((v) => !Number.isNaN(v)).sort();
    const half = sorted.length >> 1;
    medians.set(x, sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2);
  }
  return medians.get(x);
}

/** The path of a lead; invalid samples are left blank. */
function trace(record, lead, start, from, to, baseline, gain) {
  let path = "";
  let pen = "M";
  for (const [time, value] of samples(record, lead, start, from, to)) {
    if (Number.isNaN(value)) {
      pen = "M";
      continue;
    }
    path += `${pen}${(LEFT + SPEED * time).toFixed(2)} ${(baseline - gain * value).toFixed(2)}`;
    pen = "L";
  }
  return path;
}

/** Rule the paper: a thin line each millimetre, a thick one each fifth. */
function rule(svg, width, height, baseline) {
  for (const [every, name] of [[1, "minor"], [5, "major"]]) {
    let lines = "";
    for (let x = LEFT % every; x < width; x += every) lines += `M${x} ${RULER}V${height}`;
    for (let y = RULER + ((baseline - RULER) % every); y < height; y += every) {
      lines += `M0 ${y.toFixed(2)}H${width}`;
    }
    add(svg, "path", { class: name, d: lines });
  }
}

function add(parent, kind, attributes) {
  const element = document.createElementNS(NAMESPACE, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return parent.appendChild(element);
}
