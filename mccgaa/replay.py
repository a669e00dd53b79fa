"""A training step as one CUDA graph: captured once, then replayed.

A step of a small batch is a thousand kernels of a few microseconds each, and the host
needs longer to ask for them than the device to run them. A graph is asked for once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

WARM = 3  # plain steps before a step is captured; in them libraries choose algorithms


class Replay:
    """Training steps on one GPU, plain at first and then replayed.

    A replayed step is the plain one: its kernels, its weights, and its dropout, which
    reads torch's generator as it is when the step is asked for. A step whose tensors
    have other shapes than the captured one is plain.

    Args:
        step: takes a plain step: tensors on the device to one there. It never waits
            for the device.
        optimizer: that it takes it with. Its learning rate becomes a tensor on the
            device, which the captured kernels read.
        device: a GPU.
    """

    def __init__(
        self,
        step: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        device: torch.device,
    ) -> None:
        self.step, self.optimizer, self.device = step, optimizer, device
        self.taken = 0  # plain steps
        self.inputs: tuple[Tensor, ...] = ()  # read by the captured step
        self.losses: Tensor | None = None  # written by it
        self.graph: torch.cuda.CUDAGraph | None = None
        self.why = ""  # it cannot be captured
        self.stream = torch.cuda.Stream(device)
        for group in optimizer.param_groups:
            lr = torch.as_tensor(group["lr"], dtype=torch.float32)
            group["lr"] = lr.to(device)

    def __call__(self, *given: Tensor) -> Tensor:
        """Take a step.

        Args:
            given: what `step` takes.

        Returns:
            What it returns.
        """
        if self.graph is None and not self.why and self.taken >= WARM:
            self._capture(*given)
        if self.graph is None or not self._fits(given):
            self.taken += 1
            return self._aside(lambda: self.step(*given))
        for mine, one in zip(self.inputs, given, strict=True):
            mine.copy_(one)
        self.graph.replay()
        assert self.losses is not None
        return self.losses.clone()

    def _fits(self, given: tuple[Tensor, ...]) -> bool:
        return [t.shape for t in given] == [t.shape for t in self.inputs]

    def _aside(self, work: Callable[[], Tensor]) -> Tensor:
        """Work on the stream on which the step is recorded, as CUDA graphs ask for."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            result = work()
        here.wait_stream(self.stream)
        return result

    def _capture(self, *given: Tensor) -> None:
        """Capture a step. Nothing is computed; the weights stay as they are."""
        self.inputs = tuple(t.clone() for t in given)
        graph = torch.cuda.CUDAGraph()
        self._capturable(True)
        try:
            with (
                # Entered here, too: torch stays on it where the end of a capture fails.
                torch.cuda.stream(self.stream),
                # Threads that read ahead pin memory meanwhile, which is no part of it.
                torch.cuda.graph(
                    graph, stream=self.stream, capture_error_mode="thread_local"
                ),
            ):
                self.losses = self.step(*self.inputs)
            self.graph = graph
        except Exception as error:  # whatever it is, a graph is never needed
            self.why = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.inputs, self.losses = (), None
            self.optimizer.zero_grad(set_to_none=True)
            print(f"Training goes on without a CUDA graph: {self.why}", file=sys.stderr)
        self._capturable(False)

    def _capturable(self, whether: bool) -> None:
        """Tell the optimiser that it is captured; in a plain step it would warn."""
        for group in self.optimizer.param_groups:
            group["capturable"] = whether
