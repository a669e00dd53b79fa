"""Reports as an electrocardiograph's program writes them, with its faults.

A report is a list of lines: rhythm, findings, a verdict. Wording varies, lines carry
locations, doubt and measured numbers, and at the rates stated in `ReportStyle` a line
is left out, contradicts another or names what is not there. Short common reports
repeat word for word, so that false negatives exist as in MIMIC-IV-ECG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mccgaa_twin.phrases import PHRASES
from mccgaa_twin.simulate import Truth
from mccgaa_twin.statements import STATEMENTS

VERDICTS: dict[str, tuple[str, ...]] = {
    "normal": ("Normal ECG", "Normal tracing", "Within normal limits"),
    "otherwise": ("Otherwise normal ECG", "Otherwise within normal limits"),
    "borderline": ("Borderline ECG",),
    "abnormal": ("Abnormal ECG", "Abnormal tracing", "Clinical correlation advised"),
}

MEASURED: dict[str, tuple[str, ...]] = {
    "rate": ("Ventricular rate {} bpm", "Rate {}", "Heart rate of {} beats a minute"),
    "pr": ("PR interval {} ms", "PR {}"),
    "qrs": ("QRS duration {} ms", "QRS {} ms"),
    "qtc": ("QTc {} ms", "QT corrected (Bazett) {} ms"),
    "axis": ("QRS axis {} degrees", "Axis {}"),
}

# What a program wrongly says most often: baseline wander read as fibrillation, lead
# placement as an old infarct, a fast T as its absence.
COMMON_ERRORS: dict[str, tuple[str, ...]] = {
    "rhythm": ("SR", "AFIB", "SVARR", "SARRH", "AFLT", "STACH"),
    "finding": ("ASMI", "IMI", "NDT", "LAO/LAE", "VCLVH", "NST_", "LNGQT", "IRBBB"),
}


@dataclass(frozen=True)
class ReportStyle:
    """Rates of what makes machine reports unreliable; each is a chance."""

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
    omitted: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()
    contradicted: bool = False

    @property
    def text(self) -> str:
        """The lines as one text, as PTB-XL has it."""
        return ". ".join(line.rstrip(".") for line in self.lines) + "."


def _word(code: str, style: ReportStyle, plain: bool, strength: float, rng) -> str:
    """One wording of a statement; weak findings are doubted more often."""
    choices = PHRASES[code]
    line = choices[0] if plain else str(rng.choice(choices))
    if STATEMENTS[code].rhythm or code in ("NORM", "PVC", "PAC", "PRC(S)"):
        return line
    doubt = style.doubt * (2.0 if strength < 0.7 else 1.0)
    if rng.random() < doubt and "possible" not in line.lower():
        lead = str(rng.choice(["Possible", "Consider", "Probable", "Cannot rule out"]))
        head = line if line[:2].isupper() else line[0].lower() + line[1:]
        line = f"{lead} {head}"
    return line


def _numbers(truth: Truth, rng) -> str:
    """A line with a measured value."""
    kind = rng.choice(["rate", "pr", "qrs", "qtc", "axis"])
    values = {
        "rate": round(truth.heart_rate),
        "pr": round(truth.pr) if truth.pr else None,
        "qrs": round(truth.qrs),
        "qtc": round(truth.qtc),
        "axis": round(truth.qrs_axis),
    }
    if values[kind] is None:
        kind = "rate"
    return str(rng.choice(MEASURED[kind])).format(values[kind])


def _axis(truth: Truth, statements) -> str | None:
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
    rng: np.random.Generator,
    style: ReportStyle = ReportStyle(),
) -> Report:
    """Write one record's report.

    Args:
        statements: codes with strengths.
        truth: for measured values, the axis and the noise.
        rng: draws wording and faults.
        style: the rates of faults.

    Returns:
        Report of two lines and more.
    """
    plain = bool(rng.random() < style.plain)
    rhythms = [c for c in statements if STATEMENTS[c].rhythm]
    others = [c for c in statements if not STATEMENTS[c].rhythm and c != "NORM"]
    lines, omitted, invented = [], [], []
    for code in rhythms:
        if rng.random() < style.wrong_rhythm:
            said = str(rng.choice(COMMON_ERRORS["rhythm"]))
            invented.append(said)
            omitted.append(code)
            lines.append(_word(said, style, plain, 1.0, rng))
        else:
            line = _word(code, style, plain, 1.0, rng)
            if code == "AFIB" and truth.heart_rate > 100 and rng.random() < 0.7:
                line += " with rapid ventricular response"
            if code == "AFIB" and truth.heart_rate < 60 and rng.random() < 0.5:
                line += " with slow ventricular response"
            lines.append(line)
    for code in others:
        if len(others) + len(rhythms) > 1 and rng.random() < style.omission:
            omitted.append(code)
            continue
        lines.append(_word(code, style, plain, statements[code], rng))
    if rng.random() < style.false_finding:
        said = str(rng.choice(COMMON_ERRORS["finding"]))
        if said not in statements:
            invented.append(said)
            lines.append(_word(said, style, plain, 0.6, rng))
    axis = _axis(truth, statements)
    if axis and rng.random() < style.axis_line:
        lines.insert(min(1, len(lines)), axis)
    if rng.random() < style.numbers and not plain:
        lines.insert(int(rng.integers(0, len(lines) + 1)), _numbers(truth, rng))
    if truth.noise.get("baseline_drift") and rng.random() < style.noise_line:
        lines.append("Baseline wander")
    if truth.noise.get("static_noise") and rng.random() < style.noise_line:
        lines.append("Artifact in lead(s) recorded")
    abnormal = bool(others) or any(c not in ("SR", "SARRH") for c in rhythms)
    contradicted = abnormal and bool(rng.random() < style.contradiction)
    lines.append(_verdict(statements, abnormal and not contradicted, plain, rng))
    return Report(tuple(lines), tuple(omitted), tuple(invented), contradicted)


def _verdict(statements, abnormal: bool, plain: bool, rng) -> str:
    """The closing line: normal, otherwise normal, borderline or abnormal."""
    if "NORM" in statements:
        kind = "otherwise" if abnormal else "normal"
    elif abnormal:
        weak = max(statements.values()) < 0.8
        kind = "borderline" if weak and rng.random() < 0.6 else "abnormal"
    else:
        kind = "normal"
    choices = VERDICTS[kind]
    return choices[0] if plain else str(rng.choice(choices))
