"""Small experiments on stored outcomes that show where published numbers and ours part, and why.

Nothing is attacked or predicted here: every function takes records (pooled by `lib.runs.outcomes`) and returns a frame.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from lib import metrics, tables
from lib.models import MODELS
from lib.profiles import PUBLISHED_TRAINING
from lib.profiles import profile as profile_of
from lib.results import RESULTS, read_record
from lib.runs.outcomes import Pooled, pooled


WORST = "worst of each image"


def stored(experiment: str, profile: str, seed: int, results: Path | None = None) -> list[Pooled]:
    """All outcomes of an experiment at one seed, a group for each model and attack; empty where there are none yet."""
    folder = Path(results or RESULTS) / profile / experiment
    records = [read_record(path) for path in sorted(folder.glob("*.npz"))]
    return pooled([record for record in records if record.settings["seed"] == seed])


def only(groups: list[Pooled], **settings) -> list[Pooled]:
    """The groups with these settings, such as model="GFZ" or attack="pgd"."""
    return [g for g in groups if all(g.settings.get(name) == value for name, value in settings.items())]


def cell_at(group: Pooled, eps: float) -> int:
    """The index of the cell with this eps. Raises LookupError listing those there are."""
    grid = [cell.get("eps") for cell in group.settings["cells"]]
    for i, value in enumerate(grid):
        if value is not None and np.isclose(value, eps):
            return i
    raise LookupError(f"{group.settings['model']} {group.settings['attack']} has no cell at eps {eps}; it has {grid}")


def null_attack(group: Pooled, detector, shares=(0.05, 0.2, 0.5, 0.8, 0.95, 1.0), seed: int = 0) -> pd.DataFrame:
    """KL detection of an attack that does nothing, by the right rule and by the published script's.

    group: clean outcomes of one model. A random share of its test images is declared a "success" under the label that
    the model gives it anyway. The scores are those of clean images, so the right rate is the false-positive rate.
    """
    scores = torch.from_numpy(group["test_log_joint"])
    predicted, chance = scores.argmax(1).numpy(), np.random.default_rng(seed).random(len(scores))
    flags = detector.flags(scores, torch.from_numpy(predicted)).numpy()
    lines = {}
    for share in shares:
        success = chance < share
        rows, classes = metrics.kl_index_fault(predicted, success)
        wrong, every = detector.flags(scores[rows], torch.from_numpy(classes)).numpy(), np.ones(len(classes), bool)
        lines[f"{share:.0%}"] = {"right": metrics.detection_rates(flags, predicted, success)["macro"],
                                 "published script": metrics.detection_rates(wrong, classes, every)["macro"]}
    return pd.DataFrame(lines).T.rename_axis("declared successes")


def softmax_gradient(margins: Float[Tensor, " margin"], classes: int = 10) -> pd.DataFrame:
    """The float32 gradient of the cross-entropy with respect to the logits, where the true class leads by some nats.

    Columns: true class, each other class; what is exactly 0 is lost to a sign attack. The true class loses its own
    where what the others add to 1 is rounded away: each by itself from 16.6 nats, or all nine together from 18.8, by
    the order in which the processor adds.
    """
    logits = torch.zeros(len(margins), classes)
    logits[:, 0] = margins
    logits.requires_grad_()
    loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(margins), dtype=torch.long), reduction="sum")
    (grad,) = torch.autograd.grad(loss, logits)
    return pd.DataFrame({"true class": grad[:, 0].tolist(), "each other class": grad[:, 1].tolist()},
                        index=[f"{m:g}" for m in margins.tolist()]).rename_axis("margin, nats")


def margins(groups: list[Pooled]) -> dict[str, np.ndarray]:
    """Clean test images by model: log joint of the true class minus the best other, in nats."""
    found = {}
    for group in groups:
        scores, label = group["test_log_joint"].astype(float), group["test_label"].astype(int)
        own = scores[np.arange(len(label)), label]
        scores[np.arange(len(label)), label] = -np.inf
        found[group.settings["model"]] = own - scores.max(1)
    return found


def shared_draws(groups: dict[str, Pooled], eps: float) -> tuple[list[int], dict[str, np.ndarray]]:
    """The images that all groups have, ascending, and for each group which draws read them right at one eps,
    (image, draw)."""
    common, found = sorted(set.intersection(*(set(g["index"].tolist()) for g in groups.values()))), {}
    for name, group in groups.items():
        order = np.flatnonzero(np.isin(group["index"], common))
        order = order[np.argsort(group["index"][order])]
        found[name] = (group["predictions"][cell_at(group, eps)] == group["label"][:, None])[order]
    return common, found


def same_images(groups: dict[str, Pooled], eps: float) -> pd.DataFrame:
    """Accuracy of one model under several attacks at one eps, on the images that all of them got.

    groups: name -> outcomes. The first is compared with the others. Columns: accuracy; gain, low, high: how much less
    than the first, paired, with 95 % interval; n.
    """
    common, draws = shared_draws(groups, eps)
    right = {name: found.mean(-1) for name, found in draws.items()}
    first = next(iter(right.values()))
    lines = {name: (share.mean(), *metrics.paired_difference(first, share), len(common))
             for name, share in right.items()}
    return pd.DataFrame(lines, index=["accuracy", "gain", "low", "high", "n"]).T


def side_by_side(groups: list[Pooled], models, attacks=("pgd", "mim", "strong"), radii=(0.1, 0.2, 0.3)) -> pd.DataFrame:
    """Accuracy of each model under several attacks on the same images: a line for each model and eps that all have.

    Columns: the attacks; WORST: under the attack that is worst for each image (`metrics.worst_share`; of equals the
    last attack); drop, low, high: how much the strongest of the others takes off the first, paired, with 95 % interval,
    `widened` for having been chosen among them; n.
    """
    lines = {}
    for name in models:
        found = {attack: group for attack in attacks for group in only(groups, model=name, attack=attack)}
        for eps in radii if len(found) == len(attacks) else ():
            if all(any(np.isclose(cell["eps"], eps) for cell in g.settings["cells"]) for g in found.values()):
                same = same_images(found, eps)
                worst = same.loc[same.gain.iloc[1:].idxmax()]
                _, draws = shared_draws(found, eps)
                alone = metrics.worst_share(np.stack(list(draws.values())[::-1])).mean()
                low, high = widened(worst.low, worst.high, len(attacks) - 1)
                lines[name, f"{eps:g}"] = same.accuracy.to_dict() | {WORST: alone, "drop": worst.gain, "low": low,
                                                                  "high": high, "n": worst.n}
    return pd.DataFrame(lines).T.rename_axis(["model", "eps"]) if lines else pd.DataFrame()


def widened(low: float, high: float, choices: int) -> tuple[float, float]:
    """A 95 % interval for whichever of so many comparisons was chosen for being the largest (Bonferroni): luck lifts
    one of several above 0 more often than one alone."""
    centre, reach = (low + high) / 2, (high - low) / 2 * metrics.wider(choices)
    return centre - reach, centre + reach


def by_training(own: list[Pooled], shortened: list[Pooled]) -> pd.DataFrame:
    """Accuracy of a model as the profile trains it and after the shortened training, under the same attack on the same
    images: a line for each attack, model and eps that both groups have.

    Columns: as trained here, shortened; drop, low, high: what the second loses, paired, with 95 % interval; n.
    """
    lines = {}
    for short in shortened:
        for mine in only(own, model=short.settings["model"], attack=short.settings["attack"]):
            for cell in short.settings["cells"]:
                same = same_images({"as trained here": mine, "shortened": short}, cell["eps"])
                lost = same.loc["shortened"]
                lines[short.settings["attack"], short.settings["model"], f"{cell['eps']:g}"] = (
                    same.accuracy.to_dict() | {"drop": lost.gain, "low": lost.low, "high": lost.high, "n": lost.n})
    return pd.DataFrame(lines).T.rename_axis(["attack", "model", "eps"]) if lines else pd.DataFrame()


def fault_in_words(same: pd.DataFrame, certain: dict[str, np.ndarray], zero: pd.DataFrame, lost: float = 16.6) -> str:
    """What a vanished gradient explains of the largest drop between PGD and stronger attacks: of `same` (`side_by_side`
    at one eps), with the margins of its model and the rows of zero gradients. "" where any of these is missing."""
    same = same[same.index.get_level_values("model").isin(list(certain))] if len(same) else same
    if same.empty or zero.empty:
        return ""
    line = same.loc[same["drop"].idxmax()]
    model, beyond = line.name[0], (certain[line.name[0]] > lost).mean()
    by_steps = max(0.0, line["pgd"] - line["mim"])
    says = ("a vanished gradient explains little of what PGD falls short of" if not zero.value.any()
            and (beyond < 0.05 or by_steps > line["drop"] / 2) else "a vanished gradient may explain a part of it")
    return (f"The model that loses most from published PGD to the strongest attack, {model} "
            f"({tables.points(line['drop'])} at eps {line.name[1]}, {line.n:.0f} images, next section), has "
            f"{tables.percent(beyond)} of its margins above {lost:g} nats and a median of "
            f"{np.median(certain[model]):.1f}; and MIM, with the same loss in the same number format, takes "
            f"{tables.points(by_steps)} off that by more steps and momentum. For this model {says}.")


def trainings_in_words(profile: str) -> str:
    """How long the models of a profile are trained: which had all of the published updates, and how many the others."""
    lengths = {}
    for model in MODELS:
        lengths.setdefault(profile_of(profile).training_for(model).updates, []).append(model)
    whole = PUBLISHED_TRAINING.updates
    found = [f"{f'all of the published {whole:,} updates' if updates == whole else f'{updates:,}'} into "
             f"{tables.listed(models)}"
             for updates, models in sorted(lengths.items(), reverse=True)]
    return tables.listed(found)


def shorter(profile: str) -> tuple[str, ...]:
    """The models that the profile trains for fewer updates than published."""
    return tuple(model for model in MODELS
                 if profile_of(profile).training_for(model).updates < PUBLISHED_TRAINING.updates)


def resting_on_shorter(ledger: pd.DataFrame, without: pd.DataFrame, verdict: str = "fails") -> str:
    """The claims that would not fail if the models of `shorter` had no rows: "fig3f", or "none".

    without: the ledger of `lib.claims` once more, with these models left out. verdict: another one to ask about,
    or "holds" for both kinds of it.
    """
    still = set(without.id[without.verdict.str.startswith(verdict)])
    return tables.listed([claim for claim in ledger.id[ledger.verdict.str.startswith(verdict)] if claim not in still])


def by_training_in_words(profile: str, seed: int, eps: str = "0.3") -> str:
    """What `by_training` says of PGD at one eps."""
    table = by_training(stored("whitebox", profile, seed), only(stored("schedule", profile, seed), attack="pgd"))
    found = [f"{model} {line['shortened']:.0%} instead of {line['as trained here']:.0%}".replace("%", " %")
             for (_, model, at), line in table.iterrows() if at == eps]
    if not found:
        return "no shortened training has been attacked yet"
    n = int(table.n.min())
    return (f"after a tenth of the training, under published PGD at eps {eps}, {' and '.join(found)} of the first {n} "
            "images survive")


def verdict_rules(group: Pooled) -> pd.DataFrame:
    """One attack judged in five ways from the same draws: a line a cell.

    Columns (accuracies): right in every draw, mean of the draws, majority (wrong in fewer than 6 of 10), right in any
    draw; and draws disagree: the share of images whose draws do not all give one class.
    """
    right = group["predictions"] == group["label"][:, None]
    return pd.DataFrame({
        "right in every draw": right.all(-1).mean(-1), "mean of the draws": right.mean((-1, -2)),
        "majority": metrics.majority(group["predictions"], group["label"]).mean(-1),
        "right in any draw": right.any(-1).mean(-1),
        "draws disagree": (group["predictions"] != group["predictions"][..., :1]).any(-1).mean(-1),
    }, index=[cell.get("variant") or f"eps {cell.get('eps', 0):g}" for cell in group.settings["cells"]])


def lucky_draws(group: Pooled) -> pd.DataFrame:
    """CW keeps an image that one noisy evaluation got wrong: how often does it stay wrong? A line a cell.

    kept: share of images for which the attack stored something other than the clean image. still wrong: of these, the
    share of fresh draws that are wrong; by majority: the share wrong in at least 6 of 10.
    """
    wrong = group["predictions"] != group["label"][:, None]
    kept = group["l2"] > 1e-4
    lost = ~metrics.majority(group["predictions"], group["label"])
    lines = {}
    for cell, k, w, m in zip(group.settings["cells"], kept, wrong, lost):
        lines[cell["variant"]] = {"kept": k.mean(), "still wrong": w[k].mean() if k.any() else np.nan,
                                  "by majority": m[k].mean() if k.any() else np.nan, "n": int(k.sum())}
    return pd.DataFrame(lines).T
