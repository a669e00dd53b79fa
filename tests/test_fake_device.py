"""The fake GPU of other tests refuses what a real one refuses."""

from __future__ import annotations

import pytest
import torch
from fake_device import GPU, fake_gpu


def test_the_fake_gpu_computes_and_refuses_to_be_mixed():
    layer = torch.nn.Linear(3, 2)
    x = torch.randn(4, 3)
    expected = layer(x).detach()
    with fake_gpu():
        assert layer.to("cuda") is layer and layer.weight.device == GPU
        with pytest.raises(RuntimeError, match="same device"):
            layer(x)
        with pytest.raises(RuntimeError, match="same device"):
            x + torch.ones(4, 3, device="cuda")
        y = layer(x.to(GPU)).detach()
        assert y.device == GPU and y.T[0].float().device == GPU
        with pytest.raises(TypeError, match="numpy"):
            y.numpy()
        assert y.cpu().device == torch.device("cpu")
        torch.testing.assert_close(y.cpu(), expected)
        layer.to("cpu")
        torch.testing.assert_close(layer(x).detach(), expected)
