"""The folder of one run: what training leaves in it, whole or not at all.

config.yaml, history.csv (a row per step), epochs.csv (held-out retrieval), snapshots/,
checkpoint/ while it trains, and at the end model.safetensors, config.json and, last of
all, metrics.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from mccgaa.errors import RunError, WriteError
from mccgaa.files import append, write_errors, write_folder, write_whole
from mccgaa.runtime import is_finite
from mccgaa.settings import dump_yaml, to_dict

METRICS = "metrics.json"
LOSSES = ("loss", "cma", "uma")  # of a step of MCCGAA


class Saved(Protocol):
    """What a run trains and keeps, such as `MCCGAA`."""

    def save_pretrained(self, folder: Path) -> None:
        """Write weights and configuration."""

    def state_dict(self) -> dict[str, Any]:
        """Weights and running statistics."""


class RunFolder:
    """A run on disk.

    Args:
        path: the folder.
        losses: names of the numbers of a step, the first of which is minimised.
    """

    def __init__(self, path: Path, losses: Sequence[str] = LOSSES) -> None:
        self.path = path
        self.columns = ("step", "epoch", *losses, "lr", "samples_per_second")
        self.history = path / "history.csv"
        self.checkpoint = path / "checkpoint" / "state.pt"
        self.best = path / "checkpoint" / "best"

    @property
    def finished(self) -> bool:
        """Whether the run is whole."""
        return (self.path / METRICS).exists()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training here at the same time.

        Raises:
            RunError: another process is at work.
            WriteError: the folder cannot be made.
        """
        with write_errors(self.path):
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.checkpoint.with_name("lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise RunError(
                    f"Another process trains in {self.path}; wait for it, or give "
                    "another output folder."
                ) from error
        try:
            yield
        finally:
            lock.release()

    def begin(self, config: Any, step: int) -> None:
        """Write the configuration, and cut the history back to the checkpoint.

        Args:
            config: of the run, a dataclass.
            step: steps that the checkpoint has done; 0 where there is none.

        Raises:
            RunError: the history has lost rows of steps that are done.
        """
        lines = [_line(self.columns)]
        if step:
            old = self.history.read_text("utf-8") if self.history.exists() else ""
            lines = old.splitlines(keepends=True)[: step + 1]
        if len(lines) <= step:
            raise RunError(
                f"{self.history} has fewer rows than the {step} steps of its "
                f"checkpoint; delete {self.path} to start the run over."
            )
        with write_whole(self.history) as file:
            file.writelines(lines)
        dump_yaml(to_dict(config), self.path / "config.yaml")

    def append_history(self, rows: Sequence[tuple[float, ...]]) -> None:
        """Add steps to history.csv; a row has the values of `columns`."""
        append(self.history, "".join(map(_line, rows)))

    def write_epochs(self, rows: Sequence[dict[str, float]]) -> None:
        """Write epochs.csv."""
        import pandas as pd  # of which a model in use has no need

        with write_whole(self.path / "epochs.csv") as file:
            pd.DataFrame(rows).to_csv(file, index=False)

    def save(self, facts: dict[str, Any], state: dict[str, Any]) -> None:
        """Write the checkpoint whole, or leave the one before.

        Args:
            facts: what must be the same when the run is continued.
            state: what `load` gives back: tensors and plain data.

        Raises:
            WriteError: the disk is full.
        """
        buffer = io.BytesIO()  # the disk is then met by write_whole, not by torch
        torch.save({"facts": facts, "state": state}, buffer)
        with write_whole(self.checkpoint, "wb") as file:
            file.write(buffer.getbuffer())

    def load(self, facts: dict[str, Any], device: torch.device) -> dict[str, Any]:
        """Read the checkpoint's state; empty where there is none.

        Args:
            facts: of the run that wants to go on.
            device: where tensors go.

        Raises:
            RunError: the file is damaged, or its facts are others.
        """
        path = self.checkpoint
        if not path.exists():
            return {}
        try:
            found = torch.load(path, map_location=device, weights_only=True)
            old, state = found["facts"], found["state"]
        except Exception as error:
            raise RunError(
                f"{path} is not a readable checkpoint ({error}); delete {self.path} to "
                "start the run over."
            ) from error
        for name, now in facts.items():
            if old.get(name) != now:
                raise RunError(
                    f"{path} belongs to a run with {name} {old.get(name)}, but this "
                    f"one has {name} {now}: continue it as it began, or delete "
                    f"{self.path} to start over."
                )
        return state

    def keep(self, model: Saved, folder: Path) -> None:
        """Write a model's weights to a folder, whole or not at all."""
        with write_folder(folder) as partial:
            _save(model, partial)

    def snapshot(self, epoch: int) -> Path:
        """Where the weights at the end of an epoch (1 is the first) are kept."""
        return self.path / "snapshots" / f"epoch-{epoch:02d}"

    def check_snapshots(self, wanted: Sequence[int], done: int) -> None:
        """Refuse snapshots of epochs that have passed without being kept.

        Args:
            wanted: epochs of pretrain.snapshots.
            done: epochs that the run has behind it.

        Raises:
            RunError: some are lost.
        """
        lost = [e for e in wanted if e <= done and not self.snapshot(e).exists()]
        if lost:
            raise RunError(
                f"{self.path} did not keep the weights of epoch "
                f"{', '.join(map(str, lost))} (pretrain.snapshots): delete it to train "
                "it again, or ask for others."
            )

    def finish(self, model: Saved, metrics: dict[str, Any]) -> None:
        """Write the model and, last of all, metrics.json: the sign of a whole run.

        Raises:
            RunError: the last step has left weights that are not finite.
        """
        if not is_finite(model):
            raise RunError(
                f"{self.path}: the last step left weights that are not finite; lower "
                "pretrain.lr or use precision: fp32."
            )
        _save(model, self.path)
        with write_whole(self.path / METRICS) as file:
            json.dump(metrics, file, indent=2)
            file.write("\n")
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)


def read_metrics(folder: Path | str) -> dict[str, Any]:
    """Read what a finished run says of itself.

    Args:
        folder: of the run, or of a model that no run made.

    Returns:
        The content of metrics.json; nothing where there is no such file.

    Raises:
        RunError: the file is damaged.
    """
    path = Path(folder) / METRICS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} is no JSON object that can be read ({error}); restore the file, "
            "or delete the folder and train the run again."
        ) from error
    return found


def _line(values: Sequence[Any]) -> str:
    return ",".join(map(str, values)) + "\n"


def _save(model: Saved, folder: Path) -> None:
    """Write weights and configuration, or raise an error that says why not."""
    with write_errors(folder):
        try:
            model.save_pretrained(folder)
        except SafetensorError as error:
            raise WriteError(
                f"The weights in {folder} could not be written ({error}). Free some "
                "space and start the same command again."
            ) from error
