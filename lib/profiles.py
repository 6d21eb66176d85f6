"""Three scales of every experiment, in one table: what `profile` means."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

DECODERS = ("GFZ", "GFY", "GBZ", "GBY", "DFZ")      # ten times dearer to attack than DFX and DBX: they draw images


@dataclass(frozen=True)
class Training:
    """How a model is trained. schedule: "constant" (published), or "one-cycle": up over the first 15 %, then down.

    A rate above 1e-4 needs that warm-up: without it the decoder dies (the bound stays where a grey image leaves it).
    kl_warmup: updates over which the weight of log p(z | ...) - log q rises from 0 to 1; 0 (published) is 1 throughout.
    """

    updates: int
    batch: int = 50
    rate: float = 1e-4
    schedule: str = "constant"
    dtype: str = "bfloat16"
    kl_warmup: int = 0

    def beta_at(self, update: int) -> float:
        """Weight of log p(z | ...) - log q at an update, counted from 0."""
        return min(1.0, update / self.kl_warmup) if self.kl_warmup else 1.0

    def rate_at(self, update: int) -> float:
        """Learning rate of an update, counted from 0."""
        if self.schedule == "constant":
            return self.rate
        warm = max(1, round(0.15 * self.updates))
        if update < warm:
            return self.rate * (0.04 + 0.96 * (1 - math.cos(math.pi * update / warm)) / 2)
        return self.rate * max(1e-4, (1 + math.cos(math.pi * (update - warm) / max(1, self.updates - warm))) / 2)


PUBLISHED_TRAINING = Training(updates=120_000)
ONE_CYCLE = Training(12_000, rate=1e-3, schedule="one-cycle")       # a tenth as long, for those who train on two cores
# DBX starts with features so small that matching q(z | x, y) to p(z | x) wins, and both forget x: as published its
# bound stays at that of a guess, -log 10, for all 120,000 updates, and one-cycle ends there too (lib.runs.schedule).
DBX_TRAINING = Training(6_000, rate=1e-3, schedule="one-cycle", kl_warmup=2_000)
SMOKE_TRAINING = Training(updates=2, batch=8, rate=1e-3, schedule="one-cycle")


@dataclass(frozen=True)
class Profile:
    """Sizes of every experiment at one scale.

    samples: K of the classifier. draws: fresh predictions that judge an image. batch: images attacked together, fixed
    because floating-point sums depend on it (ten times as many where no image is decoded). images: how many of the
    first test images an attack gets, by attack and then by model ("decoder" and "other" stand for the two costs).
    blocks: likewise how many of them make one unit of work. Sizes grow by whole blocks, so that no unit is done twice.
    shortened, stops: what the published training is compared with, and after how many updates.
    """

    name: str
    dataset: str
    trainings: Mapping[str, Training]
    samples: int
    draws: int
    batch: int
    blocks: Mapping[str, Mapping[str, int]]
    fit_images: int                     # training images that the detectors are fitted on
    test_images: int                    # test images that are predicted once
    judged_images: int                  # of these, predicted `draws` times
    shortened: Training
    stops: tuple[int, ...]              # the last is its end
    images: Mapping[str, Mapping[str, int]]
    eps: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    strong_eps: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.3)
    constants: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)  # c of Carlini and Wagner
    steps: Mapping[str, int] = field(
        default_factory=lambda: {"fgsm": 1, "pgd": 40, "mim": 100, "cw": 1000, "strong": 100})
    restarts: int = 2                   # of the strong protocol: by turns another class and the cross-entropy
    gradient_draws: int = 4             # likewise
    averaged: tuple[int, ...] = (1, 4, 16, 64)      # gradient draws that are compared with each other
    spread_eps: tuple[float, ...] = (0.1, 0.2)      # radii at which trainings of other seeds are attacked
    spread_on: str = ""             # which training that is of a model that decodes: its own, or the "shortened" one
    repeats: int = 3                # how many trainings that are, of seeds one after the other
    dtype: str = "bfloat16"         # of attack gradients; what is reported is judged in float32

    def training_for(self, model: str) -> Training:
        """How `model` is trained."""
        return _by_model(self.trainings, model)

    def batch_for(self, model: str) -> int:
        """How many images are attacked or judged together."""
        return self.batch * (1 if model in DECODERS else 10)

    def images_for(self, attack: str, model: str) -> int:
        """How many images `attack` gets on `model`."""
        return _by_model(self.images[attack], model)

    def block_for(self, attack: str, model: str) -> int:
        """How many images one unit of `attack` on `model` takes."""
        return _by_model(self.blocks[attack], model)


def _by_model(sizes: Mapping, model: str):
    return sizes.get(model, sizes["decoder" if model in DECODERS else "other"])


ATTACKS = ("fgsm", "pgd", "mim", "cw", "strong", "referee", "averaging", "spread")


def _all(n: int) -> dict[str, dict[str, int]]:
    return {attack: {"decoder": n, "other": n} for attack in ATTACKS}


PROFILES = {
    "smoke": Profile(
        "smoke", "digits", {"decoder": SMOKE_TRAINING, "other": SMOKE_TRAINING}, samples=1, draws=2, batch=4,
        blocks=_all(4), fit_images=100, test_images=10, judged_images=4, shortened=SMOKE_TRAINING, stops=(1, 2, 3),
        images=_all(4), eps=(0.1, 0.3), strong_eps=(0.1, 0.3), constants=(1.0, 10.0),
        steps={"fgsm": 1, "pgd": 2, "mim": 2, "cw": 2, "strong": 2}, gradient_draws=1, averaged=(1, 2), repeats=2),
    "laptop": Profile(
        "laptop", "mnist", {"decoder": PUBLISHED_TRAINING, "DBX": DBX_TRAINING,
                            "other": Training(6_000, rate=1e-3, schedule="one-cycle")}, samples=10, draws=10, batch=5,
        blocks={a: {"decoder": 5, "BNN": 5, "other": 20 if a == "cw" else 50}
                if a in ("cw", "strong", "referee", "averaging") else {"decoder": 10, "BNN": 10, "other": 50}
                for a in ATTACKS},
        fit_images=5_000, test_images=10_000, judged_images=500, shortened=ONE_CYCLE,
        stops=(12_000, 30_000, 60_000, 120_000),
        images={"fgsm": {"decoder": 300, "BNN": 300, "other": 500}, "pgd": {"decoder": 100, "BNN": 100, "other": 200},
                "mim": {"decoder": 60, "BNN": 60, "other": 200},
                "cw": {"decoder": 10, "BNN": 10, "other": 60},
                "strong": {"decoder": 25, "BNN": 25, "other": 100},
                "referee": {"decoder": 100, "other": 400}, "averaging": {"decoder": 20, "other": 20},
                "spread": {"decoder": 20, "BNN": 20, "other": 100}}, spread_on="shortened"),
    "paper": Profile(
        "paper", "mnist", {"decoder": PUBLISHED_TRAINING, "other": PUBLISHED_TRAINING}, samples=10, draws=10,
        batch=100, blocks=_all(100), fit_images=60_000, test_images=10_000, judged_images=10_000,
        shortened=ONE_CYCLE, stops=(120_000,), restarts=6,
        images=(_all(10_000)
                | {"strong": {"decoder": 1_000, "other": 1_000}, "referee": {"decoder": 100, "other": 1_000},
                   "averaging": {"decoder": 100, "other": 100}, "spread": {"decoder": 1_000, "other": 1_000}})),
}


@dataclass(frozen=True)
class Inner:
    """An attack on detectors: Adam on the perturbation. step_size: Adam's rate, pixels in [0, 1]."""

    norm: str
    eps: float
    steps: int
    step_size: float


SYSTEMS = {     # Yin et al. (2020), Table 6: the ball of each system of detectors, and the published inner attack
    "linf0.3": Inner("linf", 0.3, 100, 0.01),
    "linf0.5": Inner("linf", 0.5, 100, 0.01),
    "l2-2.5": Inner("l2", 2.5, 100, 0.1),
    "l2-5.0": Inner("l2", 5.0, 200, 0.1),
}
SHORT_STEPS = "linf0.5-short-steps"     # a further training of some detectors of linf0.5: what do long steps cost them?


def namesake(system: str) -> str:
    """The published system that a system is, or whose detectors it trains once more. ValueError for an unknown one."""
    name = system.removesuffix("-short-steps")
    if name not in SYSTEMS:
        raise ValueError(f"unknown system {system!r}; expected one of {', '.join(SYSTEMS)}")
    return name


@dataclass(frozen=True)
class DetectorProfile:
    """Sizes of the experiments of Yin et al. (2020) at one scale.

    training: of a detector; an update takes `batch` images, and of them each detector its positives and `negatives`
    others. steps: of the inner attack, None as published; with fewer, its steps in l-infinity together still span
    `span` radii. In L2 they keep the published length: Adam's rate is a pixel's, so that all pixels together cross the
    ball in one to two steps, and detectors trained with steps of 2/12 of the radius withstood those and fell to
    short ones.
    candidates: how many checkpoints, evenly spaced over the last half of the training, are compared on
    `validation_images` negatives under `validation_steps` steps. classifier, robust: of f and of the Madry network,
    whose attack is robust_inner and grows over the first robust_ramp updates (published: from the first at full size).
    systems: which detectors are trained, by class. inners: of some of them, inner attacks that depart from that rule.
    """

    training: Training
    negatives: int
    steps: int | None
    span: float
    candidates: int
    validation_images: int
    validation_steps: int
    classifier: Training
    robust: Training
    robust_inner: Inner
    robust_ramp: int
    systems: Mapping[str, tuple[int, ...]]
    auc_images: Mapping[str, int]       # negatives: main test (of one system, by its name), balls of other systems,
                                        # long test, others
    attacked_images: Mapping[str, int]  # first test images that systems are attacked on, by family ("published": the
                                        # losses and the radius of Figure 2a, and of two of them their best iterates);
                                        # images of no class
    attack_steps: int = 100             # of those attacks
    held_out: int = 10_000              # training images kept for validation
    inners: Mapping[str, Inner] = field(default_factory=dict)

    def inner(self, system: str) -> Inner:
        """The inner attack that trains a system. Raises ValueError for an unknown one, listing the choices."""
        published = SYSTEMS[namesake(system)]
        if system in self.inners:
            return self.inners[system]
        if self.steps is None:
            return published
        step = self.span * published.eps / self.steps if published.norm == "linf" else published.step_size
        return Inner(published.norm, published.eps, self.steps, step)


ALL_TEN = tuple(range(10))
DETECTORS = {
    "smoke": DetectorProfile(
        Training(2, batch=100, rate=1e-3, schedule="one-cycle"), negatives=8, steps=2, span=2.0, candidates=2,
        validation_images=20, validation_steps=2, classifier=Training(20, batch=64, rate=1e-3, schedule="one-cycle"),
        robust=Training(4, batch=32, rate=1e-3, schedule="one-cycle"), robust_inner=Inner("linf", 0.3, 2, 0.3),
        robust_ramp=1, systems={"linf0.3": ALL_TEN},
        auc_images=dict.fromkeys(("main", "balls", "long", "others"), 8),
        attacked_images=dict.fromkeys(("single", "aligned", "distortion", "untargeted", "strangers"), 4),
        attack_steps=2, held_out=150),
    "laptop": DetectorProfile(      # an epoch is 156 updates: 12 epochs of 12 steps instead of 100 of 100
        Training(12 * 156, batch=320, rate=1e-3, schedule="one-cycle"), negatives=32, steps=12, span=2.0, candidates=3,
        validation_images=400, validation_steps=50,
        classifier=Training(9_375, batch=32, rate=5e-4, schedule="one-cycle"),
        robust=Training(6_000, batch=50, rate=1e-3, schedule="one-cycle"), robust_inner=Inner("linf", 0.3, 10, 0.075),
        robust_ramp=1_800, systems={"linf0.3": ALL_TEN, "l2-2.5": (0, 1), "l2-5.0": (0, 1), "linf0.5": ALL_TEN,
                                     SHORT_STEPS: (5, 8, 9)}, inners={SHORT_STEPS: Inner("linf", 0.5, 40, 0.02)},
        auc_images={"main": 500, "linf0.3": 2_000, "balls": 400, "long": 100, "others": 100},
        attacked_images={"single": 500, "published": 1_000, "aligned": 100, "distortion": 30, "untargeted": 10,
                         "strangers": 1_000}),
    "paper": DetectorProfile(
        Training(100 * 156, batch=320, rate=5e-4), negatives=32, steps=None, span=0.0, candidates=20,
        validation_images=10_000, validation_steps=200, classifier=Training(18_750, batch=32, rate=5e-4),
        robust=Training(100_000, batch=50, rate=1e-4, dtype="float32"), robust_inner=Inner("linf", 0.3, 40, 0.01),
        robust_ramp=0, systems=dict.fromkeys(SYSTEMS, ALL_TEN),
        auc_images=dict.fromkeys(("main", "balls", "long", "others"), 10_000),
        attacked_images={"single": 10_000, "aligned": 1_000, "distortion": 10_000, "untargeted": 1_000,
                         "strangers": 10_000}),
}


@dataclass(frozen=True)
class Density:
    """Training on points of the line or the plane (Yin et al. 2020, appendix F): float32, all points in every update.

    ordinary: updates with clean negatives that come first; iterations: those with attacked ones that follow.
    width, layers: of the network. side: points along an axis of the grid on which densities are measured; picture: of
    the one that is kept, which in the plane covers the middle alone. seeds: how many trainings, each on points of
    its own.
    """

    inner: Inner
    iterations: int
    rate: float = 5e-4
    width: int = 500
    layers: int = 5
    ordinary: int = 500
    positives: int = 1000
    negatives: int = 1000
    side: int = 1000
    picture: int = 120
    seeds: int = 1


_PLANE = Density(Inner("linf", 0.5, 10, 0.05), 50_000)
_LINE = Density(Inner("linf", 0.3, 20, 0.05), 2_000, layers=3, positives=500, negatives=500, picture=1000, seeds=3)
_PUBLISHED = {      # point set and setting; "notebook": the last settings in the authors' public notebook
    ("two-gaussians", "paper"): _LINE,
    ("two-gaussians", "notebook"): replace(_LINE, inner=Inner("linf", 0.4, 10, 0.05), iterations=5_000, rate=1e-4),
    **{(name, "paper"): _PLANE for name in ("ring", "grid", "spirals")},
    ("checkerboard", "paper"): replace(_PLANE, positives=10_000),       # the code's count; the caption says 1,000
}
LONGER = ("grid", "longer")
DENSITIES = {
    "smoke": {key: replace(sizes, iterations=6, width=16, layers=2, ordinary=10, positives=200, negatives=50, side=60,
                           picture=200 if key[0] == "two-gaussians" else 30, seeds=1)
              for key, sizes in (_PUBLISHED | {LONGER: _PLANE}).items()},
    # the line as published, the plane at less than a hundredth of the cost; but for one training on the grid, which is
    # as long as published, to tell what the length does
    "laptop": {key: sizes if key[0] == "two-gaussians"
               else replace(sizes, iterations=5_000, width=128, positives=1_000, seeds=3)
               for key, sizes in _PUBLISHED.items()} | {LONGER: replace(_PLANE, width=128)},
    "paper": _PUBLISHED,
}


def profile(name: str) -> Profile:
    """A profile by name. Raises ValueError listing the choices."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; expected one of {', '.join(PROFILES)}")
    return PROFILES[name]
