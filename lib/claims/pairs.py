"""Image by image what the rows of Yin et al. (2020) summarise, so that two attacks meet on the images that both got."""

from collections.abc import Sequence
from functools import cache
from math import isclose
from pathlib import Path

import pandas as pd

from lib.metrics import beaten
from lib.results import Record, read_record


def read(folder: Path, variant: str, seed: int) -> list[Record]:
    """The records of one system of detectors and one training seed."""
    return [read_record(path) for path in sorted(folder.glob(f"GAT_{variant}_*_seed{seed}.npz"))]


def outcomes(records: Sequence[Record], keys: dict) -> pd.Series | None:
    """1 for each image that counts (accuracy: read right and accepted; error: misread and accepted), else 0.

    keys: metric, model, detector ("reject 5%"); for an error also loss and eps. In the worst case an image counts if it
    does under any attack in this ball or a smaller one, over the images that all share. None where a record or a key
    is missing.
    """
    from lib.runs.reject import REJECTED, WORST, detector_name, fitted, label     # here, since it brings torch along

    natural = {r.settings["attack"]: r for r in records if not r.settings["loss"]}
    eps, worst = keys.get("eps", -1), keys.get("loss") == WORST
    attacks = [r for r in records
               if r.settings["loss"] and (isclose(r.settings["eps"], eps) or worst and r.settings["eps"] < eps)
               and (worst or keys.get("loss") == label(r))]
    undisturbed = keys["metric"] == "accuracy"
    chosen = attacks if not undisturbed else [natural["clean"]] if "clean" in natural else []
    named = {detector_name(rejected, per_class): (rejected, per_class) for rejected in REJECTED
             for per_class in (False, True)}
    if "validation" not in natural or not chosen or keys.get("detector") not in named:
        return None
    outcome = fitted(natural["validation"], keys["model"], *named[keys["detector"]])
    counts = []
    for record in chosen:
        right, accepted = outcome(record)
        counts.append(pd.Series((right if undisturbed else ~right) & accepted, record["index"]))
    return pd.concat(counts, axis=1, join="inner").any(axis=1).astype(float)


def ranks(records: Sequence[Record], keys: dict) -> pd.Series | None:
    """For each attacked negative the share of positives above it, whose mean is the AUC of one detector.

    The positives are the same under every attack, so differences between attacks on one detector may be paired over the
    negatives. None where not exactly one record fits.
    """
    wanted = {name: keys[name] for name in ("class", "attack", "norm", "eps", "steps", "step_size", "restarts")
              if name in keys}
    fits = [r for r in records if all(_same(r.settings[name], value) for name, value in wanted.items())]
    if len(fits) != 1:
        return None
    return pd.Series(1 - beaten(fits[0]["attacked"], fits[0]["natural"]), fits[0]["index"])


def _same(stored, wanted) -> bool:
    return isclose(stored, wanted) if isinstance(wanted, int | float) else str(stored) == str(wanted)


BY_EXPERIMENT = {"detection": outcomes, "auc": ranks}


@cache
def _stored(folder: Path, variant: str, seed: int, _modified: int) -> list[Record]:
    return read(folder, variant, seed)


def images(results: Path, keys: dict) -> pd.Series | None:
    """One number an image, for the experiments of BY_EXPERIMENT; None for another metric than theirs."""
    if keys["metric"] not in ("accuracy", "error", "auc"):
        return None
    folder = results / keys["experiment"]
    return BY_EXPERIMENT[keys["experiment"]](_stored(folder, keys["variant"], keys["seed"], folder.stat().st_mtime_ns),
                                             keys)
