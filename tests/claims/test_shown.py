"""The ledger as it stands on a page."""

import numpy as np
import pytest

from lib import claims
from tests.claims.rows import decided, frame


def test_the_html_names_every_verdict_in_words_and_escapes_text():
    table = claims.ledger(rows=frame(*decided()))
    html = claims.as_html(table.assign(why="a < b & c"))
    assert html.count("<article") == 33 and "a &lt; b &amp; c" in html
    assert html.count(">undecided</span>") == 32 and html.count(">holds</span>") == 1
    assert 'href="deep_bayes/mnist.html#attacks-as-published"' in html


def test_a_page_shows_its_own_claims_without_a_link_to_itself():
    table = claims.ledger(rows=frame(*decided()))
    html = claims.as_html(table[table.id == "fig3b"].assign(link=""))
    assert html.count("<article") == 1 and "href" not in html


@pytest.mark.parametrize("colour", ["#1f6f43", "#7a5a00", "#a5281b", "#57606a"])
def test_badges_are_legible(colour):
    """Contrast of white on the badge at least 4.5 (WCAG 2.2, level AA)."""
    channels = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    assert colour in claims.as_html(claims.ledger(rows=frame(*decided())))
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5
