/** Small figures with a slider, for the chapters: each turns one number of the paper. */

const NAMESPACE = "http://www.w3.org/2000/svg";
const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const percent = (share) => `${Math.round(100 * share)}%`;
const range = (n) => [...Array(n).keys()];
const sum = (values) => values.reduce((total, v) => total + v, 0);
const fixed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

/** Eight ECGs and their texts as directions: the same at every visit. */
const PAIRS = 8;
const COSINES = (() => {
  let state = 7;
  const uniform = () => (state = (state * 16807) % 2147483647) / 2147483647;
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const unit = (v) => v.map((one) => one / Math.hypot(...v));
  const ecgs = range(PAIRS).map(() => unit(range(16).map(normal)));
  const texts = ecgs.map((x) => unit(x.map((one) => one + 0.45 * normal())));
  return ecgs.map((x) => texts.map((q) => sum(x.map((one, i) => one * q[i]))));
})();
const TAU = 0.07;

const WIDGETS = {
  /** Eq 13: what one sigmoid, and a sigmoid of a sigmoid, leave of a channel. */
  gate: {
    label: "Score z of a channel",
    shown: (z) => fixed(z, 1),
    slider: { min: -6, max: 6, step: 0.1, value: -2 },
    name: "Two curves of the weight against z, and a beat before and after the gate",
    split: 275,
    draw([svg, aside], z) {
      const [once, twice] = [sigmoid(z), sigmoid(sigmoid(z))];
      const [x, y] = [(v) => 30 + (v + 6) * 16, (alpha) => 110 - 95 * alpha];
      axes(svg, 30, 222, 110, 15);
      for (const alpha of [0, 0.5, 1]) text(svg, 26, y(alpha) + 4, `${alpha}`, "end");
      text(svg, 126, 128, "z from \u22126 to 6", "middle");
      const curve = (f) => path(range(121), (i) => x(i / 10 - 6), (i) => y(f(i / 10 - 6)));
      add(svg, "path", { class: "one", d: curve(sigmoid) });
      add(svg, "path", { class: "two", d: curve((v) => sigmoid(sigmoid(v))) });
      add(svg, "circle", { class: "one", cx: x(z), cy: y(once), r: 4 });
      add(svg, "circle", { class: "two", cx: x(z), cy: y(twice), r: 4 });
      const beats = [["faint", 1], ["one", once], ["two", twice]];
      beats.forEach(([kind, alpha], row) => {
        const base = 45 + 33 * row;
        const beat = (i) => base - 34 * alpha * wave(i / 100);
        add(aside, "path", { class: kind, d: path(range(101), (i) => 290 + 1.1 * i, beat) });
        const named = ["the channel", "one sigmoid", "eq 13 to the letter"][row];
        text(aside, 408, base, `${named}${row ? `: ${percent(alpha)}` : ""}`);
      });
      const more = z < -1.5 ? " One sigmoid closes the gate; a sigmoid of it cannot." : "";
      return `One sigmoid keeps ${percent(once)} of the channel, a sigmoid of it ${percent(twice)}.${more}`;
    },
  },

  /** Eq 18: which ECGs and texts the threshold joins. */
  threshold: {
    label: "Threshold of eq 18",
    shown: (v) => fixed(v, 1),
    slider: { min: -8, max: 14, step: 0.5, value: 0 },
    name: "A matrix of eight ECGs and eight texts; joined ones are filled",
    split: 285,
    draw([svg, aside], threshold) {
      const joined = COSINES.map((row) => row.map((cosine) => cosine / TAU > threshold));
      const [left, top, side] = [150, 4, 13.5];
      text(svg, left - 8, top + 4.3 * side, "8 ECGs", "end");
      text(svg, left + 4 * side, top + 8 * side + 14, "their 8 texts", "middle");
      joined.forEach((row, i) =>
        row.forEach((is, j) => {
          cell(svg, left + side * j, top + side * i, is ? (i === j ? "own" : "other") : "");
        }),
      );
      const keys = [["own", "joined, its own text"], ["other", "joined, another's text"], ["", "not joined"]];
      keys.forEach(([kind, words], row) => {
        const y = 34 + 24 * row;
        cell(aside, 300, y, kind);
        text(aside, 320, y + 10, words);
      });
      const edges = sum(joined.flat());
      const alone = joined.filter((row) => !row.includes(true)).length;
      const own = joined.filter((row, i) => row[i] && sum(row) === 1).length;
      return (
        `${edges} of ${PAIRS ** 2} edges are left; ${alone} ECGs have no neighbour, and ` +
        `${own} are joined to their own text alone, which gives the answer away.`
      );
    },
  },

  /** Eq 26 to 28: what the temperature makes of the same cosines. */
  temperature: {
    label: "Temperature \u03c4",
    shown: (power) => (10 ** power).toPrecision(2),
    slider: { min: -2, max: 0.3, step: 0.005, value: Math.log10(TAU) },
    name: "Bars: the share that the softmax gives each of eight texts",
    split: 300,
    draw([svg, aside], power) {
      const tau = 10 ** power;
      const shares = COSINES.map((row) => {
        const logits = row.map((cosine) => cosine / tau);
        const most = Math.max(...logits);
        const each = logits.map((logit) => Math.exp(logit - most));
        return each.map((one) => one / sum(each));
      });
      axes(svg, 60, 292, 105, 12);
      text(svg, 54, 16, "100%", "end");
      text(svg, 54, 109, "0%", "end");
      shares[0].forEach((share, j) => {
        const height = 93 * share;
        const box = { x: 68 + 28 * j, y: 105 - height, width: 20, height };
        add(svg, "rect", { class: j ? "fill two" : "fill one", ...box });
        text(svg, 78 + 28 * j, 120, j ? `${j + 1}` : "own", "middle");
      });
      const wrong = shares[0].slice(1).map((share) => share / sum(shares[0].slice(1)));
      text(aside, 315, 100, "Its own text, and seven others.");
      text(aside, 315, 40, "Of the push away from wrong");
      text(aside, 315, 56, `texts, the nearest gets ${percent(Math.max(...wrong))}.`);
      const loss = -sum(shares.map((row, i) => Math.log(row[i]))) / PAIRS;
      return (
        `Of the first ECG's softmax its own text has ${percent(shares[0][0])}; eq 28 over ` +
        `all eight ECGs is ${fixed(loss, 3)}. The cosines are the same at every \u03c4.`
      );
    },
  },
};

/** One heart beat over t in [0, 1]. */
function wave(t) {
  const bump = (at, width, size) => size * Math.exp(-(((t - at) / width) ** 2));
  return bump(0.22, 0.045, 0.14) + bump(0.4, 0.013, -0.12) + bump(0.43, 0.014, 0.85) +
    bump(0.47, 0.014, -0.2) + bump(0.7, 0.075, 0.24);
}

const path = (points, x, y) =>
  points.map((i, n) => `${n ? "L" : "M"}${x(i).toFixed(1)} ${y(i).toFixed(1)}`).join("");

function axes(svg, left, right, bottom, top) {
  add(svg, "path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` });
}

/** A pair: empty, filled, or with a smaller square inside. */
function cell(svg, x, y, kind) {
  add(svg, "rect", { class: kind === "own" ? "cell own" : "cell", x, y, width: 11, height: 11 });
  if (kind === "other") {
    add(svg, "rect", { class: "two", x: x + 2.5, y: y + 2.5, width: 6, height: 6 });
  }
}

function text(svg, x, y, words, kind = "") {
  add(svg, "text", { class: kind, x, y }).textContent = words;
}

function add(parent, kind, attributes) {
  const element = document.createElementNS(NAMESPACE, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return parent.appendChild(element);
}

for (const place of document.querySelectorAll("[data-widget]")) {
  const { label, shown, slider, name, split, draw } = WIDGETS[place.dataset.widget];
  const id = `widget-${place.dataset.widget}`;
  const input = Object.assign(document.createElement("input"), { type: "range", id, ...slider });
  const caption = Object.assign(document.createElement("label"), { htmlFor: id });
  const value = document.createElement("output");
  value.htmlFor.add(id);
  const said = document.createElement("p");
  const box = document.createElement("div");
  Object.assign(box, { className: "figure", role: "img", ariaLabel: name });
  const parts = [[0, split], [split, 560 - split]].map(([left, width]) => {
    const part = add(box, "svg", { viewBox: `${left} 0 ${width} 134` });
    part.style.flex = `${width} 1 ${width}px`; // one below the other on a phone
    return part;
  });
  const knob = document.createElement("div");
  caption.append(`${label}: `);
  knob.append(caption, value, input);
  const turn = () => {
    parts.forEach((part) => part.replaceChildren());
    value.textContent = shown(Number(input.value));
    said.textContent = draw(parts, Number(input.value));
  };
  input.addEventListener("input", turn);
  place.replaceChildren(knob, box, said);
  turn();
}
