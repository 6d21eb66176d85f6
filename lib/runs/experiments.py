"""Every experiment by name, and what its units wait for. A new one joins by one line
(and by one in lib/runs/verify.py, or in its test, which wants to know why not)."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pandas as pd

from lib.runs.units import LISTED

AFTER = {                   # a unit waits for those units of these experiments that are of its model
    "rings": (),
    "training": (),
    "clean": ("training",),
    "whitebox": ("clean",),     # detectors are fitted on clean scores
    "strong": ("clean",),
    "carlini": ("clean",),
    "precision": ("clean",),
    "samples": ("clean",),
    "schedule": ("training",),
    "referee": ("training",),
    "averaging": ("clean",),
    "spread": ("training",),
    "density": (),
    "heads": (),
    "auc": ("heads",),
    "detection": ("heads",),
    "distortion": ("heads",),
    "strangers": ("heads",),
}


def experiment(name: str) -> Callable[..., pd.DataFrame]:
    """The function of that name in the module of that name."""
    return getattr(import_module(f"lib.runs.{name}"), name)


def plan(profile: str, seed: int = 0, results: Path | None = None) -> pd.DataFrame:
    """All units of all experiments in an order that can be worked off, at the sizes of the profile; nothing is
    computed.

    Columns: experiment, unit, images, profile, seed, record (path), stored (bool), after (tuple of records). Raises
    ValueError for an unknown profile.
    """
    lines, of_model = [], {}
    for name, before in AFTER.items():
        for unit in experiment(name)(profile, seed, results=results, only=LISTED).itertuples():
            model = unit.unit.split("_")[0]
            waits = tuple(record for other in before for record in of_model.get((other, model), ()))
            lines.append({"experiment": name, "unit": unit.unit, "images": unit.images, "profile": profile,
                          "seed": seed, "record": unit.record, "stored": unit.stored, "after": waits})
            of_model.setdefault((name, model), []).append(unit.record)
    return pd.DataFrame(lines)
