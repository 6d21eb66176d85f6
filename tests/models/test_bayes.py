"""Scores of the deep Bayes classifiers against answers that are known."""

import math

import pytest
import torch

from lib.models import GRAPHS, Noise, build, class_scores
from lib.models.bayes import DeepBayes
from lib.models.decoder import Decoder
from lib.models.graphs import log_joint
from lib.models.nets import Architecture, Joint, Trunk

TINY = Architecture((1, 4, 4), channels=(2, 2, 2), hidden=8, latent=1)


def tiny(name: str) -> DeepBayes:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = DeepBayes(name, classes=3, arch=TINY).double()
    return model.requires_grad_(False)


def images(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def quadrature(model: DeepBayes, x: torch.Tensor) -> torch.Tensor:
    """log of the integral of p(x, y = c, z) over a fine grid of z, (batch, class)."""
    z = torch.linspace(-12, 12, 6001, dtype=torch.float64)
    classes = torch.arange(model.classes)[:, None]                                    # class batch
    joint = log_joint(model.graph, model.factors, x=x, y=classes.expand(-1, len(x)),
                      z=z[:, None, None, None].expand(-1, model.classes, len(x), 1))
    return (joint.logsumexp(0) + math.log(z[1] - z[0])).T


@pytest.mark.parametrize("name", GRAPHS)
def test_the_importance_weighted_score_converges_to_quadrature(name):
    model, x = tiny(name), images()
    noise = torch.randn(20_000, 3, len(x), 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(class_scores(model, x, noise), quadrature(model, x), atol=0.03, rtol=0)


@pytest.mark.parametrize("name", GRAPHS)
def test_each_weight_is_the_log_joint_less_the_log_posterior(name):
    model, x = tiny(name), images(1)
    z = torch.linspace(-14, 14, 4001, dtype=torch.float64)
    q = model.posterior(model.posterior.trunk(x), torch.tensor([2]))
    noise = ((z - q.mean[0]) / q.log_std[0].exp())[:, None, None]
    log_w = model.log_weight(x, torch.tensor([2]), noise)[:, 0]
    integral = (log_w + q.log_prob(z[:, None, None])[:, 0]).logsumexp(0) + math.log(z[1] - z[0])   # of q * w over z
    torch.testing.assert_close(integral, quadrature(model, x)[0, 2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_conv_trunk_of_the_posterior_runs_once_an_image(name):
    model, seen = tiny(name), []
    model.posterior.trunk.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    class_scores(model, images(2), torch.zeros(5, 3, 2, 1, dtype=torch.float64))
    assert seen == [2]


@pytest.mark.parametrize("name", GRAPHS)
def test_beta_weighs_the_terms_of_z_alone(name):
    model, x, y = tiny(name), images(2), torch.tensor([0, 2])
    noise = torch.randn(2, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    none, half, whole = (model.log_weight(x, y, noise, beta).double() for beta in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (none + whole) / 2, atol=1e-5, rtol=1e-5)
    q = model.posterior(model.posterior.trunk(x), y)
    value = {"x": x, "y": y, "z": q.at(noise)}
    others = sum(model.factors[v](**{p: value[p] for p in model.graph.parents(v)}).log_prob(value[v])
                 for v in "yx" if model.graph.parents(v) is not None)
    torch.testing.assert_close(none, others.expand(2).double(), atol=1e-5, rtol=1e-5)


def test_a_batch_and_its_images_alone_have_the_same_scores():
    model, x = tiny("GFZ"), images(4)
    noise = torch.randn(6, 3, 4, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alone = torch.cat([class_scores(model, x[[i]], noise[:, :, [i]]) for i in range(4)])
    torch.testing.assert_close(class_scores(model, x, noise), alone)


def test_noise_for_another_batch_is_refused():
    with pytest.raises(ValueError, match="drawn for 3 images, x has 2"):
        class_scores(tiny("GFZ"), images(2), torch.zeros(1, 3, 3, 1, dtype=torch.float64))


def test_keyed_noise_depends_on_image_and_step_and_on_nothing_else():
    one, two = Noise("a", 0, [4, 9]), Noise("a", 0, [9])
    torch.testing.assert_close(one.normal(5)[1], two.normal(5)[0])
    first = two.normal(5)
    assert torch.equal(two.normal(5), first)
    assert not torch.equal(Noise("a", 0, [9], step=1).normal(5), first)
    assert not torch.equal(Noise("b", 0, [9]).normal(5), first)
    assert not torch.equal(Noise("a", 1, [9]).normal(5), first)


def test_a_joint_layer_equals_a_dense_layer_on_the_concatenation():
    layer = Joint((4, 3), 5)
    z, y = torch.randn(7, 2, 4), torch.tensor([0, 2])
    both = torch.cat([z, torch.nn.functional.one_hot(y, 3).float().expand(7, 2, 3)], dim=-1)
    torch.testing.assert_close(layer(z, y), torch.nn.functional.linear(both, layer.weight, layer.bias))


def test_the_decoder_starts_at_a_flat_grey_image():
    arch = build("GFZ").arch
    mean = Decoder(arch)(torch.rand(2, arch.hidden))
    assert mean.shape == (2, 1, 28, 28) and (mean - 0.5).abs().max() < 0.01


def test_the_trunk_starts_with_glorot_normal_weights():
    layer = Trunk(build("GFZ").arch)[2]                       # 64 to 64 channels, 5x5
    assert abs(layer.weight.std() / (0.88 * math.sqrt(2 / (2 * 64 * 25))) - 1) < 0.05     # cut at two deviations
    assert layer.bias.abs().max() == 0


def test_dropout_masks_have_the_published_rate_and_average_in_probability():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build("BNN").requires_grad_(False)
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    each = model.logits_each(x, Noise("a", 0, [0, 1]), 10)
    assert not torch.equal(each[:, 0], each[:, 1])
    expected = each.softmax(-1).mean(1).log()
    torch.testing.assert_close(model.logits(x, Noise("a", 0, [0, 1])), expected, atol=1e-5, rtol=1e-5)
    kept = (Noise("a", 0, [0]).uniform(100_000) >= model.RATE).float().mean()
    assert abs(kept - 0.7) < 0.01
