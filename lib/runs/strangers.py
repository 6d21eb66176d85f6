"""What detectors say of images that show no digit, or another one: nothing is attacked (the authors' notebooks).

A record holds what every network says of some strangers. Rows: the AUC of each detector between its class and them, and
the share of them that each system accepts.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import data
from lib.detectors.one_vs_rest import Reject
from lib.metrics import auc as area
from lib.metrics import auc_interval, wilson
from lib.models import stream
from lib.profiles import DETECTORS
from lib.profiles import profile as profile_of
from lib.results import COLUMNS, RESULTS, Record, read_record, same, significant
from lib.runs import reject, systems, units
from lib.runs.heads import split
from lib.runs.systems import read
from lib.runs.training import dataset_of

OTHERS = "other digits"
KINDS = ("noise", "noise in the box", "photographs", "fashion-mnist")     # beside OTHERS, which are test images


def photographs(n: int, shape: tuple[int, ...]) -> Tensor:
    """Patches of two photographs in grey, cut to the shape: (n or as many as there are, 1, H, W) in [0, 1]."""
    found = data.load("patches")
    grey = torch.cat([part.images().mean(1, keepdim=True) for part in (found.test, found.train)])
    top, left = ((have - want) // 2 for have, want in zip(grey.shape[2:], shape[1:]))
    return grey[:n, :, top:top + shape[1], left:left + shape[2]]


def images_of(kind: str, n: int, profile: str, seed: int) -> tuple[Tensor, str]:
    """Images of a kind, and where they come from. "noise": standard normal pixels, as in the authors' notebook, which
    leave [0, 1]; "noise in the box": the same, clipped. Raises ValueError for an unknown kind."""
    shape = dataset_of(profile).shape
    if kind.startswith("noise") and kind in KINDS:
        drawn = stream("strangers/noise", seed).standard_normal((n, *shape), dtype=np.float32)
        return torch.from_numpy(drawn if kind == "noise" else drawn.clip(0, 1)), "random numbers"
    if kind == "photographs":
        return photographs(n, shape), data.load("patches").source
    if kind == "fashion-mnist":
        found = data.load(kind)
        return found.test.images(slice(0, n)), found.source
    raise ValueError(f"unknown strangers {kind!r}; expected one of {', '.join(KINDS)}")


def kinds() -> list[str]:
    """Those that can be had on this machine."""
    return [kind for kind in KINDS if kind != "fashion-mnist" or data.on_disk(kind)]


def settings_for(system: str, kind: str, profile: str, seed: int) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    return {"experiment": "strangers", "dataset": profile_of(profile).dataset, "model": "GAT", "variant": system,
            "attack": kind, "seed": seed, "profile": profile, "protocol": "published", "dtype": "float32"}


def compute(load: Callable, system: str, kind: str, n: int, profile: str, seed: int, device: torch.device):
    """The record of one unit. kind "clean": test images, "validation": images that thresholds are fitted on.

    load(system, device): f, heads and madry, in float32 (`systems.networks`).
    """
    dataset, natural = dataset_of(profile), {"clean": dataset_of(profile).test, "validation": split(profile)[1]}
    if kind in natural:
        part, index = natural[kind], slice(0, n)
        x, source, arrays = part.images(index), dataset.source, {"label": part.labels(index).numpy().astype(np.int8)}
    else:
        (x, source), arrays = images_of(kind, n, profile, seed), {}
    arrays |= {name: significant(read(net, x, device)) for name, net in load(system, device).items()}
    return arrays, settings_for(system, kind, profile, seed) | {"data": "; ".join(dict.fromkeys((dataset.source,
                                                                                               source)))}


def summarise(records: list[Record]) -> list[dict]:
    """auc: model GAT, a row a detector (column class) and kind of strangers (column attack). accepted: the share of
    strangers that a system accepts at the thresholds of lib.runs.reject (column detector). OTHERS: test images of every
    other class for the AUC; for a system they are no strangers."""
    groups = defaultdict(dict)
    for record in records:
        groups[(record.settings["variant"], record.settings["seed"])][record.settings["attack"]] = record
    rows = []
    for group in groups.values():
        if not {"clean", "validation"} <= group.keys():
            continue
        same(group.values(), "weights")
        clean, label = group["clean"], group["clean"]["label"]
        key = {name: value for name, value in clean.settings.items() if name in COLUMNS} | {"attack": OTHERS}
        rows += [key | _auc(k, clean["heads"][label == k, k], clean["heads"][label != k, k])
                 for k in np.unique(label).tolist()]
        for kind in (kind for kind in KINDS if kind in group):
            record = group[kind]                # its `data` names the strangers too; rows tell them by `attack`
            key = ({name: value for name, value in record.settings.items() if name in COLUMNS}
                   | {"data": clean.settings["data"]})
            rows += [key | _auc(k, clean["heads"][label == k, k], record["heads"][:, k])
                     for k in np.unique(label).tolist()]
            rows += [key | _accepted(group["validation"], record, system, share)
                     for system in reject.SYSTEMS for share in reject.REJECTED if share]
    return rows


def _auc(k: int, own: np.ndarray, others: np.ndarray) -> dict:
    low, high = auc_interval(-own, -others)
    return {"class": str(k), "metric": "auc", "value": area(-own, -others), "low": low, "high": high, "n": len(others)}


def _accepted(validation: Record, record: Record, system: str, share: float) -> dict:
    threshold = Reject.fit(reject.reading(validation, system)[1], share)
    kept = threshold.accepts(reject.reading(record, system)[1])
    low, high = wilson(kept.mean(), len(kept))
    return {"model": system, "detector": f"reject {share:.0%}", "metric": "accepted", "value": float(kept.mean()),
            "low": low, "high": high, "n": len(kept)}


def strangers(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
               fresh: bool = False, only: str | None = None):
    """Rows of every whole system before strangers. Forward passes alone."""
    profile_of(profile)
    load = systems.networks(profile, seed, results)
    n = DETECTORS[profile].attacked_images["strangers"]
    sizes = {"clean": max(n, 100), "validation": max(n, 100)} | dict.fromkeys(kinds(), n)
    todo = [units.Unit(f"GAT_{system}_{'-'.join(kind.split())}_seed{seed}",
                       lambda device, job=(system, kind, size): systems.signed(
                           compute(load, *job, profile, seed, device), job[0], profile, seed, results), size,
                       expected=settings_for(system, kind, profile, seed))
            for system, classes in DETECTORS[profile].systems.items() if len(classes) == 10
            for kind, size in sizes.items()]
    return units.ensure("strangers", todo, summarise, profile=profile, device=device, results=results, fresh=fresh,
                        only=only, seed=seed)


def logits(system: str, profile: str, seed: int, results: Path | None = None) -> tuple[dict, dict]:
    """Largest detector logits by kind of image, test digits first, and thresholds by label; empty without records."""
    folder = Path(results or RESULTS) / profile / "strangers"
    found = {r.settings["attack"]: r for r in map(read_record, folder.glob(f"GAT_{system}_*_seed{seed}.npz"))}
    if not {"clean", "validation"} <= found.keys():
        return {}, {}
    named = {"test digits": found["clean"]} | {kind: found[kind] for kind in KINDS if kind in found}
    held = found["validation"]["heads"].max(1)
    return ({name: record["heads"].max(1) for name, record in named.items()},
            {f"{share:.0%}": Reject.fit(held, share).threshold for share in reject.REJECTED if share})


if __name__ == "__main__":
    units.main(strangers, __doc__)
