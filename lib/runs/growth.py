"""Records that grow: where a unit asks for more images than its record holds, the further ones alone are computed."""

from pathlib import Path

import numpy as np
import torch

from lib.arithmetic import used
from lib.results import Record, read_record

STATED = ("asked", "commit", "device", "torch", "seconds", "date")     # of each of the runs that made a grown record


def smaller(path: Path, dtype: str, device: torch.device) -> Record | None:
    """The record that can grow: it is there, and its products were taken in the format that they would be taken in now.

    Images attacked in another format would have met another attack than the further ones: such a record is computed
    anew, as one is that nothing tells how it was asked for.
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
        raise ValueError(f"record {record.path} was made with weights {made}, and would grow with {weights}; compute "
                         f"it anew (--unit {record.path.stem} --fresh), or put its weights back")
    return record


def extended(record: Record, arrays: dict[str, np.ndarray], settings: dict) -> tuple[dict, dict]:
    """The record with what the further images add at the end of its arrays; those that they do not add to are kept.

    Its settings are the new ones, with the seconds of all runs; "grown" states what each earlier run was.
    """
    whole = {name: np.concatenate([old, arrays[name]]) if name in arrays else old
             for name, old in record.arrays.items()}
    before = record.settings.get("grown", [])
    spent = record.settings.get("seconds", 0.0) - sum(each.get("seconds", 0.0) for each in before)
    run = {name: record.settings[name] for name in STATED if name in record.settings} | {"seconds": round(spent, 2)}
    return whole, settings | {"grown": [*before, run],
                              "seconds": round(settings["seconds"] + record.settings.get("seconds", 0.0), 2)}
