"""The ledger: claims of the papers, their predicates, and verdicts computed from rows (no torch)."""
from lib.claims.estimates import Estimate
from lib.claims.evidence import Evidence
from lib.claims.ledger import VERDICTS, Verdict, claims, counts, ledger, verdict, waiting
from lib.claims.predicates import Finding, check, judge
from lib.claims.shown import as_html, as_table, cautions, of_page

__all__ = ["VERDICTS", "Estimate", "Evidence", "Finding", "Verdict", "as_html", "as_table", "cautions", "check",
           "claims", "counts", "judge", "ledger", "of_page", "verdict", "waiting"]
