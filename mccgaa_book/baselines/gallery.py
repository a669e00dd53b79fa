"""One ECG as methods see it that have views or masks of their own, to be drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from mccgaa.config import EncoderConfig, InputConfig
from mccgaa_book.baselines.astcl import ASTCL
from mccgaa_book.baselines.clocs import coded
from mccgaa_book.baselines.config import BaselineConfig
from mccgaa_book.baselines.patches import draw_kept, hidden, patch_samples
from mccgaa_book.baselines.st_mem import STMEMSettings
from mccgaa_book.baselines.ts_tcc import TSTCC


def own_views(ecg: Tensor, given: InputConfig, seed: int = 2) -> dict[str, Tensor]:
    """Make the views of TS-TCC and ASTCL.

    Args:
        ecg: (12, T), as `given` says.
        given: sampling rate, length, transform.
        seed: of the draws.

    Returns:
        Title -> (12, T).
    """
    # No view asks the network, nor how many moments are made of its map.
    narrow = EncoderConfig(cam="none", widths=(4, 4, 4, 4))
    few = TSTCC.Settings(moments=2, ahead=1)
    ts_tcc = TSTCC(BaselineConfig("ts-tcc", few, given, narrow))
    astcl = ASTCL(BaselineConfig("astcl", ASTCL.Settings(moments=2), given, narrow))
    makers = {
        "TS-TCC, weak": ts_tcc.weak_view,
        "TS-TCC, strong": ts_tcc.strong_view,
        "ASTCL, noise": astcl.view,
        "ASTCL, denoised": astcl.denoised,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {title: make(ecg[None])[0] for title, make in makers.items()}


def parts(leads: int, given: InputConfig, seed: int = 0) -> dict[str, Tensor]:
    """Say which part of a record each view of CLOCS, and ST-MEM's encoder, sees.

    Args:
        leads: D.
        given: length of a record.
        seed: of the draws.

    Returns:
        Title -> (D, n) numbers: 0 for what is not seen, 1 and 2 for the views. n parts
        of the time are as many as a method tells apart.
    """
    found = {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        whole = torch.ones(1, leads, 2)  # of which a view leaves out what is 0
        for coding in ("cmsc", "cmlc", "cmsmlc"):
            one, other = (view[0] != 0 for view in coded(whole, coding))
            one, other = one * 1, other * 2  # (D, 1) each, or (D, 2) of all the time
            halves = one.shape[1] == 1
            found[coding.upper()] = (
                torch.cat([one, other], dim=1) if halves else one + other
            )
        settings = STMEMSettings()
        count = given.length // patch_samples(given, settings.patch)
        kept = draw_kept(leads, count, settings.masked, torch.device("cpu"))
        found["ST-MEM"] = ~hidden(kept, count) * 1
    return found
