"""Convolution, ReLU and 2x2 max-pooling as one matrix product, for images of few channels on a CPU.

There a convolution from one channel to 32 is bound by the maps it writes, and pooling by their layout, not by products.
The four positions under a pooling window become output channels of one kernel with stride 2, side by side in memory;
bias and ReLU, which commute with the maximum, are then added to a quarter of the values.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    windows = rows.view(n, height * width // 4, 4, -1).permute(0, 3, 1, 2)          # four places side by side
    largest = F.max_pool2d(windows, (1, 4))
    return F.relu(largest + bias.to(rows.dtype)[:, None, None]).view(n, -1, height // 2, width // 2)
