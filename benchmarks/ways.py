"""Other ways to decode, tried and left: they give what `lib.models.decoder` gives (a test compares), at
another speed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.arithmetic import BFLOAT16, has_bfloat16, products
from lib.models import DeepBayes, decoder
from lib.models.decoder import Pixels


def transposed(net, maps, last):
    """The last layer as the library's transposed convolution."""
    return torch.sigmoid(F.conv_transpose2d(maps, last, stride=2, padding=2, output_padding=1 - net.sides[-1] % 2))


def shuffled(net, maps, last):
    """Four 3x3 convolutions, one for each parity of row and column, laid between each other."""
    kernels = torch.stack([_parity(last, row, column, pad=True) for row in range(2) for column in range(2)], dim=1)
    return torch.sigmoid(F.pixel_shuffle(F.conv2d(maps, kernels.flatten(0, 1), padding=1), 2))


def banded(last: Tensor) -> Tensor:
    """The last layer's weight for two neighbouring columns at once, (2 * channel, 5 * 7): what they share is added
    in it."""
    kernel = last.new_zeros(2, last.shape[0], 5, 7)
    for column in range(2):
        kernel[column, ..., 2 * column:2 * column + 5] = last[:, 0]
    return kernel.flatten(0, 1).flatten(1)


def paired(net, maps, last, kernel: Tensor):
    """The last layer as a product over pairs of columns: fewer results to add up. kernel: `banded` of it."""
    taps = kernel.T @ maps.permute(0, 2, 3, 1).reshape(len(maps), -1, len(kernel)).transpose(1, 2)
    taps = taps.to(torch.promote_types(taps.dtype, torch.float32))
    return torch.sigmoid(F.fold(taps, (net.sides[-1],) * 2, kernel_size=(5, 7), stride=(2, 4), padding=2))


def parities(weight: Tensor) -> list[list[Tensor]]:
    """A transposed convolution's weight as four kernels of plain ones, by parity of row and column."""
    return [[_parity(weight, row, column) for column in range(2)] for row in range(2)]


def phases(net, h, weights, kernels: list[list[Tensor]]):
    """The middle layer as four plain convolutions. kernels: `parities` of it."""
    dense, bias, first, _, last = weights
    maps = decoder.Decoder.maps(net, h, [dense, bias, first, last])
    shape = (len(maps), kernels[0][0].shape[0], 2 * maps.shape[2], 2 * maps.shape[3])
    out = torch.empty(shape, dtype=maps.dtype, device=maps.device).contiguous(memory_format=torch.channels_last)
    for row in range(2):
        for column in range(2):
            room = out[:, :, row::2, column::2]             # the convolution of few rows has one of zeros before it
            found = F.conv2d(maps, kernels[row][column], padding=1)[:, :, row:, column:]
            torch.clamp_min(found[:, :, :room.shape[2], :room.shape[3]], 0, out=room)
    return out


def _parity(weight, row: int, column: int, pad: bool = False):
    """The taps of a 5x5 transposed convolution that meet outputs of one parity, as a kernel of a plain one."""
    kernel = weight[:, :, row::2, column::2].flip(2, 3).transpose(0, 1)
    return F.pad(kernel, (column, 0, row, 0)) if pad else kernel.contiguous(memory_format=torch.channels_last)


def packed(net, weights: list[Tensor]) -> list[Tensor] | None:
    """The hidden transposed convolutions' weights as oneDNN reads them, or None where it does not do them."""
    if weights[0].device.type != "cpu" or not has_bfloat16("cpu"):
        return None
    _, _, *convs, _ = weights
    sides = (net.first[1], *net.sides)
    return [torch.ops.mkldnn._reorder_convolution_transpose_weight(
        conv, *_settings(side), 1, (decoder.PIECE["cpu"], conv.shape[0], before, before))
        for conv, before, side in zip(convs, sides, net.sides)]


def fused(net, h, weights, packed: list[Tensor]):
    """The hidden layers with weights laid out beforehand and the ReLU inside the convolution."""
    dense, bias, *_ = weights
    maps = (F.linear(h.to(dense.dtype), dense, bias).relu_().unflatten(1, net.first)
            .contiguous(memory_format=torch.channels_last))
    for weight, side in zip(packed, net.sides):
        maps = torch.ops.mkldnn._convolution_transpose_pointwise(maps, weight, None, *_settings(side), 1,
                                                                 "relu", [], "")
    return maps


def _settings(side: int) -> tuple[list[int], ...]:
    """Padding, output padding, stride and dilation of a layer that makes maps of this side."""
    return [2, 2], [1 - side % 2] * 2, [2, 2], [1, 1]


def foresee(model: DeepBayes, x: Tensor, noise: Tensor, y: Tensor, nats: float, first: int = 2) -> Tensor:
    """Log weights, (sample, class, batch), minus infinity where not decoded; in bfloat16.

    All but the pixels' term is known beforehand. Of each class the `first` samples that it likes best are decoded; a
    further one only if, with the best pixels' term of its class, it would come within `nats` of the best of those that
    it is weighed against: the true class's own samples, or all the others'.
    """
    with products(BFLOAT16, x.device):
        every = torch.arange(model.classes, device=x.device)[:, None].expand(-1, len(x))
        q = model.posterior(model.posterior.trunk(x), every)
        value = {"x": x, "y": every, "z": q.at(noise)}
        terms = {v: (model.factors[v], model.graph.parents(v)) for v in "zy"}
        known = sum(factor(**{p: value[p] for p in parents}).log_prob(value[v])
                    for v, (factor, parents) in terms.items())
        known = (known - q.log_prob(value["z"])).expand(noise.shape[:3])
        image = model.factors["x"]
        h = F.relu(image.joint(*(value[p] for p in image.parents)))
        pixels = known.new_full(known.shape, -torch.inf)
        where = torch.zeros_like(known, dtype=torch.bool).scatter_(
            0, known.topk(min(first, len(known)), dim=0).indices, True)
        pixels[where] = Pixels(image.decoder, h[where]).log_prob(x[where.nonzero()[:, 2]])
        best = torch.where(_own(known, y), *(_best(known + pixels, side) for side in (_own(known, y), ~_own(known, y))))
        more = ~where & (known + pixels.amax(0) >= best - nats)
        pixels[more] = Pixels(image.decoder, h[more]).log_prob(x[more.nonzero()[:, 2]])
        return known + pixels


def weights_of(log_w: Tensor, y: Tensor) -> Tensor:
    """What each sample weighs in the gradient of the cross-entropy, (side, sample, class, batch): as one of the true
    class's, and as one of all the others'."""
    own = _own(log_w, y)
    sides = [log_w.masked_fill(~side, -torch.inf).flatten(0, 1).softmax(0).view_as(log_w) for side in (own, ~own)]
    return torch.stack(sides)


def _own(log_w: Tensor, y: Tensor) -> Tensor:
    return (torch.arange(log_w.shape[1], device=y.device)[:, None] == y).expand_as(log_w)


def _best(log_w: Tensor, side: Tensor) -> Tensor:
    return log_w.masked_fill(~side, -torch.inf).amax((0, 1))
