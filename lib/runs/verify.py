"""Compute stored images again and compare them with their record: python -m lib.runs.verify --images 20 [--seed N]

Rows are drawn at random by a seed that is printed. Of each, one image is drawn, and computed again with the stored seed
together with the images that were attacked with it: noise depends on purpose, seed, image and step alone, and equal
batches add their floating-point numbers in the same order. So on the same kind of processor, with the same torch, code
and one thread, every number comes back to the last bit. Elsewhere sums are rounded otherwise, and a gradient near zero
may change its sign: after one step an image differs in some pixels, after a hundred it is another path to the same
place. `Tolerance` says what may come of that, and the image is computed alone: company would buy nothing. Exit status:
0 if all agree, 1 if one differs, 2 if nothing could be done.
"""

import argparse
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lib.models import stream
from lib.profiles import profile as profile_of
from lib.results import RESULTS, Record, read_record
from lib.runs import averaging, carlini, clean, precision, samples, spread, whitebox
from lib.runs.training import checkpoint
from lib.runs.units import device_name, device_of
from lib.runs.victims import Victim, first_images

Arrays = dict[str, np.ndarray]
ON_A_GPU = 50   # about how many times as fast as one core of a CPU: for guesses of how long something takes
PER_CELL = ("predictions", "log_joint", "l2", "linf")   # arrays whose first axis is the cell, and the second the image


@dataclass(frozen=True)
class Tolerance:
    """How far an image may be from its record.

    draws: share of the fresh draws that may change between right and wrong. nats, relative: of log joints, added up.
    l2: relative. linf: pixels.
    """

    draws: float
    nats: float
    relative: float
    l2: float
    linf: float = 1e-3


# Rounding alone: measured 1e-6 relative; a draw at a tie may still fall on the other side.
NOT_ATTACKED = Tolerance(draws=0.1, nats=0.05, relative=1e-3, l2=0.0)
# Another order of addition in bfloat16 gradients: measured up to 0.95 nats of some 60, 2.3 % in l2, one draw in ten.
ATTACKED = Tolerance(draws=0.3, nats=2.0, relative=0.05, l2=0.05)


@dataclass(frozen=True)
class Check:
    """again(settings, first, last, results, device): the arrays of test images first <= i < last, named as in
    the record."""

    again: Callable[[dict, int, int, Path | None, torch.device], Arrays]
    tolerance: Tolerance = ATTACKED


def _clean(s: dict, first: int, last: int, results: Path | None, device: torch.device) -> Arrays:
    victim = Victim.load(s["model"], s["profile"], s["seed"], device, results)
    images, x, y, _ = first_images(victim.profile, first, last)
    return clean.on_test(victim, images, x, y, len(images))


def _whitebox(s: dict, first: int, last: int, results: Path | None, device: torch.device) -> Arrays:
    return whitebox.compute(s["model"], s["attack"], s["seed"], first, last, s["profile"], results, device)[0]


def _carlini(s: dict, first: int, last: int, results: Path | None, device: torch.device) -> Arrays:
    return carlini.compute(s["model"], s["seed"], first, last, s["profile"], results, device)[0]


CHECKS = {                      # another experiment joins by one entry
    "clean": Check(_clean, NOT_ATTACKED),
    "samples": Check(lambda s, first, last, results, device: samples.compute(
        s["model"], s["seed"], s["profile"], results, device, first, last)[0], NOT_ATTACKED),
    "whitebox": Check(_whitebox),
    "strong": Check(_whitebox),
    "carlini": Check(_carlini),
    "precision": Check(lambda s, first, last, results, device: precision.compute(
        s["model"], s["cells"][0]["eps"], s["seed"], s["profile"], results, device, first, last)[0]),
    "averaging": Check(lambda s, first, last, results, device: averaging.compute(
        s["model"], s["variant"] if s["variant"] == averaging.NO_NOISE else int(s["variant"]), first,
        last, s["profile"], s["seed"], results, device)[0]),
    "spread": Check(lambda s, first, last, results, device: spread.compute(
        s["model"], first, last, s["profile"], s["seed"], results, device)[0]),
}


@dataclass(frozen=True)
class Drawn:
    """One image of one record, the images first <= i < last to compute with it, and about how many seconds it takes."""

    path: Path
    image: int
    first: int
    last: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}, image {self.image}"


def drawn(profile: str, seed: int, count: int, *, results: Path | None = None, limit: float = np.inf,
          keep: Callable[[dict], bool] = lambda settings: True) -> list[Drawn]:
    """`count` images of stored records: an experiment at random, a record of it, an image of that; none twice.

    limit: only those that took less, in seconds. keep: only records with such settings. Fewer where there are fewer.
    """
    rng, found = stream("verify", seed), {}
    for experiment in CHECKS:
        for path in sorted((Path(results or RESULTS) / profile / experiment).glob("*.npz")):
            record = read_record(path)
            s = record.settings
            kind = s["variant"] if experiment == "spread" else ""       # another training than the profile's own
            if keep(s) and checkpoint(s["model"], profile, s["seed"], kind, results).exists():
                choices = [choice for choice in _choices(record) if choice.seconds < limit]
                if choices:
                    found.setdefault(experiment, []).append(choices)
    picked: list[Drawn] = []
    while len(picked) < count and found:
        experiment = sorted(found)[rng.integers(len(found))]
        records = found[experiment]
        at = rng.integers(len(records))
        picked.append(records[at].pop(rng.integers(len(records[at]))))
        if not records[at]:
            records.pop(at)
        if not records:
            found.pop(experiment)
    return picked


def _choices(record: Record) -> list[Drawn]:
    s, index = record.settings, record["index"].tolist()
    elsewhere = s["device"] != device_name(torch.device("cpu"))
    batch = 1 if elsewhere else profile_of(s["profile"]).batch_for(s["model"])
    each = s["seconds"] / len(index) * (ON_A_GPU if "threads" not in s["device"] else 1)
    parts = [index[start:start + batch] for start in range(0, len(index), batch)]
    return [Drawn(record.path, image, part[0], part[-1] + 1, each * len(part)) for part in parts for image in part]


def compared(record: Record, again: Arrays, image: int, allowed: Tolerance) -> list[str]:
    """What differs between a record and an image computed again by more than is allowed, in words; empty if nothing."""
    here, there = (int(np.flatnonzero(arrays["index"] == image)[0]) for arrays in (record, again))
    label, wrong = int(record["label"][here]), []
    if label != again["label"][there]:
        wrong.append(f"label {label}, again {int(again['label'][there])}")
    for cell, settings in enumerate(record.settings["cells"]):
        a, b = ({name: arrays[name][cell, at] for name in PER_CELL} for arrays, at in ((record, here), (again, there)))
        place = settings.get("variant") or (f"eps {settings['eps']:g}" if "eps" in settings else settings["attack"])
        shares = [float((draws["predictions"] != label).mean()) for draws in (a, b)]
        if abs(shares[0] - shares[1]) > allowed.draws + 1e-9:
            wrong.append(f"{place}: wrong in {shares[0]:.0%} of the draws, again in {shares[1]:.0%}")
        wrong += _log_joints(place, a["log_joint"], b["log_joint"], allowed)
        for name, room in (("l2", allowed.l2 * abs(a["l2"]) + 1e-3), ("linf", allowed.linf)):
            if not abs(a[name] - b[name]) <= room:
                wrong.append(f"{place}: {name} {a[name]:.4f}, again {b[name]:.4f}")
    if "test_log_joint" in again:                           # the one draw of `clean`
        a, b = (arrays["test_log_joint"][arrays["test_index"] == image][0] for arrays in (record, again))
        wrong += _log_joints("one draw", a, b, allowed)
    return wrong


def _log_joints(place: str, stored: np.ndarray, again: np.ndarray, allowed: Tolerance) -> list[str]:
    beyond = np.abs(stored - again) - (allowed.nats + allowed.relative * np.abs(stored))
    if (beyond <= 0).all():
        return []
    worst = int(np.argmax(np.where(np.isnan(beyond), np.inf, beyond)))
    return [f"{place}: log joint of class {worst} {stored[worst]:.3f}, again {again[worst]:.3f}"]


def identical(record: Record, again: Arrays, image: int) -> bool:
    """Whether every number of the image came back to the last bit."""
    here, there = (int(np.flatnonzero(arrays["index"] == image)[0]) for arrays in (record, again))
    return all(np.array_equal(record[name][:, here], again[name][:, there]) for name in PER_CELL)


def verify(one: Drawn, device: torch.device, results: Path | None = None) -> tuple[list[str], bool]:
    """Compute one image again: what differs by more than is allowed, and whether all came back to the last bit."""
    record = read_record(one.path)
    check = CHECKS[record.settings["experiment"]]
    again = check.again(record.settings, one.first, one.last, results, device)
    return compared(record, again, one.image, check.tolerance), identical(record, again, one.image)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="of the draw; default: another one each time")
    parser.add_argument("--limit", type=float, default=120.0, help="leave out images that took longer, in seconds")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=None)
    args = parser.parse_args()
    seed = secrets.randbelow(10**6) if args.seed is None else args.seed
    try:
        device, chosen = (device_of(args.device),
                          drawn(args.profile, seed, args.images, results=args.results, limit=args.limit))
        if not chosen:
            raise ValueError(f"no record of profile {args.profile!r} has its weights and took under {args.limit:g} s")
        print(f"{len(chosen)} images, drawn with seed {seed}; about {sum(one.seconds for one in chosen):.0f} s",
              flush=True)
        bad = exact = 0
        for one in chosen:
            wrong, same = verify(one, device, args.results)
            bad, exact = bad + bool(wrong), exact + same
            print(f"{one.name}: "
                  + ("DIFFERS: " + "; ".join(wrong) if wrong else "the same bits" if same else "agrees"), flush=True)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(chosen) - bad} of {len(chosen)} agree with their record, {exact} to the last bit")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
