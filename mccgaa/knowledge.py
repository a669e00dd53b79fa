"""The clinical knowledge base K of section 3.1: a class in, its text out (eq 1).

The paper's K is not published. Ours is the YAML in `knowledge_base/`: for each class a
name, the ECG criteria in our own words, synonyms, further wordings, and a SNOMED-CT
code where one is certain; a class that is a family of others names its members. A file
of the user's own, in the same form, replaces it as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import yaml

from mccgaa.config import Style
from mccgaa.errors import KnowledgeError
from mccgaa.settings import stable_hash, yaml_fault

PACKAGED = Path(__file__).with_name("knowledge_base")
LISTS = ("synonyms", "wordings", "members")  # fields that are lists of text
FIELDS = ("name", "abbreviation", "snomed", "criteria", *LISTS, "same_as")

# dataset -> the vocabulary of the knowledge base that its records' statements are from
VOCABULARIES: Mapping[str, str] = {
    "ptbxl": "statements",
    "cpsc2018": "cpsc2018",
    "own": "own",  # in the user's own knowledge base
    "csn": "csn_statements",  # its records carry acronyms outside the 38 classes
}


@dataclass(frozen=True)
class Entry:
    """What the knowledge base knows of one class."""

    name: str  # as a reader would say it
    abbreviation: str  # the class's name in its vocabulary
    snomed: int | None = None  # SNOMED-CT concept
    criteria: str = ""  # how the ECG shows it
    synonyms: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()  # how reports say it, beside name and synonyms
    members: tuple[str, ...] = ()  # of a family: "vocabulary/class" of each

    @property
    def said(self) -> tuple[str, ...]:
        """Every way to say it: name, synonyms and wordings."""
        return tuple(dict.fromkeys((self.name, *self.synonyms, *self.wordings)))

    def text(self, style: Style = "name") -> str:
        """Return the entry as a text for the encoder.

        Args:
            style: "name" for the plain name; "full" for name, synonyms and criteria
                in one sentence.

        Raises:
            KnowledgeError: no such style.
        """
        if style not in get_args(Style):
            known = ", ".join(get_args(Style))
            raise KnowledgeError(
                f"Text style {style!r} is unknown; expected one of {known}."
            )
        if style == "name":
            return self.name
        called = f" ({', '.join(self.synonyms)})" if self.synonyms else ""
        shown = f": {self.criteria}" if self.criteria else ""
        return f"{self.name}{called}{shown}."


class Knowledge:
    """Vocabularies of classes with their entries.

    Args:
        vocabularies: vocabulary (a task, or "statements") -> class -> entry.
        source: the file or folder they came from, for error messages.
    """

    def __init__(
        self, vocabularies: dict[str, dict[str, Entry]], source: Path | str = "memory"
    ) -> None:
        self.vocabularies = vocabularies
        self.source = Path(source)

    @classmethod
    def load(cls, path: Path | str | None = None) -> Knowledge:
        """Read a knowledge base from YAML or JSON.

        The form is `vocabulary: {class: {name, criteria, synonyms, snomed, wordings,
        members}}`, a bare string being a name alone; `same_as: vocabulary/class` takes
        another class's fields, except those that the entry gives itself. `members`
        lists the classes of a family, each as `vocabulary/class`.

        Args:
            path: a file, or a folder of .yaml files; the packaged base when None.

        Raises:
            KnowledgeError: the file cannot be read, or an entry is not of this form;
                the message names file and key.
        """
        source = Path(path) if path is not None else PACKAGED
        raw: dict[str, dict[str, Any]] = {}
        for file in sorted(source.glob("*.yaml")) if source.is_dir() else [source]:
            read = _read(file)
            for name in raw.keys() & read.keys():
                raise KnowledgeError(f"{file}: {name} is in another file, too.")
            raw |= read
        if not raw:
            raise KnowledgeError(f"{source} holds no vocabulary; give a YAML or JSON.")
        return cls(
            {
                name: {key: _entry(raw, name, key, source) for key in classes}
                for name, classes in raw.items()
            },
            source,
        )

    @cached_property
    def fingerprint(self) -> str:
        """Name the knowledge base by its content, wherever it was read from."""
        return stable_hash(self.content)

    @property
    def content(self) -> dict[str, dict[str, Any]]:
        """Plain data, which as a JSON file is what `load` reads."""
        return {
            name: {key: _content(entry) for key, entry in classes.items()}
            for name, classes in self.vocabularies.items()
        }

    def classes(self, task: str) -> list[str]:
        """Return a vocabulary's classes in its own order.

        Raises:
            KnowledgeError: no such vocabulary.
        """
        if task not in self.vocabularies:
            raise KnowledgeError(
                f"{self.source} has no vocabulary {task!r}; it has "
                f"{', '.join(self.vocabularies)}. Say what its classes mean in a "
                "knowledge base of your own (command line: --knowledge)."
            )
        return list(self.vocabularies[task])

    def entry(self, task: str, cls: str) -> Entry:
        """Return what is known of one class.

        Raises:
            KnowledgeError: no such vocabulary, or no entry for the class.
        """
        known = self.classes(task)
        if cls not in known:
            raise KnowledgeError(
                f"{self.source} has no entry for class {cls!r} in {task!r}; add "
                f"{task}: {{{cls}: {{name: ...}}}} or use one of {', '.join(known)}."
            )
        return self.vocabularies[task][cls]

    def text(self, task: str, cls: str, style: Style = "name") -> str:
        """Return the text k_i of one class.

        Args:
            task: super, sub, form, rhythm, cpsc2018, csn, or "statements".
            cls: the class, as in `classes(task)`.
            style: "name" or "full".
        """
        return self.entry(task, cls).text(style)

    def members(self, entry: Entry) -> list[Entry]:
        """Return the classes that a family stands for: itself, if it is none."""
        if not entry.members:
            return [entry]
        named = (ref.partition("/")[::2] for ref in entry.members)
        found = [m for ref in named for m in self.members(self.entry(*ref))]
        return list(dict.fromkeys(found))

    def prompts(self, task: str, cls: str) -> list[tuple[str, ...]]:
        """Return every wording of one class: for each member of it, all of its own.

        Args:
            task, cls: as in `text`.
        """
        return [member.said for member in self.members(self.entry(task, cls))]

    def wordings(self) -> list[str]:
        """Return all that any class is called, each once, sorted."""
        classes = self.vocabularies.values()
        return sorted({w for some in classes for e in some.values() for w in e.said})

    def texts(self, style: Style = "name") -> list[str]:
        """Return the distinct texts of all classes, sorted."""
        entries = (
            e for classes in self.vocabularies.values() for e in classes.values()
        )
        return sorted({entry.text(style) for entry in entries})

    def find(self, words: str) -> Entry | None:
        """Return the entry of the class that a user means, or None.

        Names go before synonyms, and these before abbreviations, since vocabularies
        disagree on abbreviations; the statements go before the tasks.

        Args:
            words: as a user writes them; case does not count.
        """
        return self._meant.get(words.strip().lower())

    @cached_property
    def _meant(self) -> dict[str, Entry]:
        """What a user may say, in small letters, and the entry that is meant by it."""
        # A stable sort: the statements first, the rest in their own order.
        order = sorted(self.vocabularies, key=lambda name: name != "statements")
        entries = [e for name in order for e in self.vocabularies[name].values()]
        meant: dict[str, Entry] = {}
        for terms in (
            lambda entry: (entry.name,),
            lambda entry: entry.synonyms,
            lambda entry: entry.wordings,
            lambda entry: (entry.abbreviation,),
        ):
            for entry in entries:
                for term in terms(entry):
                    meant.setdefault(term.lower(), entry)
        return meant

    def record_text(
        self,
        statements: Iterable[str],
        vocabulary: str = "statements",
        style: Style = "name",
    ) -> str:
        """Return one text for a record that carries several statements.

        Eq 1 has one class per record; a real one has several. Their texts are joined
        in the vocabulary's order (diagnosis, form, rhythm), whatever order and
        repetition they come in, so that equal findings give equal texts.

        Raises:
            KnowledgeError: no statement, or one that has no entry.
        """
        given = set(statements)
        if not given:
            raise KnowledgeError(
                "A record without statements has no text; leave it out of pretraining."
            )
        order = {name: i for i, name in enumerate(self.classes(vocabulary))}
        for name in sorted(given - set(order)):
            self.entry(vocabulary, name)  # raises, naming what is missing
        texts = [
            self.text(vocabulary, name, style).rstrip(".")
            for name in sorted(given, key=order.__getitem__)
        ]
        return ". ".join(texts) + ("." if style == "full" else "")


def f_query(
    labels: Sequence[str | Iterable[str]],
    knowledge: Knowledge,
    task: str,
    style: Style = "name",
) -> list[str]:
    r"""Query the knowledge base for the texts of a batch's labels.

    Section 3.1, eq 1:

    .. math:: Q = f_{query}(Y, K)

    Args:
        labels: Y, for each of B records one class, or all of its classes.
        knowledge: K.
        task: the vocabulary that the labels are from.
        style: "name" or "full".

    Returns:
        Q, B texts in the order of Y.

    Raises:
        KnowledgeError: a label has no entry.
    """
    return [
        knowledge.text(task, label, style)
        if isinstance(label, str)
        else knowledge.record_text(label, task, style)
        for label in labels
    ]


def named_in(texts: Iterable[str], corpus: Iterable[str]) -> list[bool]:
    """Ask which texts occur word for word in a corpus, whatever their case.

    Args:
        texts: class texts.
        corpus: the texts of pretraining.
    """
    whole = "\n".join(corpus).lower()

    def occurs(text: str) -> bool:
        words = rf"(?<!\w){re.escape(text)}(?!\w)"
        return text in whole and re.search(words, whole) is not None  # `in` is fast

    return [occurs(text.lower()) for text in texts]


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Read one file's vocabularies, their entries unchecked."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":  # which is YAML too, but in a tenth of the time
            data = json.loads(text, object_pairs_hook=_unique)
        else:
            data = yaml.load(text, Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise KnowledgeError(f"{file} cannot be read: {why}.") from error
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        why = yaml_fault(error) if isinstance(error, yaml.YAMLError) else error
        raise KnowledgeError(f"{file} is not valid YAML or JSON ({why}).") from error
    if not isinstance(data, dict) or not data:
        raise KnowledgeError(f"{file} must map vocabularies to their classes.")
    for name, classes in data.items():
        if not isinstance(classes, dict) or not classes:
            raise KnowledgeError(f"{file}: {name} must map classes to their entries.")
        for key in (name, *classes):
            if not isinstance(key, str):
                raise KnowledgeError(f"{file}: {name}: write {key!r} in quotes.")
    return data


def _entry(
    raw: dict[str, dict[str, Any]],
    vocabulary: str,
    key: str,
    source: Path,
    trail: tuple[str, ...] = (),
) -> Entry:
    """Build one entry, following `same_as`, and refuse what is not of the form."""
    where = f"{source}: {vocabulary}/{key}"
    fields = raw[vocabulary][key]
    if isinstance(fields, str):
        fields = {"name": fields}
    if not isinstance(fields, dict):
        raise KnowledgeError(f"{where} must be a name or a mapping, not {fields!r}.")
    unknown = [field for field in fields if field not in FIELDS]
    if unknown:
        raise KnowledgeError(
            f"{where} has the unknown field {unknown[0]!r}; "
            f"expected {', '.join(FIELDS)}."
        )
    base: dict[str, Any] = {}
    if "same_as" in fields:
        other, _, cls = str(fields["same_as"]).partition("/")
        target = f"{other}/{cls}"
        trail = (*trail, f"{vocabulary}/{key}")
        if cls not in raw.get(other, {}) or target in trail:
            raise KnowledgeError(
                f"{where} is the same as {target!r}, which "
                + ("leads back to it." if target in trail else "does not exist.")
            )
        found = _entry(raw, other, cls, source, trail)
        base = asdict(found)
        del base["abbreviation"]
    # What the entry says itself goes before what it takes from the other class.
    merged = {**base, **{k: v for k, v in fields.items() if k != "same_as"}}
    merged["abbreviation"] = merged.get("abbreviation", key)
    entry = _checked(merged, where)
    for ref in entry.members:
        other, _, cls = ref.partition("/")
        if cls not in raw.get(other, {}):
            raise KnowledgeError(f"{where} has the member {ref!r}, which is no class.")
        below = (*trail, f"{vocabulary}/{key}")
        if ref in below:
            raise KnowledgeError(
                f"{where} has the member {ref!r}, which it is part of."
            )
        _entry(raw, other, cls, source, below)  # whose members must not lead back
    return entry


def _checked(fields: dict[str, Any], where: str) -> Entry:
    """Check the types of an entry's fields."""
    for field in LISTS:
        value = fields.get(field) or ()
        listed = isinstance(value, list | tuple)
        if not listed or not all(isinstance(one, str) for one in value):
            raise KnowledgeError(f"{where}: {field} must be a list, not {value!r}.")
        fields[field] = tuple(value)
    for field in ("name", "abbreviation", "criteria"):
        value = fields.get(field, "")
        if not isinstance(value, str) or (field == "name" and not value.strip()):
            raise KnowledgeError(f"{where}: {field} must be text, not {value!r}.")
    snomed = fields.get("snomed")
    if snomed is not None and (not isinstance(snomed, int) or isinstance(snomed, bool)):
        raise KnowledgeError(f"{where}: snomed must be a number, not {snomed!r}.")
    return Entry(**fields)


def _content(entry: Entry) -> dict[str, Any]:
    """Return an entry's fields, those of later versions only where they hold some."""
    later = ("wordings", "members")
    return {k: v for k, v in asdict(entry).items() if v or k not in later}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a class written twice, where plain JSON keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted(name for name in found if names.count(name) > 1)
        raise json.JSONDecodeError(f"key {twice[0]!r} is there twice", "", 0)
    return found


class _Loader(yaml.SafeLoader):
    """YAML that refuses a class written twice, where plain YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {sorted(twice)[0]!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)
