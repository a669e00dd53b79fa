"""Section 4.1: a model that learns, one batch at a time.

Several processes share each batch, and their losses compare all of its pairs. Batch
normalisation sees the whole batch on GPUs (SyncBatchNorm); on CPUs (gloo) each process
normalises its own part.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mccgaa.config import RunConfig
from mccgaa.model import MCCGAA
from mccgaa.runtime import autocast, seed_step, world
from mccgaa.settings import require

if TYPE_CHECKING:  # what goes beyond the paper is loaded where a setting asks for it
    from mccgaa.plus.average import Average
    from mccgaa.replay import Replay
    from mccgaa.start import Start


class Learner:
    """A model, its optimiser, and the step that both take.

    The randomness of a step is a function of (seed, step, rank), and nothing in a step
    waits for the device.

    Args:
        config: of the run; its seed decides the first weights.
        device: to learn on.
        start: the model whose weights are the first, instead of the seed's.

    Raises:
        ConfigError: a batch of one pair, of which a contrastive loss learns nothing.
        RunError: `start` is no model of this configuration.
    """

    def __init__(
        self, config: RunConfig, device: torch.device, start: Start | None = None
    ) -> None:
        self.config, self.device = config, device
        self.rank, processes = world()
        settings = config.pretrain
        seed_step(settings.seed)
        self.model = self.new_model().to(device)
        if start:
            start.give(self.model)
        self.module: nn.Module = self.model
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # shapes are the same at every step
        if processes > 1:
            if device.type == "cuda":
                nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # in place
            self.module = DistributedDataParallel(self.model)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad],
            lr=settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,  # one pass over the weights, on a CPU too
        )
        self.average: Average | None = None
        if settings.ema:
            from mccgaa.plus.average import Average

            self.average = Average(self.model, settings.ema)
        self.replay: Replay | None = None  # takes the steps, where there is one

    def new_model(self) -> MCCGAA:
        """Make the model, its weights drawn from torch's generator."""
        config, batch = self.config, self.config.pretrain.batch_size
        learns = config.model.loss.kind == "statements" or config.global_batch > 1
        expected = "2 or more: a contrastive loss compares each pair with others"
        require(learns, "pretrain.batch_size", batch, expected)
        model = MCCGAA(config.model)
        model.chunk = config.pretrain.chunk
        return model

    @property
    def result(self) -> MCCGAA:
        """The model that is evaluated and kept: the average of the weights, if any."""
        return self.average.model if self.average else self.model

    def step(self, step: int, lr: float, signals: Tensor, *texts: Tensor) -> Tensor:
        """Take one step of AdamW.

        Args:
            step: its number in the run.
            lr: learning rate.
            signals: (B, D, T) float32 on the device.
            texts: what `MCCGAA.forward` takes behind the signals, on the device:
                vectors (B, d) of their texts, say.

        Returns:
            (3,) on the device: the loss, L_cma and L_uma.
        """
        settings = self.config.pretrain
        seed_step(settings.seed, step, self.rank)  # of dropout and augmentation
        for group in self.optimizer.param_groups:
            if self.replay:
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self.module.train()
        if settings.augment:
            signals = self.augmented(signals)
        take = self.replay or self.plain_step
        losses = take(signals, *texts)
        if self.average:
            self.average.update(self.model, step)
        return losses

    def augmented(self, signals: Tensor) -> Tensor:
        """Vary signals (B, D, T) as the settings say."""
        from mccgaa.plus.augment import augment

        settings, given = self.config.pretrain, self.config.model.input
        return augment(
            signals,
            settings.augment,
            settings.augmentations,
            given.sampling_rate,
            standardised=given.standardised,
        )

    def plain_step(self, signals: Tensor, *texts: Tensor) -> Tensor:
        """Go forward, backward and one step down, at the learning rate that is set."""
        with autocast(self.device, self.config.pretrain.precision):
            output = self.module(signals, *texts)
        self.optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        self.optimizer.step()
        return torch.stack([output.loss, output.cma, output.uma]).detach()  # (3,)

    def capture(self) -> None:
        """Let a CUDA graph take the steps, on one GPU."""
        from mccgaa.replay import Replay  # for GPUs alone

        self.replay = Replay(self.plain_step, self.optimizer, self.device)

    def compile(self) -> bool:
        """Compile the encoder for batches of the run, where torch.compile works.

        The weights keep their names and values; a message says if it does not work.

        Returns:
            Whether steps are compiled from now on.
        """
        from mccgaa import fast_encoder  # as compilers, for GPUs alone

        settings, given = self.config.pretrain, self.config.model.input
        size = settings.chunk or settings.batch_size
        leads = self.config.model.encoder.leads
        x = torch.ones(size, leads, given.length, device=self.device)
        statistics = {n: b.clone() for n, b in self.model.named_buffers()}
        local = self.model.local
        if world()[1] == 1:  # SyncBatchNorm looks at other processes' moments, too
            features = partial(fast_encoder.features, self.model.encoder)
            local = partial(local, features=features)
        compiled = torch.compile(local, dynamic=False)
        try:
            self.model.train()
            with autocast(self.device, settings.precision):
                embedding, source = compiled(x)
            (embedding.sum() + source.sum()).backward()
            self.model.compiled = compiled
        except Exception as error:  # whatever a compiler raises, it is never needed
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(f"Training goes on without torch.compile: {why}", file=sys.stderr)
        for name, buffer in self.model.named_buffers():
            buffer.copy_(statistics[name])
        self.model.zero_grad(set_to_none=True)
        return self.model.compiled is not None

    def state(self) -> dict[str, Any]:
        """What `load` restores: tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.model.state_dict() if self.average else {},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go back to where `state` was called."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:  # a captured step left a tensor
            group["lr"] = float(group["lr"])
        if self.average:
            self.average.model.load_state_dict(state["average"])
