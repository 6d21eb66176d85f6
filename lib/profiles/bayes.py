"""Sizes of every experiment on the models of Li et al. (2019), at three scales."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lib.profiles.training import Training

DECODERS = ("GFZ", "GFY", "GBZ", "GBY", "DFZ")      # ten times dearer to attack than DFX and DBX: they draw images
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
        batch=100, blocks={a: {"decoder": 100, "BNN": 100, "other": 1_000} for a in ATTACKS},
        fit_images=60_000, test_images=10_000, judged_images=10_000,
        shortened=ONE_CYCLE, stops=(120_000,), restarts=6,
        images=(_all(10_000)
                | {"strong": {"decoder": 1_000, "other": 1_000}, "referee": {"decoder": 100, "other": 1_000},
                   "averaging": {"decoder": 100, "other": 100}, "spread": {"decoder": 1_000, "other": 1_000}})),
}
