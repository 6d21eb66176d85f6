"""How a page gets rows: the reading profile from what is stored, the others by doing the work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from lib.results import RESULTS, read_record, read_rows, select, tidy
from lib.runs import units
from lib.runs.experiments import AFTER
from lib.runs.outcomes import clean_path
from lib.runs.training import checkpoint
from lib.runs.victims import Victim, first_images

READING = "laptop"                  # the profile whose rows are committed: hours of work that no page starts by itself


def rows_of(experiment: Callable, profile: str, seed: int, device: str, fresh: bool = False,
            results: Path | None = None, name: str = "", every: bool = False) -> pd.DataFrame:
    """Rows of an experiment (a function of `lib.runs`) for one seed, or with `every` for all that are stored.

    At the reading profile, unless `fresh`, only what is stored, which may be nothing (an empty frame): where there is
    no table, the rows of the stored records. Else `experiment` computes what is missing. name: its folder, where that
    is not the function's name. Raises ValueError, listing the experiments, for a folder that belongs to none of them
    and to no benchmark: it would read as an experiment without rows.
    """
    name = name or getattr(experiment, "__name__", repr(experiment))
    if name not in AFTER and not name.startswith("bench-"):
        raise ValueError(f"no experiment is called {name!r}; expected one of {', '.join(AFTER)}: say which as name=")
    if profile != READING or fresh:
        return experiment(profile, seed, device, results, fresh)
    folder = Path(results or RESULTS) / profile / name
    table = folder.with_suffix(".csv")
    if not table.exists() and folder.is_dir():
        experiment(profile, seed, device, results, only=units.NOTHING)
    rows = read_rows(table) if table.exists() else tidy([])
    return rows if every else select(rows, seed=seed)


def spot_check(models, profile: str, seed: int, device: str, images: int = 4, results: Path | None = None) -> str:
    """Predict the first test images again with the weights and noise of the record: one line says if they agree.

    Log joints must agree to 0.05 nats and one in a thousand: other machines add in another order.
    """
    pairs = {}
    for name in models:
        path = clean_path(name, profile, seed, results)
        if path.exists() and checkpoint(name, profile, seed, results=results).exists():
            victim = Victim.load(name, profile, seed, units.device_of(device), results)
            index, x, _, _ = first_images(victim.profile, 0, images)
            pairs[name] = victim.predict(x, index, "clean/test")[0], read_record(path)["test_log_joint"][:images]
    return agreement(pairs, images)


def agreement(pairs: dict[str, tuple[np.ndarray, np.ndarray]], images: int) -> str:
    """The line of a spot check. pairs: name -> (computed again, stored), in nats or logits; none: nothing could
    be done."""
    wrong = [name for name, (again, stored) in pairs.items() if not np.allclose(again, stored, rtol=1e-3, atol=0.05)]
    if wrong:
        return f"Recomputed predictions DIFFER from the record: {', '.join(wrong)}."
    if not pairs:
        return "Nothing to recompute: there are no weights with a record yet."
    return f"{images} images recomputed, in agreement with their record: {', '.join(pairs)}."
