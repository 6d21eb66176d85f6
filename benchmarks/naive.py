"""The plain way to the logits of a deep Bayes classifier: an oracle for the tests, and what the benchmarks
compare with.

Written as the public PyTorch port of the authors' code is (killian31/DeepBayesTorch): float32, a Python loop over the
classes, concatenated inputs, all samples of a class in one batch, every layer a module's own function, weights tracked
by autograd. The trunk of q runs once an image, that of p(z | x) once a class, that of p(y | x, z) for every sample.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.models import DeepBayes


def logits(model: DeepBayes, x: Tensor, noise: Tensor) -> Tensor:
    """log p(x, y = c) in nats, (batch, class). noise: (sample, class, batch, latent), as of
    `lib.models.class_scores`."""
    features = model.posterior.trunk(x)
    return torch.stack([_log_joint(model, x, features, c, noise[:, c]) for c in range(model.classes)], dim=1)


def _log_joint(model: DeepBayes, x: Tensor, features: Tensor, c: int, noise: Tensor) -> Tensor:
    samples, batch, _ = noise.shape
    one_hot = F.one_hot(torch.full((batch,), c, device=x.device), model.classes).float()
    mean, log_std = _dense(model.posterior, features, one_hot).chunk(2, dim=1)
    z = (mean + log_std.exp() * noise).flatten(0, 1)                        # sample * batch, latent
    value = {"x": x.repeat(samples, 1, 1, 1), "y": one_hot.repeat(samples, 1), "z": z}
    parents = {"z": {"x": x, "y": one_hot}, "y": value, "x": value}         # p(z | ...) is the same for all samples
    log_w = -_normal(z, mean.repeat(samples, 1), log_std.repeat(samples, 1))
    for variable in "zyx":
        if model.graph.parents(variable) is not None:
            given = {parent: parents[variable][parent] for parent in model.graph.parents(variable)}
            log_w = log_w + TERMS[variable](model, value[variable], given)
    return log_w.view(samples, batch).logsumexp(0) - math.log(samples)


def _log_z(model: DeepBayes, z: Tensor, given: dict) -> Tensor:
    if not given:
        return _normal(z, torch.zeros_like(z), torch.zeros_like(z))
    factor = model.factors["z"]
    out = factor.out(factor.trunk(given["x"])) if "x" in given else _dense(factor, given["y"])
    return _normal(z, *out.repeat(len(z) // len(out), 1).chunk(2, dim=1))


def _log_y(model: DeepBayes, y: Tensor, given: dict) -> Tensor:
    factor = model.factors["y"]
    if not given:
        return torch.full((len(y),), -math.log(model.classes), device=y.device)
    out = _dense(factor, factor.trunk(given["x"]), given["z"]) if "x" in given else factor.out(given["z"])
    return -F.cross_entropy(out, y.argmax(1), reduction="none")


def _log_x(model: DeepBayes, x: Tensor, given: dict) -> Tensor:
    factor = model.factors["x"]
    hidden = torch.relu(F.linear(torch.cat(list(given.values()), dim=1), factor.joint.weight, factor.joint.bias))
    maps = torch.relu(factor.decoder.dense(hidden)).view(-1, *factor.decoder.first)
    for conv in factor.decoder.convs[:-1]:
        maps = torch.relu(conv(maps))
    return -((x - torch.sigmoid(factor.decoder.convs[-1](maps))) ** 2).sum((1, 2, 3))


TERMS = {"z": _log_z, "y": _log_y, "x": _log_x}


def _dense(factor, *parts: Tensor) -> Tensor:
    return factor.out(torch.relu(F.linear(torch.cat(parts, dim=1), factor.joint.weight, factor.joint.bias)))


def _normal(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return (-0.5 * ((z - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
