"""Training resumes to the same numbers, and weights are never mistaken."""

import json

import pytest
import torch

from lib.data import Split
from lib.models import build
from lib.models.bayes import DeepBayes
from lib.models.nets import Architecture
from lib.profiles import PROFILES, Training, profile
from lib.train import fingerprint, fit, initial_weights, load_weights, refuse_dead_decoder, save_weights, settings_of

TINY = Architecture((1, 4, 4), channels=(2, 2, 2), hidden=8, latent=2)


def model() -> DeepBayes:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DeepBayes("GFZ", classes=3, arch=TINY)


def split() -> Split:
    generator = torch.Generator().manual_seed(0)
    return Split(torch.randint(0, 256, (40, 1, 4, 4), generator=generator).byte(), torch.arange(40) % 3)


def test_a_killed_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    recipe = Training(updates=30, batch=8, dtype="float32")
    whole, resumed = model(), model()
    history = fit(whole, split(), recipe, seed=1, state=tmp_path / "whole.state")

    calls = iter(range(17))
    objective = resumed.objective
    monkeypatch.setattr(resumed, "objective",
                        lambda *args: objective(*args) if next(calls, None) is not None else killed())
    with pytest.raises(KeyboardInterrupt):
        fit(resumed, split(), recipe, seed=1, state=tmp_path / "cut.state", save_every=10)
    again = model()
    rest = fit(again, split(), recipe, seed=1, state=tmp_path / "cut.state", save_every=10)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters()))
    assert (history == rest).all()


@pytest.mark.parametrize("batch", [0, 41])
def test_a_batch_of_no_images_or_of_more_than_there_are_is_refused(tmp_path, batch):
    with pytest.raises(ValueError, match=f"a batch of {batch} images was asked for, and there are 40"):
        fit(model(), split(), Training(updates=4, batch=batch), seed=0, state=tmp_path / "a.state")


def killed():
    raise KeyboardInterrupt


def test_the_state_of_another_training_is_refused(tmp_path):
    fit(model(), split(), Training(updates=4, batch=8), seed=1, state=tmp_path / "a.state", save_every=2)
    with pytest.raises(ValueError, match="a.state belongs to another training"):
        fit(model(), split(), Training(updates=4, batch=8), seed=2, state=tmp_path / "a.state")


def test_a_training_does_not_go_on_in_another_arithmetic(tmp_path, monkeypatch):
    for made in (True, False):
        monkeypatch.setattr("lib.arithmetic.has_bfloat16", lambda kind, made=made: made)
        if made:
            fit(model(), split(), Training(updates=4, batch=8), seed=1, state=tmp_path / "a.state", stop=2)
    with pytest.raises(ValueError, match="a.state belongs to another training .*bfloat16"):
        fit(model(), split(), Training(updates=4, batch=8), seed=1, state=tmp_path / "a.state")


def test_first_weights_leave_every_generator_of_torch_as_it_was(monkeypatch):
    before = torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU's generator was seeded"))
    with initial_weights(7):
        first = torch.rand(3)
    with initial_weights(7):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_come_back_rounded_to_float16(tmp_path):
    first, second = model(), model()
    save_weights(tmp_path / "w.safetensors", first, {"model": "GFZ", "seed": 0})
    assert load_weights(tmp_path / "w.safetensors", second, {"model": "GFZ"})["seed"] == 0
    assert all(torch.equal(a, b) and torch.equal(a, a.half().float())
               for a, b in zip(first.parameters(), second.parameters()))


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, model(), {"model": "GFZ"})
    with pytest.raises(ValueError, match="w.safetensors has model = 'GFZ', expected 'GBZ'"):
        load_weights(path, model(), {"model": "GBZ"})
    with pytest.raises(ValueError, match="does not fit the model"):
        load_weights(path, DeepBayes("GBZ", classes=3, arch=TINY), {"model": "GFZ"})


def test_a_truncated_checkpoint_is_refused_by_name(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, model(), {"model": "GFZ"})
    path.write_bytes(path.read_bytes()[:-10])
    for read in (lambda: load_weights(path, model(), {"model": "GFZ"}), lambda: settings_of(path),
                 lambda: fingerprint(path)):
        with pytest.raises(ValueError, match="w.safetensors cannot be read .* delete that file"):
            read()


def test_a_dead_decoder_is_refused():
    dead = model()
    torch.nn.init.zeros_(dead.factors["x"].decoder.convs[-1].weight)
    x, y = split().images(), split().labels()
    with pytest.raises(RuntimeError, match="decoder of GFZ is dead"):
        refuse_dead_decoder(dead, x, y)
    refuse_dead_decoder(build("DBX"), torch.rand(2, 1, 28, 28), torch.tensor([0, 1]))     # has no decoder


def test_one_cycle_rises_then_falls_and_the_published_rate_is_constant():
    cycle = Training(updates=100, rate=1e-3, schedule="one-cycle")
    rates = [cycle.rate_at(u) for u in range(100)]
    assert max(rates) == rates[15] == 1e-3 and rates == sorted(rates[:15]) + sorted(rates[15:], reverse=True)
    assert {Training(updates=10).rate_at(u) for u in range(10)} == {1e-4}


def test_an_unknown_profile_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="'desktop'.*smoke, laptop, paper"):
        profile("desktop")
    assert json.dumps(sorted(PROFILES)) == '["laptop", "paper", "smoke"]'


def test_a_training_does_not_go_on_under_another_attack(tmp_path):
    recipe, weak, strong = Training(updates=4, batch=8), {"eps": 0.1, "steps": 2}, {"eps": 0.4, "steps": 20}
    fit(model(), split(), recipe, seed=1, state=tmp_path / "a.state", stop=2, attack=weak)
    with pytest.raises(ValueError, match=r"a.state belongs to another training .*attack.eps.: 0.1"):
        fit(model(), split(), recipe, seed=1, state=tmp_path / "a.state", attack=strong)
    assert len(fit(model(), split(), recipe, seed=1, state=tmp_path / "a.state", attack=weak)) == 4
