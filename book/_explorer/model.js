/**
 * The shipped model in the browser: an ECG in, for each class a cosine and a probability
 * out, equal to those of `mccgaa classify`.
 */

const RUNTIME = "../onnxruntime-web/";
const BATCH = 8; // windows that are encoded at a time

/**
 * Fetch and start the model: the runtime, the encoder, and the vectors of the classes.
 *
 * @param {URL} folder of this file, where `write_model` has put the model.
 * @param {(share: number, bytes: number) => void} onProgress share in [0, 1] of all bytes.
 * @returns {Promise<Model>}
 */
export async function loadModel(folder, onProgress) {
  const facts = await (await get(new URL("model.json", folder))).json();
  const runtime = new URL(RUNTIME, folder);
  const files = [
    new URL("encoder.onnx", folder),
    new URL("classes.bin", folder),
    new URL("ort-wasm-simd.wasm.gz", runtime),
  ];
  let done = 0;
  const [encoder, vectors, wasm] = await Promise.all(
    files.map((file) =>
      download(file, (bytes) => onProgress(Math.min(1, (done += bytes) / facts.bytes), done)),
    ),
  );
  const ort = await import(new URL("ort.wasm-core.min.js", runtime));
  const program = new Blob([await inflated(wasm)], { type: "application/wasm" });
  const address = URL.createObjectURL(program);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { "ort-wasm-simd.wasm": address };
  const session = await ort.InferenceSession.create(encoder, {
    executionProviders: ["wasm"],
  });
  URL.revokeObjectURL(address);
  return new Model(ort, session, facts, new Float32Array(vectors.buffer));
}

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address.pathname} could not be loaded (${answer.status}).`);
  return answer;
}

/** Fetch a file, reporting the bytes as they come. */
async function download(address, onBytes) {
  const answer = await get(address);
  const parts = [];
  const stream = answer.body.getReader();
  for (let part = await stream.read(); !part.done; part = await stream.read()) {
    parts.push(part.value);
    onBytes(part.value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Unpack gzip, unless the server has done it. */
async function inflated(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/** An encoder, with what is needed to ask it; `facts` is model.json. */
export class Model {
  #queue = Promise.resolve();

  constructor(ort, session, facts, vectors) {
    Object.assign(this, { ort, session, facts, vectors });
  }

  /**
   * Embed windows.
   *
   * @param {Float32Array[]} windows of `prepareWindows`.
   * @returns {Promise<Float32Array[]>} a vector of length one each.
   */
  async embed(windows) {
    const { leads, length } = this.facts.input;
    const found = [];
    for (let i = 0; i < windows.length; i += BATCH) {
      const some = windows.slice(i, i + BATCH);
      const data = new Float32Array(some.length * leads * length);
      some.forEach((window, row) => data.set(window, row * leads * length));
      const signals = new this.ort.Tensor("float32", data, [some.length, leads, length]);
      // The runtime takes one batch at a time.
      const turn = this.#queue.then(() => this.session.run({ signals }));
      this.#queue = turn.catch(() => {});
      const { data: rows } = (await turn).embedding;
      const width = rows.length / some.length;
      some.forEach((_, row) => found.push(rows.slice(row * width, (row + 1) * width)));
    }
    return found;
  }

  /**
   * Score classes: the mean over an ECG's windows of each window's score.
   *
   * @param {Float32Array[]} embeddings of `embed`.
   * @param {object[]} classes of `facts.classes`.
   * @param {string} prompts "members": all wordings of a class, or of each of its
   *   members; "single": its name alone.
   * @returns {number[]} cosines.
   */
  score(embeddings, classes, prompts) {
    const scores = classes.map(() => 0);
    for (const x of embeddings) {
      const cosine = (text) => {
        const start = text * x.length;
        let sum = 0;
        for (let i = 0; i < x.length; i++) sum += x[i] * this.vectors[start + i];
        return sum;
      };
      classes.forEach((one, i) => {
        const members = prompts === "single" ? [[one.text]] : one.members;
        const each = members.map((texts) => texts.map(cosine));
        scores[i] += this.#reduce(each) / embeddings.length;
      });
    }
    return scores;
  }

  /** One score of the cosines with the wordings of each member of a class. */
  #reduce(each) {
    const { reduction } = this.facts.scoring;
    const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
    if (reduction === "best-member") return Math.max(...each.map(mean));
    return reduction === "mean" ? mean(each.flat()) : Math.max(...each.flat());
  }

  /** The log-odds of classes; nothing is fitted to another way of asking. */
  logits(cosines, classes, prompts) {
    const { tau, bias, scoring } = this.facts;
    return cosines.map((cosine, i) => {
      const raw = cosine / tau + bias;
      if (prompts !== scoring.prompts) return raw;
      return scoring.slope * raw + scoring.intercept + classes[i].offset;
    });
  }

  /**
   * Say what an ECG shows.
   *
   * @returns {{name: string, cosine: number, probability: number}[]} best first.
   */
  ask(embeddings, classes, prompts) {
    const cosines = this.score(embeddings, classes, prompts);
    return this.logits(cosines, classes, prompts)
      .map((logit, i) => ({
        name: classes[i].name,
        cosine: cosines[i],
        probability: 1 / (1 + Math.exp(-logit)),
      }))
      .sort((one, other) => other.probability - one.probability);
  }

  /**
   * What a class loses, in log-odds, without each lead and without each second.
   *
   * @param {Float32Array} window the ECG as it is shown to the model.
   * @param {object} one of `facts.classes`.
   * @param {string} prompts
   * @param {() => Promise} pause called between batches, so that the page stays alive.
   * @returns {Promise<{leads: number[], seconds: number[]}>}
   */
  async occlude(window, one, prompts, pause) {
    const { leads } = this.facts.input;
    const seconds = this.secondsOf(window);
    const parts = [window];
    for (let lead = 0; lead < leads; lead++) parts.push(this.without(window, [lead], []));
    for (let s = 0; s < seconds; s++) parts.push(this.without(window, [], [s]));
    const odds = [];
    for (const part of parts) {
      const cosines = this.score(await this.embed([part]), [one], prompts);
      odds.push(...this.logits(cosines, [one], prompts));
      await pause();
    }
    const costs = odds.slice(1).map((odd) => odds[0] - odd);
    return { leads: costs.slice(0, leads), seconds: costs.slice(leads) };
  }

  /** A window with leads, and seconds of all leads, blanked out. */
  without(window, leads, seconds) {
    const { length, sampling_rate: rate } = this.facts.input;
    const part = window.slice();
    for (const lead of leads) part.fill(0, lead * length, (lead + 1) * length);
    for (const second of seconds) {
      for (let from = second * rate; from < part.length; from += length) {
        part.fill(0, from, Math.min(from + rate, part.length));
      }
    }
    return part;
  }

  /** Seconds of a window before any padding. */
  secondsOf(window) {
    const { length, sampling_rate: rate } = this.facts.input;
    let last = length - 1;
    const blank = (i) => {
      for (let at = i; at < window.length; at += length) if (window[at]) return false;
      return true;
    };
    while (last > 0 && blank(last)) last -= 1;
    return Math.ceil((last + 1) / rate);
  }
}
