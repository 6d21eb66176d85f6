"""What every experiment shares: units of work that are computed once, in any order, by any number of processes."""

import argparse
import functools
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from lib.arithmetic import serves, used
from lib.locks import locked
from lib.memory import keep_memory
from lib.profiles import profile as profile_of
from lib.results import (RESULTS, ROOT, Record, inventory, inventory_in, read_rows, read_settings, rows_from, select,
                         tidy, write_record, write_rows)
from lib.runs import growth


LISTED, NOTHING = "list", "none"    # of `only`: say which units there are; bring the rows up to date, compute nothing


@dataclass(frozen=True)
class Unit:
    """One piece of work: its name is its file's. compute() returns the record's arrays and settings.

    images: how many it is asked for, where its name does not say; a record that was asked for fewer is computed anew.
    expected: settings that it would be computed with. They belong into the record, and one that states others is
    refused: to use it would be wrong, and to replace it might cost hours.
    grow: grow(device, record) gives what the further images add to a record that was asked for fewer
    (`lib.runs.growth`); without it, such a record is computed anew.
    done: called once the record is on disk, to remove what a cut-off compute() would have gone on from; not before,
    since a record that cannot be written may have cost hours.
    """

    name: str
    compute: Callable[[torch.device], tuple[dict[str, np.ndarray], dict]]
    images: int = 0
    done: Callable[[], None] | None = None
    grow: Callable[[torch.device, Record], tuple[dict[str, np.ndarray], dict]] | None = None
    expected: Mapping = field(default_factory=dict)

    def stored(self, path: Path) -> bool:
        """Whether the record at `path` is there and was asked for as many images. Raises ValueError if it cannot be
        read, or was made with other settings than are expected now."""
        return stored(path, self.images, self.expected)


def stored(record: Path, images: int = 0, expected: Mapping = MappingProxyType({})) -> bool:
    """Whether a record is there and was asked for at least so many images. Raises ValueError as `Unit.stored`."""
    if not record.exists() or not (images or expected):
        return record.exists()
    settings = read_settings(record)
    if found := disagreement(settings, json.loads(json.dumps(dict(expected)))):
        name, stated, wanted = found
        raise ValueError(f"record {record} was made with {name} = {stated!r}, and would now be made with {wanted!r}; "
                         f"compute it anew (--unit {record.stem} --fresh), or move that file away")
    return settings.get("asked", 0) >= images


def disagreement(stated, wanted, name: str = "") -> tuple[str, object, object] | None:
    """The first setting in which a record differs from what is wanted: its name and both values. What the record does
    not state is not compared: it may be older than the setting; a dtype need only serve (`lib.arithmetic`)."""
    if isinstance(stated, dict) and isinstance(wanted, dict):
        inside = [(f"{name}.{key}" if name else key, stated[key], wanted[key]) for key in wanted if key in stated]
    elif isinstance(stated, list) and isinstance(wanted, list):
        inside = [(f"{name}[{at}]", *both) for at, both in enumerate(zip(stated, wanted))]
        inside.append((f"length of {name}", len(stated), len(wanted)))
    else:
        fits = serves(stated, wanted) if name == "dtype" else stated == wanted
        return None if fits else (name, stated, wanted)
    return next((found for key, *both in inside if (found := disagreement(*both, key))), None)


def device_of(name: str) -> torch.device:
    """The device for a name: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".

    Raises ValueError naming the choices, or saying that there is no GPU. On a GPU, float32 is float32 from then on:
    torch would round the inputs of convolutions to ten bits.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise ValueError(f"unknown device {name!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:<index>'")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} asked for, but torch finds no GPU; use 'auto' or 'cpu'")
    if name.startswith("cuda:") and int(name[5:]) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} asked for, but the GPUs are cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


def origin(device: torch.device, dtype: str, data: str, seconds: float) -> dict:
    """Where a record comes from: the columns ORIGIN of its rows."""
    return {"commit": commit(), "device": device_name(device), "dtype": used(dtype, device),
            "torch": torch.__version__.split("+")[0], "data": data, "seconds": round(seconds, 2),
            "date": time.strftime("%Y-%m-%d")}


@functools.cache
def commit() -> str:
    """Short hash of the code that runs, "-dirty" where tracked files were changed, "" outside a git checkout or
    without git.

    Read once, when a process begins its work: later changes of the files do not change the code that is running.
    """
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if not shutil.which("git") or git("rev-parse", "--git-dir").returncode:
        return ""
    if (head := git("rev-parse", "--short", "HEAD")).returncode:        # no commit yet
        return ""
    return head.stdout.strip() + ("-dirty" if git("status", "--porcelain", "-uno", "lib").stdout.strip() else "")


def device_name(device: torch.device) -> str:
    """What records say of a device: of a CPU also how many threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names = [line.split(":", 1)[1].strip()
             for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'}, {torch.get_num_threads()} threads"


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def ensure(experiment: str, units: Iterable[Unit], summarise: Callable[[list[Record]], list[dict]], *, profile: str,
           device: str = "auto", results: Path | None = None, fresh: bool = False, only: str | None = None,
           seed: int | None = None) -> pd.DataFrame:
    """Compute the units whose record is missing, bring the rows up to date, and return them.

    results: the folder of all profiles (default: the committed one). fresh: compute every unit again. only: compute
    just this unit, or NOTHING but rows that are behind their records, or not even these: LISTED returns the units
    themselves (columns unit, images, record, stored). seed: return the rows of this training seed alone. Units that
    other processes are at work on are left to them and waited for at the end, not computed twice. Raises ValueError
    before any work for an unknown profile, unit or device, and where one of these units has a record of other settings.
    """
    profile_of(profile)
    target, units = device_of(device), list(units)
    commit()
    folder = Path(results or RESULTS) / profile / experiment
    if only == LISTED:
        records = [folder / f"{unit.name}.npz" for unit in units]
        return pd.DataFrame({"unit": [u.name for u in units], "images": [u.images for u in units], "record": records,
                             "stored": [unit.stored(record) for unit, record in zip(units, records)]})
    if only is not None:
        if only not in {NOTHING, *(unit.name for unit in units)}:
            raise ValueError(
                f"unknown unit {only!r} of {experiment}; expected one of {', '.join(u.name for u in units)}")
        units = [unit for unit in units if unit.name == only]
    todo = [unit for unit in units if fresh or not unit.stored(folder / f"{unit.name}.npz")]
    with tqdm(total=len(todo), desc=f"{experiment} ({profile})", disable=None if todo else True) as bar:
        held = []
        for unit in todo:               # what others hold comes last: waiting for it at once, all would march in step
            if _compute(unit, folder / f"{unit.name}.npz", target, fresh, wait=False):
                bar.update()
            else:
                held.append(unit)
        for unit in held:
            _compute(unit, folder / f"{unit.name}.npz", target, fresh, wait=True)
            bar.update()
    rows = folder.with_suffix(".csv")
    if only != NOTHING or any(folder.glob("*.npz")):
        _bring_up_to_date(rows, folder, summarise, certainly=bool(todo))
    found = read_rows(rows) if rows.exists() else tidy([])
    return found if seed is None else select(found, seed=seed)


def _bring_up_to_date(rows: Path, folder: Path, summarise: Callable[[list[Record]], list[dict]],
                      certainly: bool) -> None:
    """Write the rows anew, if not `certainly` then where there are none, where a process died before it told of its
    record, or where they say that they were made from other records: some were copied here, replaced or removed."""
    there = inventory(folder)
    if rows.exists() and not certainly and not _news(folder):
        if not there or inventory_in(rows) == there:
            return                                  # without records, rows are taken as they are
        read_rows(rows)                             # damaged ones are told of, not covered up
    with locked(folder / "rows"):
        told = [mark for mark in _news(folder) if _record(mark).exists()]  # before reading: what comes later stays news
        there = inventory(folder)                   # likewise
        write_rows(rows, rows_from(folder, summarise), there)
        for mark in told:
            mark.unlink(missing_ok=True)


def _news(folder: Path) -> list[Path]:
    return list(folder.glob(".*.npz.new"))


def _record(mark: Path) -> Path:
    return mark.with_name(mark.name[1:].removesuffix(".new"))


def _compute(unit: Unit, path: Path, device: torch.device, fresh: bool, wait: bool) -> bool:
    """Whether the record is there now. False, without `wait`, where another process is at it."""
    with locked(path, wait) as held:
        if not held:
            return False
        if not fresh and unit.stored(path):
            return True                             # another process finished it since this one looked
        for left in path.parent.glob(f".{path.name}.*.tmp"):
            left.unlink()                           # by a process that was killed: whoever writes has this lock
        start = time.perf_counter()
        part = None if fresh or not unit.grow else growth.smaller(path, unit.expected["dtype"], device)
        arrays, settings = unit.grow(device, part) if part else unit.compute(device)
        asked = {"asked": unit.images} if unit.images else {}
        settings = {"unit": unit.name} | asked | settings | origin(device, settings.get("dtype", "float32"),
                                                                   settings.get("data", ""),
                                                                   time.perf_counter() - start)
        if part:
            arrays, settings = growth.extended(part, arrays, settings)
        news = path.with_name(f".{path.name}.new")
        news.touch()                                # before, so that no record is ever without it,
        write_record(path, arrays, settings)
        news.touch()    # and after, should rows of an older record have been written meanwhile
        if unit.done:
            unit.done()
    return True


def main(experiment: Callable[..., pd.DataFrame], doc: str | None) -> None:
    """The command line of an experiment: python -m lib.runs.<experiment> --profile P --seed S [--unit NAME] ..."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unit",
                        help=f"compute just this unit; {LISTED!r} prints their names, {NOTHING!r} computes none")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=None)
    parser.add_argument("--fresh", action="store_true", help="compute units again whose record exists")
    args = parser.parse_args()
    keep_memory()
    try:
        rows = experiment(args.profile, args.seed, args.device, args.results, args.fresh, only=args.unit)
    except (ValueError, FileNotFoundError, OSError) as error:
        sys.exit(f"error: {error}")
    if args.unit == LISTED:
        print(*(f"{unit.unit}  {'stored' if unit.stored else 'missing'}" for unit in rows.itertuples()), sep="\n")
    else:
        print(f"{len(rows)} rows")
