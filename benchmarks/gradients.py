"""One gradient step through a deep Bayes classifier: ours, the plain way, and ours with one idea taken away."""

from collections.abc import Callable
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from benchmarks.contest import Contest, Entry
from benchmarks.subjects import Subject
from lib.models import decoder

PLAIN, LIGHTER, OURS, OURS_COARSE = "plain", "plain, no weight gradients", "ours, float32", "ours, bfloat16"
TURNS = 10          # pieces that one contender decodes before the next has its turn


def gradient(subject: Subject, batch: int) -> Contest:
    """The input gradient of all images, ours beside the plain way."""
    entries = {PLAIN: Entry(lambda: subject.plain_gradient(batch)),
               LIGHTER: Entry(lambda: subject.plain_gradient(batch, backward=False)),
               OURS: Entry(lambda: subject.gradient("float32", batch)),
               OURS_COARSE: Entry(lambda: subject.gradient("bfloat16", batch), "bfloat16")}
    return Contest("gradient", len(subject.x), entries, PLAIN, _key(subject), counted=True, source=subject.source)


def ideas(subject: Subject, batch: int) -> Contest:
    """The same in bfloat16 with one idea taken away at a time: what each brings."""
    def without(change: Callable):
        def run():
            with change():
                return subject.gradient("bfloat16", batch)
        return Entry(run, "bfloat16")
    entries = {"all": Entry(lambda: subject.gradient("bfloat16", batch), "bfloat16"),
               "without pieces": without(lambda: _pieces(10**9)),
               "the way back for every image": without(lambda: _left_out(0.0)),
               "last layer as a transposed convolution": without(lambda: _last(_transposed)),
               "all without": without(_plain)}
    return Contest("ideas", len(subject.x), entries, "all without", _key(subject), source=subject.source)


def tried(subject: Subject, compiled: bool) -> Contest:
    """Other ways to decode, piece by piece, in bfloat16. compiled: also by torch.compile, where there is a compiler."""
    net = subject.model.factors["x"].decoder
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(decoder.PIECE["cpu"], net.dense.in_features, generator=generator).to(subject.x.device)
    weights = net.weights(torch.bfloat16)

    def way(maps: Callable = decoder.Decoder.maps, means: Callable = decoder.Decoder.means) -> Entry:
        @torch.no_grad()
        def run():
            for _ in range(TURNS):
                means(net, maps(net, h, weights), weights[-1])
        return Entry(run, "bfloat16")
    entries = {"as it is": way(), "last layer as a transposed convolution": way(means=_transposed),
               "last layer as 3x3 and pixel shuffle": way(means=_shuffled), "middle layer as four phases": way(maps=_phases)}
    if compiled and (faster := _compiled(net, h, weights)) is not None:
        entries["torch.compile"] = way(lambda net, h, weights: h, lambda net, h, last: faster(h, weights))
    return Contest("tried", TURNS * len(h), entries, "as it is", _key(subject), source=subject.source)


def _key(subject: Subject) -> dict:
    return {"dataset": subject.dataset, "model": subject.model.name, "draws": subject.noise.shape[0]}


@contextmanager
def _replaced(where: dict, values: dict):
    kept = dict(where)
    where.update(values)
    try:
        yield
    finally:
        where.update(kept)


def _pieces(size: int):
    return _replaced(decoder.PIECE, dict.fromkeys(decoder.PIECE, size))


def _left_out(share: float):
    return _replaced(decoder.LEFT_OUT, dict.fromkeys(decoder.LEFT_OUT, share))


@contextmanager
def _last(other: Callable):
    kept = decoder.Decoder.means
    decoder.Decoder.means = other
    try:
        yield
    finally:
        decoder.Decoder.means = kept


@contextmanager
def _plain():
    with _pieces(10**9), _left_out(0.0), _last(_transposed):
        yield


def _transposed(net, maps, last):
    return torch.sigmoid(F.conv_transpose2d(maps, last, stride=2, padding=2, output_padding=1 - net.sides[-1] % 2))


def _shuffled(net, maps, last):
    """Four 3x3 convolutions, one for each parity of row and column, laid between each other."""
    kernels = torch.stack([_phase(last, row, column, pad=True) for row in range(2) for column in range(2)], dim=1)
    return torch.sigmoid(F.pixel_shuffle(F.conv2d(maps, kernels.flatten(0, 1), padding=1), 2))


def _phases(net, h, weights):
    dense, bias, first, middle, last = weights
    maps = decoder.Decoder.maps(net, h, [dense, bias, first, last])
    shape = (len(maps), middle.shape[1], 2 * maps.shape[2], 2 * maps.shape[3])
    out = torch.empty(shape, dtype=maps.dtype, device=maps.device).contiguous(memory_format=torch.channels_last)
    for row in range(2):
        for column in range(2):
            room = (1 - column, 1, 1 - row, 1)              # left, right, above, below
            out[:, :, row::2, column::2] = F.conv2d(F.pad(maps, room), _phase(middle, row, column))
    return out.relu_()


def _phase(weight, row: int, column: int, pad: bool = False):
    """The taps of a 5x5 transposed convolution that meet outputs of one parity, as a kernel of a plain one."""
    kernel = weight[:, :, row::2, column::2].flip(2, 3).transpose(0, 1)
    return F.pad(kernel, (column, 0, row, 0)) if pad else kernel.contiguous(memory_format=torch.channels_last)


def _compiled(net, h, weights):
    """`decode` compiled, or None where there is no compiler for it."""
    compiled = torch.compile(lambda h, weights: decoder.Decoder.decode(net, h, weights))
    try:
        with torch.no_grad():
            compiled(h, weights)
        return compiled
    except Exception as error:                              # many kinds: a missing compiler, headers, an old one
        if "compil" not in f"{type(error).__name__} {error}".lower():
            raise
        return None
