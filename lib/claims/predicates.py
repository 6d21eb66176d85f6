"""The few kinds of predicate: each is JSON that was written before its rows existed, and is judged true, false or open.

Keys that select rows are columns of the rows; a list stands for several cells. Every combination is one comparison,
unless the key is named under "mean" (its values are averaged) or "worst" (the smallest counts, image by image where
there are records).

    compare  above, below: keys of the two sides. True if every difference lies above `by` (0) with its whole interval;
             with "within": m instead, if every difference lies within -m ... m.
    bound    "above" or "below": a number. True if every value lies on that side with its whole interval.
    trend    along: {key: values in order}; direction: "up", "down", "not monotone", or "peak" with at: one value.
    all      parts: true if all are, false if one is.
    given    that, then: judged as `then` where `that` is true, else open for want of what `lacks` names.
    waits    for: the rows that would decide.         eye    could_decide: who or what could; never decided here.

True needs every interval on the right side; false needs one wholly on the wrong side, after widening it for the number
of comparisons (Bonferroni), so that many comparisons do not refute a claim by chance; all else is open. Where rows are
missing, those that are there can still refute a claim about all of them.
"""
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import inf, isnan

from lib.claims.contrasts import (METRICS, WORDS, cells, contrast, name, other_seeds, saturated, selection, shown, text,
                                  value)
from lib.claims.estimates import Estimate
from lib.claims.evidence import Evidence, Missing
from lib.results import COLUMNS

KINDS = {"compare": {"above", "below"}, "bound": set(), "trend": {"along", "direction"}, "all": {"parts"},
         "given": {"that", "then", "lacks"}, "waits": {"for"}, "eye": {"could_decide"}}
MORE = ("more images or seeds",)
DIRECTIONS = ("up", "down", "not monotone", "peak")


@dataclass(frozen=True)
class Finding:
    """truth: True, False or None (open). why: a sentence. ours: the number that decides, with its interval; of: what
    it is; asked: where it should lie.

    n: images behind it; seeds: trainings behind it. needs: what could settle an open finding.
    """
    truth: bool | None
    why: str
    ours: str = ""
    n: int = 0
    seeds: int = 0
    needs: tuple[str, ...] = ()
    of: str = ""
    asked: str = ""


def check(test: dict) -> None:
    """Raise ValueError for a predicate that cannot be judged whatever the rows: an unknown kind, key or direction."""
    kind = test.get("kind")
    if kind not in KINDS:
        raise ValueError(f"predicate of unknown kind {kind!r}; expected one of {', '.join(KINDS)}")
    for part in (*test.get("parts", []), *(test[k] for k in ("that", "then") if k in test)):
        check(part)
    selects = kind in ("compare", "bound", "trend")
    needed = KINDS[kind] | ({"experiment", "metric"} if selects else set())
    sides = [side for side in (test.get("above"), test.get("below"), test.get("along")) if isinstance(side, dict)]
    wrong = [k for k in set(selection(test)).union(*sides) if k not in (*COLUMNS, "l2") or not selects]
    wrong += [k for k in needed if k not in test]
    wrong += [d for d in [test.get("direction", "up")] if d not in DIRECTIONS]
    if wrong or (kind == "bound" and not isinstance(test.get("above", test.get("below")), int | float)):
        raise ValueError(f"predicate {test} has missing or unknown {wrong}; expected {sorted(needed)}, columns of the "
                         f"rows, and {', '.join(WORDS)}")


def judge(test: dict, evidence: Evidence) -> Finding:
    """Whether the rows bear a predicate out. Missing rows leave it open, and `why` names them."""
    check(test)
    if test["kind"] == "waits":
        return Finding(None, f"waits for {test['for']}", needs=(test["for"],))
    if test["kind"] == "eye":
        return Finding(None, f"a matter of the eye; {test['could_decide']} could decide", needs=(test["could_decide"],))
    if test["kind"] == "all":
        return conjunction([judge(part, evidence) for part in test["parts"]])
    if test["kind"] == "given":
        found = judge(test["that"], evidence)
        return judge(test["then"], evidence) if found.truth else replace(found, truth=None, needs=(test["lacks"],))
    if broken := evidence.untrained(models(test)):
        names = ", ".join(f"{model} ({accuracy:.0%})" for model, accuracy in broken.items())
        return Finding(None, f"a model that misreads clean images says nothing about robustness: {names}",
                       needs=("a training that reaches the clean accuracy of the others",))
    try:
        return {"compare": compare, "bound": bound, "trend": trend}[test["kind"]](test, evidence)
    except Missing as missing:
        return Finding(None, f"waits for {missing}", needs=(f"the rest of the {test['experiment']} rows",))


def models(test: dict) -> list[str]:
    """The models that a predicate names, on whichever side."""
    named = [side["model"] for side in (test, test.get("above"), test.get("below"))
             if isinstance(side, dict) and "model" in side]
    return [model for names in named for model in ([names] if isinstance(names, str) else names)]


def compare(test: dict, evidence: Evidence) -> Finding:
    """Differences between two sides, over every pair of them and every cell."""
    found, seeds, metric, turned, missing = [], {evidence.seed}, test["metric"], None, None
    asked = list(product(cells(test), cells(test, test["above"]), cells(test, test["below"])))
    for keys, above, below in asked:
        try:
            if above == below or saturated(test, keys | above, keys | below, evidence):
                continue
            estimate = contrast(test, keys | above, keys | below, evidence)
        except Missing as absent:
            missing = missing or absent
            continue
        seeds |= set(evidence.seeds(keys | above)) & set(evidence.seeds(keys | below))
        estimate = replace(estimate, name=name(keys, f"{name(above)} − {name(below)}"))
        order = "" if "within" in test else other_seeds(test, keys, above, below, evidence, estimate)
        if not order:
            found.append(estimate)
        elif turned is None:
            turned = Finding(None, f"the order changes with the training seed: {estimate.name}, {order}",
                             text(estimate, metric, True), estimate.n, len(seeds), ("more trainings",),
                             f"{METRICS.get(metric, metric)}: {estimate.name}")
    low, high = (-test["within"], test["within"]) if "within" in test else (test.get("by", 0.0), inf)
    if decided := ((missing or turned)
                   and (refuted(found, len(asked), metric, low, high, len(seeds), change=True) or turned)):
        return decided
    if missing:
        raise missing
    if not found:
        why = "every cell is saturated (both sides above 95 %, or both below 5 %)"
        return Finding(None, why, needs=("other radii",))
    return settle(found, metric, low, high, len(seeds), change=True)


def bound(test: dict, evidence: Evidence) -> Finding:
    """Values against a number; cells without a value (a detection rate where no attack succeeded) are passed over."""
    found, missing, seeds = [], None, trainings(test, evidence)
    for keys in cells(test):
        try:
            found.append(replace(value(test, keys, evidence), name=name(keys)))
        except Missing as absent:
            missing = missing or absent
    asked, found = len(cells(test)), [estimate for estimate in found if not isnan(estimate.value)]
    low, high = (test["above"], inf) if "above" in test else (-inf, test["below"])
    if missing:
        if decided := refuted(found, asked, test["metric"], low, high, seeds):
            return decided
        raise missing
    if not found:
        return Finding(None, "no attack succeeded, so that there is nothing to detect", needs=MORE)
    return settle(found, test["metric"], low, high, seeds)


def trend(test: dict, evidence: Evidence) -> Finding:
    """Differences along an ordered key: up or down by its ends, unless a step between neighbours goes the other way."""
    ((axis, values),), metric = test["along"].items(), test["metric"]
    tracks = [[keys | {axis: v} for v in values] for keys in cells(test)]
    seeds = trainings(test, evidence)

    def change(later: dict, earlier: dict) -> Estimate:
        label = name({k: v for k, v in later.items() if k != axis}, f"{axis} {later[axis]} − {earlier[axis]}")
        return replace(contrast(test, later, earlier, evidence), name=label)

    if test["direction"] == "peak":
        top = values.index(test["at"])
        others = [change(track[top], other) for track in tracks for other in track if other is not track[top]]
        return settle(others, metric, 0.0, inf, seeds, change=True)
    # where no attack succeeded a detection rate has no value
    tracks = [[at for at in track if not isnan(value(test, at, evidence).value)] for track in tracks]
    tracks = [track for track in tracks if len(track) > 1]
    if not tracks:
        return Finding(None, "too few attacks succeeded to see a trend", needs=MORE)
    if test["direction"] == "not monotone":
        return conjunction([both_ways(track, change, metric, seeds) for track in tracks])
    if test["direction"] == "down":
        tracks = [track[::-1] for track in tracks]
    whole = settle([change(track[-1], track[0]) for track in tracks], metric, 0.0, inf, seeds, change=True)
    steps = [change(later, earlier) for track in tracks for earlier, later in zip(track, track[1:])]
    against = [step for step in steps if step.widened(len(steps)).high < 0]
    if against and whole.truth is not False:
        first = against[0]
        return Finding(False, f"a step against the trend: {first.name}", text(first, metric, True), first.n, seeds,
                       of=f"{METRICS.get(metric, metric)}: {first.name}")
    return whole


def both_ways(track: list[dict], change, metric: str, seeds: int) -> Finding:
    """True if it rises somewhere and falls elsewhere on the track; false if every step moves one way for certain."""
    pairs = [change(later, earlier) for earlier, later in combinations(track, 2)]
    wide = {id(pair): pair.widened(len(pairs)) for pair in pairs}
    rises, falls = [p for p in pairs if wide[id(p)].low > 0], [p for p in pairs if wide[id(p)].high < 0]
    steps = [change(later, earlier) for earlier, later in zip(track, track[1:])]
    one_way = all(s.low > 0 for s in steps) or all(s.high < 0 for s in steps)
    truth = True if rises and falls else False if one_way else None
    ours = "; ".join(text(max(some, key=lambda e: abs(e.value)), metric, True) for some in (rises, falls) if some)
    words = {True: "rises and falls", False: "moves one way", None: "neither surely rises and falls nor moves one way"}
    of = name({k: v for k, v in track[0].items() if k not in ("variant", "eps")}, METRICS.get(metric, metric))
    needs = MORE if truth is None else ()
    return Finding(truth, f"{of}: {words[truth]}", ours, min(p.n for p in pairs), seeds, needs, of if ours else "")


def settle(found: list[Estimate], metric: str, low: float, high: float, seeds: int, change: bool = False) -> Finding:
    """True if every interval lies between low and high, false if one lies wholly outside, else open.

    change: whether the estimates are differences, for the words alone.
    """
    wide = {id(e): e.widened(len(found)) for e in found}
    outside = [e for e in found if wide[id(e)].high < low or wide[id(e)].low > high]
    inside = [e for e in found if e.low > low and e.high < high]
    unsure = [e for e in found if e not in inside]
    worst = min(outside or unsure or found, key=lambda e: min(e.low - low, high - e.high))
    limit = low if low > -inf else high
    wanted = f"within ±{shown(high, metric, change).removeprefix('+')}" if -low == high else (
        f"{'above' if limit == low else 'below'} {shown(limit, metric, change) if limit else 'zero'}")
    truth = False if outside else True if len(inside) == len(found) else None
    why = {False: f"{len(outside)} of {len(found)} surely not {wanted}: {worst.name}",
           True: f"{'both' if len(found) == 2 else f'all {len(found)}'} surely {wanted}; the closest: {worst.name}",
           None: f"{len(inside)} of {len(found)} surely {wanted}, none surely not; open: {worst.name}"}[truth]
    if len(found) == 1:
        word = {False: "surely not", True: "surely", None: "perhaps"}[truth]
        why = f"{worst.name}, {word} {wanted}"
    return Finding(truth, f"{METRICS.get(metric, metric)}: {why}", text(worst, metric, change), worst.n, seeds,
                   MORE if truth is None else (), f"{METRICS.get(metric, metric)}: {worst.name}", wanted)


def refuted(found: list[Estimate], asked: int, metric: str, low: float, high: float, seeds: int, change: bool = False
            ) -> Finding | None:
    """What the estimates that there are say if one of them lies surely outside, among as many as were asked for;
    or None."""
    wide = [e for e in found if (w := e.widened(asked)).high < low or w.low > high]
    return settle(wide, metric, low, high, seeds, change) if wide else None


def trainings(test: dict, evidence: Evidence) -> int:
    """How many trainings a value comes from: one, but where a test takes the mean over seeds."""
    return max(1, len(evidence.seeds(selection(test)))) if test.get("over_seeds") else 1


def conjunction(findings: list[Finding]) -> Finding:
    """True if all are, false if one is; those that settle it speak first, and the number is that of the first."""
    ordered = sorted(findings, key=lambda f: (False, None, True).index(f.truth))
    said = [f for f in ordered if f.truth is False] or ordered
    spoken = next((f for f in said if f.ours), said[0])
    why = list(dict.fromkeys(f.why for f in said))
    more = [f"and {len(why) - 3} more"] if len(why) > 3 else []
    needs = tuple(dict.fromkeys(need for f in said if f.truth is None for need in f.needs))
    seeds = max(f.seeds for f in findings)
    return Finding(ordered[0].truth, "; ".join(why[:3] + more), spoken.ours, spoken.n, seeds, needs, spoken.of,
                   spoken.asked)
