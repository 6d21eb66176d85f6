"""Sizes of the experiments of Yin et al. (2020) on images, at three scales."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lib.profiles.training import Training


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
    further: which of them meet more than the main attack (published: 0 and 1, in some tables; of the system whose
    weights are kept, here the two weakest too). restarts: random starts of the tests that take many (published: 50).
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
                                        # losses and the radius of Figure 2a; "cheap": best iterates of two of them);
                                        # images of no class
    attack_steps: int = 100             # of those attacks
    held_out: int = 10_000              # training images kept for validation
    inners: Mapping[str, Inner] = field(default_factory=dict)
    further: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    restarts: tuple[int, ...] = (10,)

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
        further=dict.fromkeys(SYSTEMS, (0, 1)) | {"linf0.3": (0, 1, 8, 9)},
        auc_images={"main": 500, "linf0.3": 1_000, "balls": 400, "long": 100, "others": 100},
        attacked_images={"single": 500, "published": 3_000, "cheap": 1_000, "aligned": 100, "distortion": 30,
                         "untargeted": 10, "strangers": 1_000}),
    "paper": DetectorProfile(
        Training(100 * 156, batch=320, rate=5e-4), negatives=32, steps=None, span=0.0, candidates=20,
        validation_images=10_000, validation_steps=200, classifier=Training(18_750, batch=32, rate=5e-4),
        robust=Training(100_000, batch=50, rate=1e-4, dtype="float32"), robust_inner=Inner("linf", 0.3, 40, 0.01),
        robust_ramp=0, systems=dict.fromkeys(SYSTEMS, ALL_TEN), further=dict.fromkeys(SYSTEMS, ALL_TEN),
        restarts=(10, 50), auc_images=dict.fromkeys(("main", "balls", "long", "others"), 10_000),
        attacked_images={"single": 10_000, "aligned": 1_000, "distortion": 10_000, "untargeted": 1_000,
                         "strangers": 10_000}),
}
