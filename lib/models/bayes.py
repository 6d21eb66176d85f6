"""A graph with its networks: training bound, and classification by Bayes' rule with importance sampling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.decoder import Decoder, Pixels
from lib.models.graphs import GRAPHS, Graph, log_joint
from lib.models.nets import (Architecture, Categorical, DiagonalNormal, Joint, StandardNormal, Trunk, UniformClass,
                             architecture, glorot_uniform, mlp)
from lib.models.noise import Noise

SAMPLES = 10        # K of the published classifier


class Posterior(nn.Module):
    """q(z | x, y): a diagonal Gaussian whatever the graph. The trunk sees the image, the rest also the class."""

    def __init__(self, arch: Architecture, classes: int):
        super().__init__()
        self.joint = Joint((arch.hidden, classes), arch.hidden)
        self.out = nn.Linear(arch.hidden, 2 * arch.latent)
        self.apply(glorot_uniform)
        self.trunk = Trunk(arch)

    def forward(self, features: Tensor, y: Tensor) -> DiagonalNormal:
        return DiagonalNormal.split(self.out(F.relu(self.joint(features, y))))


class LatentGivenImage(nn.Module):
    """p(z | x) of DFX and DBX, with a trunk of its own."""

    def __init__(self, arch: Architecture):
        super().__init__()
        self.out = mlp(arch.hidden, arch.hidden, 2 * arch.latent)
        self.apply(glorot_uniform)
        self.trunk = Trunk(arch)

    def forward(self, x: Tensor) -> DiagonalNormal:
        return DiagonalNormal.split(self.out(self.trunk(x)))


class LatentGivenClass(nn.Module):
    """p(z | y) of GFY and GBY, learned from the one-hot label."""

    def __init__(self, arch: Architecture, classes: int):
        super().__init__()
        self.joint = Joint((classes,), arch.hidden)
        self.out = nn.Linear(arch.hidden, 2 * arch.latent)
        self.apply(glorot_uniform)

    def forward(self, y: Tensor) -> DiagonalNormal:
        return DiagonalNormal.split(self.out(F.relu(self.joint(y))))


class ClassGivenLatent(nn.Module):
    """p(y | z)."""

    def __init__(self, arch: Architecture, classes: int, hidden_layers: int):
        super().__init__()
        self.out = mlp(arch.latent, *[arch.hidden] * hidden_layers, classes)
        self.apply(glorot_uniform)

    def forward(self, z: Tensor) -> Categorical:
        return Categorical(self.out(z))


class ClassGivenImageAndLatent(nn.Module):
    """p(y | x, z) of DFZ and DFX, with a trunk of its own that runs once an image."""

    def __init__(self, arch: Architecture, classes: int):
        super().__init__()
        self.joint = Joint((arch.hidden, arch.latent), arch.hidden)
        self.out = nn.Linear(arch.hidden, classes)
        self.apply(glorot_uniform)
        self.trunk = Trunk(arch)

    def forward(self, x: Tensor, z: Tensor) -> Categorical:
        return Categorical(self.out(F.relu(self.joint(self.trunk(x), z))))


class ImageGivenLatent(nn.Module):
    """p(x | z) or p(x | z, y)."""

    def __init__(self, arch: Architecture, parents: str, classes: int):
        super().__init__()
        self.parents = parents
        self.joint = Joint(tuple({"z": arch.latent, "y": classes}[p] for p in parents), arch.hidden)
        self.joint.apply(glorot_uniform)
        self.decoder = Decoder(arch)
        self.decoder.dense.apply(glorot_uniform)

    def forward(self, **value: Tensor) -> Pixels:
        return Pixels(self.decoder, F.relu(self.joint(*(value[p] for p in self.parents))))


def build_factors(graph: Graph, arch: Architecture, classes: int) -> nn.ModuleDict:
    """A network for each factor of the graph, chosen by the variable and its parents."""
    makers = {
        ("z", ""): StandardNormal,
        ("z", "y"): lambda: LatentGivenClass(arch, classes),
        ("z", "x"): lambda: LatentGivenImage(arch),
        ("y", ""): lambda: UniformClass(classes),
        ("y", "z"): lambda: ClassGivenLatent(arch, classes, graph.y_hidden),
        ("y", "xz"): lambda: ClassGivenImageAndLatent(arch, classes),
        ("x", "z"): lambda: ImageGivenLatent(arch, "z", classes),
        ("x", "zy"): lambda: ImageGivenLatent(arch, "zy", classes),
    }
    return nn.ModuleDict({v: makers[v, graph.parents(v)]() for v in "zyx" if graph.parents(v) is not None})


class DeepBayes(nn.Module):
    """One of the seven latent-variable classifiers.

    name: a key of GRAPHS. shape: (channel, H, W) of the images, which decides the published sizes unless `arch` does.
    Raises ValueError for an unknown name or shape.
    """

    randomised = True
    fixed_shapes = True

    def __init__(self, name: str, shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10,
                 arch: Architecture | None = None):
        if name not in GRAPHS:
            raise ValueError(f"unknown model {name!r}; expected one of {', '.join(GRAPHS)}")
        super().__init__()
        self.name, self.classes, self.graph = name, classes, GRAPHS[name]
        self.arch = arch or architecture(shape)
        self.posterior = Posterior(self.arch, classes)
        self.factors = build_factors(self.graph, self.arch, classes)

    def log_weight(self, x: Tensor, y: Tensor, noise: Tensor, beta: float = 1.0) -> Tensor:
        """log p(x, z, y) - log q(z | x, y) at z = mean + std * noise.

        x: (batch, channel, H, W); y: (batch) or (class, batch); noise: (*sample, *y's axes, latent). beta: weight of
        log p(z | ...) - log q, 1 in use. Returns nats, of the leading axes' shape, up to the constant of the pixel
        likelihood (minus the plain summed squared error, as in the authors' code).
        """
        q = self.posterior(self.posterior.trunk(x), y)
        value = {"x": x, "y": y, "z": q.at(noise)}
        log_q = q.log_prob(value["z"])
        log_w = log_joint(self.graph, self.factors, **value) - log_q
        if beta == 1:
            return log_w
        prior = self.factors["z"](**{parent: value[parent] for parent in self.graph.z})
        return log_w - (1 - beta) * (prior.log_prob(value["z"]) - log_q)

    def objective(self, x: Tensor, y: Tensor, noise: Noise, beta: float = 1.0) -> Tensor:
        """The evidence lower bound with one sample (K = 1), in nats, (batch); beta as in `log_weight`."""
        return self.log_weight(x, y, noise.normal(self.arch.latent).to(x.device), beta)

    def logits(self, x: Tensor, noise: Noise, samples: int = SAMPLES) -> Tensor:
        """Estimate log p(x, y = c) for every class c, (batch, class), with fresh draws from `noise`.

        The draws differ between classes and samples, as in the authors' code. Softmax over classes is p(y | x),
        logsumexp log p(x); where the graph leaves x out (DFX, DBX) the logits are log p(y = c | x).
        """
        draws = noise.normal(samples, self.classes, self.arch.latent).to(x.device).permute(1, 2, 0, 3)
        return class_scores(self, x, draws)


def class_scores(model: DeepBayes, x: Tensor, noise: Tensor) -> Tensor:
    """log p(x, y = c) for every class c, by importance sampling from q(z | x, y).

    x: (batch, channel, H, W), pixels in [0, 1]. noise: (sample, class, batch, latent), standard normal; the caller
    decides what is random (new draws each call: the paper's classifier; the same draws: a fixed one; zeros: the mean).
    Returns (batch, class) in nats, biased low for few samples. Memory grows with sample * class * batch.
    Raises ValueError if noise and x differ in batch size.
    Source: Li et al. (2019), section 3; the authors' code clips its sum at 1e-20, which is not done here.
    """
    if noise.shape[2] != len(x):
        raise ValueError(f"noise is drawn for {noise.shape[2]} images, x has {len(x)}; draw it for this batch")
    y = torch.arange(model.classes, device=x.device)[:, None].expand(-1, len(x))
    log_w = model.log_weight(x, y, noise)
    return (log_w.logsumexp(dim=0) - math.log(len(noise))).T
