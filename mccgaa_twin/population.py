"""Which statements come together in one record, and how often.

A record is normal or has findings of one or several diagnostic classes. Within a class,
statements are drawn by PTB-XL's counts; forms follow a diagnosis or come alone; one
rhythm is drawn that the findings allow. In a hospital's population (`MIMIC`) fewer
records are normal and rare statements are less rare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mccgaa_twin.findings import draw_strengths
from mccgaa_twin.physiology import Rng
from mccgaa_twin.statements import STATEMENTS


@dataclass(frozen=True)
class Population:
    """Rates from which records are drawn; the defaults resemble PTB-XL."""

    normal: float = 0.435  # share of records that are NORM, at the mean age
    # Chance of each class in a record that is not normal; drawn again until one is hit.
    classes: dict[str, float] = field(
        default_factory=lambda: {"MI": 0.39, "CD": 0.35, "HYP": 0.185, "STTC": 0.36}
    )
    flatten: float = 1.0  # exponent on counts within a class; below 1 lifts the rare
    mean_age: float = 62.0  # years
    rare_rhythm: float = 1.0  # factor on all rhythms but sinus rhythm
    unchanged: float = 0.6  # chance that a subject's next record has the same findings


PTBXL = Population()
MIMIC = Population(
    normal=0.28, flatten=0.6, mean_age=65.0, rare_rhythm=1.6, unchanged=0.5
)

_GROUPS = {
    group: [c for c, s in STATEMENTS.items() if s.diagnostic_class == group]
    for group in ("MI", "CD", "HYP", "STTC")
}
# Chance of a second statement of the same class.
_SECOND = {"MI": 0.12, "CD": 0.16, "HYP": 0.10, "STTC": 0.06}
# Statements that no heart shows together with another of the same row.
_EXCLUSIVE = (
    ("CLBBB", "CRBBB", "ILBBB", "IRBBB", "IVCD", "WPW"),
    ("LAFB", "LPFB", "CLBBB", "ILBBB"),
    ("WPW", "1AVB", "LPR", "2AVB", "3AVB"),
    ("LVH", "VCLVH", "HVOLT", "LVOLT", "RVH"),
    ("ISCAL", "ISCAN", "ISCAS", "ISCIN", "ISCIL", "ISCLA", "ISC_", "NDT", "NST_"),
    ("IMI", "ILMI", "IPMI", "IPLMI", "INJIN", "INJIL"),
    ("ASMI", "AMI", "ALMI", "INJAS", "INJAL", "ANEUR"),
    ("LNGQT", "DIG", "EL"),
    ("LMI", "ILMI", "IPLMI", "ALMI", "INJLA"),
)
# Statements that follow another one: their chance if that one is present.
_FOLLOWS: dict[str, dict[str, float]] = {
    "ABQRS": {
        "IMI": 0.45,
        "ASMI": 0.50,
        "AMI": 0.5,
        "ALMI": 0.5,
        "LMI": 0.5,
        "ILMI": 0.5,
        "LVH": 0.10,
        "LAFB": 0.12,
        "NORM": 0.035,
    },
    "ISC_": {"LVH": 0.15},
    "VCLVH": {"NORM": 0.06, "IMI": 0.06, "ISC_": 0.08, "LAFB": 0.05},
    "QWAVE": {"IMI": 0.10, "ASMI": 0.07, "NORM": 0.009, "NDT": 0.06},
    "STD_": {"ISC_": 0.10, "NORM": 0.02, "LVH": 0.12, "NDT": 0.15, "IMI": 0.09},
    "NT_": {"NORM": 0.014, "NDT": 0.09, "IMI": 0.03, "ISC_": 0.04},
    "LOWT": {"NDT": 0.10, "NORM": 0.006, "IMI": 0.03, "LVH": 0.02},
    "INVT": {"NDT": 0.04, "IMI": 0.02, "ASMI": 0.03, "LVH": 0.02, "ISC_": 0.05},
    "LPR": {"NORM": 0.018, "IMI": 0.05, "LAFB": 0.05, "ISC_": 0.04},
    "LVOLT": {"NORM": 0.008, "NDT": 0.01, "ASMI": 0.01, "IMI": 0.012},
    "HVOLT": {"NORM": 0.008},
    "TAB_": {"NORM": 0.002, "NDT": 0.004},
    "STE_": {"NORM": 0.002},
    "PVC": {"NORM": 0.018},
    "PAC": {"NORM": 0.015},
    "PRC(S)": {"NORM": 0.0005},
}
_ECTOPY_ABNORMAL = {"PVC": 0.085, "PAC": 0.024}  # chance in records not NORM
_RHYTHMS = [
    "SR",
    "AFIB",
    "STACH",
    "SARRH",
    "SBRAD",
    "PACE",
    "SVARR",
    "BIGU",
    "AFLT",
    "SVTAC",
    "PSVT",
    "TRIGU",
]
# Rhythms that leave no room for a fixed PR or for blocks of single P waves.
_NO_PR = {"AFIB", "AFLT", "SVTAC", "PSVT", "PACE"}


def _weights(codes: list[str], flatten: float) -> np.ndarray:
    """Chances of statements from PTB-XL's counts, summing to 1."""
    counts = np.array([STATEMENTS[c].count for c in codes], float) ** flatten
    return counts / counts.sum()


def _allowed(code: str, present: list[str]) -> bool:
    """Whether a heart with the statements present can also have this one."""
    if code in present:
        return False
    for row in _EXCLUSIVE:
        if code in row and any(other in row for other in present):
            return False
    return True


def _draw_rhythm(present: list[str], who: Population, rng: Rng) -> str | None:
    """Draw one rhythm that fits; None where a block of high degree is the rhythm."""
    if {"2AVB", "3AVB"} & set(present):
        return "SR" if rng.random() < 0.4 else None
    weights = np.array([STATEMENTS[c].count for c in _RHYTHMS], float)
    weights[1:] *= who.rare_rhythm
    for i, code in enumerate(_RHYTHMS):
        if "NORM" in present:
            # Fibrillation and pacing are rarely called normal; the sinus rhythms are.
            weights[i] *= {"AFIB": 0.25, "PACE": 0.02, "AFLT": 0.02}.get(code, 1.0)
        elif code in ("AFIB", "PACE", "AFLT"):
            weights[i] *= 1.6
        if code in _NO_PR and {"1AVB", "LPR", "WPW"} & set(present):
            weights[i] = 0.0
        if code == "PACE" and {"CLBBB", "CRBBB", "LAFB"} & set(present):
            weights[i] *= 0.2
    return str(rng.choice(_RHYTHMS, p=weights / weights.sum()))


def _draw_diagnoses(who: Population, rng: Rng) -> list[str]:
    """Draw the diagnoses of a record that is not normal, at least one."""
    present: list[str] = []
    while not present:
        for group, chance in who.classes.items():
            if rng.random() >= chance:
                continue
            times = 1 + (rng.random() < _SECOND[group])
            codes = _GROUPS[group]
            for code in rng.choice(codes, times, p=_weights(codes, who.flatten)):
                if _allowed(str(code), present):
                    present.append(str(code))
    return present


def draw_statements(
    rng: Rng,
    who: Population = PTBXL,
    age: float | None = None,
    variety: float = 0.0,
) -> dict[str, float]:
    """Draw one record's statements and how marked each is.

    Args:
        rng: draws them.
        who: the population's rates.
        age: years; the young are normal more often. None takes the population's mean.
        variety: of strengths, see `findings.draw_strengths`.

    Returns:
        Statement codes with strengths, diagnoses first.
    """
    # One percentage point fewer normal records per year of age.
    older = 0.0 if age is None else age - who.mean_age
    normal = np.clip(who.normal - 0.010 * older, 0.08, 0.92)
    present = ["NORM"] if rng.random() < normal else _draw_diagnoses(who, rng)
    abnormal = "NORM" not in present
    for form, causes in _FOLLOWS.items():
        chance = max((causes.get(c, 0.0) for c in present), default=0.0)
        # Where the population lifts rare statements, forms below 1,000 are lifted too.
        lift = (1000 / STATEMENTS[form].count) ** (1 - who.flatten)
        chance = min(chance * max(lift, 1.0), 0.5)
        if abnormal:
            chance = _ECTOPY_ABNORMAL.get(form, chance)
        if rng.random() < chance and _allowed(form, present):
            present.append(form)
    rhythm = _draw_rhythm(present, who, rng)
    if rhythm == "PACE":
        # A paced ventricle mostly hides the diagnoses, and no paced record is normal.
        hidden = rng.random() < 0.85
        present = [c for c in present if c == "PVC" or not (hidden or c == "NORM")]
    if rhythm is not None:
        present.append(rhythm)
    if rhythm in ("BIGU", "TRIGU") and rng.random() < 0.5 and "PVC" not in present:
        present.append("PVC")
    return draw_strengths(present, rng, variety)


def draw_visits(
    rng: Rng, who: Population, age: float, variety: float = 0.0
) -> Iterator[dict[str, float]]:
    """Draw the statements of one subject's records, one record after the other.

    Args:
        rng: draws them.
        who: the population's rates.
        age: of the subject in years.
        variety: as in `draw_statements`.

    Yields:
        As `draw_statements`; the same as before with the chance `who.unchanged`.
    """
    codes = draw_statements(rng, who, age, variety)
    while True:
        yield codes
        if rng.random() > who.unchanged:
            codes = draw_statements(rng, who, age, variety)
