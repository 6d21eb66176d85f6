"""Records that grow: where a unit asks for more images than its record holds, the further ones alone are computed."""

import json
from math import isclose
from pathlib import Path

import numpy as np
import torch

from lib.arithmetic import used
from lib.results import Record, read_record

ORIGIN = ("commit", "device", "torch")          # may differ from run to run; rows then name all of them, "a+b"
RUN = (*ORIGIN, "asked", "seconds", "date")     # what "runs" states of each run that made a grown record
KEPT = ("natural",)                             # arrays of images that no attack touches: the same in every run


def smaller(path: Path, dtype: str, device: torch.device) -> Record | None:
    """The record that can grow: it is there, and its products were taken in the format that they would be taken in now.

    Images attacked in another format would have met another attack than the further ones: such a record is computed
    anew, as one is that does not say how many images it was asked for.
    """
    if not path.exists():
        return None
    record = read_record(path)
    return record if record.settings.get("dtype") == used(dtype, device) and "asked" in record.settings else None


def of_weights(record: Record, weights: str) -> Record:
    """The record, if the networks that it was made with are those that are there now.

    Raises ValueError naming the record and both checksums, before any further image is attacked.
    """
    if (made := record.settings.get("weights")) != weights:
        raise ValueError(f"record {record.path} was made with weights {made}, and would grow with {weights}; put its "
                         "weights back, or compute all records of these networks anew (without --unit, with --fresh)")
    return record


def extended(record: Record, arrays: dict[str, np.ndarray], settings: dict) -> tuple[dict, dict]:
    """The record with what the further images add at the end of its arrays; {} adds nothing.

    Its settings are the new ones, with the seconds of all runs and every origin; "runs" states what each run was.
    Raises ValueError where both do not hold the same arrays, or were made with different settings: of such a record no
    array could be read.
    """
    if not arrays:
        return record.arrays, record.settings | {"asked": settings["asked"]}
    _check(record, arrays, settings := json.loads(json.dumps(settings)))
    whole = {name: old if name in KEPT else np.concatenate([old, arrays[name]]) for name, old in record.arrays.items()}
    runs = [*(record.settings.get("runs") or [_run(record.settings)]), _run(settings)]
    joined = {name: "+".join(dict.fromkeys(run[name] for run in runs if run.get(name))) for name in ORIGIN}
    spent = round(sum(run.get("seconds", 0.0) for run in runs), 2)
    return whole, settings | joined | {"runs": runs, "seconds": spent}


def _run(settings: dict) -> dict:
    return {name: settings[name] for name in RUN if name in settings}


def _check(record: Record, arrays: dict[str, np.ndarray], settings: dict) -> None:
    anew = f"; compute it anew (--unit {record.path.stem} --fresh)"
    if odd := sorted(record.arrays.keys() ^ arrays.keys()):
        raise ValueError(f"record {record.path} cannot grow: it and its further images do not both have the arrays "
                         f"{', '.join(odd)}{anew}")
    for name in sorted((record.settings.keys() & settings.keys()) - {*RUN, "runs", "unit"}):
        one, two = record.settings[name], settings[name]
        if not (isclose(one, two, rel_tol=1e-4) if isinstance(one, float) and isinstance(two, float) else one == two):
            raise ValueError(f"record {record.path} was made with {name} = {one!r}, its further images with {two!r}"
                             f"{anew}")
