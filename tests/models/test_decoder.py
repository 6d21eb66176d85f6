"""Decoding in pieces, and the way back where it counts, against the plain way."""

import pytest
import torch

from benchmarks import naive
from lib import data
from lib.attacks import cross_entropy, input_gradient, margin
from lib.models import GRAPHS, build, class_scores, decoder
from lib.models.decoder import LEFT_OUT, PIECE, Pixels, add_at
from lib.runs.training import checkpoint
from lib.train import load_weights

SAMPLES, BATCH = 3, 2


def trained(name: str):
    with torch.device("meta"):
        model = build(name)
    load_weights(checkpoint(name, "laptop", 0), model, {"model": name})
    return model.requires_grad_(False)


def digits(n: int = BATCH):
    test = data.load("digits").test
    return test.images(list(range(n))), test.labels(list(range(n)))


def noise_for(model, batch: int = BATCH, samples: int = SAMPLES) -> torch.Tensor:
    return torch.randn(samples, model.classes, batch, model.arch.latent, generator=torch.Generator().manual_seed(0))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("name", GRAPHS)
def test_logits_and_gradients_are_those_of_the_plain_way(name):
    model, (x, y) = trained(name), digits()
    noise = noise_for(model)
    torch.testing.assert_close(class_scores(model, x, noise), naive.logits(model, x, noise), rtol=1e-5, atol=1e-5)
    for loss in (cross_entropy, margin):
        ours, plain = (input_gradient(loss(lambda x: logits(model, x, noise), y), x)
                       for logits in (class_scores, naive.logits))
        assert relative(ours, plain) < 1e-4, loss       # log weights of 100 nats: float32 itself gives 1e-5 of them


def test_on_colour_images_too():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build("GBZ", (3, 32, 32), 2).requires_grad_(False)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = noise_for(model)
    torch.testing.assert_close(class_scores(model, x, noise), naive.logits(model, x, noise), rtol=1e-5, atol=1e-5)
    ours, plain = (input_gradient(lambda x: logits(model, x, noise)[:, 0], x)
                   for logits in (class_scores, naive.logits))
    assert relative(ours, plain) < 1e-5


@pytest.mark.parametrize("name", ["GFZ", "DFZ"])
def test_a_bfloat16_gradient_points_where_the_plain_one_does(name):
    model, (x, y) = trained(name), digits()
    noise = noise_for(model)

    def coarse(x):
        with torch.autocast("cpu", torch.bfloat16):
            return class_scores(model, x, noise)
    ours = input_gradient(margin(coarse, y), x).flatten(1)
    plain = input_gradient(margin(lambda x: naive.logits(model, x, noise), y), x).flatten(1)
    assert (torch.cosine_similarity(ours, plain) > 0.99).all()


def test_the_size_of_the_pieces_does_not_matter(monkeypatch):
    model, (x, y) = trained("GFZ"), digits()
    noise = noise_for(model)
    whole = input_gradient(margin(lambda x: class_scores(model, x, noise), y), x)
    monkeypatch.setitem(PIECE, "cpu", 7)
    assert relative(input_gradient(margin(lambda x: class_scores(model, x, noise), y), x), whole) < 1e-5


def test_the_way_back_is_walked_for_few_images_of_all(monkeypatch):
    model, (x, y), walked = trained("GFZ"), digits(), []
    plain = decoder.Decoder.pull
    monkeypatch.setattr(decoder.Decoder, "pull",
                        lambda self, grad, *more: walked.append(len(grad)) or plain(self, grad, *more))
    input_gradient(margin(lambda x: class_scores(model, x, noise_for(model)), y), x)
    assert 0 < sum(walked) <= 2 * SAMPLES * BATCH               # the margin looks at two classes of ten


def test_the_way_back_is_that_of_autograd():
    net = trained("GFZ").factors["x"].decoder
    weights, generator = net.weights(torch.float64), torch.Generator().manual_seed(0)
    h = torch.rand(3, net.dense.in_features, generator=generator, dtype=torch.float64, requires_grad=True)
    alive = net.alive(3, h.device)
    mean = net.decode(h, weights, alive)
    grad = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(net.pull(grad, mean.detach(), alive, weights), torch.autograd.grad(mean, h, grad)[0])


@pytest.mark.parametrize("dtype", LEFT_OUT)
def test_what_is_left_out_weighs_less_than_its_budget(dtype):
    weight = torch.logspace(0, -30, 100, dtype=torch.float64)[:, None] * torch.tensor([1.0, -3.0, 1e-20])
    kept = decoder._heaviest(weight, LEFT_OUT[dtype])
    share = weight.abs().where(~kept, 0).sum(0) / weight.abs().sum(0)
    assert (share < LEFT_OUT[dtype]).all() and not kept.all(0).any()
    assert torch.equal(kept[:, 0], kept[:, 1]) and torch.equal(kept[:, 0], kept[:, 2])       # whatever the scale


def test_a_gradient_that_is_not_a_number_is_not_left_out():
    weight = torch.tensor([[torch.nan, torch.inf, 0.0], [1.0, 1.0, 0.0]])
    kept = decoder._heaviest(weight, 0.5)
    assert kept[0, :2].all() and not kept[:, 2].any()


def test_training_and_attacks_see_the_same_likelihood():
    model, (x, _) = trained("GFZ"), digits()
    h = torch.rand(4, BATCH, model.arch.hidden, generator=torch.Generator().manual_seed(0))
    pixels = Pixels(model.factors["x"].decoder, h)
    pieces = pixels.log_prob(x)
    model.requires_grad_(True)
    torch.testing.assert_close(pixels.log_prob(x), pieces)


def test_one_image_meets_many_means():
    model, (x, _) = trained("GFZ"), digits(1)
    h = torch.rand(4, model.arch.hidden, generator=torch.Generator().manual_seed(0))
    pixels = Pixels(model.factors["x"].decoder, h)
    each = torch.stack([Pixels(pixels.decoder, h[[i]]).log_prob(x)[0] for i in range(4)])
    torch.testing.assert_close(pixels.log_prob(x), each)
    torch.testing.assert_close(pixels.log_prob(x[0]), each)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 7, 7)])
def test_patches_on_a_gpu_are_those_on_a_cpu(shape):
    maps = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(decoder._windows(maps), decoder._patches(maps, torch.float32))


class SaysCuda(torch.Tensor):
    """A tensor of the processor that takes the way of one on a GPU."""

    is_cuda = True


def test_terms_are_added_at_their_index_on_either_device():
    index, terms = torch.tensor([2, 0, 2, 2]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    expected = [[4.0, 5.0], [1.0, 1.0], [14.0, 17.0]]
    for kind in (torch.Tensor, SaysCuda):
        total = torch.ones(3, 2).as_subclass(kind)
        assert add_at(total, index, terms).tolist() == expected == total.tolist()
