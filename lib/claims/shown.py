"""The ledger as it stands on a page: entries in full, or one line a claim. Every entry links to its rows and back."""
import json
from collections.abc import Mapping
from html import escape

import pandas as pd

from lib.claims.ledger import VERDICTS, claims, counts

LEDGER = "claims"               # the page that has every claim
STYLE = ("""<style>
.ledger { border-top: 1px solid #8884; font-size: .92rem; line-height: 1.45 }
.ledger article { display: grid; grid-template-columns: 10.5rem 1fr; gap: .25rem 1rem; padding: .8rem 0;
                  border-bottom: 1px solid #8884 }
.ledger p { margin: 0 0 .3rem }
.ledger .what { font-size: 1rem }
.ledger .badge { display: inline-block; padding: .05rem .55rem; border-radius: 1rem; color: #fff; font-weight: 600;
                 font-size: .86rem }
.ledger .holds { background: #1f6f43 }
.ledger .holds-as-published { background: #7a5a00 }
.ledger .fails { background: #a5281b }
.ledger .undecided { background: #57606a }
.ledger .small { opacity: .85; font-size: .86rem }
.ledger dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: 0 }
.ledger dt { opacity: .8; font-weight: 400 }
.ledger dd { margin: 0; overflow-wrap: anywhere }
.ledger summary { cursor: pointer; font-size: .86rem }
.ledger article:target { outline: 2px solid; outline-offset: .3rem }
@media (max-width: 40rem) { .ledger article { grid-template-columns: 1fr } }
.ledger table { border-collapse: collapse; width: 100% }
.ledger :is(td, th) { padding: .45rem .7rem .45rem 0; vertical-align: top; text-align: left; """
    """border-bottom: 1px solid #8884 }
.ledger th[colspan] { padding-top: 1.1rem; font-weight: 400 }
.ledger td .badge { white-space: nowrap }
@media (max-width: 40rem) { .ledger :is(table, tbody, tr, td) { display: block; border: 0; padding: .1rem 0 }
                            .ledger thead { display: none } .ledger tr { """
    """border-bottom: 1px solid #8884; padding: .6rem 0 } }
</style>""")



def as_html(table: pd.DataFrame, paper: str = "deep-bayes", page: str = LEDGER) -> str:
    """The ledger for a page: badge, claim, the paper's word beside our number, why, and the predicate in words.

    page: the one that shows it, as in _toc.yml without "book/", so that links start there: to the rows and the figure,
    and, from any other page, to the entry in the ledger. A claim whose `link` is blank has no rows to link to.
    Readable on a phone, in light and dark, and without colour (a badge says its verdict).
    """
    known = {claim["id"]: claim["predicate"] for claim in claims(paper)}
    body = "".join(_entry(line, known.get(line.id, {}), page) for line in table.itertuples())
    return f'{STYLE}<div class="ledger">{body}</div>'


def as_table(tables: Mapping[str, pd.DataFrame], page: str = "index") -> str:
    """One line for each claim that is decided, the best verdict first, under a heading that counts the others.

    tables: the ledgers by the name of their paper. page: as in `as_html`.
    """
    body = []
    for name, table in tables.items():
        found = ", ".join(f"{count} {verdict}" for verdict, count in counts(table).items())
        body.append(f"<tr><th colspan=4><b>{escape(name)}</b>: {len(table)} claims; {found}")
        decided = table[table.verdict != "undecided"]
        order = decided.verdict.map(VERDICTS.index).sort_values(kind="stable").index
        body += [_line(line, page) for line in decided.loc[order].itertuples()]
    head = "<thead><tr><th>Verdict<th>Claim<th>The number that decides<th>Shown in"
    return f'{STYLE}<div class="ledger"><table>{head}<tbody>{"".join(body)}</table></div>'


def cautions(table: pd.DataFrame) -> str:
    """Of the claims that hold those whose verdict says little, and why: "a is true by definition; b is a timing"."""
    held = table[(table.verdict == "holds") & (table.caution != "")]
    return ("; ".join(f"{line.id} is {line.caution}" for line in held.itertuples())
            or "no claim that holds has such a reason")


def of_page(table: pd.DataFrame, page: str) -> pd.DataFrame:
    """The claims whose rows a page shows."""
    return table[table.link.str.partition("#")[0] == page]


def _badge(line) -> str:
    return f'<span class="badge {line.verdict.replace(" ", "-")}">{escape(line.verdict)}</span>'


def _links(line, page: str) -> list[str]:
    """To the rows, and to the ledger unless that is where the entry stands."""
    target, _, place = line.link.partition("#")
    up, place = "../" * page.count("/"), f"#{escape(place)}" if place else ""
    found = []
    if target:
        found.append(f'<a href="{place or "#"}">rows and figure</a>' if target == page else
                     f'<a href="{up}{escape(target)}.html{place}">rows and figure</a>')
    if page != LEDGER:
        found.append(f'<a href="{up}{LEDGER}.html#claim-{escape(line.id)}">ledger</a>')
    return found


def _line(line, page: str) -> str:
    confined = f"<br>Judged on {escape(line.scope)}." if line.scope else ""
    return (f"<tr><td>{_badge(line)}<br><code>{escape(line.id)}</code><td>{escape(line.statement)}<span class=small> "
            f"({escape(line.where)}){confined}</span><td>{escape(line.ours)} <span class=small>{escape(_of(line))}"
            f"</span><td>{' · '.join(_links(line, page))}")


def _of(line) -> str:
    """What the deciding number is, over how many images or points, and where it should lie."""
    asked = f"asked: {line.asked}" if line.asked else ""
    return "; ".join(part for part in (line.of, f"n {line.n}" if line.ours and line.n else "", asked) if part)


def _entry(line, predicate: dict, page: str) -> str:
    drawn = '"experiment": "rings"' in json.dumps(predicate)        # nothing is trained there: seeds draw training sets
    behind = [f"n {line.n}" if line.n else "", _many(line.seeds, "training set" if drawn else "training"),
              *_links(line, page)]
    reading = f"<details><summary>how it is decided</summary>{escape(predicate.get('reading', ''))}</details>"
    facts = {"paper": line.published, "ours": ", ".join(part for part in (line.ours, line.of) if part),
             "asked": line.asked, "why": line.why, "measured": line.also,
             "but": line.caution if line.verdict.startswith("holds") else ""}
    facts = "".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items() if fact)
    return f"""<article id="claim-{escape(line.id)}">
<div>{_badge(line)}
<p class="small">{escape(line.where)}<br><code>{escape(line.id)}</code></p></div>
<div><p class="what">{escape(line.statement)}</p><dl>{facts}</dl>
<p class="small">{" · ".join(part for part in behind if part)}</p>{reading}</div></article>
"""


def _many(count: int, word: str) -> str:
    return "" if not count else f"{count} {word}{'s' if count > 1 else ''}"
