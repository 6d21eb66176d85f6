"""The image decoder, and log p(x | ...) under it: in pieces that fit the cache, with a gradient where it counts.

Decoding is what a gradient through a deep Bayes classifier costs: an image for every class and sample. So the weights
are cast once a call and not once a piece; of the maps only signs are kept for the way back, which is walked for those
images alone that carry weight; and the last layer, with one output channel, is a matrix product.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.nets import Architecture

PIECE = {"cpu": 200, "cuda": 20_000}  # images decoded at a time: on a CPU few enough that their maps stay in the cache
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
        self.convs = nn.ModuleList(nn.ConvTranspose2d(a, b, 5, stride=2, padding=2,
                                                      output_padding=1 - side % 2, bias=False)
                                   for a, b, side in zip(depth, depth[1:], self.sides))
        for conv in self.convs:
            bound = 1 / (25 * conv.out_channels)    # far below Glorot: the decoder starts at a flat grey image
            nn.init.uniform_(conv.weight, -bound, bound)

    def forward(self, h: Tensor) -> Tensor:
        """h: (*lead, hidden) after its ReLU. Returns pixel means in (0, 1), (*lead, channel, H, W), float32
        or wider."""
        return self.decode(h, self.weights(working_dtype(h)))

    def weights(self, dtype: torch.dtype) -> list[Tensor]:
        """What `decode` takes: dense weight and bias, then the convolutions, in `dtype`."""
        return [w.to(dtype) for w in (self.dense.weight, self.dense.bias, *(conv.weight for conv in self.convs))]

    def alive(self, n: int, device: torch.device) -> list[Tensor]:
        """Room for what `pull` wants to know of n images: for every layer, where its ReLU lets pass, (n, H, W,
        channel)."""
        sides, channels = (self.first[1], *self.sides), (conv.in_channels for conv in self.convs)
        return [torch.empty(n, side, side, c, dtype=torch.bool, device=device) for side, c in zip(sides, channels)]

    def decode(self, h: Tensor, weights: list[Tensor], alive: list[Tensor] | None = None) -> Tensor:
        """As `forward`, in the type of the weights. alive: is filled for `pull`."""
        return self.means(self.maps(h.flatten(0, -2), weights, alive), weights[-1]).unflatten(0, h.shape[:-1])

    def maps(self, h: Tensor, weights: list[Tensor], alive: list[Tensor] | None = None) -> Tensor:
        """What the last layer works on, (image, channel, H, W)."""
        dense, bias, *convs, _ = weights
        maps = F.linear(h.to(dense.dtype), dense, bias).relu_()
        maps = maps.unflatten(1, self.first).contiguous(memory_format=torch.channels_last)
        for layer, (conv, side) in enumerate(zip([*convs, None], self.sides)):
            if alive is not None:
                alive[layer].copy_(maps.permute(0, 2, 3, 1))            # as bool: a comparison is ten times slower here
            if conv is not None:
                maps = F.conv_transpose2d(maps, conv, stride=2, padding=2, output_padding=1 - side % 2).relu_()
        return maps

    def means(self, maps: Tensor, last: Tensor) -> Tensor:
        """The last layer with its sigmoid: float32 or wider."""
        if maps.is_cuda and maps.requires_grad:         # in training: the way back through `fold` is a kernel an image
            found = F.conv_transpose2d(maps, last, stride=2, padding=2, output_padding=1 - self.sides[-1] % 2)
            return torch.sigmoid(found.to(torch.promote_types(found.dtype, torch.float32)))
        taps = last.flatten(1).T @ maps.flatten(2)      # (image, channel * 25, position), added up where they overlap
        taps = taps.to(torch.promote_types(taps.dtype, torch.float32))
        return torch.sigmoid(F.fold(taps, (self.sides[-1],) * 2, kernel_size=5, stride=2, padding=2))

    def pull(self, grad: Tensor, mean: Tensor, alive: list[Tensor], weights: list[Tensor]) -> Tensor:
        """The gradient of h, (image, hidden), from that of the means; both (image, channel, H, W). Needs no
        activation."""
        dense, _, *convs, last = weights
        passes = [layer.view(torch.uint8).to(dense.dtype) for layer in alive]       # bool times float is slow
        maps = (_patches(grad * mean * (1 - mean), last.dtype) @ last.flatten(1).T).view(passes[-1].shape) * passes[-1]
        for conv, through in zip(convs[::-1], passes[-2::-1]):
            maps = F.conv2d(maps.permute(0, 3, 1, 2), conv, stride=2, padding=2).permute(0, 2, 3, 1) * through
        return maps.permute(0, 3, 1, 2).flatten(1) @ dense


def _patches(maps: Tensor, dtype: torch.dtype) -> Tensor:
    """Every 5x5 patch of a 2-strided walk over maps padded by 2: (image, place, channel * 25)."""
    if maps.is_cuda:
        return _windows(maps.to(dtype))
    return F.unfold(maps, kernel_size=5, stride=2, padding=2).transpose(1, 2).to(dtype)


def _windows(maps: Tensor) -> Tensor:
    """The same as a strided view: on a GPU torch's `unfold` is one kernel an image."""
    windows = F.pad(maps, (2, 2, 2, 2)).unfold(2, 5, 2).unfold(3, 5, 2)         # image channel H W 5 5
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


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
        """In nats, of the leading axes' shape. x: (*batch, channel, H, W), *batch the last of the leading axes,
        or one."""
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
        lead = h.shape[:-1]
        ctx.decoder, ctx.weights, ctx.shapes = decoder, decoder.weights(working_dtype(h)), (h.shape, x.shape)
        h, x = h.reshape(-1, h.shape[-1]), x.reshape(-1, *x.shape[-3:])
        image, kept = torch.arange(len(h), device=h.device) % len(x), []
        found = h.new_empty(len(h), dtype=torch.float32)
        if any(ctx.needs_input_grad):
            kept = [torch.empty(len(h), *x.shape[1:], device=h.device), *decoder.alive(len(h), h.device)]
        for part in _pieces(len(h), h.device):
            mean = decoder.decode(h[part], ctx.weights, [layer[part] for layer in kept[1:]] if kept else None)
            found[part] = _log_prob(mean, x[image[part]])
            if kept:
                kept[0][part] = mean
        ctx.save_for_backward(x, *kept)
        return found.reshape(lead)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weight: Tensor) -> tuple[Tensor, Tensor, None]:
        x, mean, *alive = ctx.saved_tensors
        weights, weight, (shape_h, shape_x) = ctx.weights, weight.reshape(-1), ctx.shapes
        grad_h, grad_x = weight.new_zeros(len(weight), shape_h[-1]), torch.zeros_like(x)
        left_out = LEFT_OUT[weights[0].dtype]
        counts = _heaviest(weight.reshape(-1, len(x)), left_out).reshape(-1).nonzero()[:, 0]
        for part in _pieces(len(counts), x.device):
            at, image = counts[part], counts[part] % len(x)
            means = mean[at]
            slope = 2 * weight[at, None, None, None] * (x[image] - means)      # of the squared error: for the means
            grad_h[at] = ctx.decoder.pull(slope, means, [t[at] for t in alive], weights).to(grad_h.dtype)
            add_at(grad_x, image, -slope.to(grad_x.dtype))
        return grad_h.view(shape_h), grad_x.view(shape_x), None


def add_at(total: Tensor, index: Tensor, terms: Tensor) -> Tensor:
    """total[index[i]] += terms[i] for every i, in place and in the same order at every call.

    On a GPU index_add_ adds in whatever order its threads arrive; index_put_ sorts by index first.
    """
    return total.index_put_((index,), terms, accumulate=True) if total.is_cuda else total.index_add_(0, index, terms)


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
