"""ECGs of a store, batch by batch, on the device that computes with them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mccgaa.choices import StoreOn
from mccgaa.data.store import SignalStore
from mccgaa.errors import StoreError
from mccgaa.files import bar

SHARE = 0.7  # of the device's free memory that a store may take
BLOCK = 2**28  # bytes of a store that are taken to the device at a time
THREADS = 4  # that read ahead for a GPU, unless more are asked for
AHEAD = 2  # batches that each thread has read or is reading


class DeviceReader:
    """Read a store's signals onto a device, as int16 until they are there.

    There are two ways, and both give the same numbers in the same order:

    - "device": the whole store lies in the device's memory (2 bytes per sample:
      92.6 GB for MIMIC-IV-ECG at 500 Hz), and a batch is picked there. On a CPU this is
      RAM.
    - "host": threads read the next batches from the memory map, each batch in the order
      of the file, into pinned memory, while the device computes; a stream of its own
      takes them to the device. On a CPU without threads a batch is read when its turn
      comes.

    Nothing here waits for the device.

    Args:
        store: what is read.
        device: where batches go.
        where: one of the two, or "auto": "device" on a GPU in whose free memory the
            store takes at most `SHARE`, else "host".
        threads: that read ahead; a GPU has at least `THREADS`.
        progress: show a bar while the store goes to the device.

    Attributes:
        where: the way that was chosen.

    Raises:
        StoreError: "device" is asked for, and the store does not fit.
    """

    def __init__(
        self,
        store: SignalStore,
        device: torch.device,
        where: StoreOn = "auto",
        threads: int = 0,
        progress: bool = False,
    ) -> None:
        self.store, self.device = store, device
        self.scale = float(np.float32(store.meta["scale"]))
        self.on_gpu = device.type == "cuda"
        self.threads = max(threads, THREADS) if self.on_gpu else threads
        self.signals: Tensor | None = None  # (N, 12, T) int16 on the device
        self.copies = torch.cuda.Stream(device) if self.on_gpu else None
        if where == "device" or (where == "auto" and self.on_gpu and self._fits()):
            self._load(progress, needed=where == "device")
        self.where = "host" if self.signals is None else "device"

    def batches(
        self, rows: Sequence[NDArray[np.int64]] | NDArray[np.int64]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Read batches in turn.

        Args:
            rows: of the store, one array (B,) per batch.

        Yields:
            The rows (B,) int64 of a batch, and its signals (B, 12, T) float32 in mV or
            standard deviations, both on the device.
        """
        if not len(rows):
            return
        # All indices at once: small copies from ordinary memory may wait for the GPU.
        everywhere = torch.from_numpy(np.concatenate(rows)).to(self.device)
        indices = everywhere.split([len(batch) for batch in rows])
        if self.signals is not None:
            there = map(self._pick, indices)
        else:
            read = self._read_ahead(rows) if self.threads else map(self._read, rows)
            there = map(self._send, read)
        for at, picked in zip(indices, there, strict=True):
            yield at, self._scaled(picked)

    def _fits(self) -> bool:
        free, _ = torch.cuda.mem_get_info(self.device)
        return self.store.signals.nbytes <= SHARE * free

    def _load(self, progress: bool, needed: bool) -> None:
        """Take the whole store to the device, block by block."""
        size = self.store.signals.nbytes
        try:
            signals = torch.empty(
                self.store.signals.shape, dtype=torch.int16, device=self.device
            )
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            said = f"{self.store.path} needs {size / 1e9:.1f} GB of {self.device}"
            if needed:
                raise StoreError(
                    f"{said}, which are not free; use pretrain.store_on: host."
                ) from error
            print(f"{said}; it is read from the disk instead.", file=sys.stderr)
            return
        count = max(1, BLOCK * len(signals) // max(1, size))  # records in a block
        title = f"{self.store.path.name} to {self.device}"
        with bar(
            total=len(signals), desc=title, unit="record", disable=not progress
        ) as done:
            for start in range(0, len(signals), count):
                block = np.array(self.store.signals[start : start + count])
                signals[start : start + count].copy_(torch.from_numpy(block))
                done.update(len(block))
        self.signals = signals

    def _pick(self, at: Tensor) -> Tensor:
        """Gather records on the device: (B, 12, T) int16."""
        assert self.signals is not None
        records, leads, length = self.signals.shape
        # Four samples as one number of 64 bits: a quarter of the elements to move.
        words = self.signals.view(records, -1).view(torch.int64)  # (N, 12 T / 4)
        picked = words.index_select(0, at).view(torch.int16)  # (B, 12 T)
        return picked.view(-1, leads, length)

    def _read(self, rows: NDArray[np.int64]) -> Tensor:
        """Read records into memory: (B, 12, T) int16, pinned for a GPU."""
        shape = (len(rows), *self.store.signals.shape[1:])
        picked = torch.empty(shape, dtype=torch.int16, pin_memory=self.on_gpu)
        self.store.raw(rows, out=picked.numpy())
        return picked

    def _read_ahead(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Read batches in threads, some ahead of the one that is asked for."""
        waiting: deque[Future[Tensor]] = deque()
        # A new thread would use the first GPU, whichever this process has.
        use = partial(torch.cuda.set_device, self.device) if self.on_gpu else None
        pool = ThreadPoolExecutor(self.threads, initializer=use)
        try:
            for batch in rows:
                waiting.append(pool.submit(self._read, batch))
                if len(waiting) == AHEAD * self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # whoever stops in the middle does not wait for what is left
            pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, picked: Tensor) -> Tensor:
        """Take a batch to the device while that computes."""
        if self.copies is None:
            return picked.to(self.device)
        with torch.cuda.stream(self.copies):
            there = picked.to(self.device, non_blocking=True)
        now = torch.cuda.current_stream(self.device)
        now.wait_stream(self.copies)
        there.record_stream(now)  # its memory is not used again before that is done
        return there

    def _scaled(self, picked: Tensor) -> Tensor:
        """Turn int16 into mV or standard deviations, float32."""
        return picked.float() * self.scale


def encoded(
    encode: Callable[[Tensor], Tensor],
    store: SignalStore,
    rows: NDArray[np.int64],
    device: torch.device,
    batch_size: int = 256,
    **shown: Any,
) -> Tensor:
    """Encode records of a store, reading each once, ahead of a GPU that computes.

    Args:
        encode: maps signals (B, 12, T) float32 on the device to (B, W).
        store: what is read.
        rows: n of them.
        device: where signals go.
        batch_size: records at a time.
        **shown: of a bar, such as `desc` and `disable`.

    Returns:
        (n, W) float32 on the CPU.
    """
    batches = np.split(rows, range(batch_size, len(rows), batch_size))
    read = DeviceReader(store, device, "host").batches(batches)
    steps = bar(iterable=read, total=len(batches), unit="batch", **shown)
    return torch.cat([encode(signals).float() for _, signals in steps]).cpu()
