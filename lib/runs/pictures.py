"""Images for the pages: what the models draw, and the stored pictures of what the attacks drew."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.models import DeepBayes
from lib.models.bayes import UniformClass
from lib.results import RESULTS, read_record
from lib.runs.outcomes import succeeded


@torch.no_grad()
def ancestral(model: DeepBayes, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw along the arrows: (count, channel, H, W) pixel means in [0, 1], and the classes drawn with them.

    Raises ValueError for a graph that leaves the image out (DFX, DBX): it has nothing to draw.
    """
    if model.graph.x is None:
        raise ValueError(f"{model.name} has no p(x | ...) and cannot draw images; choose a graph with a decoder")
    generator, value = torch.Generator().manual_seed(seed), {}
    while len(value) < 3:
        node = next(v for v in "zyx" if v not in value and set(model.graph.parents(v)) <= set(value))
        factor = model.factors[node]
        given = factor(**{parent: value[parent] for parent in model.graph.parents(node)})
        if node == "z":
            value["z"] = given.at(torch.randn(count, model.arch.latent, generator=generator))
        elif node == "x":
            value["x"] = given.mean
        elif isinstance(factor, UniformClass):
            value["y"] = torch.arange(count) % model.classes       # uniform, and in order for the eye
        else:
            value["y"] = torch.multinomial(given.logits.softmax(-1), 1, generator=generator)[:, 0]
    return value["x"].float(), value["y"]


@torch.no_grad()
def reconstructions(model: DeepBayes, x: Tensor, y: Tensor) -> Tensor:
    """Decode the posterior mean of z at (x, y): (batch, channel, H, W) in [0, 1]. y: the class that is assumed."""
    z = model.posterior(model.posterior.trunk(x), y).mean
    known = {"z": z, "y": y}
    return model.factors["x"](**{parent: known[parent] for parent in model.graph.parents("x")}).mean.float()


def thumbnails(experiment: str, model: str, attack: str, profile: str, seed: int, results: Path | None = None):
    """Stored adversarial images of the first block, or None if there are none.

    Returns the settings of the cells, pictures (cell, image, H, W) uint8, labels (image), and the classes seen in the
    fresh draws (cell, image, draw).
    """
    folder = Path(results or RESULTS) / profile / experiment
    paths = sorted(folder.glob(f"{model}_{attack}_seed{seed}_00000-*.npz"))
    record = read_record(paths[0]) if paths else None
    if record is None or "thumbs" not in record.arrays:
        return None
    pictures = record["thumbs"]
    return (record.settings["cells"], np.asarray(pictures)[:, :, 0], record["label"][:pictures.shape[1]],
            record["predictions"][:, :pictures.shape[1]])


def examples(experiment: str, models, attack: str, profile: str, seed: int, image: int = 0,
             results: Path | None = None) -> dict:
    """Arguments of `plots.grid`: one stored image under an attack, a row for each model with pictures, a column a cell.

    The caption is the class seen in the first fresh draw; frames mark wrong ones. Raises IndexError naming how many
    images are stored if `image` is not among them.
    """
    found = {name: thumbnails(experiment, name, attack, profile, seed, results) for name in models}
    found = {name: pictures for name, pictures in found.items() if pictures}
    fewest = min((len(labels) for _, _, labels, _ in found.values()), default=image + 1)
    if not 0 <= image < fewest:
        raise IndexError(f"image = {image}; pictures of {fewest} test images are stored, so expected 0 to {fewest - 1}")
    cells = next(iter(found.values()))[0] if found else []
    return {"images": [list(pictures[:, image]) for _, pictures, _, _ in found.values()], "rows": list(found),
            "columns": [cell.get("variant") or f"eps {cell['eps']:g}" for cell in cells],
            "captions": [[str(draws[0]) for draws in seen[:, image]] for *_, seen in found.values()],
            "flagged": [[draws[0] != labels[image] for draws in seen[:, image]]
                        for _, _, labels, seen in found.values()]}


def ambiguous(models, x: Tensor, y: Tensor, profile: str, seed: int, variant: str = "c=10",
              results: Path | None = None) -> dict:
    """Arguments of `plots.grid`: clean images, then what CW made of them, a row for each model that has pictures.

    x, y: the first test images and labels. The caption is the class that most fresh draws see, with their number;
    frames mark what counts as fooled.
    """
    found = {name: thumbnails("carlini", name, "cw", profile, seed, results) for name in models}
    found = {name: pictures for name, pictures in found.items() if pictures}
    count = min((pictures.shape[1] for _, pictures, _, _ in found.values()), default=0)
    rows = {"clean": (list(x[:count, 0].numpy()), [""] * count, [False] * count)} if found else {}
    for name, (cells, pictures, _, seen) in found.items():
        at = [cell["variant"] for cell in cells].index(variant)
        fooled, votes = succeeded("cw", seen[at, :count], y[:count].numpy())
        rows[name] = (list(pictures[at, :count]),
                      [f"{vote} ({(draws == vote).sum()})" for vote, draws in zip(votes, seen[at])], fooled.tolist())
    images, captions, flagged = ([row[i] for row in rows.values()] for i in range(3))
    return {"images": images, "rows": list(rows), "columns": [str(int(c)) for c in y[:count]], "captions": captions,
            "flagged": flagged}
