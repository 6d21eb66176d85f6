"""Rows, records and predicates of a few lines, whose verdict is known."""

import numpy as np
import pandas as pd

from lib import metrics, results
from lib.claims.evidence import Evidence

KEY = {"dataset": "mnist", "profile": "laptop", "seed": 0}
WHITE = {"experiment": "whitebox", "protocol": "published"}


def row(value, n=400, **keys) -> dict:
    low, high = metrics.wilson(value, n) if n else (np.nan, np.nan)
    return KEY | WHITE | {"metric": "accuracy", "value": value, "low": low, "high": high, "n": n} | keys


def frame(*rows) -> dict[str, pd.DataFrame]:
    table = results.tidy(rows)
    return {name: part for name, part in table.groupby("experiment")}


def evidence(*rows) -> Evidence:
    return Evidence.of(frame(*rows), "laptop")


def write(folder, model, right, seed=0, eps=(0.1, 0.2), experiment="whitebox", first=0) -> list[dict]:
    """A record in which right (eps, image) says which images are read correctly in all ten draws; its rows."""
    right = np.asarray(right, bool)
    label = np.zeros(right.shape[1], np.int8)
    predictions = np.repeat(np.where(right, 0, 1)[..., None], 10, axis=2).astype(np.int8)
    cells = [{"attack": "pgd", "norm": "linf", "eps": e} for e in eps]
    settings = KEY | {"experiment": experiment, "model": model, "seed": seed, "protocol": protocol(experiment),
                      "cells": cells}
    arrays = {"index": np.arange(first, first + len(label)), "label": label, "predictions": predictions,
              "l2": np.ones(right.shape)}
    results.write_record(folder / "laptop" / experiment / f"{model}_pgd_seed{seed}_{first}.npz", arrays, settings)
    return [row(share, n=len(label), model=model, attack="pgd", eps=e, seed=seed, experiment=experiment,
                protocol=protocol(experiment)) for e, share in zip(eps, right.mean(1).tolist())]


def protocol(experiment) -> str:
    return "strong" if experiment == "strong" else "published"


def store(folder, *rows) -> Evidence:
    for name, part in frame(*rows).items():
        results.write_rows(folder / "laptop" / f"{name}.csv", part)
    return Evidence.of(folder, "laptop")


def bound(**changes) -> dict:
    return {"kind": "bound", **WHITE, "metric": "accuracy", "model": ["DFX"], "attack": "fgsm", "eps": 0.2,
            "below": 0.5} | changes


def compare(**changes) -> dict:
    return {"kind": "compare", **WHITE, "metric": "accuracy", "attack": "pgd", "eps": [0.1, 0.2],
            "above": {"model": ["GFZ"]}, "below": {"model": ["DFX"]}} | changes


def trend(**changes) -> dict:
    return {"kind": "trend", **WHITE, "metric": "detect_kl", "model": ["GFZ"],
            "along": {"eps": [0.1, 0.2, 0.3]}} | changes


def track(*values) -> Evidence:
    return evidence(*(row(v, metric="detect_kl", model="GFZ", eps=e) for v, e in zip(values, (0.1, 0.2, 0.3))))


def decided() -> list[dict]:
    """Rows that decide claim fig3b at profile laptop."""
    return [row(0.01, model=m, attack=a, eps=0.2, experiment=e, protocol=protocol(e)) for m in ("DFX", "DFZ")
            for e, a in (("whitebox", "fgsm"), ("strong", "pgd"))]
