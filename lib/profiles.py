"""Three scales of every experiment, in one table: what `profile` means."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

DECODERS = ("GFZ", "GFY", "GBZ", "GBY", "DFZ")      # twenty times dearer to attack than the others: they draw images


@dataclass(frozen=True)
class Training:
    """How a model is trained. schedule: "constant" (published), or "one-cycle": up over the first 15 %, then down.

    A rate above 1e-4 needs that warm-up: without it the decoder dies (the bound stays where a grey image leaves it).
    """

    updates: int
    batch: int = 50
    rate: float = 1e-4
    schedule: str = "constant"
    dtype: str = "bfloat16"

    def rate_at(self, update: int) -> float:
        """Learning rate of an update, counted from 0."""
        if self.schedule == "constant":
            return self.rate
        warm = max(1, round(0.15 * self.updates))
        if update < warm:
            return self.rate * (0.04 + 0.96 * (1 - math.cos(math.pi * update / warm)) / 2)
        return self.rate * max(1e-4, (1 + math.cos(math.pi * (update - warm) / max(1, self.updates - warm))) / 2)


PUBLISHED_TRAINING = Training(updates=120_000)


@dataclass(frozen=True)
class Profile:
    """Sizes of every experiment at one scale.

    samples: K of the classifier. draws: fresh predictions that judge an image. batch: images attacked together, fixed
    because floating-point sums depend on it. block: images of one unit of work. images: how many of the first test
    images an attack gets, by attack and then by model ("decoder" and "other" stand for the two costs).
    """

    name: str
    dataset: str
    training: Training
    samples: int
    draws: int
    batch: int
    block: int
    fit_images: int                     # training images that the detectors are fitted on
    test_images: int                    # test images that are predicted once
    judged_images: int                  # of these, predicted `draws` times
    images: Mapping[str, Mapping[str, int]]
    eps: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    strong_eps: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.3)
    constants: tuple[float, ...] = (0.1, 1, 10, 100, 1000)          # c of Carlini and Wagner
    steps: Mapping[str, int] = field(default_factory=lambda: {"fgsm": 1, "pgd": 40, "mim": 100, "cw": 1000, "strong": 100})
    restarts: int = 2                   # of the strong protocol
    gradient_draws: int = 4             # likewise
    dtype: str = "bfloat16"             # of attack gradients; what is reported is judged in float32

    def images_for(self, attack: str, model: str) -> int:
        """How many images `attack` gets on `model`."""
        sizes = self.images[attack]
        return sizes.get(model, sizes["decoder" if model in DECODERS else "other"])


def _both(n: int) -> dict[str, int]:
    return {"decoder": n, "other": n}


PROFILES = {
    "smoke": Profile(
        "smoke", "digits", Training(updates=25, rate=1e-3, schedule="one-cycle"), samples=2, draws=3, batch=5, block=5,
        fit_images=200, test_images=40, judged_images=5, images={a: _both(5) for a in ("fgsm", "pgd", "mim", "cw", "strong")},
        eps=(0.1, 0.3), strong_eps=(0.1, 0.3), constants=(1, 10),
        steps={"fgsm": 1, "pgd": 2, "mim": 2, "cw": 3, "strong": 2}, restarts=1, gradient_draws=1),
    "laptop": Profile(
        "laptop", "mnist", Training(updates=12_000, rate=1e-3, schedule="one-cycle"), samples=10, draws=10, batch=5,
        block=50, fit_images=5_000, test_images=2_000, judged_images=500,
        images={"fgsm": {"decoder": 200, "other": 1_000}, "pgd": {"decoder": 50, "other": 500},
                "mim": {"decoder": 50, "other": 500}, "cw": {"decoder": 0, "other": 100},
                "strong": {"decoder": 50, "other": 100}}),
    "paper": Profile(
        "paper", "mnist", PUBLISHED_TRAINING, samples=10, draws=10, batch=100, block=100, fit_images=60_000,
        test_images=10_000, judged_images=10_000,
        images={"fgsm": _both(10_000), "pgd": _both(10_000), "mim": _both(10_000), "cw": _both(10_000),
                "strong": _both(1_000)}),
}


def profile(name: str) -> Profile:
    """A profile by name. Raises ValueError listing the choices."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; expected one of {', '.join(PROFILES)}")
    return PROFILES[name]
