"""The built book, read as files: no warning, no dead link, nothing without words."""

import json
from urllib.parse import unquote, urlsplit

from lib.pages import __main__ as command


def test_every_page_is_built_and_the_front_leads_to_the_book(built):
    assert [page for page in command.listed() if not (built / page.with_suffix(".html")).exists()] == []
    assert (built / "index.html").exists()


def test_every_link_inside_the_book_resolves(built, soups):
    dead = []
    for path, soup in soups.items():
        for node in soup.select("a[href], img[src], script[src], link[href]"):
            link = urlsplit(node.get("href") or node.get("src"))
            if link.scheme or link.netloc:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            anchored = not link.fragment or target not in soups or soups[target].find(id=unquote(link.fragment))
            dead += ([] if target.exists() and anchored
                     else [f"{path.relative_to(built)}: {node.get('href') or node.get('src')}"])
    assert dead == []


def test_every_claim_links_to_its_rows_and_from_there_back_to_the_ledger(built, soups):
    ledger, one_way = built / "book" / "claims.html", []
    for entry in soups[ledger].select("article[id^=claim-]"):
        link = entry.select_one('a[href*=".html"]')
        decided = not entry.select_one(".badge.undecided")
        back = f"claims.html#{entry['id']}"
        there = soups[(ledger.parent / link["href"].partition("#")[0]).resolve()] if link else None
        if ((decided and not link)
                or (there and not (there.find(id=entry["id"]) and there.select(f'a[href$="{back}"]')))):
            one_way.append(entry["id"])
    assert one_way == [] and len(soups[ledger].select("article[id^=claim-]")) > 60


def test_every_figure_is_shown_with_words_and_without_a_broken_reference(soups):
    """What the build lets pass: an empty alternative text, the file name as one, and raw HTML that cites what is
    not there."""
    silent = [str(image)[:80] for soup in soups.values() for image in soup.select("article img")
              if len(image.get("alt", "").split()) < 4 or image["alt"].endswith((".png", ".webp"))]
    raw = [text for soup in soups.values() for node in soup.select("article") if (text := node.get_text())
           and any(mark in text for mark in ("{numref}", "{glue:", "{cite:", "{doc}", "{ref}"))]
    assert silent == [] and [text[:200] for text in raw] == []


def test_nothing_is_loaded_from_elsewhere(soups):
    assert [str(node)[:200] for soup in soups.values()
            for node in soup.select("img[src], script[src], link[rel=stylesheet]")
            if (node.get("href") or node.get("src")).startswith(("http:", "https:", "//"))] == []


def test_controls_that_need_a_kernel_are_left_out(soups, built):
    """What is drawn from stored widgets: none of them is a button or a field that waits for an answer."""
    for path, soup in soups.items():
        views = [json.loads(node.string)["model_id"]
                 for node in soup.select('script[type="application/vnd.jupyter.widget-view+json"]')]
        states = [json.loads(node.string)["state"]
                  for node in soup.select('script[type="application/vnd.jupyter.widget-state+json"]')]
        shown = [name for state in states for view in views for name in kinds(state, view)]
        assert {"ButtonModel", "DropdownModel", "FloatSliderModel"} & set(shown) == set(), path.relative_to(built)


def kinds(state: dict, model: str) -> list[str]:
    """The kinds of a stored widget and of all its children."""
    children = [child.removeprefix("IPY_MODEL_") for child in state[model]["state"].get("children", [])]
    return [state[model]["model_name"], *(kind for child in children for kind in kinds(state, child))]
