"""What rows and records say about a comparison: a number with its 95 % interval, paired over images where possible."""
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from math import isclose, isnan
from pathlib import Path

import numpy as np
import pandas as pd

from lib import metrics
from lib.claims import pairs
from lib.claims.estimates import Estimate
from lib.results import RESULTS, read_record, read_rows, select

SETTINGS = ("dataset", "seed", "protocol", "attack")       # what tells the runs of one model in one experiment apart
LEARNED = 0.9           # clean accuracy below which a model has not learned its task, and no verdict may rest on it
UNBOUNDED = ("min_eps", "l2", "offset", "peak_ratio", "kl", "speedup")      # radii, distances, ratios, nats; no shares
PLAIN = (*UNBOUNDED, "auc")         # not said in per cent


class Missing(LookupError):
    """The rows that a predicate compares are not there yet; the message says which."""


def expand(keys: dict) -> list[dict]:
    """Every combination of the keys that hold lists."""
    names = [name for name, value in keys.items() if isinstance(value, list)]
    return [keys | dict(zip(names, chosen)) for chosen in product(*(keys[name] for name in names))]


@dataclass
class Evidence:
    """Rows by experiment, and the folder of the records they came from (None: rows alone, hence no pairing).

    without: models of which nothing is believed, as if they had no rows.
    """
    rows: dict[str, pd.DataFrame]
    records: Path | None
    profile: str
    seed: int = 0
    without: tuple[str, ...] = ()
    _known: dict = field(default_factory=dict, repr=False)      # what was looked up before

    @classmethod
    def of(cls, rows: dict[str, pd.DataFrame] | Path | str | None, profile: str, seed: int = 0) -> "Evidence":
        """From frames by experiment, or from a results folder (None: the tracked one) that holds `<profile>/`."""
        if isinstance(rows, dict):
            return cls({name: select(frame, profile=profile) for name, frame in rows.items()}, None, profile, seed)
        folder = Path(rows or RESULTS) / profile
        return cls({path.stem: read_rows(path) for path in sorted(folder.glob("*.csv"))}, folder, profile, seed)

    def seeds(self, keys: dict) -> list[int]:
        """The training seeds for which there are rows with these keys."""
        metric = "accuracy" if keys["metric"] == "accuracy_within_l2" else keys["metric"]
        found = self._rows({name: value for name, value in keys.items() if name != "seed"} | {"metric": metric})
        return sorted({int(row["seed"]) for row in found})

    def shared(self, keys: dict, sides: list[dict]) -> dict:
        """`keys` with eps and attack cut down to the values that rows of every side have; {} where there are none."""
        keys = dict(keys)
        for key in ("attack", "eps"):
            wanted = {k: v for k, v in keys.items() if k != key}
            there = [{row[key] for row in self._rows(wanted | side)} for side in sides]
            named = keys.get(key, sorted(set.intersection(*there)))
            keys[key] = [v for v in (named if isinstance(named, list) else [named]) if all(v in t for t in there)]
            if not keys[key]:
                return {}
        return keys

    def untrained(self, models: list[str]) -> dict[str, float]:
        """Those of the models whose clean accuracy is known and below LEARNED, with it."""
        keys = {"experiment": "clean", "metric": "accuracy", "variant": "one-draw", "seed": self.seed}
        found = {model: self._rows(keys | {"model": model}) for model in models}
        return {model: rows[0]["value"] for model, rows in found.items() if rows and rows[0]["value"] < LEARNED}

    def row(self, keys: dict) -> Estimate:
        """The one row with these keys (of the main training seed unless they name another). Raises Missing."""
        found = self._rows({"seed": self.seed} | keys)
        if not found and keys["experiment"] not in self.rows:
            raise Missing(f"the {keys['experiment']} rows")
        if len(found) != 1:
            raise Missing(f"{'the row' if not found else f'one row, not {len(found)},'} of {describe(keys)}")
        value, low, high, n = (float(found[0][part]) for part in ("value", "low", "high", "n"))
        return Estimate(value, low, high, 0 if isnan(n) else int(n))

    def over_seeds(self, keys: dict) -> Estimate:
        """Mean over seeds of a row without an interval of its own; the interval is from the smallest to the largest,
        or Student's where that is wider: of three trainings the range holds their mean in the long run too seldom."""
        found = self._rows(keys)
        values = [row["value"] for row in found]
        if not found and keys["experiment"] not in self.rows:
            raise Missing(f"the {keys['experiment']} rows")
        if len(found) < 3 or len({row["seed"] for row in found}) < len(found):
            raise Missing(f"at least 3 seeds ({len(found)} rows are there) of {describe(keys)}")
        mean, low, high = metrics.mean_interval(np.array(values))
        low, high = max(0.0, low), high if keys["metric"] in UNBOUNDED else min(1.0, high)
        return Estimate(mean, min(low, *values), max(high, *values), len(found), df=len(found) - 1)

    def values(self, keys: dict) -> list[float]:
        """The values of all rows with these keys, of whichever seed; [] where there are none."""
        return [row["value"] for row in self._rows(keys)]

    def _rows(self, keys: dict) -> list[dict]:
        """Rows with these keys as dicts, out of those of their metric and model: a ledger asks thousands of times."""
        experiment, metric, models = keys["experiment"], keys["metric"], keys.get("model")
        if ("rows", experiment) not in self._known:
            groups = self._known["rows", experiment] = {}
            for row in self.rows[experiment].to_dict("records") if experiment in self.rows else ():
                groups.setdefault((row["metric"], row["model"]), []).append(row)
        groups = self._known["rows", experiment]
        models = {model for _, model in groups} if models is None else models if isinstance(models, list) else [models]
        others = [(name, value) for name, value in keys.items() if name not in ("experiment", "metric", "model", "l2")]
        return [row for model in models if model not in self.without for row in groups.get((metric, model), ())
                if all(matches(row[name], value) for name, value in others)]

    def images(self, keys: dict) -> pd.Series | None:
        """One number for each image (the index), from the records; None without them, or for a metric that has none."""
        if self.records is None or keys.get("model") in self.without:
            return None
        if keys["experiment"] in pairs.BY_EXPERIMENT and (self.records / keys["experiment"]).is_dir():
            return pairs.images(self.records, {"seed": self.seed} | keys)
        if keys["metric"] not in IMAGE_METRICS:
            return None
        pool = self._pool(keys)
        return None if pool is None else IMAGE_METRICS[keys["metric"]](pool, keys)

    def worst(self, cells: list[dict]) -> pd.Series | None:
        """The accuracy of each image under the cell that is worst for it, chosen on half of the draws and judged on the
        other half (`lib.metrics.worst_share`); of what has no draws the smallest number. None without records.
        """
        parts = [self.images(cell) for cell in cells]
        if len(cells) == 1 or any(part is None for part in parts) or cells[0]["metric"] != "accuracy" or any(
                cell["experiment"] in pairs.BY_EXPERIMENT for cell in cells):
            return combine(parts, worst=True)
        drawn = [_cell(self._pool(cell), cell)["images"] for cell in cells]
        draws, shared = _draws(drawn)
        return pd.Series(metrics.worst_share(draws), shared)

    def cached(self, key, compute: Callable):
        """compute(), once for each key."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def _pool(self, keys: dict) -> list[dict] | None:
        """The cells of one model, attack and seed, each with outcomes of all images: eps, variant, right, l2."""
        source = (keys["experiment"], keys["model"])
        if source not in self._known:
            self._known[source] = _read(self.records / source[0], source[1])
        wanted = {"seed": self.seed} | keys
        same = [cells for settings, cells in self._known[source]
                if all(settings[n] == wanted[n] for n in SETTINGS if n in wanted)]
        if len(same) > 1:
            raise Missing(f"one run of {describe(keys)}: records of {len(same)} runs fit")
        return same[0] if same else None


def _read(folder: Path, model: str) -> list[tuple[dict, list[dict]]]:
    """All records of a model: for each attack, data set, seed and protocol the cells, blocks of images joined."""
    runs: dict[tuple, dict] = {}
    for path in sorted(folder.glob(f"{model}_*.npz")):
        record = read_record(path)
        for cell, guesses, l2 in zip(record.settings["cells"], record["predictions"], record["l2"]):
            run = tuple((record.settings | cell).get(n) for n in SETTINGS)
            draws = pd.DataFrame(guesses == record["label"][:, None], index=record["index"])
            frame = pd.concat([draws, pd.DataFrame({"right": metrics.correct(guesses, record["label"]), "l2": l2},
                                                   index=record["index"])], axis=1)
            runs.setdefault(run, {}).setdefault((cell.get("eps"), cell.get("variant")), []).append(frame)
    return [(dict(zip(SETTINGS, run)), [{"eps": eps, "variant": variant, "images": pd.concat(frames).sort_index()}
                                        for (eps, variant), frames in cells.items()]) for run, cells in runs.items()]


def matches(cell, wanted) -> bool:
    """Whether a cell of a row is the wanted value, or among the wanted ones; numbers to a relative 1e-5 (rows have
    six digits)."""
    if isinstance(wanted, list):
        return any(matches(cell, value) for value in wanted)
    return isclose(cell, wanted, rel_tol=1e-5) if isinstance(wanted, int | float) else cell == wanted


def describe(keys: dict) -> str:
    """Keys as words: "whitebox: accuracy, GFZ, pgd, eps 0.1"."""
    values = [f"{name.replace('_', ' ')} {value:g}" if isinstance(value, int | float) else
              f"class {value}" if name == "class" else str(value) for name, value in keys.items()
              if name not in ("experiment", "metric", "dataset", "protocol", "seed") and value != ""]
    return f"{keys['experiment']}: {', '.join([keys['metric'], *values])}"


def _cell(pool: list[dict], keys: dict) -> dict | None:
    same = [cell for cell in pool if all(keys.get(n) is None or cell[n] == keys[n] for n in ("eps", "variant"))]
    return same[0] if len(same) == 1 else None


def _draws(frames: list[pd.DataFrame]) -> tuple[np.ndarray, pd.Index]:
    """Whether each draw was right, (frame, image, draw), of the images that all have, and those images."""
    shared = reduce(pd.Index.intersection, (frame.index for frame in frames))
    return np.stack([frame.loc[shared].drop(columns=["right", "l2"]).to_numpy(bool) for frame in frames]), shared


def _accuracy(pool: list[dict], keys: dict) -> pd.Series | None:
    cell = _cell(pool, keys)
    return None if cell is None else cell["images"].right


def _min_eps(pool: list[dict], keys: dict) -> pd.Series:
    """Smallest radius that fools, image by image, over the cells of one attack; images that all cells share."""
    pool = sorted(pool, key=lambda cell: cell["eps"])
    drawn, shared = _draws([cell["images"] for cell in pool])
    grid = [float(cell["eps"]) for cell in pool]
    carried = keys.get("protocol") == "strong"
    return pd.Series(metrics.min_eps(drawn, grid, grid[-1] + metrics.EPS_FILL, carried), shared)


def _accuracy_within_l2(pool: list[dict], keys: dict) -> pd.Series:
    """1 where no success of any constant c (misread in most fresh draws) lies within the l2 distance keys["l2"],
    else 0."""
    fooled = [((cell["images"].right < 0.5) & (cell["images"].l2 <= keys["l2"])).rename(i)
              for i, cell in enumerate(pool)]
    return 1.0 - pd.concat(fooled, axis=1, join="inner").any(axis=1)


IMAGE_METRICS: dict[str, Callable] = {"accuracy": _accuracy, "min_eps": _min_eps,
                                      "accuracy_within_l2": _accuracy_within_l2}


def combine(parts: Iterable[pd.Series | None], worst: bool) -> pd.Series | None:
    """Image by image the mean (or the smallest) of several numbers, on images that all have; None if one is None."""
    parts = list(parts)
    if any(part is None for part in parts) or len(parts) == 1:
        return parts[0] if len(parts) == 1 else None
    table = pd.concat([part.rename(i) for i, part in enumerate(parts)], axis=1, join="inner")
    return table.min(axis=1) if worst else table.mean(axis=1)
