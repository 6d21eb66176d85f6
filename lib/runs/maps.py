"""What pages draw of the trainings in `lib.runs.density`: curves on the line, maps of the plane, and their course."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from lib import tables
from lib.metrics import gibbs
from lib.profiles import DENSITIES
from lib.results import RESULTS, Record, read_record, select
from lib.runs import density as runs
from lib.runs.likeness import Yardstick, separated

LINE = "two-gaussians"
PLANE = ("ring", "grid", "spirals", "checkerboard")


def stored(name: str, profile: str, seed: int = 0, setting: str = "paper", kind: str = "gat",
           results: Path | None = None) -> Record | None:
    """The record of a training, or None where there is none yet."""
    runs.sizes_of(profile, name, setting)
    path = Path(results or RESULTS) / profile / "density" / f"{runs.unit_name(name, setting, kind, seed)}.npz"
    return read_record(path) if path.exists() else None


def ordinary(record: Record) -> int:
    """Which of a record's pictures is the one after the ordinary updates."""
    return record["update"].tolist().index(record.settings["ordinary"])


def time_alone(rows: pd.DataFrame) -> str:
    """Whether ordinary training of the same length does what the adversarial one does, in a sentence on total
    variation.

    rows: of one point set and the paper's setting.
    """
    long, against = (select(rows, metric="tv", variant="paper", model=model).value
                     for model in ("ordinary-long", "GAT"))
    if long.empty:
        return ("How much of this the adversary did, and how much time alone, is not known: ordinary trainings as long "
                "have no rows.")
    share = tables.interval(long.mean(), long.min(), long.max()) if len(long) > 1 else tables.percent(long.iloc[0])
    verdict = "Time alone does not do it: after" if long.min() > against.max() else "After"
    return f"{verdict} as many updates without an adversary {share} is in the wrong place."


def length_alone(rows: pd.DataFrame) -> str:
    """What a training on the grid has that is as long as the authors' and no wider than the shorter, in a sentence.

    rows: those of lib.runs.density.
    """
    longer = select(rows, dataset="grid", variant="longer", model="GAT", **{"class": ""}).set_index("metric").value
    if longer.empty:
        return "Not known: none as long has rows yet."
    apart, overlap, misplaced = (tables.percent(longer[metric]) for metric in ("separated", "iou", "tv"))
    before = select(rows, dataset="grid", variant="paper", model="GAT", metric="separated").value
    word = "Some of it" if len(before) and longer["separated"] > before.max() else "Not at this width"
    word = "Yes" if longer["separated"] > 0.99 else word
    return (f"{word}: after as many updates, at the same width, {apart} of the blobs lie in a part of their own, the "
            f"overlap is {overlap}, and {misplaced} of the mass is misplaced (one training).")


def squares_apart(profile: str, seed: int = 0, results: Path | None = None) -> str:
    """How many squares of the checkerboard lie in an accepted part of their own, over the trainings that are there:
    "2 to 3 of 8". By the rule of `likeness.separated`, on the grid of the pictures."""
    found, name = [], "checkerboard"
    for s in range(seed, seed + runs.sizes_of(profile, name).seeds):
        if record := stored(name, profile, s, results=results):
            accepted = record["logits"][-1] > 0
            centres = _centres(runs.points_of(profile, name, s).probabilities(len(accepted), runs.MIDDLE)
                               .reshape(accepted.shape) > 0)
            found.append(len(centres) * separated(accepted, centres))
    return f"{tables.span(min(found), max(found), '{:.0f}'.format)} of {len(centres)}" if found else tables.MISSING


def _centres(support: Bool[ndarray, "y x"]) -> Float[ndarray, "part axis"]:
    """Centres of the connected parts of a support (sides touch), as shares of the grid's sides, x first."""
    parts, count = ndimage.label(support)
    centres = np.array(ndimage.center_of_mass(support, parts, range(1, count + 1)))
    return centres[:, ::-1] / (len(support) - 1)


def least_and_most(rows: pd.DataFrame) -> str:
    """Over which total variations the point sets of the plane range, each a mean over trainings, with their names.

    rows: those of lib.runs.density.
    """
    found = select(rows, dataset=list(PLANE), variant="paper", model="GAT", metric="tv")
    if found.empty:
        return tables.MISSING
    said = tables.spread(found, "metric", "dataset", {"tv": tables.percent}).iloc[0]
    mean = found.groupby("dataset").value.mean()
    ends = [f"{said[name]} on the {name}" for name in (mean.idxmin(), mean.idxmax())]
    return f"from {ends[0]} to {ends[1]}"


def sigmoid(logits: ndarray) -> ndarray:
    """1 / (1 + e^-z) in float64, without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, float)))


def line(profile: str, seed: int = 0, setting: str = "paper", results: Path | None = None) -> dict:
    """Arguments of `plots.on_the_line`: every training of the setting that is there, that of `seed` first."""
    sizes = runs.sizes_of(profile, LINE, setting)
    found = [stored(LINE, profile, s, setting, results=results) for s in range(seed, seed + sizes.seeds)]
    found, points = [record for record in found if record], runs.points_of(profile, LINE, seed, setting)
    x = np.linspace(0, 1, sizes.picture)
    curves = {"ordinary": [sigmoid(record["logits"][ordinary(record)]) for record in found],
              "GAT": [sigmoid(record["logits"][-1]) for record in found]}
    return {"x": x, "sigmoids": curves, "densities": [estimate(record["logits"][-1]) for record in found],
            "truth": points.density(x[:, None]), "positives": points.positives[:, 0],
            "negatives": points.negatives[:, 0]}


def estimate(logits: Float[ndarray, " point"]) -> Float[ndarray, " point"]:
    """e^z on the line, normalised to a density over [0, 1]."""
    return np.exp(gibbs(logits)) * (len(logits) - 1)


def plane(profile: str, seed: int = 0, at: str = "end", results: Path | None = None) -> dict[str, ndarray]:
    """Sigmoids over the middle of the square by point set, row 0 at the bottom, of the trainings that are there.

    at: "end"; "ordinary", after the ordinary updates; or "long", the end of the ordinary training of full length.
    """
    if at not in ("end", "ordinary", "long"):
        raise ValueError(f"at = {at!r}; expected 'end', 'ordinary' or 'long'")
    kind = "long" if at == "long" else "gat"
    found = {name: stored(name, profile, seed, kind=kind, results=results) for name in PLANE}
    return {name: sigmoid(record["logits"][ordinary(record) if at == "ordinary" else -1])
            for name, record in found.items() if record}


def squares(profile: str, seed: int = 0, results: Path | None = None) -> tuple[dict[str, ndarray], dict[str, ndarray]]:
    """The true probabilities of the cells of a picture, and e^z normalised over them, by point set: (side, side)."""
    truths, estimates = {}, {}
    for name in PLANE:
        if record := stored(name, profile, seed, results=results):
            logits = record["logits"][-1].astype(float)
            truths[name] = (runs.points_of(profile, name, seed).probabilities(len(logits), runs.MIDDLE)
                            .reshape(logits.shape))
            estimates[name] = np.exp(gibbs(logits.ravel())).reshape(logits.shape)
    return truths, estimates


def points(profile: str, seed: int = 0) -> dict[str, tuple[ndarray, ndarray]]:
    """Training points of the plane by point set: positives and negatives, (point, 2) each."""
    drawn = {name: runs.points_of(profile, name, seed) for name in PLANE}
    return {name: (each.positives, each.negatives) for name, each in drawn.items()}


def course(profile: str, seed: int = 0, results: Path | None = None) -> dict[int, dict[str, ndarray]]:
    """Sigmoids over the plane by the number of adversarial updates taken, then by point set; 0: ordinary ones alone."""
    found = {name: stored(name, profile, seed, results=results) for name in PLANE}
    steps: dict[int, dict[str, ndarray]] = {}
    for name, record in found.items():
        for at, update in enumerate(record["update"].tolist() if record else ()):
            if update >= record.settings["ordinary"]:
                steps.setdefault(update - record.settings["ordinary"], {})[name] = sigmoid(record["logits"][at])
    return dict(sorted(steps.items()))


def curves(metric: str, profile: str, seed: int = 0, results: Path | None = None) -> dict[str, list[tuple]]:
    """A metric on the line along the training, by setting: (adversarial updates, value) of each seed that is there."""
    found = {}
    for (name, setting), sizes in DENSITIES[profile].items():
        if name == LINE:
            taken = [stored(name, profile, s, setting, results=results) for s in range(seed, seed + sizes.seeds)]
            found[setting] = [(record["update"][ordinary(record):] - record.settings["ordinary"],
                               record[metric][ordinary(record):]) for record in taken if record]
    return found


def departures(profile: str) -> pd.DataFrame:
    """Where the sizes of a profile are not the published ones: point set and setting, size, published, here."""
    lines = []
    for (name, setting), sizes in DENSITIES[profile].items():
        for field, value in vars(sizes).items():
            if (printed := getattr(runs.published_sizes(name, setting), field)) != value:
                lines.append({"points": f"{name} ({setting})", "size": field, "published": printed, "here": value})
    return pd.DataFrame(lines, columns=["points", "size", "published", "here"])


def check(profile: str, seed: int = 0, results: Path | None = None) -> str:
    """Take the first updates of the training on the line again: one line says whether its logits agree with the record.

    To `runs.SPOT`, since other machines add in another order.
    """
    record = stored(LINE, profile, seed, results=results)
    if record is None:
        return "Nothing to recompute: the training on the line has no record yet."
    sizes = runs.sizes_of(profile, LINE)
    yardstick = Yardstick.of(runs.points_of(profile, LINE, seed), sizes.side)
    with tempfile.TemporaryDirectory() as folder:
        again = runs.train(LINE, "paper", "gat", profile, seed, Path(folder), torch.device("cpu"), yardstick,
                           until=int(record["update"][0]))
    same = np.abs(again["logits"][0] - record["logits"][0]).max() < runs.SPOT
    verb = "agree with" if same else "DIFFER from"
    return f"The first {record['update'][0]} updates, taken again, {verb} the record."

