"""The strong protocol on every classifier of Li et al. (2019): an experiment of its own (python -m lib.runs.strong)."""

from pathlib import Path

from lib.runs import outcomes, units
from lib.runs.whitebox import units_of


def strong(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
           fresh: bool = False, only: str | None = None):
    """Rows of the strong protocol: several losses, averaged gradients, restarts, survivors carried over
    ascending eps."""
    return units.ensure("strong", units_of(("strong",), profile, seed, results), outcomes.summariser(profile, results),
                        profile=profile, device=device, results=results, fresh=fresh, only=only, seed=seed)


if __name__ == "__main__":
    units.main(strong, __doc__)
