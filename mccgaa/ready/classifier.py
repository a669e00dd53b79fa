"""Models that are ready to use: listed, loaded, and asked what an ECG shows.

Three lines classify an ECG::

    from mccgaa import load

    load().classify("ecg.hea", ["atrial fibrillation", "sinus rhythm"])

A model that is ready (`export` makes it from a run) is a folder: what
`MCCGAA.save_pretrained` writes, the knowledge base that it was made with, the vectors
of everything that its classes are called, so that no language model is needed to ask
for them, and how its scores become probabilities. A run's folder has none of the last
three and can be asked all the same.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mccgaa.config import LEADS
from mccgaa.data.record import Record, read_record
from mccgaa.data.transform import prepare_windows
from mccgaa.errors import ConfigError, RunError, did_you_mean
from mccgaa.knowledge import Entry, Knowledge
from mccgaa.known_texts import VECTORS, KnownTexts
from mccgaa.model import MCCGAA, SHIPPED, locate
from mccgaa.plus.prompting import Prompting, Wordings, places, texts_of
from mccgaa.ready.folded import fold
from mccgaa.run_folder import METRICS
from mccgaa.runtime import pick_device
from mccgaa.settings import from_dict

DEFAULT = "mccgaa-plus"  # what `load()` loads
EXAMPLE = Path(__file__).parents[1] / "examples" / "ecg.hea"  # simulated

KNOWLEDGE, SCORING = "knowledge.json", "scoring.json"
ONNX = "encoder.onnx"  # of the ECG encoder, for other programs; `load` does not read it
LISTED = ("statements", "csn_statements")  # vocabularies that hold every finding


@dataclass(frozen=True)
class Finding:
    """How much an ECG speaks for one class."""

    name: str  # as asked
    text: str  # how the class was worded, or the first of its wordings
    cosine: float  # of ECG and class, [-1, 1]
    share: float  # that a softmax gives it among the classes asked for, [0, 1]
    probability: float | None  # [0, 1]; None where the model fits none

    @property
    def chance(self) -> float:
        """The probability; where there is none, the share."""
        return self.share if self.probability is None else self.probability


@dataclass(frozen=True)
class Scoring:
    """How cosines become scores and probabilities.

    With z = cosine / tau + b, the model's own logit, the probability of a class is
    sigmoid(slope z + intercept + offset of the class): Platt scaling, whose offset is 0
    for a class that `fitted` had too few ECGs of.
    """

    prompting: Prompting = field(default_factory=Prompting)
    slope: float = 1.0
    intercept: float = 0.0
    offsets: dict[str, float] = field(default_factory=dict)  # an entry's name -> offset
    fitted: dict[str, Any] = field(default_factory=dict)  # on what; empty: nothing


class Doubt(UserWarning):
    """What a reader of a model's findings should know before trusting them."""


class Occlusion(NamedTuple):
    """What a class loses, in log-odds, when a part of the ECG is blanked out."""

    leads: NDArray[np.float32]  # (12,); above 0 where the lead speaks for the class
    seconds: NDArray[np.float32]  # (S,) likewise, of each second of the first window


class Classifier:
    """A model, with what it needs to be asked.

    Args:
        model: put into evaluation mode and frozen; it computes where it is.
        knowledge: what classes are called.
        scoring: how cosines become scores and probabilities.
        name: what the model is called.
    """

    def __init__(
        self,
        model: MCCGAA,
        knowledge: Knowledge,
        scoring: Scoring | None = None,
        name: str = "unnamed",
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.knowledge = knowledge
        self.scoring = scoring or Scoring()
        self.name = name
        self._asked: dict[tuple[str, ...], tuple[list[Wordings], Tensor]] = {}

    def __repr__(self) -> str:
        given = self.model.config.input
        fits = "calibrated" if self.scoring.offsets else "not calibrated"
        return (
            f"Classifier({self.name!r}, {len(self.names)} classes, "
            f"{given.sampling_rate} Hz, {given.duration:g} s, {fits})"
        )

    def classify(
        self,
        file: Path | str | Record | NDArray | Tensor,
        classes: Sequence[str] | None = None,
        **reading: Any,
    ) -> list[Finding]:
        """Say what an ECG shows, and warn of what makes that doubtful.

        Args:
            file: an ECG file of any format that `read_record` takes, of any sampling
                rate and length (the scores of its windows are averaged), a record, or
                an array (leads, T), of numpy or torch, with its `sampling_rate`.
            classes: in plain words; what the knowledge base knows by name, synonym or
                abbreviation needs no text encoder. None: all that it knows.
            **reading: `sampling_rate` (Hz), `units`, `leads`, `allow_missing_leads` of
                `read_record`: an array is in mV and has the twelve leads in standard
                order, unless they say otherwise.

        Returns:
            One finding per class, best first.

        Warns:
            Doubt: each of `doubts`.

        Raises:
            ConfigError: no class to choose from, or an argument of a wrong type.
            RecordError: the file cannot be read, or not be turned into the model's
                input.
            TextError: a class in words of one's own, and no text encoder.
        """
        names = self.names if classes is None else _checked(classes)
        record = _read(file, reading)
        self._warn(record, names)
        cosine = self.score(self.windows(record), names).mean(0)  # (C,)
        share = torch.softmax(cosine / self.model.tau, dim=0).tolist()
        probability = self._probability(cosine, names)
        worded, _ = self._ask(names)
        texts = [members[0][0] for members in worded]
        rows = zip(names, texts, cosine.tolist(), share, probability, strict=True)
        return sorted((Finding(*row) for row in rows), key=lambda f: -f.chance)

    def embed(
        self, file: Path | str | Record | NDArray | Tensor, **reading: Any
    ) -> NDArray[np.float32]:
        """Embed an ECG, for a task of your own; arguments and warnings as `classify`.

        Returns:
            (W, M) float32: for each of the ECG's W windows, as long as the model's
            input, a vector of length one, whose product with the vector of a text is
            their cosine. Their mean stands for the whole ECG.
        """
        record = _read(file, reading)
        self._warn(record, ())
        with torch.inference_mode():
            return self.model.encode_ecg(self.windows(record)).float().cpu().numpy()

    def _warn(self, record: Record, names: Sequence[str]) -> None:
        """Warn the caller of a method of each of its doubts."""
        for doubt in self.doubts(record, names):
            warnings.warn(doubt, Doubt, stacklevel=3)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all findings in the knowledge base; equal concepts once."""
        return tuple(entry.name for entry in listed(self.knowledge))

    def windows(self, record: Record) -> Tensor:
        """Turn a record into the model's input, (W, 12, T) float32."""
        return torch.from_numpy(prepare_windows(record, self.model.config.input))

    @torch.inference_mode()
    def score(self, signals: Tensor, names: Sequence[str]) -> Tensor:
        """Score ECGs.

        Args:
            signals: (B, 12, T) of `windows`.
            names: C classes, as in `classify`.

        Returns:
            (B, C) float32 on the CPU: cosines, reduced over each class's wordings.
        """
        worded, q = self._ask(tuple(names))
        x = self.model.encode_ecg(signals).float()  # (B, M)
        cosine = (x @ q.T).cpu().numpy()  # (B, wordings)
        return torch.from_numpy(self.scoring.prompting.of_wordings(cosine, worded))

    def logits(self, cosine: Tensor, names: Sequence[str]) -> Tensor:
        """Turn cosines (..., C) of classes into log-odds; see `Scoring`."""
        how = self.scoring
        offset = torch.tensor([self._offset(name) or 0.0 for name in names])
        raw = cosine / float(self.model.tau) + float(self.model.bias)
        return how.slope * raw + how.intercept + offset

    def occlude(self, record: Record, name: str) -> Occlusion:
        """Blank out each lead, and each second of all leads, and see what that costs.

        A blank lead is like a missing one, and a blank second like a pause, which
        itself speaks for some rhythms: there, compare seconds with each other.

        Args:
            record: its first window is looked at.
            name: of the class, as in `classify`.
        """
        whole = self.windows(record)[0]  # (12, T)
        rate = self.model.config.input.sampling_rate
        filled = int(whole.any(0).nonzero().max()) + 1  # samples before any padding
        starts = range(0, filled, rate)
        parts = whole.repeat(1 + len(LEADS) + len(starts), 1, 1)  # (1 + 12 + S, 12, T)
        for lead in range(len(LEADS)):
            parts[1 + lead, lead] = 0
        for second, start in enumerate(starts, start=1 + len(LEADS)):
            parts[second, :, start : start + rate] = 0
        odds = self.logits(self.score(parts, [name]), [name])[:, 0].numpy()
        cost = odds[0] - odds[1:]  # (12 + S,)
        return Occlusion(cost[: len(LEADS)], cost[len(LEADS) :])

    def doubts(self, record: Record, names: Sequence[str]) -> list[str]:
        """Say what a reader of an ECG's findings should know before trusting them.

        Args:
            record: the ECG.
            names: of the classes, as in `classify`.

        Returns:
            One sentence for each doubt: how the file was read, that its units or the
            names of its leads may be wrong, that leads are blank, that it is shorter
            than the model's input, or that classes are not among those that the
            probabilities were fitted to, in the words that these were fitted to.
        """
        said, given = [*record.notes], self.model.config.input
        said += [doubt for doubt in (record.faint, record.misnamed) if doubt]
        whole = ""
        if self.scoring.fitted:
            whole = (
                ", and probabilities were fitted to whole records: they may be far too "
                "high or too low"
            )
        if blank := record.blank:
            said.append(
                f"{record.path} has nothing in {len(blank)} of {len(LEADS)} leads "
                f"({', '.join(blank)}), which are taken as zeros{whole}."
            )
        if round(record.duration * given.sampling_rate) < given.length:
            said.append(
                f"{record.path} lasts {record.duration:g} s and the model's input "
                f"{given.duration:g} s; the rest is filled with zeros{whole}."
            )
        unknown = [name for name in names if self.knowledge.find(name) is None]
        meant = {n: did_you_mean(n, self.knowledge.wordings()) for n in unknown}
        fitted = bool(self.scoring.fitted)
        odd = [name for name in names if fitted and self._offset(name) is None]
        if odd:
            said.append(
                f"{_quoted(odd)} {'is' if len(odd) == 1 else 'are'} not "
                "calibrated: no probability was fitted to a class that is worded and "
                "scored like this, and what is given may be far too high or too low."
                f"{''.join(meant.values())}"
            )
        for name, question in meant.items():
            if question and not odd:
                said.append(f"{name!r} is in no vocabulary of this model.{question}")
        return said

    def _offset(self, name: str) -> float | None:
        """The fitted offset of a class, by whatever name it is asked for, or None."""
        entry = self.knowledge.find(name)
        return self.scoring.offsets.get(entry.name if entry else name)

    def _probability(self, cosine: Tensor, names: Sequence[str]) -> list[float | None]:
        """The probability of each class, where the loss or the scoring fits any."""
        fits = self.model.config.loss.kind == "statements" or self.scoring.offsets
        if not fits:
            return [None] * len(names)
        return torch.sigmoid(self.logits(cosine, names)).tolist()

    @torch.inference_mode()
    def _ask(self, names: tuple[str, ...]) -> tuple[list[Wordings], Tensor]:
        """Word classes, and embed all of their wordings (wordings, M), once."""
        if names not in self._asked:
            style, how = self.model.config.text.style, self.scoring.prompting
            entries = [self.knowledge.find(name) or Entry(name, name) for name in names]
            worded = [how.of(entry, self.knowledge, style) for entry in entries]
            q = self.model.encode_text(texts_of(worded)).float()  # (texts, M)
            self._asked[names] = worded, q[places(worded)]
        return self._asked[names]


def _read(
    file: Path | str | Record | NDArray | Tensor, reading: dict[str, Any]
) -> Record:
    """Read what is no record yet, or refuse what cannot be one."""
    if isinstance(file, Record):
        return file
    if isinstance(file, Tensor):
        file = file.detach().cpu()
        file = (file.double() if file.is_floating_point() else file).numpy()
    if not isinstance(file, np.ndarray | str | os.PathLike):
        raise ConfigError(
            f"file is of type {type(file).__name__}; expected the path of an ECG file, "
            "an array of leads x samples, or a record of read_record."
        )
    return read_record(file, **reading)


def _checked(classes: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that are asked for, or refuse what is no list of words."""
    several = isinstance(classes, Iterable) and not isinstance(classes, str | bytes)
    try:
        names = tuple(classes) if several else None
    except TypeError:  # an array without axes only looks like a list
        names = None
    if names is None:
        raise ConfigError(
            f"classes is {classes!r}; expected a list of words, such as "
            "['sinus rhythm']."
        )
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(
                f"classes holds {name!r}; expected words, such as 'sinus rhythm'."
            )
        if names.count(name) > 1:
            raise ConfigError(f"classes names {name!r} twice; name each class once.")
    if not names:
        raise ConfigError("Name at least one class, such as 'sinus rhythm'.")
    return names


def _quoted(names: Sequence[str]) -> str:
    """Name up to ten classes, and three of more."""
    if len(names) > 10:
        return f"{_quoted(names[:3])} and {len(names) - 3} others"
    return ", ".join(map(repr, names))


def listed(knowledge: Knowledge) -> list[Entry]:
    """Every finding of a knowledge base, once.

    Vocabularies overlap. Those of `LISTED` come first, and where there is none of these
    all of them; what has the name or the SNOMED-CT concept of one before is left out.
    """
    found, seen = [], set()
    vocabularies = [v for v in LISTED if v in knowledge.vocabularies]
    for vocabulary in vocabularies or knowledge.vocabularies:
        entries = knowledge.vocabularies[vocabulary].values()
        known = [{entry.name.lower(), entry.snomed} - {None} for entry in entries]
        # Within a vocabulary two classes are two findings, whatever their codes.
        found += [e for e, keys in zip(entries, known, strict=True) if not keys & seen]
        seen = seen.union(*known)
    return found


def ranking(findings: Sequence[Finding]) -> str:
    """Show findings: a line each, and what their numbers are."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for found in findings:
        marks = "#" * round(30 * found.chance)
        numbers = f"{found.cosine:+.3f}  {found.chance:6.1%}  {marks}"
        lines.append(f"{found.name:{width}s}  {numbers}".rstrip())
    fits = findings[0].probability is not None
    meaning = "its probability" if fits else "shares among these classes"
    return "\n".join([*lines, f"Cosine with each class; {meaning}."])


def shipped() -> list[str]:
    """The names of the models that come with the package, the default first."""
    names = sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))
    return sorted(names, key=lambda name: name != DEFAULT)


def load(
    name: Path | str | None = None,
    *,
    device: str | None = None,
    knowledge: Path | str | None = None,
    prompting: Prompting | None = None,
) -> Classifier:
    """Load a model that can be asked about ECGs.

    Args:
        name: of a model that comes with the package (`shipped`), a folder, such as a
            run's, or a name on the Hugging Face hub. None: the default.
        device: as `runtime.pick_device`.
        knowledge: a knowledge base of your own instead of the model's.
        prompting: another way to word and score classes than the model's own.

    Raises:
        RunError: there is no such model, or a file of it is damaged.
        KnowledgeError: the knowledge base cannot be used.
        ConfigError: there is no such device.
    """
    folder = folder_of(name)
    model = MCCGAA.from_pretrained(folder).to(pick_device(device))
    model.text_encoder = KnownTexts.of(folder, model.config.text, model.device)
    base = knowledge_of(folder, knowledge)
    scoring = read_scoring(folder)
    if prompting is not None and prompting != scoring.prompting:
        # What was fitted was fitted to other scores: no class has an offset.
        scoring = Scoring(prompting, fitted=scoring.fitted)
    elif knowledge is not None:
        scoring = _still_fitting(scoring, knowledge_of(folder), base, model)
    fold(model)
    return Classifier(model, base, scoring, str(name or shipped()[0]))


def _still_fitting(
    scoring: Scoring, own: Knowledge, base: Knowledge, model: MCCGAA
) -> Scoring:
    """Leave out the offsets of classes that another knowledge base words otherwise."""
    how, style = scoring.prompting, model.config.text.style

    def words(name: str, knowledge: Knowledge) -> Wordings:
        entry = knowledge.find(name)
        return [] if entry is None else how.of(entry, knowledge, style)

    kept = {n: b for n, b in scoring.offsets.items() if words(n, own) == words(n, base)}
    return replace(scoring, offsets=kept)


def knowledge_of(folder: Path, given: Path | str | None = None) -> Knowledge:
    """The knowledge base to ask a model with: one given, its own, or the packaged."""
    own = folder / KNOWLEDGE
    return Knowledge.load(given or (own if own.is_file() else None))


def read_scoring(folder: Path) -> Scoring:
    """Read how a model's cosines become probabilities; nothing is fitted to a run's.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / SCORING
    if not path.is_file():
        return Scoring()
    try:
        return from_dict(Scoring, json.loads(path.read_text("utf-8")), SCORING)
    except (ValueError, ConfigError) as error:
        raise RunError(f"{path} cannot be used: {error}") from error


def folder_of(name: Path | str | None) -> Path:
    """Find the folder of a model; arguments as of `load`."""
    names = shipped()
    if name is None and not names:
        raise RunError(
            "No model comes with this copy of mccgaa; give a run's folder, which "
            "`mccgaa pretrain` prints."
        )
    name = names[0] if name is None else name
    try:
        return locate(name, also=(VECTORS, KNOWLEDGE, SCORING, METRICS))
    except RunError as error:
        raise RunError(f"{error}{did_you_mean(str(name), names)}") from error
