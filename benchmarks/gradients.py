"""One gradient step through a deep Bayes classifier: ours, the plain way, and ours with one idea taken away."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks import ways
from benchmarks.contest import Contest, Entry
from benchmarks.subjects import Subject
from lib.arithmetic import BFLOAT16, used
from lib.models import decoder

PLAIN, LIGHTER, OURS, OURS_COARSE = "plain", "plain, no weight gradients", "ours, float32", "ours, bfloat16"
ALL, MOVED = "all samples", 0.1
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
               "last layer as a transposed convolution": without(lambda: _last(ways.transposed)),
               "all without": without(_plain)}
    return Contest("ideas", len(subject.x), entries, "all without", _key(subject), source=subject.source)


def pieces(subject: Subject, batch: int) -> Contest:
    """The same in pieces of other sizes."""
    def of(size: int):
        def run():
            with _pieces(size):
                return subject.gradient("bfloat16", batch)
        return Entry(run, "bfloat16")
    entries = {f"{size} images": of(size) for size in dict.fromkeys((decoder.PIECE["cpu"], 50, 100, 500))}
    return Contest("ideas", len(subject.x), entries, next(iter(entries)), _key(subject) | {"class": "pieces of"},
                   source=subject.source)


def tried(subject: Subject, compiled: bool) -> Contest:
    """Other ways to decode, piece by piece, in bfloat16. compiled: also by torch.compile, where there is a compiler."""
    net = subject.model.factors["x"].decoder
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(decoder.PIECE["cpu"], net.dense.in_features, generator=generator).to(subject.x.device)
    weights = net.weights(getattr(torch, used(BFLOAT16, subject.x.device)))

    def way(maps: Callable = decoder.Decoder.maps, means: Callable = decoder.Decoder.means) -> Entry:
        @torch.no_grad()
        def run():
            for _ in range(TURNS):
                means(net, maps(net, h, weights), weights[-1])
        return Entry(run, "bfloat16")
    kernels, pairs = ways.parities(weights[-2]), ways.banded(weights[-1])
    entries = {"as it is": way(), "last layer as a transposed convolution": way(means=ways.transposed),
               "last layer as 3x3 and pixel shuffle": way(means=ways.shuffled),
               "last layer by pairs of columns": way(means=partial(ways.paired, kernel=pairs)),
               "middle layer as four phases": way(maps=partial(ways.phases, kernels=kernels))}
    if (packed := ways.packed(net, weights)) is not None:
        entries["hidden layers laid out once, ReLU fused"] = way(maps=partial(ways.fused, packed=packed))
    if compiled and (faster := _compiled(net, h, weights)) is not None:
        entries["torch.compile"] = way(lambda net, h, weights: h, lambda net, h, last: faster(h, weights))
    return Contest("tried", TURNS * len(h), entries, "as it is", _key(subject), source=subject.source)


def foresight(subject: Subject) -> Contest:
    """Decoding only the samples that promise to weigh, told from the first two of each class; the way forward alone, on
    images that one step of an attack has moved.

    judge: the share of images that keep all but `LEFT_OUT` of their gradient's weight, as the way back does for all.
    """
    moved = (subject.x + MOVED * subject.gradient("bfloat16").sign()).clamp(0, 1)

    @torch.no_grad()
    def within(nats: float) -> torch.Tensor:
        return ways.foresee(subject.model, moved, subject.noise, subject.y, nats)
    whole = ways.weights_of(within(float("inf")), subject.y)

    def kept(log_w: torch.Tensor) -> float:
        lost = whole.masked_fill(log_w > -torch.inf, 0).flatten(1, 2).sum(1)    # of both sides: true class, others
        return float((lost < decoder.LEFT_OUT[torch.bfloat16]).all(0).double().mean())
    limits = {ALL: float("inf")} | {f"within {nats} nats": nats for nats in (10, 15, 20)}
    entries = {name: Entry(partial(within, nats), "bfloat16") for name, nats in limits.items()}
    return Contest("foresight", len(moved), entries, ALL, _key(subject), judge=kept, source=subject.source)


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
    with _pieces(10**9), _left_out(0.0), _last(ways.transposed):
        yield


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
