"""Reports as an electrocardiograph's program writes them, with its faults.

A report is a list of lines: rhythm, findings, a verdict. Wording varies; lines carry
locations, doubt and measured numbers; and at the rates of `ReportStyle` a line is left
out, contradicts another or names what is not there. Short common reports repeat word
for word, so that false negatives exist as they do in MIMIC-IV-ECG.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mccgaa_twin.physiology import Rng
from mccgaa_twin.simulate import Truth
from mccgaa_twin.statements import STATEMENTS
from mccgaa_twin.tables import read_table, read_wordings

_TABLE = read_table("phrases.yaml")
# Wordings by statement, by verdict and by measured value, the commonest first; and the
# statements that a program names by mistake.
PHRASES = read_wordings(_TABLE.get("statements"), "phrases.yaml, statements")
_VERDICTS = read_wordings(_TABLE.get("verdicts"), "phrases.yaml, verdicts")
_MEASUREMENTS = read_wordings(_TABLE.get("measurements"), "phrases.yaml, measurements")
_ERRORS = read_wordings(_TABLE.get("errors"), "phrases.yaml, errors")

_DOUBTS = ["Possible", "Consider", "Probable", "Cannot rule out"]
_NEVER_DOUBTED = ("NORM", "PVC", "PAC", "PRC(S)")  # and the rhythms


@dataclass(frozen=True)
class ReportStyle:
    """Rates of what makes machine reports unreliable; each is a chance in [0, 1]."""

    omission: float = 0.08  # a finding is not mentioned
    false_finding: float = 0.03  # the report names a finding that is not there
    wrong_rhythm: float = 0.015  # the rhythm line is another rhythm's
    contradiction: float = 0.02  # the verdict says "normal" of an abnormal record
    doubt: float = 0.22  # "possible", "cannot rule out", "consider"
    numbers: float = 0.18  # a measured value is printed (rate, PR, QRS, QTc, axis)
    axis_line: float = 0.85  # an axis outside -30..90 is mentioned
    plain: float = 0.45  # only the first, commonest wording of each line
    noise_line: float = 0.5  # noise that a reader would see is mentioned


@dataclass(frozen=True)
class Report:
    """Lines of a report, and what was done to them."""

    lines: tuple[str, ...]
    omitted: tuple[str, ...] = ()  # statements that the record has and no line names
    invented: tuple[str, ...] = ()  # statements that a line names by mistake
    contradicted: bool = False

    @property
    def text(self) -> str:
        """The lines as one text, as PTB-XL has it."""
        return ". ".join(line.rstrip(".") for line in self.lines) + "."


@dataclass
class _Draft:
    """A report being written: its lines so far and the faults in them."""

    truth: Truth
    style: ReportStyle
    plain: bool  # the commonest wording throughout
    rng: Rng
    lines: list[str] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)

    def choose(self, wordings: tuple[str, ...]) -> str:
        """Draw one of several wordings."""
        return wordings[0] if self.plain else str(self.rng.choice(wordings))

    def wording(self, code: str, strength: float) -> str:
        """Word a statement; weak findings are doubted more often."""
        line = self.choose(PHRASES[code])
        if STATEMENTS[code].rhythm or code in _NEVER_DOUBTED:
            return line
        doubt = self.style.doubt * (2.0 if strength < 0.7 else 1.0)
        if self.rng.random() < doubt and "possible" not in line.lower():
            lead = str(self.rng.choice(_DOUBTS))
            abbreviation = line[:2].isupper()  # such as LVH
            line = f"{lead} {line if abbreviation else line[0].lower() + line[1:]}"
        return line

    def add_rhythm(self, code: str) -> None:
        """Name a rhythm, or another one by mistake."""
        if self.rng.random() < self.style.wrong_rhythm:
            wrong = str(self.rng.choice(_ERRORS["rhythm"]))
            self.invented.append(wrong)
            self.omitted.append(code)
            self.lines.append(self.wording(wrong, 1.0))
            return
        line = self.wording(code, 1.0)
        rate = self.truth.heart_rate
        if code == "AFIB" and rate > 100 and self.rng.random() < 0.7:
            line += " with rapid ventricular response"
        if code == "AFIB" and rate < 60 and self.rng.random() < 0.5:
            line += " with slow ventricular response"
        self.lines.append(line)

    def add_finding(self, code: str, strength: float, alone: bool) -> None:
        """Name a finding, or leave it out; the only statement is always named."""
        if not alone and self.rng.random() < self.style.omission:
            self.omitted.append(code)
            return
        self.lines.append(self.wording(code, strength))

    def add_false_finding(self, statements: Iterable[str]) -> None:
        """Sometimes name a finding that the record does not have."""
        if self.rng.random() >= self.style.false_finding:
            return
        wrong = str(self.rng.choice(_ERRORS["finding"]))
        if wrong not in statements:
            self.invented.append(wrong)
            self.lines.append(self.wording(wrong, 0.6))

    def add_measurements(self, statements: Iterable[str]) -> None:
        """Add the axis where it is abnormal, and sometimes a measured value."""
        axis = _axis_line(self.truth, statements)
        if axis and self.rng.random() < self.style.axis_line:
            self.lines.insert(min(1, len(self.lines)), axis)
        if self.rng.random() < self.style.numbers and not self.plain:
            where = int(self.rng.integers(0, len(self.lines) + 1))
            self.lines.insert(where, self._number())

    def _number(self) -> str:
        """Word a measured value drawn at random; the rate where PR has none."""
        values = {
            "rate": self.truth.heart_rate,
            "pr": self.truth.pr or 0.0,
            "qrs": self.truth.qrs,
            "qtc": self.truth.qtc,
            "axis": self.truth.qrs_axis,
        }
        kind = str(self.rng.choice(list(values)))
        if kind == "pr" and not self.truth.pr:
            kind = "rate"
        return self.choose(_MEASUREMENTS[kind]).format(round(values[kind]))

    def add_noise(self) -> None:
        """Sometimes mention noise that a reader would see."""
        for mark, line in (
            ("baseline_drift", "Baseline wander"),
            ("static_noise", "Artifact in lead(s) recorded"),
        ):
            if self.truth.noise.get(mark) and self.rng.random() < self.style.noise_line:
                self.lines.append(line)

    def add_verdict(self, statements: dict[str, float], abnormal: bool) -> None:
        """Close with normal, otherwise normal, borderline or abnormal."""
        if "NORM" in statements:
            kind = "otherwise" if abnormal else "normal"
        elif abnormal:
            weak = max(statements.values()) < 0.8
            kind = "borderline" if weak and self.rng.random() < 0.6 else "abnormal"
        else:
            kind = "normal"
        self.lines.append(self.choose(_VERDICTS[kind]))


def _axis_line(truth: Truth, statements: Iterable[str]) -> str | None:
    """The axis line, where the axis is abnormal and no fascicular block names it."""
    if {"LAFB", "LPFB"} & set(statements) or truth.rhythm == "paced":
        return None
    if truth.qrs_axis < -30:
        return "Left axis deviation"
    if truth.qrs_axis > 90:
        return "Right axis deviation"
    return None


def write_report(
    statements: dict[str, float],
    truth: Truth,
    rng: Rng,
    style: ReportStyle = ReportStyle(),
) -> Report:
    """Write one record's report.

    Args:
        statements: PTB-XL codes with strengths.
        truth: for measured values, the axis and the noise.
        rng: draws wording and faults.
        style: the rates of faults.

    Returns:
        Report of at least one line, the verdict.
    """
    draft = _Draft(truth, style, bool(rng.random() < style.plain), rng)
    rhythms = [c for c in statements if STATEMENTS[c].rhythm]
    others = [c for c in statements if not STATEMENTS[c].rhythm and c != "NORM"]
    for code in rhythms:
        draft.add_rhythm(code)
    for code in others:
        alone = len(others) + len(rhythms) == 1
        draft.add_finding(code, statements[code], alone)
    draft.add_false_finding(statements)
    draft.add_measurements(statements)
    draft.add_noise()
    abnormal = bool(others) or any(c not in ("SR", "SARRH") for c in rhythms)
    contradicted = abnormal and bool(rng.random() < style.contradiction)
    draft.add_verdict(statements, abnormal and not contradicted)
    return Report(
        tuple(draft.lines), tuple(draft.omitted), tuple(draft.invented), contradicted
    )
