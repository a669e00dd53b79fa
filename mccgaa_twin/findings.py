"""Every PTB-XL statement as a change of the heart, with the criterion it implements.

`CRITERIA` is the documentation as data: the textbook rule, its source, and the function
that implements it. `apply` puts several statements on one heart, in the order of
`CRITERIA`, so that later ones see what earlier ones did.

Sources:
    AHA III  Surawicz et al. 2009, intraventricular conduction (Circulation 119:e235)
    AHA IV   Rautaharju et al. 2009, ST, T, U and QT (Circulation 119:e241)
    AHA V    Hancock et al. 2009, chamber hypertrophy (Circulation 119:e251)
    AHA VI   Wagner et al. 2009, ischaemia and infarction (Circulation 119:e262)
    UDMI     Thygesen et al. 2018, fourth universal definition of infarction
    ACC 18   Kusumoto et al. 2018, bradycardia and conduction delay
    ESC 20   Hindricks et al. 2020, atrial fibrillation
    SVT 15   Page et al. 2015, supraventricular tachycardia
    Goldman  Goldschlager and Goldman, Principles of Clinical Electrocardiography
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mccgaa.errors import MccgaaError
from mccgaa_twin import effects as e
from mccgaa_twin import qrs_effects as q
from mccgaa_twin import rhythm_effects as r
from mccgaa_twin.physiology import Change, Heart, Rng
from mccgaa_twin.statements import STATEMENTS


@dataclass(frozen=True)
class Finding:
    """What a statement means on paper, and how the twin makes it."""

    criterion: str
    source: str
    change: Change


_Q = "Q >= 30 ms and 0.1 mV, or QS, in neighbouring leads {leads}; T often inverted"
_T = "T inverted by 0.1 mV or more, ST level or slightly low, in {leads}"
_ST = "ST depressed by 0.1 mV or more, level or downsloping, in {leads}"

CRITERIA: dict[str, Finding] = {
    # Normal
    "NORM": Finding(
        "rate 60-100, PR 120-200 ms, QRS < 110 ms, axis -30..90, QTc < 460 ms",
        "AHA III, IV",
        e.nothing,
    ),
    # Hypertrophy and voltage (before all that depends on the masses)
    "LVH": Finding(
        "S V1 + R V5/V6 > 3.5 mV or R aVL > 1.1 mV; often lateral ST-T strain",
        "AHA V",
        q.thicken_left,
    ),
    "VCLVH": Finding(
        "S V1 + R V5/V6 > 3.5 mV or R aVL > 1.1 mV, ST-T normal",
        "AHA V",
        q.raise_left_voltage,
    ),
    "RVH": Finding(
        "R > S in V1, axis > 90, T inverted in V1-V3", "AHA V", q.thicken_right
    ),
    "SEHYP": Finding(
        "deep narrow Q in I, V5, V6 or II, III, aVF with tall R in V1-V2",
        "AHA V",
        q.thicken_septum,
    ),
    "LAO/LAE": Finding(
        "P > 120 ms, notched in II, terminal negative part in V1 >= 40 ms x 0.1 mV",
        "AHA V",
        q.widen_left_atrium,
    ),
    "RAO/RAE": Finding("P > 0.25 mV in II, pointed", "AHA V", q.raise_right_atrium),
    "LVOLT": Finding(
        "QRS < 0.5 mV in all limb leads or < 1 mV in all chest leads",
        "Goldman",
        q.lower_voltage,
    ),
    "HVOLT": Finding(
        "QRS amplitudes above the normal range for age", "AHA V", q.raise_voltage
    ),
    # Conduction
    "CRBBB": Finding(
        "QRS >= 120 ms, rsR' or R' > r in V1-V2, S wider than 40 ms in I and V6",
        "AHA III",
        q.block_right,
    ),
    "IRBBB": Finding(
        "the shape of right bundle branch block, QRS 100-119 ms",
        "AHA III",
        q.block_right_partly,
    ),
    "CLBBB": Finding(
        "QRS >= 120 ms, broad R in I, aVL, V5, V6 without q, rS or QS in V1",
        "AHA III",
        q.block_left,
    ),
    "ILBBB": Finding(
        "no septal q in I, V5, V6, R peak late in V4-V6, QRS 110-119 ms",
        "AHA III",
        q.block_left_partly,
    ),
    "LAFB": Finding(
        "axis -45..-90, qR in aVL, rS in II, III, aVF, QRS < 120 ms",
        "AHA III",
        q.block_anterior_fascicle,
    ),
    "LPFB": Finding(
        "axis 90..180, rS in I and aVL, qR in III and aVF, QRS < 120 ms",
        "AHA III",
        q.block_posterior_fascicle,
    ),
    "IVCD": Finding(
        "QRS > 110 ms without the shape of a bundle branch block",
        "AHA III",
        q.delay_diffusely,
    ),
    "WPW": Finding(
        "PR < 120 ms, delta wave, QRS > 110 ms, secondary ST-T", "SVT 15", q.preexcite
    ),
    "1AVB": Finding(
        "PR > 200 ms, every P conducted", "ACC 18", q.lengthen_pr(204, 330)
    ),
    "LPR": Finding("PR > 200 ms", "ACC 18", q.lengthen_pr(202, 270)),
    # Infarction
    **{
        code: Finding(_Q.format(leads=leads), "UDMI, AHA VI", e.infarct(territory))
        for code, territory, leads in [
            ("IMI", "inferior", "II, III, aVF"),
            ("ASMI", "anteroseptal", "V1-V4"),
            ("AMI", "anterior", "V2-V4"),
            ("ALMI", "anterolateral", "V3-V6, I, aVL"),
            ("LMI", "lateral", "I, aVL, V5, V6"),
            ("ILMI", "inferolateral", "II, III, aVF, V5, V6"),
            ("IPMI", "inferoposterior", "II, III, aVF, with tall R in V1-V2"),
            ("IPLMI", "inferoposterolateral", "II, III, aVF, V5-V6, tall R in V1-V2"),
        ]
    },
    "PMI": Finding(
        "R >= 40 ms and R/S >= 1 in V1-V2 with upright T",
        "UDMI",
        e.infarct("posterior"),
    ),
    **{
        code: Finding(_ST.format(leads=leads), "AHA VI", e.subendocardial_injury(where))
        for code, where, leads in [
            ("INJAS", "anteroseptal", "V1-V4"),
            ("INJAL", "anterolateral", "V3-V6, I, aVL"),
            ("INJIN", "inferior", "II, III, aVF"),
            ("INJLA", "lateral", "I, aVL, V5, V6"),
            ("INJIL", "inferolateral", "II, III, aVF, V5, V6"),
        ]
    },
    "ANEUR": Finding(
        "domed ST elevation that stays, over QS in V1-V4", "AHA VI", e.aneurysm
    ),
    "QWAVE": Finding("Q >= 30 ms and 0.1 mV in neighbouring leads", "UDMI", q.q_waves),
    "ABQRS": Finding(
        "notched QRS, lone Q waves or poor R progression", "AHA III", q.alter_qrs
    ),
    # Repolarisation
    **{
        code: Finding(_T.format(leads=leads), "UDMI, AHA VI", e.ischaemia(territory))
        for code, territory, leads in [
            ("ISCAL", "anterolateral", "V3-V6, I, aVL"),
            ("ISCAN", "anterior", "V2-V4"),
            ("ISCAS", "anteroseptal", "V1-V4"),
            ("ISCIN", "inferior", "II, III, aVF"),
            ("ISCIL", "inferolateral", "II, III, aVF, V5, V6"),
            ("ISCLA", "lateral", "I, aVL, V5, V6"),
        ]
    },
    "ISC_": Finding(
        "ST depressed by 0.05 mV or more with T inverted, mostly in I, aVL, V4-V6",
        "AHA VI",
        e.ischaemia_unspecific,
    ),
    "STD_": Finding("ST depressed by 0.05 mV or more", "AHA IV", e.depress_st),
    "STE_": Finding("J point raised by 0.1 mV or more", "AHA IV", e.elevate_st),
    "NST_": Finding("ST shifted by less than 0.1 mV", "AHA IV", e.depress_st),
    "NDT": Finding("T low, flat or slightly inverted", "AHA IV", e.vary_t),
    "NT_": Finding("T low, flat or slightly inverted", "AHA IV", e.vary_t),
    "TAB_": Finding("T of abnormal size or direction", "AHA IV", e.vary_t),
    "LOWT": Finding(
        "T below a tenth of R in the leads with R > S",
        "AHA IV",
        e.flatten_t(0.15, 0.35),
    ),
    "INVT": Finding(
        "T between -0.1 and -0.5 mV in neighbouring leads", "AHA IV", e.invert_somewhere
    ),
    "DIG": Finding("scooped ST depression, low T, short QT", "Goldman", e.digitalis),
    "LNGQT": Finding(
        "QTc >= 460 ms in women, >= 450 ms in men", "AHA IV", e.lengthen_qt
    ),
    "EL": Finding(
        "tall narrow T (potassium high), flat T with U (low), long ST (calcium low)",
        "Goldman",
        e.electrolytes,
    ),
    # Rhythm (last: it sees PR and the focus of ectopic beats)
    "SR": Finding("P before every QRS, 60-100/min", "ACC 18", r.sinus_rhythm),
    "STACH": Finding("sinus rhythm above 100/min", "SVT 15", r.sinus_tachycardia),
    "SBRAD": Finding("sinus rhythm below 60/min", "ACC 18", r.sinus_bradycardia),
    "SARRH": Finding(
        "sinus rhythm, PP differing by more than 0.12 s", "Goldman", r.sinus_arrhythmia
    ),
    "AFIB": Finding(
        "RR irregular without a pattern, no P waves", "ESC 20", r.atrial_fibrillation
    ),
    "AFLT": Finding(
        "saw-tooth of 240-340/min, best in II, III, aVF",
        "SVT 15",
        r.atrial_flutter,
    ),
    "SVTAC": Finding(
        "regular, narrow, above 100/min, no P before QRS",
        "SVT 15",
        r.tachycardia,
    ),
    "PSVT": Finding(
        "supraventricular tachycardia that starts or stops at once",
        "SVT 15",
        r.paroxysm,
    ),
    "SVARR": Finding(
        "P waves of changing form or frequent atrial premature beats",
        "SVT 15",
        r.supraventricular_arrhythmia,
    ),
    "2AVB": Finding("some P waves without QRS", "ACC 18", r.second_degree_block),
    "3AVB": Finding(
        "P and QRS independent, QRS 30-50/min", "ACC 18", r.third_degree_block
    ),
    "PVC": Finding(
        "premature QRS >= 120 ms without P, T opposite", "Goldman", r.premature("pvc")
    ),
    "PAC": Finding(
        "premature P of another form, narrow QRS", "Goldman", r.premature("pac")
    ),
    "PRC(S)": Finding("premature beats of any origin", "Goldman", r.premature("any")),
    "BIGU": Finding("every second beat premature", "Goldman", r.pattern(2)),
    "TRIGU": Finding("every third beat premature", "Goldman", r.pattern(3)),
    "PACE": Finding(
        "spikes before P or QRS; paced QRS wide, like left bundle branch block",
        "Goldman",
        r.pacemaker,
    ),
}

_ORDER = {code: i for i, code in enumerate(CRITERIA)}


def draw_strengths(
    codes: Iterable[str], rng: Rng, variety: float = 0.0
) -> dict[str, float]:
    """Draw how marked each finding is: log-normal around 1, in [0.45, 1.6].

    At variety 1 they lie in [0.6, 1.9]; what defines a finding by an amplitude then
    keeps to that amplitude, see `effects.at_least`.
    """
    spread = 0.28 + 0.10 * variety
    low, high = 0.45 + 0.15 * variety, 1.6 + 0.3 * variety
    return {c: float(np.clip(rng.lognormal(0.0, spread), low, high)) for c in codes}


def apply(
    heart: Heart,
    statements: Mapping[str, float] | Iterable[str],
    rng: Rng,
) -> None:
    """Put statements on a heart.

    Args:
        heart: changed in place.
        statements: PTB-XL codes, with strengths or without (then drawn).
        rng: draws strengths and each change's details.

    Raises:
        MccgaaError: a code that PTB-XL does not have.
    """
    if not isinstance(statements, Mapping):
        statements = draw_strengths(statements, rng)
    for code in statements:
        if code not in STATEMENTS:
            raise MccgaaError(
                f"{code!r} is no PTB-XL statement; scp_statements.csv lists the 71 "
                "that exist, for example NORM, CLBBB or AFIB."
            )
    for code in sorted(statements, key=_ORDER.__getitem__):
        CRITERIA[code].change(heart, statements[code], rng)
