"""Make a model that is ready to use from a run: small, whole, and saying what it is.

The folder that `ready.load` reads: weights in half precision, the knowledge base, the
vectors of everything that its classes are called, the fitted probabilities, and a card.
With ONNX the ECG encoder also runs where there is no PyTorch.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from mccgaa.config import LEADS
from mccgaa.data.store import SignalStore
from mccgaa.errors import ConfigError, RunError, WriteError
from mccgaa.files import check_writable, write_folder, write_json
from mccgaa.knowledge import Knowledge
from mccgaa.model import MCCGAA
from mccgaa.pairs import check_input
from mccgaa.plus.prompting import Prompting
from mccgaa.protocol import provenance
from mccgaa.ready.calibration import (
    calibrate,
    calibration_error,
    findings,
    labelled,
    labelled_rows,
)
from mccgaa.ready.card import MAY_BE_READ, Tested, training_facts, write_card
from mccgaa.ready.classifier import (
    KNOWLEDGE,
    ONNX,
    SCORING,
    VECTORS,
    Classifier,
    Scoring,
    shipped,
)
from mccgaa.ready.merged import merge
from mccgaa.run_folder import METRICS
from mccgaa.settings import to_dict
from mccgaa.text import TextEncoder, locate
from mccgaa.zeroshot import task_rows, zero_shot


def export(
    run: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    start_share: float = 0.0,
    knowledge: Knowledge | None = None,
    prompting: Prompting | None = None,
    calibrate_on: SignalStore | None = None,
    test_on: Sequence[SignalStore] = (),
    onnx: bool = False,
    bootstrap: int = 1000,
) -> Path:
    """Write a run's model as a folder that is ready to use.

    Args:
        run: the folder of a finished run; or of several, whose mean is the model.
        out: the folder to write; its name is the model's.
        start_share: the part in [0, 1) that the weights which the run started from have
            in the model's, as `merged.merge`.
        knowledge: what classes are called; the packaged base when None.
        prompting: how classes are worded and scored; all their wordings when None.
        calibrate_on: records to fit probabilities to: of its training and validation
            split where pretraining read no record of either, else of the latter alone.
            Where it is not known whether pretraining read that, as with another store
            of a source that it read, the card and standard error say so. None:
            probabilities as the model's loss fits them, if it does.
        test_on: stores whose test splits are scored for the card.
        onnx: write the ECG encoder as ONNX too.
        bootstrap: resamples behind the card's intervals.

    Returns:
        The folder.

    Raises:
        RunError: there is no such run, or as `merged.merge`.
        ConfigError: the package onnx is missing, or as `merged.merge`.
        StoreError: a store that does not fit the model, or lacks labels or records.
        KnowledgeError: a class of a store to test on is not in the knowledge base.
        TextError: the text encoder cannot be had.
        WriteError: `out` cannot be written, or is a folder of something else.
    """
    out = Path(out)
    runs = [run] if isinstance(run, Path | str) else list(run)
    for one in runs:
        if not Path(one).is_dir():
            ready = str(one) in shipped()
            raise RunError(
                f"{one} is no folder; export needs that of a finished run, which says "
                "what the model was trained on (`mccgaa pretrain` prints it)."
                + " This one comes with the package, and is ready to use."
                * ready
            )
    _check_place(out)
    if onnx:
        check_onnx()
    merged = merge(runs, start_share)
    model, first = lean(merged.model), Path(runs[0])
    knowledge = knowledge or Knowledge.load()
    facts = training_facts(merged.metrics)
    locate(model.config.text.encoder)
    for store in (*test_on, *([] if calibrate_on is None else [calibrate_on])):
        check_input(store, model.config.input)
    if calibrate_on is not None:
        labelled_rows(knowledge, calibrate_on, _unread(calibrate_on, first)[0])
    for store in test_on:
        task_rows(store, list(store.meta["tasks"]), knowledge)
    with write_folder(out) as folder:
        model.half().save_pretrained(folder)  # what is tested is what is shipped
        model = MCCGAA.from_pretrained(folder)
        if merged.metrics:
            write_json(folder / METRICS, merged.metrics)
        _write_texts(folder / VECTORS, model, knowledge)
        (folder / KNOWLEDGE).write_text(
            json.dumps(knowledge.content, indent=1), encoding="utf-8"
        )
        scoring = Scoring(prompting or Prompting("members"))
        classifier = Classifier(model, knowledge, scoring)
        if calibrate_on is not None:
            classifier.scoring = _calibrate(classifier, calibrate_on, first)
        write_json(folder / SCORING, to_dict(classifier.scoring))
        tested = [_test(classifier, store, bootstrap) for store in test_on]
        if onnx:
            write_onnx(model, folder / ONNX)
        card = write_card(out.name, folder, classifier, facts, tested)
        (folder / "README.md").write_text(card, encoding="utf-8")
    return out


def _check_place(out: Path) -> None:
    """Refuse a place that cannot be written, or holds what is not to be replaced."""
    check_writable(out / SCORING)
    if out.is_dir() and any(out.iterdir()) and not (out / SCORING).is_file():
        raise WriteError(
            f"{out} is a folder of something else than an exported model, which alone "
            "is replaced; give a new folder."
        )


def _unread(store: SignalStore, run: Path) -> tuple[tuple[str, ...], bool | None]:
    """The splits to calibrate on, and whether the run has read "val", if it says."""
    found = {split: provenance(run, store, split)[0] for split in ("train", "val")}
    seen = {s: f["protocol"]["records_in_pretraining"] for s, f in found.items()}
    unread = all(known is False for known in seen.values())
    return ("train", "val") if unread else ("val",), seen["val"]


def _calibrate(classifier: Classifier, store: SignalStore, run: Path) -> Scoring:
    """Fit probabilities to records that the run has not read, as far as it says."""
    splits, seen = _unread(store, run)
    scoring = calibrate(classifier, store, splits)
    if seen is None:
        print(f"note: {store.path}, val split: {MAY_BE_READ}", file=sys.stderr)
    fitted = {**scoring.fitted, "records_in_pretraining": seen}
    return replace(scoring, fitted=fitted)


def lean(model: MCCGAA) -> MCCGAA:
    """Leave out what only training needs: the graph, and the views of the losses."""
    config = model.config
    gafa = replace(config.gafa, graph="none", output_matrix=False)
    small = replace(config, gafa=gafa, loss=replace(config.loss, uma="dropout"))
    found = MCCGAA(small).eval()
    weights = model.state_dict()
    found.load_state_dict({name: weights[name] for name in found.state_dict()})
    return found


class _Encoder(nn.Module):
    """What the ONNX file computes."""

    def __init__(self, model: MCCGAA) -> None:
        super().__init__()
        self.model = model

    def forward(self, signals: Tensor) -> Tensor:
        """Embed (B, 12, T) -> (B, M)."""
        return self.model.encode_ecg(signals)


def check_onnx() -> None:
    """Refuse to write ONNX without its package.

    Raises:
        ConfigError: the package onnx is missing.
    """
    try:
        import onnx  # noqa: F401  torch needs it, and says so in its own words
    except ImportError as error:
        raise ConfigError(
            "ONNX needs the package onnx, which is not installed; install it with: "
            'pip install "mccgaa[onnx]".'
        ) from error


def write_onnx(model: MCCGAA, path: Path) -> None:
    """Write the ECG encoder as ONNX: `signals` (B, 12, T) to `embedding` (B, M).

    The scaling of the model's input is part of it, its filter and resampling are not.

    Args:
        model: in evaluation mode.
        path: of the file.

    Raises:
        ConfigError: the package onnx is missing.
    """
    check_onnx()
    length = model.config.input.length
    signals = torch.randn(2, len(LEADS), length, generator=torch.manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of an exporter that torch calls the old one
        # The new one takes a minute, and another package.
        torch.onnx.export(
            _Encoder(model.cpu().float()).eval(),
            (signals,),
            str(path),
            input_names=["signals"],
            output_names=["embedding"],
            dynamic_axes={"signals": {0: "ecgs"}, "embedding": {0: "ecgs"}},
            dynamo=False,
        )


def _write_texts(path: Path, model: MCCGAA, knowledge: Knowledge) -> None:
    """Write the vectors of all that the classes are called, and their embeddings."""
    style = model.config.text.style
    texts = sorted({*knowledge.wordings(), *knowledge.texts(style)})
    encoder = TextEncoder(model.config.text, device=model.device)
    vectors = encoder.encode(texts).half()  # (n, d)
    with torch.no_grad():
        embeddings = model.encode_text(vectors.float())  # (n, M)
    tensors = {"vectors": vectors, "embeddings": embeddings.cpu().half()}
    meta = {"texts": json.dumps(texts), "encoder": encoder.fingerprint}
    path.write_bytes(save(tensors, metadata=meta))


def _test(classifier: Classifier, store: SignalStore, bootstrap: int) -> Tested:
    """Score a store's test split on all of its tasks."""
    how = classifier.scoring.prompting
    tasks = zero_shot(
        classifier.model,
        store,
        list(store.meta["tasks"]),
        classifier.knowledge,
        prompts=how.prompts,
        reduction=how.reduction,
        precision="fp32",
        bootstrap=bootstrap,
    )
    error = None
    if classifier.scoring.fitted and findings(classifier.knowledge, store):
        found = labelled(classifier, store, ("test",))
        logits = classifier.logits(torch.from_numpy(found.cosine), found.names)
        error = calibration_error(torch.sigmoid(logits).numpy(), found.labels)
    return Tested(store, tasks, error)
