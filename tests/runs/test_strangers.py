"""Images that show no digit, and the share of them that each system accepts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.models import ConvNet
from lib.results import Record
from lib.runs import strangers
from lib.runs.heads import fresh


@pytest.mark.parametrize("kind, low, high", [("noise", -6, 6), ("noise in the box", 0, 1), ("photographs", 0, 1)])
def test_strangers_have_the_shape_of_digits_and_a_source(kind, low, high):
    x, source = strangers.images_of(kind, 5, "smoke", 0)
    assert x.shape == (5, 1, 28, 28) and x.dtype == torch.float32 and low <= x.min() < x.max() <= high and source
    assert torch.equal(x, strangers.images_of(kind, 5, "smoke", 0)[0])


def test_noise_leaves_the_box_only_where_it_says_so():
    assert strangers.images_of("noise", 2, "smoke", 0)[0].min() < 0


def test_fashion_mnist_is_met_only_where_the_reader_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BOOK_DATA", str(tmp_path))
    assert "fashion-mnist" not in strangers.kinds()
    with pytest.raises(FileNotFoundError, match="no fashion-mnist.npz on this machine; pages go on without it"):
        strangers.images_of("fashion-mnist", 2, "smoke", 0)
    x = np.zeros((3, 28, 28), np.uint8)
    np.savez(tmp_path / "fashion-mnist.npz", x_train=x, y_train=np.arange(3, dtype=np.uint8), x_test=x,
             y_test=np.arange(3, dtype=np.uint8), source="made up")
    assert "fashion-mnist" in strangers.kinds()
    found, source = strangers.images_of("fashion-mnist", 2, "smoke", 0)
    assert found.shape == (2, 1, 28, 28) and source == "made up"


def test_unknown_strangers_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="unknown strangers 'noises'; expected one of noise, noise in the box"):
        strangers.images_of("noises", 2, "smoke", 0)


def test_a_record_holds_what_every_network_says_of_them():
    nets = {"f": ConvNet(), "heads": fresh(tuple(range(10)), 0, (1, 28, 28)), "madry": ConvNet()}
    arrays, settings = strangers.compute(lambda *_: nets, "linf0.3", "noise in the box", 3, "smoke", 0,
                                         torch.device("cpu"))
    assert {name: part.shape for name, part in arrays.items()} == {"f": (3, 10), "heads": (3, 10), "madry": (3, 10)}
    assert settings["attack"] == "noise in the box" and "random numbers" in settings["data"]


def record(kind, heads, label=None) -> Record:
    heads = np.array(heads, np.float32)
    arrays = {"heads": heads, "f": np.eye(2, dtype=np.float32)[np.zeros(len(heads), int)], "madry": heads}
    return Record(arrays | ({} if label is None else {"label": np.array(label, np.int8)}),
                  {"experiment": "strangers", "variant": "linf0.3", "seed": 0, "attack": kind, "profile": "smoke",
                   "data": "digits" if label else "digits; strangers"}, Path("r"))


def rows(*records):
    return {(row.get("class", ""), row["model"] if "class" not in row else "GAT", row.get("detector", ""),
             row["attack"], row["metric"]): row["value"] for row in strangers.summarise(list(records))}


NATURAL = [record("clean", [[3, 0], [5, 0], [0, 4], [4.5, 6]], [0, 0, 1, 1]),
           record("validation", [[1, 0]] * 10 + [[2, 0]] * 90, [0] * 100)]


def test_auc_and_accepted_shares_follow_by_counting():
    found = rows(*NATURAL, record("noise", [[0.5, 7], [1.5, 0], [4, 0], [9, 0]]))
    assert found["0", "GAT", "", strangers.OTHERS, "auc"] == pytest.approx(0.75)    # 3 < 4.5 is the one pair that errs
    assert found["0", "GAT", "", "noise", "auc"] == pytest.approx(5 / 8)
    assert found["", "GAT-generative", "reject 5%", "noise", "accepted"] == 1.0          # 7, 1.5, 4 and 9 reach 1
    assert found["", "GAT-integrated", "reject 5%", "noise", "accepted"] == 0.75         # f names class 0: 0.5 does not


def test_no_rows_before_natural_images_were_read():
    assert strangers.summarise([NATURAL[0]]) == []


def test_nothing_stored_gives_no_logits(tmp_path):
    assert strangers.logits("linf0.3", "smoke", 0, tmp_path) == ({}, {})
