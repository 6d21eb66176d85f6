"""The benchmarks compare like with like, and their rows follow from what was timed."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import bench, gradients, loops, peers, timing, ways
from benchmarks.contest import Contest, Entry, rows
from benchmarks.subjects import subject
from lib.arithmetic import products
from lib.attacks import Linf, cross_entropy, pgd
from lib.models import CNN, decoder
from lib.results import Record

CPU, ROOT = torch.device("cpu"), Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def gfz():
    return subject("GFZ", "mnist", "smoke", 0, CPU, 2, samples=2)


@pytest.mark.parametrize("contest", bench.contests("smoke", 0))
def test_every_benchmark_runs_at_the_smoke_profile(contest, tmp_path):
    found = bench.bench(contest, "smoke", results=tmp_path, device="cpu")
    seconds = found[found.metric == "seconds"]
    assert len(seconds) and (seconds.value > 0).all() and (seconds.low <= seconds.high).all()
    assert set(found.metric) >= {"seconds", "speedup"} or contest in ("fitting", "growth")
    assert set(found.experiment) == {f"bench-{contest}"}


def test_an_unknown_contest_is_refused():
    with pytest.raises(ValueError, match="'marathon'; expected one of gradient"):
        bench.bench("marathon")


@pytest.mark.parametrize("backward", [True, False])
def test_the_contenders_compute_the_same_gradient(gfz, backward):
    plain = gfz.plain_gradient(backward=backward)
    assert ((gfz.gradient() - plain).norm() / plain.norm()) < 1e-3        # untrained: the classes nearly cancel
    assert not any(w.requires_grad for w in gfz.model.parameters())


def test_the_ways_that_were_tried_decode_the_same_images(gfz):
    net = gfz.model.factors["x"].decoder
    h = torch.rand(3, net.dense.in_features, generator=torch.Generator().manual_seed(0))
    weights = [w * scale for w, scale in zip(net.weights(torch.float32), (1, 1, 50, 50, 5))]     # far from a grey image
    with torch.no_grad():
        maps = net.maps(h, weights)
        torch.testing.assert_close(ways.phases(net, h, weights, ways.parities(weights[-2])), maps)
        if (packed := ways.packed(net, weights)) is not None:
            torch.testing.assert_close(ways.fused(net, h, weights, packed), maps)
        pairs = partial(ways.paired, kernel=ways.banded(weights[-1]))
        for other in (ways.transposed, ways.shuffled, pairs):
            torch.testing.assert_close(other(net, maps, weights[-1]), net.means(maps, weights[-1]))


@torch.no_grad()
def test_foresight_decodes_some_samples_and_gives_them_their_weight(gfz):
    x, y = gfz.x, gfz.y
    every = ways.foresee(gfz.model, x, gfz.noise, y, nats=float("inf"), first=1)
    with products("bfloat16", x.device):
        plain = gfz.model.log_weight(x, torch.arange(10)[:, None].expand(-1, 2), gfz.noise)
    torch.testing.assert_close(every, plain, rtol=1e-2, atol=0.5)
    few = ways.foresee(gfz.model, x, gfz.noise, y, nats=-float("inf"), first=1)
    decoded = few > -torch.inf
    assert (decoded.sum(0) == 1).all()
    torch.testing.assert_close(few[decoded], every[decoded], rtol=1e-2, atol=0.5)
    weights = ways.weights_of(every, y)
    torch.testing.assert_close(weights.sum((1, 2)), torch.ones(2, 2))
    assert (weights[0].sum(0) > 0).T[torch.arange(2), y].all() and not weights[1].sum(0).T[torch.arange(2), y].any()


def test_taking_an_idea_away_does_not_last(gfz):
    before = decoder.Decoder.means, dict(decoder.PIECE), dict(decoder.LEFT_OUT)
    for entry in gradients.ideas(gfz, 2).entries.values():
        entry.run()
    assert before == (decoder.Decoder.means, decoder.PIECE, decoder.LEFT_OUT)


def test_our_loop_costs_little_beyond_its_gradients():
    net, x, y = CNN().requires_grad_(False), torch.rand(100, 1, 28, 28), torch.arange(100) % 10
    contest = loops.small(net, x, y, {}, "", steps=5)
    entries = {name: contest.entries[name].run for name in (loops.BARE, "ours")}
    seconds = timing.alternating(entries, rounds=9)
    assert seconds["ours"].min() < 1.5 * seconds[loops.BARE].min()  # far less in fact: a busy machine may not fail it


@pytest.mark.parametrize("library", peers.installed())
def test_every_library_attacks_the_same_function_as_hard(library):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = CNN().requires_grad_(False)
    x, settings = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)), {"eps": 0.1, "steps": 20}
    y = net(x).argmax(1)
    theirs = peers.pgd(library, net, x, y, step_size=0.01, **settings)
    ours = pgd(cross_entropy(net, y), x, Linf(0.1), steps=20, step_size=0.01)
    loss = cross_entropy(net, y)
    assert (theirs - x).abs().max() < 0.1 + 1e-5 and theirs.min() >= 0 and theirs.max() <= 1
    torch.testing.assert_close(loss(theirs), loss(ours), rtol=0.02, atol=0.02)


def test_rows_are_medians_an_image_and_ratios_of_paired_rounds():
    seconds = np.array([[2.0, 4.0, 6.0], [1.0, 1.0, 2.0]])
    contest = Contest("gradient", 10, {"a": Entry(print), "b": Entry(print)}, "a", {"model": "GFZ"})
    cells = [{"variant": v, "dtype": "float32", "rate": 100.0, "operations": 50, "images": 10, "megabytes": None,
              "judged": None} for v in "ab"]
    origin = {"commit": "", "device": "", "torch": "", "data": "", "seconds": 1.0, "profile": "smoke", "seed": 0}
    record = Record({"seconds": seconds}, origin | {"experiment": "bench-gradient", "reference": contest.reference,
                                                    "cells": cells, "key": contest.key}, Path("gradient.npz"))
    found = {(row["variant"], row["metric"]): row["value"] for row in rows(record)}
    assert found["a", "seconds"] == 0.4 and found["a", "speedup"] == 1 and found["b", "speedup"] == 3
    assert found["b", "rate"] == 50 and found["b", "share"] == 0.5


def test_operations_are_those_of_matrix_products_and_convolutions():
    a, b = torch.rand(3, 4), torch.rand(4, 5)
    assert timing.operations(lambda: (a @ b).relu()) == 2 * 3 * 4 * 5
    weight = torch.rand(2, 1, 3, 3)
    assert timing.operations(lambda: torch.conv2d(torch.rand(1, 1, 5, 5), weight)) == 2 * 2 * 9 * 9


def test_peak_memory_returns_although_threads_are_not_forked():
    """In a process of its own, since without the mend it would wait forever."""
    code = ("import torch; from benchmarks.timing import peak_memory; torch.set_num_threads(2); a = "
            "torch.rand(600, 600); run = lambda: (a @ a).exp().sum(); run(); print(peak_memory(run, "
            "torch.device('cpu')) > 1)")
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


def test_peak_memory_sees_what_a_call_takes_and_frees():
    megabytes = timing.peak_memory(lambda: torch.ones(25_000_000).sum(), CPU)
    assert 95 < megabytes < 140


def test_runs_alternate_and_the_first_does_not_count():
    calls = []
    seconds = timing.alternating(
        {"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), time.sleep(0.01))}, 2)
    assert "".join(calls) == "ababab" and seconds["b"].min() >= 0.01 > seconds["a"].max()
