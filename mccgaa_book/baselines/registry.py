"""Every row of the paper's Tables 2 and 3, and what computes it here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file

from mccgaa.errors import ConfigError, RunError
from mccgaa.run_folder import RunFolder
from mccgaa.settings import from_dict
from mccgaa_book.baselines.base import Method
from mccgaa_book.baselines.config import BaselineConfig

FILES = ("config.json", "model.safetensors")
PACKAGE = "mccgaa_book.baselines"
AGAIN = "delete the folder and start the same command again."


@dataclass(frozen=True)
class Entry:
    """One row of the tables.

    A row is trained by a class of this package, or it is a variant of the profile,
    which the project's own loop trains.
    """

    label: str  # as the paper prints it
    reference: str  # authors, venue and year, arXiv id
    trains: str = ""  # module:class in this package
    variant: str = ""  # of a profile
    text: bool = False  # whether training reads reports
    kind: Literal["contrastive", "non-contrastive", "reconstruction", "none"] = "none"


ENTRIES: dict[str, Entry] = {
    "random": Entry("Random Init", "no training", "random_init:RandomInit"),
    "simclr": Entry(
        "SimCLR",
        "Chen et al., ICML 2020, arXiv 2002.05709",
        "simclr:SimCLR",
        kind="contrastive",
    ),
    "byol": Entry(
        "BYOL",
        "Grill et al., NeurIPS 2020, arXiv 2006.07733",
        "byol:BYOL",
        kind="non-contrastive",
    ),
    "barlow-twins": Entry(
        "BarlowTwins",
        "Zbontar et al., ICML 2021, arXiv 2103.03230",
        "barlow_twins:BarlowTwins",
        kind="non-contrastive",
    ),
    "moco-v3": Entry(
        "MoCo-v3",
        "Chen, Xie and He, ICCV 2021, arXiv 2104.02057",
        "moco_v3:MoCoV3",
        kind="contrastive",
    ),
    "simsiam": Entry(
        "SimSiam",
        "Chen and He, CVPR 2021, arXiv 2011.10566",
        "simsiam:SimSiam",
        kind="non-contrastive",
    ),
    "ts-tcc": Entry(
        "TS-TCC",
        "Eldele et al., IJCAI 2021, arXiv 2106.14112",
        "ts_tcc:TSTCC",
        kind="contrastive",
    ),
    "clocs": Entry(
        "CLOCS",
        "Kiyasseh, Zhu and Clifton, ICML 2021, arXiv 2005.13249",
        "clocs:CLOCS",
        kind="contrastive",
    ),
    "astcl": Entry(
        "ASTCL",
        "Wang et al., IEEE TNNLS 2024, doi 10.1109/TNNLS.2023.3272153",
        "astcl:ASTCL",
        kind="non-contrastive",
    ),
    "crt": Entry(
        "CRT",
        "Zhang et al., IEEE TNNLS 2024, arXiv 2205.09928",
        "crt:CRT",
        kind="reconstruction",
    ),
    "st-mem": Entry(
        "ST-MEM",
        "Na et al., ICLR 2024, arXiv 2402.09450",
        "st_mem:STMEM",
        kind="reconstruction",
    ),
    "merl": Entry(
        "MERL",
        "Liu et al., ICML 2024, arXiv 2403.06659",
        variant="merl",
        text=True,
        kind="contrastive",
    ),
    "mccgaa": Entry(
        "MCCGAA",
        "the paper",
        variant="bipartite",
        text=True,
        kind="contrastive",
    ),
}


def entry(name: str) -> Entry:
    """Look up a row.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in ENTRIES:
        raise ConfigError(
            f"There is no baseline {name!r}; there are {', '.join(ENTRIES)}."
        )
    return ENTRIES[name]


def trained_here() -> list[str]:
    """Names of the rows behind which a class of this package is."""
    return [name for name, one in ENTRIES.items() if one.trains]


def method(name: str) -> type[Method]:
    """Import the class of a row.

    Raises:
        ConfigError: there is no such row, or a profile's variant is behind it.
    """
    module, _, cls = entry(name).trains.partition(":")
    if not module:
        raise ConfigError(
            f"The baseline {name!r} is the variant {entry(name).variant!r} of a "
            "profile: train it with `mccgaa pretrain`; its settings are those of "
            "`model` and `pretrain`."
        )
    return getattr(import_module(f"{PACKAGE}.{module}"), cls)


def settings(name: str, given: dict[str, Any] | None = None) -> Any:
    """Make a method's settings.

    Args:
        name: of the row.
        given: those that differ from its defaults.

    Raises:
        ConfigError: an unknown setting, or a value of the wrong type.
    """
    return from_dict(method(name).Settings, given, f"baselines.settings.{name}")


def build(config: BaselineConfig) -> Method:
    """Make a method, its weights drawn from torch's generator."""
    return method(config.method)(config)


def load(folder: Path | str) -> Method:
    """Read a trained method.

    Args:
        folder: of a finished run.

    Returns:
        It, in evaluation mode, on the CPU.

    Raises:
        RunError: the folder holds none, or its files are damaged.
    """
    folder = Path(folder)
    lacks = [name for name in FILES if not (folder / name).is_file()]
    if lacks and not RunFolder(folder).finished:
        raise RunError(
            f"{folder} holds no finished baseline; make it with `mccgaa run baselines`."
        )
    if lacks:
        raise RunError(f"{folder} lacks {', '.join(lacks)}; {AGAIN}")
    with _reading(folder):
        data = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError(f"{FILES[0]} holds a {type(data).__name__}")
    if "method" not in data:
        raise RunError(
            f"{folder} is a run of `mccgaa pretrain`; read it with `mccgaa.load`."
        )
    with _reading(folder):
        made = settings(data["method"], data.get("settings"))
        found = build(from_dict(BaselineConfig, data | {"settings": made}))
        found.load_state_dict(load_file(folder / FILES[1]))
    return found.eval()


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Say of what cannot be read which folder it is in, and what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error}).") from error
    except (ConfigError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise RunError(
            f"{folder} holds no baseline that can be read ({error}): unless another "
            f"version of this package made it, {AGAIN}"
        ) from error
