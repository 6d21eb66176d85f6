"""The ledger as it stands on a page."""

import re

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


@pytest.mark.parametrize("page, links", [
    ("claims", ["deep_bayes/mnist.html#attacks-as-published"]),
    ("index", ["deep_bayes/mnist.html#attacks-as-published", "claims.html#claim-fig3b"]),
    ("beyond/adaptive", ["../deep_bayes/mnist.html#attacks-as-published", "../claims.html#claim-fig3b"]),
    ("deep_bayes/mnist", ["#attacks-as-published", "../claims.html#claim-fig3b"])])
def test_an_entry_links_to_its_rows_and_to_the_ledger_from_wherever_it_stands(page, links):
    table = claims.ledger(rows=frame(*decided()))
    html = claims.as_html(table[table.id == "fig3b"], page=page)
    assert re.findall('href="([^"]*)"', html) == links


def test_an_entry_says_what_its_number_is_what_was_drawn_and_what_makes_it_light():
    table = claims.ledger(rows=frame(*decided()))
    line = table[table.id == "fig3b"].iloc[0]
    assert line.of and f"{line.ours}, {line.of}".replace(">", "&gt;") in claims.as_html(table[table.id == "fig3b"])
    rings = table[table.id == "fig2a"].assign(seeds=5, verdict="holds", ours="1")
    html = claims.as_html(rings)
    assert "5 training sets" in html and f"<dt>but</dt><dd>{rings.iloc[0].caution}</dd>" in html
    assert (claims.cautions(rings) == f"fig2a is {rings.iloc[0].caution}"
            and claims.cautions(table.assign(verdict="fails")).startswith("no claim"))


def test_a_line_says_where_its_number_should_lie_and_what_the_verdict_is_confined_to():
    table = claims.ledger(rows=frame(*decided()))
    line = table[table.id == "fig3b"].assign(asked="below 50.0 %", scope="MNIST", verdict="holds")
    html = claims.as_table({"The paper": line})
    assert "asked: below 50.0 %" in html and "Judged on MNIST." in html and "<code>fig3b</code>" in html
    assert table[table.id == "fig3b"].iloc[0].asked == "below 50.0 %"


def test_a_claim_without_rows_links_to_none():
    table = claims.ledger(rows=frame(*decided()))
    assert "href" not in claims.as_html(table[table.id == "fig3b"].assign(link=""))


def test_a_page_shows_the_claims_whose_rows_are_on_it():
    table = claims.ledger(rows=frame(*decided()))
    assert list(claims.of_page(table, "deep_bayes/carlini_wagner").id) == ["fig5a", "fig5b", "fig5c", "fig6"]
    assert claims.of_page(table, "deep_bayes").empty


def test_the_one_table_lists_what_is_decided_the_best_first_and_counts_the_rest():
    table = claims.ledger(rows=frame(*decided()))
    table.loc[table.id == "abs1", "verdict"] = "fails"                  # before fig3b in the paper's order
    html = claims.as_table({"The paper": table, "Another": table.assign(verdict="undecided")})
    assert re.findall(r'<span class="badge [\w-]+">([\w ]+)<', html) == ["holds", "fails"]
    assert re.findall(r"<th>([\w ]+)", html)[:3] == ["Verdict", "Claim", "The number that decides"]
    assert "33 claims; 1 holds, 0 holds as published, 1 fails, 31 undecided" in html and "33 undecided" in html


@pytest.mark.parametrize("colour", ["#1f6f43", "#7a5a00", "#a5281b", "#57606a"])
def test_badges_are_legible(colour):
    """Contrast of white on the badge at least 4.5 (WCAG 2.2, level AA)."""
    channels = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    assert colour in claims.as_html(claims.ledger(rows=frame(*decided())))
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5
