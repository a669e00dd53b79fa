"""What the explorer page needs beside its scripts: the model, and ECGs to ask it about.

The page runs the shipped model in the reader's browser. Its files are made from
`mccgaa/weights` whenever the book is built, so that no second copy of the weights is
kept; the simulated ECGs lie in `book/_explorer/examples`, where `write_examples` put
them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mccgaa.config import LEADS
from mccgaa.data import dsp
from mccgaa.errors import BookError
from mccgaa.files import write_json, write_whole
from mccgaa.knowledge import Entry, Knowledge
from mccgaa.ready import export
from mccgaa.ready.classifier import DEFAULT, EXAMPLE, SHIPPED, Classifier, load

ENCODER, TEXTS, FACTS = "encoder.onnx", "classes.bin", "model.json"
RUNTIME = "onnxruntime-web/ort-wasm-simd.wasm.gz"  # below book/_vendor
SEED = 0  # of the examples: the first that was tried
RATE = 100  # Hz
# One finding each, as PTB-XL's statements.
EXAMPLES = (
    "NORM",
    "SBRAD",
    "AFIB",
    "AFLT",
    "1AVB",
    "CLBBB",
    "CRBBB",
    "WPW",
    "LVH",
    "IMI",
    "PVC",
    "PACE",
)
_LARGE = 1024  # weights from which a tensor is worth a node that widens it


def write_explorer(folder: Path, book: Path) -> None:
    """Write all that the page loads.

    Args:
        folder: made, or brought up to date; the model in it is kept if it is the one
            that would be written.
        book: the book's own folder, with `_explorer` and `_vendor`.

    Raises:
        BookError: the shipped model is not one that the page can run.
        ConfigError: the package onnx is missing.
    """
    shutil.copytree(book / "_explorer", folder, dirs_exist_ok=True)
    for path in (EXAMPLE, EXAMPLE.with_suffix(".dat")):
        shutil.copy(path, folder / "examples" / path.name)
    write_model(folder, (book / "_vendor" / RUNTIME).stat().st_size)


def write_model(folder: Path, runtime: int, name: str | None = None) -> None:
    """Write the encoder, the texts' embeddings, and how to make scores of them.

    Args:
        folder: where.
        runtime: bytes that the page loads besides.
        name: of a model, as `mccgaa.load`; the default when None.

    Raises:
        BookError, ConfigError: as `write_explorer`.
    """
    made_from = _digest(SHIPPED / (name or DEFAULT))
    facts = folder / FACTS
    if facts.is_file() and json.loads(facts.read_text())["made_from"] == made_from:
        return
    classifier = load(name, device="cpu")
    config = classifier.model.config
    if not config.input.standardised:
        raise BookError(
            f"The explorer page prepares ECGs as the transform bandpass-zscore does; "
            f"the model {name or DEFAULT} takes {config.input.transform}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    export.write_onnx(classifier.model, folder / ENCODER)
    halve(folder / ENCODER)
    texts = list(classifier.model.text_encoder.row)
    q = classifier.model.encode_text(texts).numpy()  # (n, M)
    with write_whole(folder / TEXTS, "wb") as file:
        file.write(q.astype("<f4").tobytes())
    loaded = [folder / ENCODER, folder / TEXTS]
    about = {
        "made_from": made_from,
        "name": name or DEFAULT,
        "bytes": runtime + sum(path.stat().st_size for path in loaded),
        "input": {
            "leads": len(LEADS),
            "sampling_rate": config.input.sampling_rate,
            "length": config.input.length,
        },
    }
    with write_whole(facts) as file:
        json.dump(about | _asking(classifier, texts), file, allow_nan=False)


def halve(path: Path) -> None:
    """Store an ONNX file's weights in half precision; it computes in single, as before.

    Args:
        path: of the file, which is changed in place.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph, widen = model.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LARGE:
            continue
        weights = numpy_helper.to_array(tensor).astype(np.float16)
        small = numpy_helper.from_array(weights, f"{tensor.name}.half")
        graph.initializer.remove(tensor)
        graph.initializer.append(small)
        widen.append(
            helper.make_node("Cast", [small.name], [tensor.name], to=TensorProto.FLOAT)
        )
    nodes = [*widen, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    with write_whole(path, "wb") as file:
        file.write(model.SerializeToString())


def write_examples(folder: Path, seed: int = SEED) -> None:
    """Simulate one ECG for each finding of `EXAMPLES`, as WFDB records of 100 Hz.

    Args:
        folder: where; `index.json` lists them.
        seed: of all of them.
    """
    from mccgaa_twin.files import header, to_int16
    from mccgaa_twin.simulate import simulate_record

    knowledge, listed = Knowledge.load(), []
    folder.mkdir(parents=True, exist_ok=True)
    for code in EXAMPLES:
        finding = knowledge.entry("statements", code).name
        rng = np.random.default_rng([seed, EXAMPLES.index(code)])
        signal, _ = simulate_record([code], rng)  # (12, T) mV at 500 Hz
        slow = dsp.resample(signal, 1, 5)
        name = code.lower()
        steps = to_int16(np.rint(1000 * slow))
        comments = (
            " SYNTHETIC: simulated by mccgaa_twin, of no patient.",
            f" Simulated finding: {finding}.",
        )
        text = header(name, steps, RATE, LEADS, "1000.0(0)/mV", comments=comments)
        (folder / f"{name}.hea").write_text(text, encoding="utf-8")
        (folder / f"{name}.dat").write_bytes(steps.T.tobytes())
        listed.append({"file": name, "finding": finding})
    write_json(folder / "index.json", listed)


def _asking(classifier: Classifier, texts: list[str]) -> dict[str, Any]:
    """What turns cosines with texts into scores and probabilities of classes."""
    model, scoring = classifier.model, classifier.scoring
    known, style = classifier.knowledge, model.config.text.style
    place = {text: i for i, text in enumerate(texts)}
    everything = set(classifier.names)
    classes = [
        {
            "name": entry.name,
            "of": vocabulary,
            "also": [*entry.said[1:], entry.abbreviation],
            "criteria": entry.criteria,
            "text": place[entry.text(style)],
            "members": [
                [place[word] for word in member] for member in _wordings(entry, known)
            ],
            "offset": scoring.offsets.get(entry.name, 0.0),
            "listed": entry.name in everything,
        }
        for vocabulary, entry in _entries(known)
    ]
    return {
        "tau": float(model.tau),
        "bias": float(model.bias),
        "scoring": {
            "prompts": scoring.prompting.prompts,
            "reduction": scoring.prompting.reduction,
            "slope": scoring.slope,
            "intercept": scoring.intercept,
            "fitted": scoring.fitted,
        },
        "classes": classes,
    }


def _wordings(entry: Entry, knowledge: Knowledge) -> list[tuple[str, ...]]:
    """For each member of a class what it is called, as `Prompting.of`."""
    return [member.said for member in knowledge.members(entry)]


def _entries(knowledge: Knowledge) -> Iterator[tuple[str, Entry]]:
    """Every name of the knowledge base once, with the entry that `classify` takes."""
    seen = set()
    for vocabulary, entries in knowledge.vocabularies.items():
        for entry in entries.values():
            if entry.name.lower() not in seen:
                seen.add(entry.name.lower())
                yield vocabulary, knowledge.find(entry.name) or entry


def _digest(folder: Path) -> str:
    """Name what the written model depends on: the weights, and the code here."""
    digest = hashlib.sha256()
    for path in [*sorted(folder.iterdir()), Path(__file__), Path(export.__file__)]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
