"""The ledger: claims of the papers, their predicates, and verdicts computed from rows (no torch)."""
from lib.claims.evidence import Estimate, Evidence
from lib.claims.ledger import VERDICTS, Verdict, as_html, claims, counts, ledger, verdict, waiting
from lib.claims.predicates import Finding, check, judge

__all__ = ["VERDICTS", "Estimate", "Evidence", "Finding", "Verdict", "as_html", "check", "claims", "counts", "judge",
           "ledger", "verdict", "waiting"]
