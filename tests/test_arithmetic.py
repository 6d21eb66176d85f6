"""bfloat16 where the processor has it, float32 elsewhere; and records and weights say which."""

import time
from dataclasses import asdict

import pytest
import torch
from torch import nn

from lib import arithmetic
from lib.arithmetic import products, serves, used
from lib.profiles import Training
from lib.results import read_settings
from lib.runs import units
from lib.train import load_weights, save_weights, settings_of

CPU = torch.device("cpu")
FORMATS = {True: "bfloat16", False: "float32"}


@pytest.fixture(params=FORMATS)
def there(request, monkeypatch) -> bool:
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda kind: request.param)
    return request.param


def test_products_are_in_bfloat16_where_it_is_asked_for_and_there(there):
    layer, x = nn.Linear(3, 2), torch.ones(1, 3)
    with products("bfloat16", CPU):
        assert layer(x).dtype == getattr(torch, FORMATS[there])
    with products("float32", CPU):
        assert layer(x).dtype == torch.float32
    assert (used("bfloat16", CPU), used("float32", CPU), used("float64", CPU)) == (FORMATS[there], "float32", "float64")


def test_a_build_without_the_question_has_no_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    arithmetic.has_bfloat16.cache_clear()
    assert not arithmetic.has_bfloat16("cpu")
    arithmetic.has_bfloat16.cache_clear()


def test_what_is_used_on_this_processor_is_not_emulated():
    """Emulated products took two hundred times as long as float32 ones; real ones are faster, or nearly as fast."""
    layer, x = nn.Linear(1024, 1024), torch.randn(256, 1024)

    def fastest(dtype: str) -> float:
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            with torch.no_grad(), products(dtype, CPU):
                layer(x)
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    assert fastest("bfloat16") < 5 * fastest("float32")


@pytest.mark.parametrize("stated, asked, does", [
    ("bfloat16", "bfloat16", True), ("float32", "bfloat16", True), ("bfloat16", "float32", False),
    (None, "bfloat16", False), ("float32", "float64", False)])
def test_only_float32_stands_in_and_only_for_bfloat16(stated, asked, does):
    assert serves(stated, asked) is does


def test_a_record_says_what_was_used_and_serves_where_bfloat16_is_asked_for(tmp_path, there):
    unit = units.Unit("a", lambda device: ({}, {"dtype": "bfloat16"}), expected={"dtype": "bfloat16"})
    units.ensure("toy", [unit], lambda records: [], profile="smoke", results=tmp_path)
    record = tmp_path / "smoke/toy/a.npz"
    assert read_settings(record)["dtype"] == FORMATS[there]
    assert units.stored(record, expected={"dtype": "bfloat16"})
    if there:
        with pytest.raises(ValueError, match="dtype = 'bfloat16', and would now be made with 'float32'"):
            units.stored(record, expected={"dtype": "float32"})


def test_weights_say_what_was_used_and_serve_where_bfloat16_is_asked_for(tmp_path, there):
    net, path, recipe = nn.Linear(3, 2), tmp_path / "a.safetensors", asdict(Training(10))
    save_weights(path, net, recipe)
    assert settings_of(path)["dtype"] == FORMATS[there]
    load_weights(path, net, {}, recipe)
    if there:
        with pytest.raises(ValueError, match="has dtype = 'bfloat16', expected 'float32'"):
            load_weights(path, net, {}, recipe | {"dtype": "float32"})
