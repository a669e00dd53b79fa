r"""Convolutions over time in float32 on a CPU, with fewer and faster multiplications.

`Convolution` is `nn.Conv2d` with a 1 x k kernel: the same parameters, and the same
function up to float rounding. Where it pays (`plan`) it computes that function in
another way; on a GPU, in bfloat16 and in float64 it is `nn.Conv2d` and nothing else.

**Minimal filtering** (Winograd 1980; Lavin and Gray, arXiv:1509.09308). Each by
itself, four outputs of a kernel of three take 12 multiplications. Together they are
coefficients of a product of polynomials, and such a product is known by its values at
six points: six multiplications. For six samples d, a kernel g and the points 0, 1, -1,
2, -2 and infinity this is called F(4, 3):

.. math:: y = A^T \left[ (G g) \odot (B^T d) \right]

B^T and A^T hold small integers: they only cost additions. With C channels in and O out,
the product at a point is one of matrices, (tiles, C) by (C, O), and there are six of
them instead of twelve. The signal's gradient is the same convolution with the
kernel reversed; the kernel's gradient is the transposed algorithm, which needs six as
well.

**The kernel's gradient as k matrix products**, of the outputs' gradient with the signal
shifted by each sample of the kernel. The products of a BLAS library do in half the time
what oneDNN does in its own way on CPUs without AVX-512.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

Way = Literal["torch", "products", "winograd"]

WIDE = 256  # channels from which fewer multiplications outweigh the additions
MANY = 1024  # moments of a batch below which the matrix products are too small
SLOW_GRADIENT = torch.backends.cpu.get_cpu_capability() != "AVX512"  # oneDNN's

OUTPUTS, POINTS = 4, 6  # of a tile of F(4, 3)
# A kernel's polynomial at each point, divided by what would make fractions of B^T.
G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def plan(x: Tensor, weight: Tensor, stride: int) -> Way:
    """Choose how to convolve: by device, type, width and number of moments.

    Args:
        x: (B, C, 1, T).
        weight: (O, C, 1, k).
        stride: over time.

    Returns:
        "torch" for torch's own way, "products" for torch's with the kernel's gradient
        as matrix products, or "winograd" for F(4, 3) and its gradients.
    """
    outputs, inputs, _, kernel = weight.shape
    if (
        x.device.type != "cpu"
        or not x.dtype == weight.dtype == torch.float32
        or torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()  # who traces the network wants plain parts
        or torch.jit.is_tracing()
        or len(x) * x.shape[3] < MANY
    ):
        return "torch"
    if kernel == 3 and stride == 1 and min(inputs, outputs) >= WIDE:
        return "winograd"
    learns = torch.is_grad_enabled() and weight.requires_grad
    return "products" if learns and kernel > 1 and SLOW_GRADIENT else "torch"


class Convolution(nn.Conv2d):
    """Convolve over time (eq 2-4): 1 x k, padded so that stride 1 keeps T.

    Args:
        inputs: channels that enter.
        outputs: channels that leave.
        kernel: k, odd.
        stride: over time.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            inputs, outputs, (1, kernel), (1, stride), (0, kernel // 2), bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, 1, T) to (B, outputs, 1, ceil(T / stride))."""
        way = plan(x, self.weight, self.stride[1])
        if way == "torch":
            return super().forward(x)
        if way == "winograd":
            y = Winograd.apply(x, self.weight)
        else:
            y = ProductsGradient.apply(x, self.weight, self.stride[1])
        # There is a bias only where a normalisation has been folded into the kernel.
        return y if self.bias is None else y + self.bias[:, None, None]


class ProductsGradient(Function):
    """torch's convolution, with the kernel's gradient as matrix products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """Map (B, C, 1, T) to (B, O, 1, ceil(T / stride))."""
        ctx.save_for_backward(x, weight)
        ctx.stride = (1, stride)
        ctx.padding = (0, weight.shape[3] // 2)
        return F.conv2d(x, weight, None, ctx.stride, ctx.padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Map the gradient of the output to those of the signal and the kernel."""
        x, weight = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = conv2d_input(x.shape, weight, dy, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            dw = kernel_gradient(_rows(x), _rows(dy), weight.shape[3], ctx.stride[1])
        return dx, dw, None


def kernel_gradient(x: Tensor, dy: Tensor, kernel: int, stride: int) -> Tensor:
    """Compute the gradient of a kernel as one matrix product per sample of it.

    Args:
        x: (B, T, C), what was convolved.
        dy: (B, T', O), gradient of what came out.
        kernel: k, odd.
        stride: over time.

    Returns:
        (O, C, 1, k).
    """
    batch, length, inputs = x.shape
    outputs = dy.shape[2]
    # Records lie one after the other with so many zeros between them that no kernel
    # reaches from one into the next; the rows of dy between two records are zero too.
    beyond = (kernel + stride - 2) // stride
    rows = dy.shape[1] + beyond  # of dy per record
    before = kernel // 2
    x = F.pad(x, (0, 0, before, stride * rows - length - before)).view(-1, inputs)
    dy = F.pad(dy, (0, 0, 0, beyond)).view(-1, outputs)
    count = batch * rows - beyond
    gradient = x.new_empty(outputs, kernel, inputs)
    for j in range(kernel):
        met = x[j::stride][:count]  # the samples that weight j meets, (count, C)
        torch.mm(dy[:count].t(), met, out=gradient[:, j])
    return _map(gradient)


class Winograd(Function):
    """Convolve with a kernel of three at stride 1 by F(4, 3)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Map (B, C, 1, T) to (B, O, 1, T)."""
        signal = signal_points(_rows(x))  # (6, B n, C)
        if ctx.needs_input_grad[1]:
            ctx.signal = signal
        ctx.save_for_backward(weight)
        products = signal @ kernel_points(weight).transpose(1, 2)  # (6, B n, O)
        return _map(from_points(products, *x.shape[::3]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Map the gradient of the output to those of the signal and the kernel."""
        (weight,) = ctx.saved_tensors
        dy = _rows(dy)  # (B, T, O)
        dx = dw = None
        if ctx.needs_input_grad[0]:
            products = signal_points(dy) @ kernel_points(weight.flip(3))  # (6, B n, C)
            dx = _map(from_points(products, *dy.shape[:2]))
        if ctx.needs_input_grad[1]:
            products = output_points(dy).transpose(1, 2) @ ctx.signal  # (6, O, C)
            g = torch.tensor(G, dtype=dy.dtype).t().expand(len(weight), 3, POINTS)
            dw = _map(g @ products.transpose(0, 1))  # G^T, (O, 3, C)
        return dx, dw


def kernel_points(weight: Tensor) -> Tensor:
    """Compute G g: kernels (O, C, 1, 3) to their values at the points, (6, O, C)."""
    g = torch.tensor(G, dtype=weight.dtype).expand(len(weight), POINTS, 3)
    return (g @ weight.squeeze(2).transpose(1, 2)).transpose(0, 1)


def signal_points(x: Tensor) -> Tensor:
    """Compute B^T d of each tile: (B, T, C) to (6, B n, C), n = ceil(T / 4) tiles."""
    batch, length, channels = x.shape
    tiles = -(-length // OUTPUTS)
    # A tile's six samples begin one before its four outputs, and end one after them.
    x = F.pad(x, (0, 0, 1, OUTPUTS * tiles + 1 - length))  # (B, 4 n + 2, C)
    end = OUTPUTS * (tiles - 1) + 1
    d = [x[:, j : j + end : OUTPUTS] for j in range(POINTS)]  # each (B, n, C)
    v = x.new_empty(POINTS, batch, tiles, channels)
    even, odd = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
    torch.add(even, odd, out=v[1])  # at 1:  -4 d1 - 4 d2 + d3 + d4
    torch.sub(even, odd, out=v[2])  # at -1:  4 d1 - 4 d2 - d3 + d4
    even, odd = d[4] - d[2], d[3] - d[1]
    torch.add(even, odd, alpha=2, out=v[3])  # at 2:  -2 d1 - d2 + 2 d3 + d4
    torch.sub(even, odd, alpha=2, out=v[4])  # at -2:  2 d1 - d2 - 2 d3 + d4
    torch.add(even, d[0] - d[2], alpha=4, out=v[0])  # at 0:  4 d0 - 5 d2 + d4
    torch.sub(d[5] - d[3], odd, alpha=4, out=v[5])  # at infinity:  4 d1 - 5 d3 + d5
    return v.view(POINTS, batch * tiles, channels)


def from_points(m: Tensor, batch: int, length: int) -> Tensor:
    """Compute A^T m of each tile: (6, B n, O) to (B, T, O)."""
    tiles, outputs = m.shape[1] // batch, m.shape[2]
    m = m.view(POINTS, batch, tiles, outputs)
    y = m.new_empty(batch, tiles, OUTPUTS, outputs)
    even, odd = m[1] + m[2], m[1] - m[2]
    far_even, far_odd = m[3] + m[4], m[3] - m[4]
    torch.add(even, far_even, out=y[:, :, 0]).add_(m[0])
    torch.add(odd, far_odd, alpha=2, out=y[:, :, 1])
    torch.add(even, far_even, alpha=4, out=y[:, :, 2])
    torch.add(odd, far_odd, alpha=8, out=y[:, :, 3]).add_(m[5])
    return y.view(batch, OUTPUTS * tiles, outputs)[:, :length].contiguous()


def output_points(dy: Tensor) -> Tensor:
    """Compute A dy of each tile: (B, T, O) to (6, B n, O), `from_points` transposed."""
    batch, length, outputs = dy.shape
    tiles = -(-length // OUTPUTS)
    dy = F.pad(dy, (0, 0, 0, OUTPUTS * tiles - length))
    d = dy.view(batch, tiles, OUTPUTS, outputs).unbind(2)  # each (B, n, O)
    m = dy.new_empty(POINTS, batch, tiles, outputs)
    m[0], m[5] = d[0], d[3]
    even, odd = d[0] + d[2], d[1] + d[3]
    torch.add(even, odd, out=m[1])
    torch.sub(even, odd, out=m[2])
    even, odd = torch.add(d[0], d[2], alpha=4), torch.add(d[1], d[3], alpha=4)
    torch.add(even, odd, alpha=2, out=m[3])
    torch.sub(even, odd, alpha=2, out=m[4])
    return m.view(POINTS, batch * tiles, outputs)


def _rows(x: Tensor) -> Tensor:
    """View a channels-last map (B, C, 1, T) as rows (B, T, C); copy another."""
    return x.squeeze(2).transpose(1, 2).contiguous()


def _map(rows: Tensor) -> Tensor:
    """View rows (B, T, C) as a channels-last map (B, C, 1, T); kernels likewise."""
    return rows.transpose(1, 2).unsqueeze(2)
