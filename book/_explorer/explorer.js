/** The page: choose an ECG and classes, blank out parts, see what the model says. */

import { readRecord } from "./formats.js";
import { loadModel } from "./model.js";
import { drawPaper } from "./paper.js";
import { LEADS } from "./record.js";
import { prepareWindows } from "./transform.js";

const FOLDER = new URL(".", import.meta.url);
const INPUT = { samplingRate: 100, length: 1000 }; // of the shipped model
const MOST = 10; // rows shown until more are asked for
const element = (name) => document.getElementById(`explorer-${name}`);

const state = {
  examples: [],
  files: [], // what the ECG was read from
  stated: {}, // what was said of them
  origin: "", // of the ECG, for its caption
  record: null,
  windows: [],
  starts: [], // of the windows, samples
  part: 0, // the window on the paper
  withoutLeads: new Set(),
  withoutSeconds: new Set(),
  model: null,
  chosen: new Set(), // names of classes; none: all findings
  all: false, // rows shown
  asked: 0, // counts questions, so that late answers are dropped
};

async function start() {
  element("waiting").remove();
  element("body").hidden = false;
  state.examples = await (await fetch(new URL("examples/index.json", FOLDER))).json();
  const options = state.examples.map(({ file, finding }) => [file, `synthetic: ${finding}`]);
  options.push(["ecg", "synthetic: the package's own example, 500 Hz"]);
  element("example").append(...options.map(([value, text]) => new Option(text, value)));
  listen();
  makeToggles(element("leads"), LEADS, state.withoutLeads);
  await openExample();
}

function listen() {
  const on = (name, event, act) => element(name).addEventListener(event, act);
  on("load", "click", load);
  on("example", "change", openExample);
  on("file", "change", () => openFiles([...element("file").files]));
  for (const name of ["rate", "units", "missing"]) {
    on(name, "change", () => element("file").files.length && openFiles(state.files));
  }
  on("layout", "change", draw);
  on("part", "change", () => {
    state.part = Number(element("part").value);
    state.withoutSeconds.clear();
    refresh();
  });
  on("reset", "click", () => {
    state.withoutLeads.clear();
    state.withoutSeconds.clear();
    refresh();
  });
  on("search", "input", listClasses);
  on("all", "click", () => choose([]));
  on("none", "click", () => choose([null]));
  on("prompts", "change", ask);
  on("order", "change", ask);
  on("more", "click", () => {
    state.all = !state.all;
    ask();
  });
  // A file may be dropped anywhere on the explorer.
  const place = document.getElementById("explorer");
  for (const event of ["dragover", "dragleave", "drop"]) {
    place.addEventListener(event, (dropped) => {
      dropped.preventDefault();
      place.classList.toggle("dropping", event === "dragover");
      if (event === "drop") {
        element("file").files = dropped.dataTransfer.files;
        openFiles([...dropped.dataTransfer.files]);
      }
    });
  }
}

async function load() {
  const [button, progress, status] = ["load", "progress", "status"].map(element);
  button.disabled = true;
  progress.hidden = false;
  status.textContent = "Loading ...";
  try {
    state.model = await loadModel(FOLDER, (share, bytes) => {
      progress.value = share;
      status.textContent = `Loading: ${(bytes / 1e6).toFixed(1)} MB`;
    });
    button.hidden = true;
    const { name } = state.model.facts;
    status.textContent = `The model ${name} runs in this page.`;
  } catch (error) {
    button.disabled = false;
    status.textContent = `The model could not be loaded: ${error.message}`;
  }
  progress.hidden = true;
  if (state.model) {
    element("answers").hidden = false;
    listClasses();
    await ask();
  }
}

async function openExample() {
  const name = element("example").value;
  const chosen = state.examples.find(({ file }) => file === name);
  element("file").value = "";
  state.files = [".hea", ".dat"].map((ending) => ({
    name: name + ending,
    content: async () => (await fetch(new URL(`examples/${name}${ending}`, FOLDER))).arrayBuffer(),
  }));
  await open(chosen ? `SYNTHETIC: ${chosen.finding}` : "SYNTHETIC: the package's example", {});
}

async function openFiles(files) {
  if (!files.length) return;
  state.files = files.map((file) =>
    file.content ? file : { name: file.name, content: () => file.arrayBuffer() },
  );
  await open(`Your own: ${state.files.map(({ name }) => name).join(", ")}`, {
    rate: Number(element("rate").value) || null,
    units: element("units").value,
    allowMissing: element("missing").checked,
  });
}

/** Read the files in `state`, and show and classify what they hold. */
async function open(origin, stated) {
  try {
    const record = await readRecord(state.files, stated);
    Object.assign(state, prepareWindows(record, INPUT), { record, origin, part: 0 });
    element("error").textContent = "";
  } catch (error) {
    element("error").textContent = error.message;
    return;
  }
  state.withoutLeads.clear();
  state.withoutSeconds.clear();
  const parts = state.starts.map((at, i) => new Option(`from ${seconds(at)} s`, i));
  element("part").replaceChildren(...parts);
  element("parts").hidden = parts.length < 2;
  const caption = [state.origin, `${state.record.rate} Hz`, `${duration().toFixed(1)} s`];
  caption.push(state.record.units === "mV" ? "25 mm/s, 10 mm/mV" : "25 mm/s, no scale in mV");
  element("caption").textContent = caption.join(" · ");
  await refresh();
}

const seconds = (at) => at / INPUT.samplingRate;
const duration = () => state.record.signal[0].length / state.record.rate;

/** How long the shown part is, in seconds. */
const shown = () => Math.min(10, duration() - seconds(state.starts[state.part]));

async function refresh() {
  draw();
  await ask();
}

function draw() {
  const names = [...Array(Math.ceil(shown() - 1e-6)).keys()].map((i) => `${i + 1}`);
  if (element("seconds").children.length !== names.length) {
    makeToggles(element("seconds"), names, state.withoutSeconds);
  }
  for (const [name, without] of [["leads", state.withoutLeads], ["seconds", state.withoutSeconds]]) {
    [...element(name).children].forEach((button, i) => {
      button.setAttribute("aria-pressed", without.has(i));
      button.querySelector("small")?.remove();
    });
  }
  element("why").textContent = "";
  element("reset").disabled = !(state.withoutLeads.size + state.withoutSeconds.size);
  drawPaper(
    element("paper"),
    state.record,
    {
      start: seconds(state.starts[state.part]),
      seconds: shown(),
      layout: element("layout").value,
      withoutLeads: state.withoutLeads,
      withoutSeconds: state.withoutSeconds,
    },
    {
      onLead: (lead) => toggle(state.withoutLeads, lead),
      onSecond: (second) => toggle(state.withoutSeconds, second),
    },
  );
}

function makeToggles(place, names, without) {
  place.replaceChildren(
    ...names.map((name, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => toggle(without, i));
      return button;
    }),
  );
}

function toggle(without, which) {
  if (!without.delete(which)) without.add(which);
  refresh();
}

/** The windows as the model is to see them. */
function blanked() {
  const { model, withoutLeads, withoutSeconds } = state;
  return state.windows.map((window, i) =>
    model.without(window, withoutLeads, i === state.part ? withoutSeconds : []),
  );
}

async function ask() {
  const { model, record, chosen } = state;
  if (!model || !record) return;
  const turn = ++state.asked;
  const classes = model.facts.classes.filter(({ name, listed }) =>
    chosen.size ? chosen.has(name) : listed,
  );
  const prompts = element("prompts").value;
  const begun = performance.now();
  const embeddings = await model.embed(blanked());
  const findings = model.ask(embeddings, classes, prompts);
  const took = performance.now() - begun;
  let whole = null;
  if (state.withoutLeads.size + state.withoutSeconds.size) {
    const before = model.ask(await model.embed(state.windows), classes, prompts);
    whole = new Map(before.map(({ name, probability }) => [name, probability]));
  }
  if (turn === state.asked) show(findings, whole, took);
}

function show(findings, whole, took) {
  const [table, order] = [element("results"), element("order").value];
  const ranked = findings.toSorted((one, other) => other[order] - one[order]);
  const rows = state.all ? ranked : ranked.slice(0, MOST);
  const most = Math.max(...findings.map(({ cosine }) => Math.abs(cosine)), 0.01);
  table.tBodies[0].replaceChildren(...rows.map((finding) => row(finding, whole, most)));
  table.hidden = !findings.length;
  table.dataset.took = took;
  element("said").textContent = findings.length
    ? `${findings.length} ${findings.length === 1 ? "class" : "classes"}, in ` +
      `${Math.round(took)} ms on this computer. Not for diagnosis.`
    : "Choose at least one class.";
  element("more").hidden = findings.length <= MOST;
  element("more").textContent = state.all ? `Show the first ${MOST}` : `Show all ${findings.length}`;
}

function row({ name, cosine, probability }, whole, most) {
  const line = document.createElement("tr");
  Object.assign(line.dataset, { name, cosine, probability });
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  const likely = cell(percent(probability), "bar", probability);
  if (whole) {
    const was = document.createElement("small");
    was.textContent = ` was ${percent(whole.get(name))}`;
    likely.firstChild.after(was);
  }
  const near = cell(signed(cosine, 3), "bar around", cosine / most);
  const why = document.createElement("td");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "which?";
  button.setAttribute("aria-label", `Which parts speak for ${name}?`);
  button.addEventListener("click", () => explain(name));
  why.append(button);
  line.append(head, likely, near, why);
  return line;
}

/** A number over its bar. */
function cell(text, kind, share) {
  const found = document.createElement("td");
  const bar = document.createElement("span");
  bar.className = kind + (share < 0 ? " against" : "");
  bar.style.setProperty("--share", Math.min(1, Math.abs(share)));
  found.append(text, bar);
  return found;
}

const percent = (share) => `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)}%`;
const signed = (value, digits) =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

/** Write on each lead and second what it contributes to a class. */
async function explain(name) {
  const { model, windows, part } = state;
  const one = model.facts.classes.find((other) => other.name === name);
  const turn = state.asked;
  element("why").textContent = "Blanking out one part after another ...";
  const pause = () => new Promise((done) => setTimeout(done));
  const costs = await model.occlude(windows[part], one, element("prompts").value, pause);
  if (turn !== state.asked) return;
  for (const kind of ["leads", "seconds"]) {
    [...element(kind).children].forEach((button, i) => {
      button.querySelector("small")?.remove();
      if (costs[kind][i] === undefined) return;
      const note = document.createElement("small");
      note.className = costs[kind][i] < 0 ? "against" : "for";
      note.textContent = signed(costs[kind][i], 2);
      button.append(note);
    });
  }
  element("why").textContent =
    `The numbers say how much of the log-odds of ${name} each part carries: above 0 it ` +
    "speaks for it, below 0 against it.";
}

/** Take classes by name; nothing: all findings, [null]: none. */
function choose(names) {
  state.chosen = new Set(names);
  listClasses();
  ask();
}

function listClasses() {
  const words = element("search").value.trim().toLowerCase().split(/\s+/);
  const found = state.model.facts.classes.filter(({ name, also, of }) => {
    const text = [name, ...also, of].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  found.sort((one, other) => one.name.localeCompare(other.name));
  const { chosen } = state;
  element("classes").replaceChildren(
    ...found.map((one) => {
      const item = document.createElement("li");
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.value = one.name;
      box.checked = chosen.size ? chosen.has(one.name) : one.listed;
      box.addEventListener("change", () => tick(one.name, box.checked));
      label.append(box, one.name);
      if (one.criteria) label.title = one.criteria;
      item.append(label);
      return item;
    }),
  );
  count();
}

function tick(name, checked) {
  const { chosen, model } = state;
  if (!chosen.size) {
    for (const one of model.facts.classes) if (one.listed) chosen.add(one.name);
  }
  chosen.delete(null);
  if (checked) chosen.add(name);
  else chosen.delete(name);
  if (!chosen.size) chosen.add(null); // none, which an empty set would not say
  count();
  ask();
}

function count() {
  const boxes = element("classes").children.length;
  const { classes } = state.model.facts;
  const chosen = state.chosen.size
    ? classes.filter(({ name }) => state.chosen.has(name)).length
    : classes.filter(({ listed }) => listed).length;
  element("count").textContent =
    `${chosen} of ${classes.length} chosen` + (boxes < classes.length ? `, ${boxes} shown` : "");
}

start();
