"""Does the twin show what it says? Findings measured against their textbook ranges."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mccgaa.data.record import read_record
from mccgaa.errors import MccgaaError
from mccgaa_book.audit.delineate import Measured, measure, neurokit
from mccgaa_twin import simulate
from mccgaa_twin.findings import CRITERIA

INF = np.inf


@dataclass(frozen=True)
class Range:
    """One measurable part of a finding's criterion."""

    code: str  # PTB-XL statement
    name: str  # a field of `Measured`
    low: float
    high: float
    given_with: tuple[str, ...] = ("SR",)  # other statements of the record

    @property
    def unit(self) -> str:
        """Unit of the measure."""
        return {"heart_rate": "/min", "rr_spread": "", "axis": "degrees"}.get(
            self.name, "ms"
        )

    @property
    def label(self) -> str:
        """The range in words."""
        if self.low == -INF:
            return f"< {self.high:g}"
        return (
            f">= {self.low:g}" if self.high == INF else f"{self.low:g} to {self.high:g}"
        )


# From the sources that `twin.findings.CRITERIA` names, as far as they are numbers.
RANGES: tuple[Range, ...] = (
    Range("NORM", "heart_rate", 60, 100),
    Range("NORM", "pr", 120, 200),
    Range("NORM", "qrs", 60, 110),
    Range("NORM", "qtc", 350, 460),
    Range("NORM", "axis", -30, 90),
    Range("STACH", "heart_rate", 100, INF, ()),
    Range("SBRAD", "heart_rate", -INF, 60, ()),
    Range("SARRH", "rr_spread", 0.05, INF, ()),
    Range("AFIB", "rr_spread", 0.10, INF, ()),
    Range("SVTAC", "heart_rate", 130, 220, ()),
    Range("1AVB", "pr", 200, INF),
    Range("LPR", "pr", 200, INF),
    Range("WPW", "pr", -INF, 120),
    Range("WPW", "qrs", 110, INF),
    Range("CLBBB", "qrs", 120, INF),
    Range("ILBBB", "qrs", 110, 120),
    Range("CRBBB", "qrs", 120, INF),
    Range("IRBBB", "qrs", 100, 120),
    Range("IVCD", "qrs", 110, INF),
    Range("LAFB", "axis", -90, -45),
    Range("LAFB", "qrs", -INF, 120),
    Range("LPFB", "axis", 90, 180),
    Range("RVH", "axis", 90, 180),
    Range("LNGQT", "qtc", 450, INF),
    Range("DIG", "qtc", -INF, 420),
)


def _inside(values: pd.Series, one: Range) -> pd.Series:
    """Whether measured values lie in a range."""
    return (values >= one.low) & (values <= one.high)


def simulated(
    codes: Sequence[str], records: int, seed: int = 0, source: str = "ptbxl"
) -> Iterable[tuple[np.ndarray, simulate.Truth]]:
    """Make records of a finding, with noise, each of another subject.

    Args:
        codes: PTB-XL statements.
        records: how many.
        seed: of the first.
        source: whose device records them.

    Yields:
        (12, 5000) mV and the truth.
    """
    for number in range(records):
        rng = np.random.default_rng([seed, number])
        yield simulate.simulate_record(codes, rng, source=source)


def _truth(truth: simulate.Truth) -> Measured:
    """The truth in the rulers' terms."""
    return Measured(
        heart_rate=truth.heart_rate,
        rr_spread=truth.rr_sd * truth.heart_rate / 60.0,
        pr=np.nan if truth.pr is None else truth.pr,
        qrs=truth.qrs,
        qt=truth.qt,
        qtc=truth.qtc,
        axis=truth.qrs_axis,
    )


def readings(codes: Sequence[str], records: int, seed: int = 0) -> pd.DataFrame:
    """Read simulated records of a finding with both rulers, next to the truth.

    Args:
        codes: PTB-XL statements.
        records: how many.
        seed: of the first.

    Returns:
        Two-level columns: ("truth" | "measured" | "neurokit", measure).
    """
    rows = []
    for signal, truth in simulated(codes, records, seed):
        by = {
            "truth": _truth(truth),
            "measured": measure(signal),
            "neurokit": neurokit(signal),
        }
        rows.append({(k, n): v for k, m in by.items() for n, v in m.to_dict().items()})
    return pd.DataFrame(rows)


def in_range(
    records: int = 20, seed: int = 0, ranges: Sequence[Range] = RANGES
) -> pd.DataFrame:
    """Measure every finding that has a range, and count how many lie in it.

    Args:
        records: a finding.
        seed: of the first record.
        ranges: what to check.

    Returns:
        One row per range: code, measure, range, median and 10th to 90th percentile as
        measured, share in the range by truth, by the median beat, by NeuroKit2.
    """
    read: dict[tuple[str, ...], pd.DataFrame] = {}
    rows = []
    for one in ranges:
        codes = (one.code, *one.given_with)
        if codes not in read:
            read[codes] = readings(codes, records, seed)
        table = read[codes]
        values = table["measured", one.name]
        other = table["neurokit", one.name]
        rows.append(
            {
                "finding": one.code,
                "measure": f"{one.name} ({one.unit})" if one.unit else one.name,
                "textbook": one.label,
                "median": values.median(),
                "p10": values.quantile(0.1),
                "p90": values.quantile(0.9),
                "truth in range": _inside(table["truth", one.name], one).mean(),
                "measured in range": _inside(values, one).mean(),
                "NeuroKit2 in range": (
                    _inside(other, one).mean() if other.notna().any() else np.nan
                ),
                "source": CRITERIA[one.code].source,
            }
        )
    return pd.DataFrame(rows)


def ruler_error(records: int = 20, seed: int = 0) -> pd.DataFrame:
    """How far the rulers are from the truth on normal simulated records.

    Args:
        records: how many.
        seed: of the first.

    Returns:
        One row per measure: median error and the middle 80 % for both rulers.
    """
    table = readings(("NORM", "SR"), records, seed)
    rows = []
    for name in ("heart_rate", "pr", "qrs", "qt", "axis"):
        row: dict[str, float | str] = {"measure": name}
        for ruler in ("measured", "neurokit"):
            error = (table[ruler, name] - table["truth", name]).dropna()
            row |= {
                f"{ruler}: median": error.median(),
                f"{ruler}: p10": error.quantile(0.1),
                f"{ruler}: p90": error.quantile(0.9),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def measure_real(
    root: Path | str, codes: Sequence[str], limit: int = 60, folds: int = 8
) -> pd.DataFrame:
    """Put the same ruler on real PTB-XL records in mV, folds 1 to `folds`.

    Args:
        root: a PTB-XL tree; records not in mV are passed over.
        codes: statements of interest.
        limit: records per statement.
        folds: highest fold used; 9 and 10 are for choosing and testing models.

    Returns:
        One row per statement and measure: records, median, p10, p90.

    Raises:
        MccgaaError: no PTB-XL tree at `root`.
    """
    path = Path(root) / "ptbxl_database.csv"
    if not path.is_file():
        raise MccgaaError(f"{root} holds no ptbxl_database.csv; give PTB-XL's root.")
    table = pd.read_csv(path)
    if "signal" in table:
        table = table[table["signal"] == "mV"]
    table = table[table["strat_fold"] <= folds]
    given = table["scp_codes"].map(ast.literal_eval)
    rows = []
    for code in codes:
        chosen = table[[code in has for has in given]].head(limit)
        found = []
        for name in chosen["filename_hr"]:
            record = read_record(Path(root) / name)
            signal = np.nan_to_num(record.signal)
            found.append(measure(signal, record.sampling_rate).to_dict())
        readings_of = pd.DataFrame(found)
        for name in ("heart_rate", "pr", "qrs", "qtc", "axis"):
            values = readings_of[name] if len(readings_of) else pd.Series(dtype=float)
            rows.append(
                {
                    "finding": code,
                    "measure": name,
                    "records": len(values),
                    "median": values.median(),
                    "p10": values.quantile(0.1),
                    "p90": values.quantile(0.9),
                }
            )
    return pd.DataFrame(rows)


def criteria() -> pd.DataFrame:
    """Every statement with the rule that the twin implements and its source."""
    return pd.DataFrame(
        [
            {"statement": code, "criterion": f.criterion, "source": f.source}
            for code, f in CRITERIA.items()
        ]
    )
