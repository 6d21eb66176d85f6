"""Train the detectors of Yin et al. (2020) on MNIST, one against the rest, and choose a checkpoint of each."""

from copy import deepcopy
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.arithmetic import BFLOAT16, products
from lib.attacks import L2, Linf, adam_pgd
from lib.attacks.norms import Ball, length
from lib.data import Split
from lib.locks import once
from lib.metrics import auc
from lib.models import ConvNet, Heads, Noise, stream
from lib.models.decoder import working_dtype
from lib.profiles import DETECTORS, Inner
from lib.profiles import profile as profile_of
from lib.results import COLUMNS, RESULTS, Record
from lib.runs import units
from lib.runs.training import checkpoint, dataset_of
from lib.train import fit, initial_weights, load_weights, rounded, save_weights


def ball(norm: str, eps: float) -> Ball:
    """A ball by the name of its norm, "linf" or "l2". Raises ValueError for another."""
    if norm not in ("linf", "l2"):
        raise ValueError(f"unknown norm {norm!r}; expected 'linf' or 'l2'")
    return Linf(eps) if norm == "linf" else L2(eps)


class AgainstNegatives(nn.Module):
    """Detectors with their training objective: equation 5, all inner attacks in one loop.

    classes: which class each detector is for. In an update detector k takes the images of its class as positives, and
    as negatives the first `negatives` others, moved to where they look most like class k (raw logit, random start that
    is not clipped to the box, last iterate). Nothing that detector k sees depends on which others are trained with it.
    """

    name = "GAT"

    def __init__(self, heads: Heads, classes: tuple[int, ...], inner: Inner, negatives: int):
        super().__init__()
        self.heads, self.classes, self.inner, self.negatives = heads, classes, inner, negatives

    def objective(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Minus the mean binary cross-entropy of each detector, in nats, (detector).

        Adam does not see that the mean over detectors divides each gradient by their number. noise: keyed by update.
        Raises ValueError where a class, or everything else, is missing from the batch.
        """
        own = [(y == k).nonzero()[:, 0] for k in self.classes]
        others = [(y != k).nonzero()[:self.negatives, 0] for k in self.classes]
        for k, mine, rest in zip(self.classes, own, others):
            if not len(mine) or len(rest) < self.negatives:
                raise ValueError(f"a batch of {len(y)} images holds {len(mine)} of class {k} and {len(rest)} others; "
                                 f"expected at least 1 and {self.negatives}: use larger batches or fewer negatives")
        attacked = self.perturbed(x[torch.stack(others)], noise)
        padded = nn.utils.rnn.pad_sequence(own, batch_first=True)                   # detector positive
        counts = torch.tensor([len(mine) for mine in own], device=x.device)
        real = torch.arange(padded.shape[1], device=x.device) < counts[:, None]
        logits = self.heads(torch.cat([attacked, x[padded]], dim=1)).T              # detector image
        wrong = F.softplus(logits[:, :self.negatives]).sum(1)
        missed = (F.softplus(-logits[:, self.negatives:]) * real).sum(1)
        return -(wrong + missed) / (self.negatives + counts)

    def perturbed(self, x: Tensor, noise: Noise) -> Tensor:
        """Negatives of each detector, (detector, image, channel, H, W), where its logit is largest in the ball."""
        start = torch.stack([self.start(x[0].shape, k, noise) for k in self.classes]).to(x)
        attack = partial(adam_pgd, ball=ball(self.inner.norm, self.inner.eps), steps=self.inner.steps,
                         step_size=self.inner.step_size)
        if x.device.type == "cpu":      # in turn: the maps of one detector stay in the cache, those of ten do not
            frozen = self.heads.frozen(working_dtype(self.heads.stacked["0_weight"]))
            return torch.stack([attack(logit, own, start=first) for logit, own, first in zip(frozen, x, start)])
        found = attack(lambda flat: self.heads(flat.view_as(x)).T.flatten(), x.flatten(0, 1), start=start.flatten(0, 1))
        return found.view_as(x)

    def start(self, shape: tuple[int, ...], k: int, noise: Noise) -> Tensor:
        """Uniform in the l-infinity ball; for L2 a Gaussian direction and a radius uniform in [0, eps] (protocol)."""
        rng = stream(f"{noise.purpose}/start", noise.seed, noise.step, k)
        if self.inner.norm == "linf":
            return self.inner.eps * (2 * torch.from_numpy(rng.random(tuple(shape), dtype=np.float32)) - 1)
        direction = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
        radius = self.inner.eps * torch.from_numpy(rng.random((shape[0], 1, 1, 1), dtype=np.float32))
        return radius * direction / length(direction)


def split(profile: str) -> tuple[Split, Split]:
    """Training and validation images: a random cut of the training set, the same for every seed and class."""
    train, held = dataset_of(profile).train, DETECTORS[profile].held_out
    order = torch.from_numpy(stream("gat/split", 0).permutation(len(train)))
    return Split(train.x[order[held:]], train.y[order[held:]]), Split(train.x[order[:held]], train.y[order[:held]])


def validation_auc(heads: Heads, classes: tuple[int, ...], profile: str, inner: Inner) -> list[float]:
    """AUC of each detector on validation images: its class against attacked others (zero start, as published)."""
    settings, (_, held) = DETECTORS[profile], split(profile)
    found = []
    for position, k in enumerate(classes):
        inside, outside = (held.y == k).nonzero()[:, 0], (held.y != k).nonzero()[:settings.validation_images, 0]
        index = torch.full((len(outside),), position)
        step = inner.step_size if settings.steps is None else 2 * inner.eps / settings.validation_steps

        def logit(x, index=index):
            with products(BFLOAT16, x.device):
                return heads.picked(x, index[:len(x)])

        device = heads.stacked["0_weight"].device
        attacked = adam_pgd(logit, held.images(outside).to(device), ball(inner.norm, inner.eps),
                            steps=settings.validation_steps, step_size=step)
        with torch.no_grad():
            scores = [heads.picked(x.to(device), torch.full((len(x),), position)).cpu().numpy()
                      for x in (held.images(inside), attacked)]
        found.append(auc(-scores[0], -scores[1]))
    return found


def variant_of(system: str, k: int) -> str:
    return f"{system}-class{k}"


def _train(system: str, classes: tuple[int, ...], profile: str, seed: int, results: Path | None, device: torch.device):
    """Train detectors of some classes; keep a rounded copy of each candidate with its validation AUC; choose.

    Raises ValueError, naming the files, if the training went past a candidate that was not kept.
    """
    settings, inner, dataset = DETECTORS[profile], DETECTORS[profile].inner(system), dataset_of(profile)
    state = state_of(system, classes, profile, seed, results)
    if not state.exists():
        clear(state)    # candidates without it: of a clearing cut short, or of another training
    heads = fresh(classes, seed, dataset.shape).to(device)
    taught, total = AgainstNegatives(heads, classes, inner, settings.negatives), settings.training.updates
    stops = np.unique(np.linspace(total / 2, total, settings.candidates).round().astype(int)).tolist()
    for stop in stops:                              # also where all are kept already: for the history
        history = fit(taught, split(profile)[0], settings.training, seed=seed, state=state, stop=stop,
                      label=f"training {system}, classes {classes}",
                      attack=asdict(inner) | {"negatives": settings.negatives})
        kept = state.with_suffix(f".{stop}.partial")
        if not kept.exists():
            if stop < total and not np.isnan(history[stop]):
                raise ValueError(f"{state} is past update {stop}, whose weights {kept.name} are gone; delete "
                                 f"{state.name} and {state.stem}.*.partial to train again")
            copy = deepcopy(heads)
            rounded(copy)
            save_weights(kept, copy, {"auc": validation_auc(copy, classes, profile, inner)})
    return choose(stops, state, classes, profile, seed, system, results), history


def recipe_of(system: str, profile: str) -> dict:
    """What the weights of a detector say of how they were made, besides their update."""
    settings, inner = DETECTORS[profile], DETECTORS[profile].inner(system)
    training = asdict(settings.training)
    return {"of_updates": training.pop("updates"), "negatives": settings.negatives, "inner_eps": inner.eps,
            "inner_steps": inner.steps, "inner_step_size": inner.step_size} | training


def state_of(system: str, classes: tuple[int, ...], profile: str, seed: int, results: Path | None) -> Path:
    """Where a training that was cut off goes on from; its candidates lie beside it as <stem>.<update>.partial."""
    inner = DETECTORS[profile].inner(system)        # in the name, so that no training goes on under another attack
    name = f"{system}-{inner.steps}x{inner.step_size:g}-classes{'-'.join(map(str, classes))}"
    return checkpoint("GAT", profile, seed, name, results).with_suffix(".state")


def clear(state: Path) -> None:
    """Remove a state and then its candidates: in the other order, cut short, the state would be past what is gone."""
    state.unlink(missing_ok=True)
    for candidate in state.parent.glob(f"{state.stem}.*.partial"):
        candidate.unlink(missing_ok=True)


def choose(stops: list[int], state: Path, classes: tuple[int, ...], profile: str, seed: int, system: str,
           results: Path | None) -> dict[str, np.ndarray]:
    """Write for each detector the candidate of the best validation AUC (the later of equals)."""
    heads = fresh(classes, seed, dataset_of(profile).shape)
    files = [state.with_suffix(f".{stop}.partial") for stop in stops]
    scores = np.array([load_weights(file, heads, {})["auc"] for file in files])
    best = len(stops) - 1 - scores[::-1].argmax(axis=0)
    for position, k in enumerate(classes):
        load_weights(files[best[position]], heads, {})
        save_weights(checkpoint("GAT", profile, seed, variant_of(system, k), results), heads.separate(position),
                     {"model": "GAT", "variant": system, "class": k, "seed": seed, "profile": profile,
                      "updates": stops[best[position]], "validation_auc": float(scores[best[position], position])}
                     | recipe_of(system, profile))
    return {"candidate": np.array(stops, np.int32), "validation_auc": scores,
            "chosen": np.array(stops)[best].astype(np.int32)}


def fresh(classes: tuple[int, ...], seed: int, shape: tuple[int, ...]) -> Heads:
    """Untrained detectors; the first weights of detector k depend on seed and k alone."""
    nets = []
    for k in classes:
        with initial_weights(1000 * seed + k):
            nets.append(ConvNet(1, shape))
    return Heads(nets)


def unit_name(system: str, classes: tuple[int, ...], seed: int) -> str:
    return f"GAT_{system}_classes{'-'.join(map(str, classes))}_seed{seed}"


def settings_for(system: str, profile: str, seed: int) -> dict:
    """What the record of a training says of how it was made; where it comes from is not known yet."""
    sizes, inner = DETECTORS[profile], DETECTORS[profile].inner(system)
    return {"experiment": "heads", "dataset": profile_of(profile).dataset, "model": "GAT", "variant": system,
            "seed": seed, "profile": profile, "protocol": "published", "negatives": sizes.negatives,
            "candidates": sizes.candidates} | asdict(inner) | asdict(sizes.training)


def _unit(system: str, classes: tuple[int, ...], profile: str, seed: int, results: Path | None) -> units.Unit:
    def compute(device: torch.device):
        found, history = _train(system, classes, profile, seed, results, device)
        every = max(1, DETECTORS[profile].training.updates // 100)
        curve = history[:len(history) // every * every].reshape(-1, every).mean(1)
        arrays = found | {"update": np.arange(1, len(curve) + 1) * every, "objective": curve.astype(np.float32),
                          "class": np.array(classes, np.int8)}
        return arrays, settings_for(system, profile, seed) | {"data": dataset_of(profile).source}
    return units.Unit(unit_name(system, classes, seed), compute, expected=settings_for(system, profile, seed),
                      done=partial(clear, state_of(system, classes, profile, seed, results)))


def groups(profile: str, system: str) -> list[tuple[int, ...]]:
    """Which detectors one unit trains together: a whole system at `paper` (a GPU), else one, for cores to share."""
    classes = DETECTORS[profile].systems[system]
    return [classes] if profile == "paper" else [(k,) for k in classes]


def summarise(records: list[Record]) -> list[dict]:
    """Validation AUC of the chosen checkpoint (steps: its update), and the seconds that the unit took."""
    rows = []
    for record in records:
        s = record.settings
        key = {name: s[name] for name in COLUMNS if name in s and name not in ("steps", "step_size")}
        for position, k in enumerate(record["class"].tolist()):
            chosen = int(record["chosen"][position])
            best = record["validation_auc"][record["candidate"] == chosen, position].item()
            rows.append(key | {"class": k, "metric": "validation_auc", "value": best, "steps": chosen})
        rows.append(key | {"class": "-".join(map(str, record["class"])), "metric": "seconds", "value": s["seconds"],
                           "steps": s["updates"]})
    return rows


def heads(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
          fresh: bool = False, only: str | None = None):
    """Rows of the training of every system: the chosen checkpoint of each detector, its validation AUC, the seconds."""
    profile_of(profile)
    todo = [_unit(system, classes, profile, seed, results)
            for system in DETECTORS[profile].systems for classes in groups(profile, system)]
    return units.ensure("heads", todo, summarise, profile=profile, device=device, results=results, fresh=fresh,
                        only=only, seed=seed)


def trained_heads(system: str, profile: str, seed: int, device: torch.device, results: Path | None = None,
                  classes: tuple[int, ...] | None = None) -> Heads:
    """The detectors of a system (or of some classes), in evaluation mode. Trains what has no weights yet."""
    wanted = DETECTORS[profile].systems[system] if classes is None else classes
    nets = []
    for k in wanted:
        path = checkpoint("GAT", profile, seed, variant_of(system, k), results)
        if not path.exists():
            unit = unit_name(system, next(g for g in groups(profile, system) if k in g), seed)
            record = Path(results or RESULTS) / profile / "heads" / f"{unit}.npz"
            gone = record.exists()          # asked before waiting: what another process finishes meanwhile is not lost
            once(path, partial(heads, profile, seed, str(device), results, fresh=gone, only=unit))
        with torch.device("meta"):                  # shapes alone: no time is lost on initial weights
            nets.append(ConvNet(1, dataset_of(profile).shape))
        load_weights(path, nets[-1], {"model": "GAT", "variant": system, "class": k, "seed": seed, "profile": profile},
                     recipe_of(system, profile))
    return Heads(nets).to(device).eval().requires_grad_(False)


if __name__ == "__main__":
    units.main(heads, __doc__)
