"""Do the fast paths give the science of the plain ones? Two results, run by run.

Reads two files of zero-shot results, as `mccgaa run` writes them, of the same profile
trained in two ways, such as on a CPU in float32 and on a GPU in bfloat16, its steps
replayed as CUDA graphs. Runs of the same variant and seed are paired; their macro AUROC
is averaged over the tasks. The difference is set beside the spread over seeds, which is
what two trainings that differ in nothing but chance show.

    mccgaa run zeroshot --profile real --seeds 0     # on a GPU, into reruns/real
    python bench/science.py results/real/zeroshot.csv reruns/real/zeroshot.csv \
        --json bench/science.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from mccgaa.files import write_json


def means(path: Path) -> pd.Series:
    """Average the macro AUROC x 100 of the test split over tasks: (variant, seed)."""
    frame = pd.read_csv(path, dtype={"seed": str}, keep_default_na=False)
    macro = (frame["split"] == "test") & (frame["metric"] == "auroc")
    macro &= (frame["class"] == "") & (frame["variant"] != "")
    return frame[macro].groupby(["variant", "seed"])["value"].mean()


def compare(plain: pd.Series, fast: pd.Series) -> dict[str, Any]:
    """Pair runs, and set their differences beside the spread over seeds.

    Args:
        plain: of `means`, with several seeds of a variant.
        fast: likewise; what it shares with `plain` is paired.

    Returns:
        Plain data: the pairs, the mean difference (fast - plain) with its 95 % interval
        over pairs (Student's t), and the standard deviation over seeds, pooled over the
        variants of `plain`; "within" where the interval has 0 and the mean difference
        is no larger than that deviation.

    Raises:
        SystemExit: fewer than three runs are in both, or `plain` has one seed of each
            variant.
    """
    both = pd.DataFrame({"plain": plain, "fast": fast}).dropna()
    if len(both) < 3:
        raise SystemExit(f"{len(both)} runs are in both files; three are needed.")
    variants = plain.groupby("variant")
    freedom = len(plain) - variants.ngroups
    if not freedom:
        raise SystemExit("One seed of each variant has no spread; give several seeds.")
    difference = both["fast"] - both["plain"]
    half = stats.t.ppf(0.975, len(both) - 1) * difference.sem()
    mean = difference.mean()
    spread = ((plain - variants.transform("mean")) ** 2).sum() / freedom
    spread = spread**0.5
    return {
        "pairs": [
            {"variant": v, "seed": s, "plain": round(row.plain, 2)}
            | {"fast": round(row.fast, 2)}
            for (v, s), row in both.iterrows()
        ],
        "difference": round(mean, 2),
        "low": round(mean - half, 2),
        "high": round(mean + half, 2),
        "spread_over_seeds": round(spread, 2),
        "seeds": int(variants.size().max()),
        "within": bool(mean - half <= 0 <= mean + half and abs(mean) <= spread),
    }


def made(plain: Path, fast: Path) -> dict[str, dict[str, Any]]:
    """Read from two files' stamps how their runs were made.

    Raises:
        SystemExit: with other settings, or from other data.
    """
    one, other = (
        json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for path in (plain, fast)
    )
    stores = one["data"].keys() & other["data"].keys()
    alike = all(one[key] == other[key] for key in ("profile_hash", "method"))
    if not alike or any(one["data"][s] != other["data"][s] for s in stores):
        raise SystemExit(
            f"{plain} and {fast} were made with other settings or data; "
            "give two results of one profile as it stands."
        )
    kept = ("command", "trained", "data", "when")
    return {
        name: {key: stamp.get(key) for key in kept}
        for name, stamp in (("plain", one), ("fast", other))
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plain", type=Path, help="CSV of results, several seeds")
    parser.add_argument("fast", type=Path, help="CSV of results, made the other way")
    parser.add_argument("--json", type=Path, help="write the result here too")
    args = parser.parse_args(arguments)
    found = made(args.plain, args.fast) | compare(means(args.plain), means(args.fast))
    for row in found["pairs"]:
        print(f"{row['variant']:12} {row['seed']:>4} {row['plain']:7} {row['fast']:7}")
    print(
        f"difference {found['difference']:+.2f} [{found['low']:+.2f}, "
        f"{found['high']:+.2f}] over {len(found['pairs'])} pairs; standard deviation "
        f"over {found['seeds']} seeds {found['spread_over_seeds']}: "
        f"{'within' if found['within'] else 'BEYOND'} it"
    )
    if args.json:
        write_json(args.json, found)


if __name__ == "__main__":
    main()
