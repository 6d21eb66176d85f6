"""From the keys of a test to numbers: which cells it names, what is averaged, and the difference of two sides."""
from collections.abc import Iterator
from itertools import product
from math import isnan

import pandas as pd

from lib import metrics
from lib.claims.estimates import Estimate, average, difference
from lib.claims.evidence import PLAIN, Evidence, Missing, combine, expand

# of a test; its other keys select rows
WORDS = ("kind", "mean", "worst", "above", "below", "by", "within", "skip_saturated", "over_seeds", "along",
         "direction", "at", "parts", "that", "then", "lacks", "for", "could_decide")
SATURATED = 0.05            # both sides below 5 %, or both above 95 %: such a cell tells nothing about the order
QUIET = ("experiment", "metric", "dataset", "protocol", "detector")         # what a comparison's name leaves out
# numbers that say nothing without their name
NAMED = ("eps", "l2", "class", "seed", "steps", "step_size", "restarts")
METRICS = {                 # as the ledger words them
    "auc": "AUC", "accuracy_within_l2": "accuracy within l2", "min_eps": "smallest eps",
    "joint_success": "fooled and unnoticed",
    "zero_gradient": "images without a gradient", "detect_all": "all detectors together",
    "detect_marginal": "marginal detection", "detect_logit": "logit detection", "detect_kl": "KL detection",
    "detect_tv": "TV detection", "detect_marginal+logit+kl": "marginal, logit and KL together",
    "detect_marginal+logit+tv": "marginal, logit and TV together",
    "tv": "total variation from the truth", "kl": "KL from the truth",
    "iou": "overlap with the true support", "inside": "mass in the true support",
    "separated": "blobs in a part of their own", "least_share": "mass of the least blob, of what is due to it",
    "size": "updates or width, the smaller share of the published",
    "valley": "least sigmoid between the two centres", "peak_ratio": "right peak over left peak",
    "offset": "distance of a peak from its centre", "target_reached": "target logits as high as natural ones",
    "speedup": "speed relative to one network"}
REPEATED = {"whitebox": ("spread",)}        # experiments that repeat another on trainings of other seeds


def selection(test: dict) -> dict:
    """The keys of a test that select rows."""
    return {key: value for key, value in test.items() if key not in WORDS}


def cells(test: dict, keys: dict | None = None) -> list[dict]:
    """Every combination of the listed keys that are neither averaged nor reduced to the worst."""
    keys = selection(test) if keys is None else keys
    reduced = (*test.get("mean", []), *test.get("worst", []))
    kept = {k: v for k, v in keys.items() if isinstance(v, list) and k in reduced}
    return [cell | kept for cell in expand({k: v for k, v in keys.items() if k not in kept})]


def branches(test: dict, keys: dict) -> Iterator[list[dict]]:
    """The cells behind one number: outer over what is averaged, inner over what is reduced to the worst."""
    worst = {k: v for k, v in keys.items() if isinstance(v, list) and k in test.get("worst", [])}
    for outer in expand({k: v for k, v in keys.items() if k not in worst}):
        yield expand(outer | worst)


def value(test: dict, keys: dict, evidence: Evidence) -> Estimate:
    """One number with its interval, from rows. Cells without a value (no attack succeeded) stay out of a mean."""
    read = evidence.over_seeds if test.get("over_seeds") else evidence.row
    found = [[read(cell) for cell in inner] for inner in branches(test, keys)]
    least = [min([e for e in inner if not isnan(e.value)] or inner, key=lambda e: e.value) for inner in found]
    return average([e for e in least if not isnan(e.value)] or least)


def shared_values(test: dict, a: dict, b: dict, evidence: Evidence) -> tuple[Estimate, Estimate]:
    """`value` of both sides. A mean over the same members on both leaves out those that have no value on either, so
    that it does not change with its members. Raises Missing where no member is left."""
    same = [k for k in test.get("mean", []) if isinstance(a.get(k), list)]
    if not same or any(a[k] != b.get(k) for k in same):
        return value(test, a, evidence), value(test, b, evidence)
    members = expand({k: a[k] for k in same})
    found = [(value(test, a | member, evidence), value(test, b | member, evidence)) for member in members]
    both = [(one, other) for one, other in found if not isnan(one.value) and not isnan(other.value)]
    if not both:
        raise Missing(f"a successful attack that both sides share ({a['experiment']}: {a['metric']})")
    return average([one for one, _ in both]), average([other for _, other in both])


def images(test: dict, keys: dict, evidence: Evidence) -> pd.Series | None:
    """The same image by image, from records; None where there are none."""
    def compute() -> pd.Series | None:
        inner = [evidence.worst(branch) for branch in branches(test, keys)]
        return combine(inner, worst=False)
    return evidence.cached(("images", repr(list(branches(test, keys)))), compute)


def contrast(test: dict, a: dict, b: dict, evidence: Evidence) -> Estimate:
    """a - b, paired over the images that both have; without records from the two intervals."""
    one, other = images(test, a, evidence), images(test, b, evidence)
    if one is None or other is None:
        return difference(*shared_values(test, a, b, evidence))
    one, other = one.align(other, join="inner")
    if one.empty:
        raise Missing(f"images that both sides share ({a['experiment']}: {a['metric']})")
    span = 1.0 if a["metric"].startswith(("accuracy", "error", "auc")) else float(max(one.max(), other.max()))
    return Estimate(*metrics.paired_difference(one.to_numpy(), other.to_numpy(), span), len(one))


def saturated(test: dict, a: dict, b: dict, evidence: Evidence) -> bool:
    """Whether both sides lie above 95 % or both below 5 %, for tests that skip such cells."""
    if not test.get("skip_saturated"):
        return False
    ends = [value(test, keys, evidence).value for keys in (a, b)]
    return max(ends) < SATURATED or min(ends) > 1 - SATURATED


def other_seeds(test: dict, keys: dict, above: dict, below: dict, evidence: Evidence, main: Estimate) -> str:
    """Training seeds that turn a certain order round, in words, or "".

    Only seeds count of which every model of a side has rows, and of attacks and radii those that both sides have.
    Smallest radii are compared by the accuracies at those radii, since another seed may have fewer of them. Orders of
    lib.runs.whitebox are also held against the trainings of lib.runs.spread, which are shorter and all of one length.
    """
    if main.low <= 0 <= main.high or keys["metric"] not in ("accuracy", "min_eps"):
        return ""
    main_run, wide = keys["experiment"], test | {"mean": [*test.get("mean", []), "eps"]}
    for experiment in (main_run, *REPEATED.get(main_run, ())):
        keys = keys | {"experiment": experiment, "metric": "accuracy"}
        seeds = sorted(set(evidence.seeds(keys | above)) | set(evidence.seeds(keys | below)))
        for s, t in product(seeds, repeat=2):
            sides = above | {"seed": s}, below | {"seed": t}
            whole = all(side["seed"] in evidence.seeds(keys | one) for side in sides for one in expand(side))
            itself = experiment == main_run and s == t == evidence.seed
            if itself or not whole or not (shared := evidence.shared(keys, list(sides))):
                continue
            again = contrast(wide, shared | sides[0], shared | sides[1], evidence)
            if again.value * main.value < 0:
                after = "" if experiment == main_run else " after trainings of one length"
                return f"seeds {s} and {t}{after} give {text(again, 'accuracy', True)}"
    return ""


def name(keys: dict, *more: str) -> str:
    """What tells one comparison from its neighbours: "GFZ − DFX, FGSM PGD, eps 0.1 to 0.5"."""
    def word(key, entry):
        if isinstance(entry, list):
            entry = " ".join(entry) if isinstance(entry[0], str) else f"{entry[0]} to {entry[-1]}"
        if key == "attack" and keys.get("experiment") == "strong":      # one attack, which descends by PGD's steps
            return "strong protocol"
        entry = entry.upper() if key == "attack" and entry != "clean" else entry
        return f"{key.replace('_', ' ')} {entry}" if key in NAMED else f"{entry}"
    return ", ".join([*more, *(word(k, v) for k, v in keys.items() if k not in QUIET and v != "")])


def shown(number: float, metric: str, change: bool = False) -> str:
    """A share in percent, a change of one in points, what is PLAIN as it is (AUC with the digits that tables have)."""
    sign = ("+" if number > 0 else "−" if number < 0 else "") if change else ""
    number = abs(number) if change else number
    if metric in PLAIN:
        return f"{sign}{number:.{4 if metric == 'auc' else 3}f}"
    return f"{sign}{100 * number:.1f} {'points' if change else '%'}"


def text(estimate: Estimate, metric: str, change: bool = False) -> str:
    """A value with its interval: "12.3 % [10.1, 14.5]", "+4.0 points [−0.2, +8.1]"; of a speed also the time."""
    value, low, high = (shown(v, metric, change) for v in (estimate.value, estimate.low, estimate.high))
    longer = f", {1 / estimate.value:.2f} times as long" if metric == "speedup" and estimate.value > 0 else ""
    return f"{value} [{low.split(' ')[0]}, {high.split(' ')[0]}]{longer}"
