"""The cards of the explorer say what their case holds."""

import re

import numpy as np
import pytest

from lib.plots import cards
from lib.runs.explorer import Case, Reading

BLACK = np.zeros((4, 4), np.uint8)


def case(seen=3, label=7, score=1.0, image=0, eps=0.1, model="GFZ", **more):
    nats = np.full(10, -50.0)
    nats[seen] = -20.0
    given = {"clean": BLACK, "attacked": BLACK + 51, "draws": np.array([3, 3, 7]),
             "readings": {"kl": Reading(score, 2.0, 0.5)}}
    return Case(model=model, attack="fgsm", eps=eps, image=image, label=label, log_joint=nats, **given | more)


@pytest.mark.parametrize("seen, score, verdict", [(7, 1.0, "read right"), (7, 2.5, "read right, yet flagged"),
                                                  (3, 1.0, "fooled and unnoticed"), (3, 2.5, "fooled, but flagged")])
def test_the_verdict_weighs_reading_and_alarm(seen, score, verdict):
    assert case(seen, score=score).verdict == verdict
    assert f">{verdict}</span>" in cards.account(case(seen, score=score))


def test_every_class_and_detector_has_its_number_in_words():
    said = cards.account(case())
    assert re.findall(r"<td>(−\d+\.\d)", said) == ["−50.0"] * 3 + ["−20.0"] + ["−50.0"] * 6
    assert "7, true" in said and 'class="best"' in said and "1.0 / 2.0, accepted" in said
    assert "2 see 3, 1 sees 7" in said


def test_a_detector_on_its_threshold_fills_the_bar_up_to_the_line():
    line = float(re.search(r"\.bar b \{[^}]*left: ([\d.]+)%", cards.STYLE).group(1))
    width = float(re.findall(r"width:(\d+)%", cards.account(case(score=2.0)))[-1])
    assert abs(width - line) < 1


def test_the_difference_is_red_where_brighter_blue_where_darker_and_paper_where_nothing_changed():
    after = np.full((1, 3), 100, np.uint8) + np.array([[60, -60, 0]], np.int8).astype(np.uint8)
    red, blue, none = cards.difference(np.full((1, 3), 100, np.uint8), after)[0].astype(int)
    assert red[0] > red[2] and blue[2] > blue[0] and none.min() > 240


def test_the_deck_turns_through_every_case_and_refuses_a_gap():
    cases = {(m, "fgsm", i, e): case(model=m, image=i, eps=e, label=i) for m in ("GFZ", "GBZ") for i in (0, 1)
             for e in (0.1, 0.2)}
    deck = cards.deck(cases)
    assert [control.description for control in deck.children[:-1]] == list(cards.NAMED)
    assert deck.children[2].options == ("a 0, no. 0", "a 1, no. 1")
    cases.popitem()
    with pytest.raises(ValueError, match="7 cases .* one for each combination"):
        cards.deck(cases)
    assert "no rows yet" in cards.deck({})
