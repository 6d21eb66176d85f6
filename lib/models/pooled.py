"""Convolution, ReLU and 2x2 max-pooling as one matrix product, for images of few channels on a CPU.

There a convolution from one channel to 32 is bound by the maps it writes, and pooling by their layout, not by products.
The four positions under a pooling window become output channels of one kernel with stride 2, side by side in memory;
bias and ReLU, which commute with the maximum, are then added to a quarter of the values.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class _Largest(torch.autograd.Function):
    """The largest of four values, (row, 4 channel) to (row, channel); of equals the first gets the gradient, as in
    torch's pooling."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        a, b, c, d = values.chunk(4, dim=1)
        largest = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
        ctx.save_for_backward(values, largest)
        return largest

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        values, largest = ctx.saved_tensors
        parts = torch.empty_like(values)
        for value, part in zip(values.chunk(4, dim=1)[:3], parts.chunk(4, dim=1)):
            torch.mul(gradient, value == largest, out=part)
            gradient = gradient - part
        parts.chunk(4, dim=1)[3].copy_(gradient)
        return parts


def pooled_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """max_pool2d(relu(conv2d(x, weight, bias, padding=half the kernel)), 2) up to rounding.

    x: (batch, in, H, W) with even H and W; weight: (out, in, side, side), side odd. Returns (batch, out, H/2, W/2),
    channels last in memory.
    """
    n, _, height, width = x.shape
    side = weight.shape[-1]
    kernels = torch.cat([F.pad(weight, (j, 1 - j, i, 1 - i)) for i in (0, 1) for j in (0, 1)]).flatten(1)
    patches = F.unfold(x.to(weight.dtype), side + 1, padding=side // 2, stride=2)   # batch, in * (side + 1)^2, place
    rows = F.linear(patches.transpose(1, 2).reshape(-1, kernels.shape[1]), kernels)
    maps = F.relu(_Largest.apply(rows) + bias.to(rows.dtype))
    return maps.view(n, height // 2, width // 2, -1).permute(0, 3, 1, 2)
