"""A contest: several ways to do one thing, timed in turns; and the rows that follow from its record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.timing import alternating, matrix_rate, operations, peak_memory
from lib.arithmetic import used
from lib.results import Record


@dataclass(frozen=True)
class Entry:
    """One way. run: does the work on all images of the contest, or on `images` of its own. dtype: that of its matrix
    products, where the processor has it (`lib.arithmetic`); records say which was used."""

    run: Callable[[], object]
    dtype: str = "float32"
    images: int | None = None


@dataclass(frozen=True)
class Contest:
    """Several ways to do one thing to `images` images.

    reference: the entry that the others are compared with, if any. key: columns of the rows. counted: count operations,
    and compare with the machine's matrix rate. weighed: measure peak memory. judge: from what a run returns to a rate
    that must not suffer, such as the accuracy that an attack leaves.
    """

    name: str
    images: int
    entries: Mapping[str, Entry]
    reference: str = ""
    key: Mapping[str, object] = field(default_factory=dict)
    counted: bool = False
    weighed: bool = False
    judge: Callable[[object], float] | None = None
    source: str = ""

    def compute(self, rounds: int, device: torch.device, profile: str, seed: int, matrix: int) -> tuple[dict, dict]:
        """The record of this contest: seconds of each entry in each round, (entry, round). matrix: side of the square
        matrices whose product is the yardstick."""
        dtypes = {name: used(entry.dtype, device) for name, entry in self.entries.items()}
        rates = {dtype: matrix_rate(getattr(torch, dtype), device, size=matrix)
                 for dtype in set(dtypes.values())} if self.counted else {}
        seconds = alternating({name: entry.run for name, entry in self.entries.items()}, rounds)
        cells = [{"variant": name, "dtype": dtypes[name], "rate": rates.get(dtypes[name]),
                  "images": entry.images or self.images,
                  "megabytes": peak_memory(entry.run, device) if self.weighed else None,
                  "operations": operations(entry.run) if self.counted else None,
                  "judged": self.judge(entry.run()) if self.judge else None} for name, entry in self.entries.items()]
        arrays = {"seconds": np.stack([seconds[name] for name in self.entries])}
        return arrays, {"experiment": f"bench-{self.name}", "reference": self.reference, "cells": cells,
                        "profile": profile, "seed": seed, "data": self.source, "key": dict(self.key)}


def rows(record: Record) -> list[dict]:
    """Rows of a contest, an entry each: `seconds` an image (median, first and last quartile over rounds), `speedup`
    over the reference (of the paired rounds), `rate` (operations a second), `share` of the machine's matrix rate,
    `memory` (MB), `accuracy`."""
    s, found = record.settings, []
    common = {k: s[k] for k in ("experiment", "profile", "seed", "commit", "device", "torch", "data")}
    common |= s["key"]
    names = [cell["variant"] for cell in s["cells"]]
    for cell, seconds in zip(s["cells"], record["seconds"]):
        key = common | {"variant": cell["variant"], "dtype": cell["dtype"], "n": len(seconds),
                        "seconds": round(float(seconds.sum()), 2)}          # what its own timed runs took
        found.append(key | {"metric": "seconds"} | _quartiles(seconds / cell["images"]))
        if s["reference"]:
            ratio = record["seconds"][names.index(s["reference"])] / seconds
            found.append(key | {"metric": "speedup"} | _quartiles(ratio))
        if cell["operations"]:
            found.append(key | {"metric": "rate"} | _quartiles(cell["operations"] / seconds))
            found.append(key | {"metric": "share"} | _quartiles(cell["operations"] / seconds / cell["rate"]))
        if cell["judged"] is not None:
            found.append(key | {"metric": "accuracy", "value": cell["judged"], "n": cell["images"]})
        if cell["megabytes"] is not None:
            found.append(key | {"metric": "memory", "value": cell["megabytes"], "n": 1})
    return found


def _quartiles(values: np.ndarray) -> dict:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {"value": float(middle), "low": float(low), "high": float(high)}
