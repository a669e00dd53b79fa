"""What the twin's data are like: beats of findings, prevalence, reports, devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.signal import welch

from mccgaa_twin import anatomy, device, population, simulate, torso
from mccgaa_twin.physiology import RATE, Heart, activate, activate_intact
from mccgaa_twin.reports import ReportStyle, write_report
from mccgaa_twin.statements import STATEMENTS

COUNTED = 21_837  # PTB-XL records over which STATEMENTS counts
BEFORE, AFTER = 0.25, 0.55  # s of a beat around QRS onset


def beat(codes: Sequence[str], seed: int = 0) -> np.ndarray:
    """One noiseless median beat of one subject, all findings of typical strength.

    The same seed gives the same subject, so that beats with and without a finding
    differ by the finding alone.

    Args:
        codes: PTB-XL statements.
        seed: of the subject.

    Returns:
        (12, 400) mV, from 250 ms before QRS onset.
    """
    rng = np.random.default_rng(seed)
    person = simulate.Subject(age=60.0, sex=0, seed=seed)
    strengths = dict.fromkeys(codes, 1.0)
    signal, truth = simulate.simulate_record(
        strengths, rng, subject=person, source=None
    )
    before, after = round(BEFORE * RATE), round(AFTER * RATE)
    starts = [round(t * RATE) for t, k in zip(truth.onsets, truth.kinds, strict=True)]
    whole = [s for s in starts if before <= s < signal.shape[1] - after]
    beats = np.stack([signal[:, s - before : s + after] for s in whole])
    return np.median(beats, axis=0)


def activation_times() -> pd.DataFrame:
    """When each of the 22 segments is activated, ms, in four ways of activation."""
    normal = Heart()
    left, right = Heart(qrs=150.0), Heart(qrs=140.0)
    left.entries = {"right": 0.0}
    del right.entries["right"]
    ways = {
        "intact": activate(normal, activate_intact(normal)),
        "left bundle branch block": activate(left, activate_intact(left)),
        "right bundle branch block": activate(right, activate_intact(right)),
        "beat from the RV apex": activate(normal, activate_intact(normal), 20, 150.0),
    }
    return pd.DataFrame(
        {name: way.times for name, way in ways.items()}, index=anatomy.SEGMENTS
    )


def identities(codes: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Largest deviation from the lead identities, mV, noiseless and as recorded.

    Args:
        codes: PTB-XL statements.
        seed: of the record.
    """
    rows = {}
    for name, source in (("noiseless", None), ("as recorded", "ptbxl")):
        rng = np.random.default_rng(seed)
        signal, _ = simulate.simulate_record(codes, rng, source=source)
        lead = dict(zip(torso.LEADS, signal, strict=True))
        gaps = {
            "II = I + III": lead["II"] - lead["I"] - lead["III"],
            "aVR = -(I + II) / 2": lead["aVR"] + (lead["I"] + lead["II"]) / 2,
            "aVL = (I - III) / 2": lead["aVL"] - (lead["I"] - lead["III"]) / 2,
            "aVF = (II + III) / 2": lead["aVF"] - (lead["II"] + lead["III"]) / 2,
        }
        rows[name] = {rule: float(np.abs(gap).max()) for rule, gap in gaps.items()}
    return pd.DataFrame(rows).rename_axis("identity")


def prevalence(records: int = 5000, seed: int = 0) -> pd.DataFrame:
    """Share of each statement in the twin's PTB-XL and MIMIC, and the published one.

    Args:
        records: of each population; statements only, no signal.
        seed: of the draws.

    Returns:
        Index: the 71 statements; columns published, ptb-xl, mimic-iv-ecg.
    """
    table = {"published": {c: s.count / COUNTED for c, s in STATEMENTS.items()}}
    for name, who in (
        ("ptbxl", population.PTBXL),
        ("mimic", population.MIMIC),
    ):
        found: Counter[str] = Counter()
        for number in range(records):
            rng = np.random.default_rng([seed, number])
            age = simulate.draw_subject(rng, who.mean_age).age
            found.update(population.draw_statements(rng, who, age))
        table[name] = {code: found[code] / records for code in STATEMENTS}
    return pd.DataFrame(table).rename_axis("statement")


def reports(
    records: int = 10_000, seed: int = 0, style: ReportStyle | None = None
) -> pd.DataFrame:
    """Write reports without signals, and note what was done to each.

    Args:
        records: how many.
        seed: of the draws.
        style: rates of faults; None takes the twin's.

    Returns:
        Columns text, statements, omitted, invented, contradicted.
    """
    rows = []
    for number in range(records):
        rng = np.random.default_rng([seed, number])
        codes = population.draw_statements(rng, population.MIMIC)
        rate = float(rng.normal(75, 15))
        truth = simulate.Truth(
            heart_rate=rate,
            rr_sd=0.02,
            pr=float(rng.normal(160, 20)),
            qrs=float(rng.normal(92, 10)),
            qt=390.0,
            qtc=float(rng.normal(425, 20)),
            p_axis=50.0,
            qrs_axis=float(rng.normal(35, 35)),
            t_axis=45.0,
            rhythm="sinus",
        )
        report = write_report(codes, truth, rng, style or ReportStyle())
        rows.append(
            {
                "text": report.text,
                "statements": len(codes),
                "omitted": len(report.omitted),
                "invented": len(report.invented),
                "contradicted": report.contradicted,
            }
        )
    return pd.DataFrame(rows)


def fault_rates(written: pd.DataFrame) -> pd.DataFrame:
    """Faults of `reports` as they occurred: share of reports with each."""
    texts = written["text"]
    return pd.DataFrame(
        {
            "share of reports": {
                "a finding left out": (written["omitted"] > 0).mean(),
                "a finding or rhythm that is not there": (
                    written["invented"] > 0
                ).mean(),
                "verdict against the findings": written["contradicted"].mean(),
                "text that another report has too": texts.duplicated(keep=False).mean(),
            }
        }
    ).rename_axis("fault")


def variety(written: pd.DataFrame, steps: int = 20) -> pd.DataFrame:
    """Distinct texts against the number of reports.

    Args:
        written: of `reports`.
        steps: points of the curve.

    Returns:
        Columns reports, distinct.
    """
    first = ~written["text"].duplicated()
    total = first.cumsum().to_numpy()
    reports = np.linspace(1, len(total), steps).round().astype(int)
    return pd.DataFrame({"reports": reports, "distinct": total[reports - 1]})


def spectra(records: int = 12, lead: str = "V2", seed: int = 0) -> pd.DataFrame:
    """Mean power spectrum of a lead by source, the same hearts on every device.

    Args:
        records: a source.
        lead: name.
        seed: of the first record.

    Returns:
        Index: Hz; one column per source, mV^2 / Hz.
    """
    row = torso.LEADS.index(lead)
    table = {}
    for source in device.DEVICES:
        power = []
        for number in range(records):
            rng = np.random.default_rng([seed, number])
            signal, _ = simulate.simulate_record({"SR": 1.0}, rng, source=source)
            frequency, density = welch(signal[row], RATE, nperseg=2048)
            power.append(density)
        table[source] = np.mean(power, axis=0)
    return pd.DataFrame(table, index=pd.Index(frequency, name="Hz"))
