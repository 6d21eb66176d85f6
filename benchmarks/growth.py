"""How the cost of a gradient step grows with images, classes and samples, and what memory it takes."""

from functools import partial

from benchmarks.contest import Contest, Entry
from benchmarks.gradients import OURS_COARSE, PLAIN
from benchmarks.subjects import Subject

BATCH = 5           # images that an attack on a decoder model takes at a time, at the laptop profile
FEW, ONCE, PLAIN_ONCE = f"{OURS_COARSE}, {BATCH} at a time", f"{OURS_COARSE}, all at once", f"{PLAIN}, all at once"


def images(make, counts: tuple[int, ...], plain_counts: tuple[int, ...]) -> Contest:
    """Time and peak memory against images: ours `BATCH` at a time, ours in one call, and the plain way in one call.

    make(images=..., samples=..., classes=...) gives a subject.
    """
    entries = {}
    for n in counts:
        subject = make(images=n)
        for name, batch in {FEW: BATCH, ONCE: n}.items():
            entries[f"{name}: {n}"] = Entry(partial(subject.gradient, "bfloat16", batch), "bfloat16", n)
        if n in plain_counts:
            entries[f"{PLAIN_ONCE}: {n}"] = Entry(partial(subject.plain_gradient, n), images=n)
    return _contest("images", subject, entries, weighed=True)


def samples(make, counts: tuple[int, ...]) -> Contest:
    """Time against samples K of the importance estimate."""
    return _axis("samples", counts, lambda k: make(images=BATCH, samples=k))


def classes(make, counts: tuple[int, ...]) -> Contest:
    """Time against classes; untrained models, whose gradient needs every class, so the dearest case."""
    return _axis("classes", counts, lambda c: make(images=BATCH, classes=c))


def _axis(name: str, counts: tuple[int, ...], make) -> Contest:
    entries = {}
    for n in counts:
        subject = make(n)
        entries[f"{FEW}: {n}"] = Entry(partial(subject.gradient, "bfloat16", BATCH), "bfloat16", BATCH)
        entries[f"{PLAIN_ONCE}: {n}"] = Entry(partial(subject.plain_gradient, BATCH), images=BATCH)
    return _contest(name, subject, entries)


def _contest(axis: str, subject: Subject, entries: dict, weighed: bool = False) -> Contest:
    key = {"dataset": subject.dataset, "model": subject.model.name, "class": axis}
    return Contest("growth", len(subject.x), entries, key=key, weighed=weighed, source=subject.source)
