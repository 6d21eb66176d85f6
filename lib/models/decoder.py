"""The image decoder, and log p(x | ...) under it: in pieces that fit the cache, with a gradient where it counts.

Decoding is what a gradient through a deep Bayes classifier costs: an image for every class and sample. So the weights
are cast once a call and not once a piece; nothing is kept for the way back, where only the decoded images that carry
weight are decoded again; and the last layer, with one output channel, is a matrix product.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.nets import Architecture

PIECE = {"cpu": 50, "cuda": 20_000}     # images decoded at a time: on a CPU their maps, 1.3 MB, stay in the cache
# Share of the gradient's weight (over the classes and samples of one image) that may be left out: half a last place in
# bfloat16; in float32 far below the 1e-5 to which gradients are tested. Most classes and samples carry next to nothing.
LEFT_OUT = {torch.bfloat16: 2 ** -8, torch.float16: 2 ** -11, torch.float32: 1e-6, torch.float64: 1e-12}


class Decoder(nn.Module):
    """Two dense layers, then three transposed convolutions without bias; ReLU, and a sigmoid at the output."""

    def __init__(self, arch: Architecture):
        super().__init__()
        depth = (arch.shape[0], *arch.channels)[::-1]
        self.first = (depth[0], arch.sides[-1], arch.sides[-1])
        self.dense = nn.Linear(arch.hidden, math.prod(self.first))
        self.sides = arch.sides[-2::-1]
        self.convs = nn.ModuleList(nn.ConvTranspose2d(a, b, 5, stride=2, padding=2, output_padding=1 - side % 2, bias=False)
                                   for a, b, side in zip(depth, depth[1:], self.sides))
        for conv in self.convs:
            bound = 1 / (25 * conv.out_channels)    # far below Glorot: the decoder starts at a flat grey image
            nn.init.uniform_(conv.weight, -bound, bound)

    def forward(self, h: Tensor) -> Tensor:
        """h: (*lead, hidden) after its ReLU. Returns pixel means in (0, 1), (*lead, channel, H, W), float32 or wider."""
        return self.decode(h, self.weights(working_dtype(h)))

    def weights(self, dtype: torch.dtype) -> list[Tensor]:
        """What `decode` takes: dense weight and bias, then the convolutions, in `dtype`."""
        return [w.to(dtype) for w in (self.dense.weight, self.dense.bias, *(conv.weight for conv in self.convs))]

    def decode(self, h: Tensor, weights: list[Tensor]) -> Tensor:
        """As `forward`, in the type of the weights."""
        dense, bias, *convs, last = weights
        maps = F.linear(h.flatten(0, -2).to(dense.dtype), dense, bias).relu_()
        maps = maps.unflatten(1, self.first).contiguous(memory_format=torch.channels_last)
        for conv, side in zip(convs, self.sides):
            maps = F.conv_transpose2d(maps, conv, stride=2, padding=2, output_padding=1 - side % 2).relu_()
        taps = last.flatten(1).T @ maps.flatten(2)      # (image, channel * 25, position), added up where they overlap
        taps = taps.to(torch.promote_types(taps.dtype, torch.float32))
        mean = torch.sigmoid(F.fold(taps, (self.sides[-1],) * 2, kernel_size=5, stride=2, padding=2))
        return mean.unflatten(0, h.shape[:-1])


@dataclass(frozen=True)
class Pixels:
    """Minus the summed squared error: a Gaussian of variance 1/2 without its constant.

    h: (*lead, hidden), what the decoder makes the means of.
    """

    decoder: Decoder
    h: Tensor

    @property
    def mean(self) -> Tensor:
        """Pixel means, (*lead, channel, H, W)."""
        return self.decoder(self.h)

    def log_prob(self, x: Tensor) -> Tensor:
        """In nats, of the leading axes' shape. x: (*batch, channel, H, W), *batch the last of the leading axes, or one."""
        if torch.is_grad_enabled() and any(w.requires_grad for w in self.decoder.parameters()):
            return _log_prob(self.mean, x)              # training: the weights need a gradient too
        lead = torch.broadcast_shapes(self.h.shape[:-1], x.shape[:-3])
        x = x.expand(*lead[len(lead) - max(1, x.ndim - 3):], *x.shape[-3:])
        return _InPieces.apply(self.h.expand(*lead, -1), x, self.decoder)


def working_dtype(h: Tensor) -> torch.dtype:
    """What autocast says, else the type of h."""
    device = h.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else h.dtype


def _log_prob(mean: Tensor, x: Tensor) -> Tensor:
    return -(x - mean).float().square().flatten(-3).sum(-1)


class _InPieces(torch.autograd.Function):
    """log p(x | h) of many h, piece by piece, with gradients for h and x and none for the weights."""

    @staticmethod
    def forward(ctx, h: Tensor, x: Tensor, decoder: Decoder) -> Tensor:
        lead, batch = h.shape[:-1], x.shape[:-3]
        ctx.decoder, ctx.dtype, ctx.batch = decoder, working_dtype(h), batch
        ctx.save_for_backward(h, x)
        h, x = h.reshape(-1, h.shape[-1]), x.reshape(-1, *x.shape[-3:])
        weights = decoder.weights(ctx.dtype)
        image = torch.arange(len(h), device=h.device) % len(x)
        return torch.cat([_log_prob(decoder.decode(h[part], weights), x[image[part]])
                          for part in _pieces(len(h), h.device)]).reshape(lead)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weight: Tensor) -> tuple[Tensor, Tensor, None]:
        h, x = ctx.saved_tensors
        grad_h, grad_x = (torch.zeros_like(t, memory_format=torch.contiguous_format) for t in (h, x))
        flat_h, flat_x = h.reshape(-1, h.shape[-1]), x.reshape(-1, *x.shape[-3:])
        weights, weight = ctx.decoder.weights(ctx.dtype), weight.reshape(-1)
        kept = _heaviest(weight.reshape(-1, len(flat_x)), LEFT_OUT[ctx.dtype]).reshape(-1).nonzero()[:, 0]
        for part in _pieces(len(kept), h.device):
            at, image = kept[part], kept[part] % len(flat_x)
            with torch.enable_grad():
                inputs = flat_h[at].requires_grad_(), flat_x[image].requires_grad_()
                log_p = _log_prob(ctx.decoder.decode(inputs[0], weights), inputs[1])
            to_h, to_x = torch.autograd.grad(log_p, inputs, weight[at])
            grad_h.view(-1, h.shape[-1])[at] = to_h
            grad_x.view(flat_x.shape).index_add_(0, image, to_x)
        return grad_h, grad_x, None


def _pieces(n: int, device: torch.device) -> list[slice]:
    size = PIECE.get(device.type, PIECE["cpu"])
    return [slice(start, start + size) for start in range(0, n, size)]


def _heaviest(weight: Tensor, left_out: float) -> Tensor:
    """Mask of the entries that matter, (term, image): the lightest of an image that sum to under `left_out` do not.

    NaN and infinite entries always matter, so that they are seen.
    """
    size, order = weight.abs().sort(dim=0)
    light = (size.cumsum(0) < left_out * size.sum(0)) | (size == 0)
    return torch.zeros_like(light).scatter_(0, order, ~light)
