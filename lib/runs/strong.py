"""The strong protocol as an experiment of its own (python -m lib.runs.strong)."""

from lib.runs import units
from lib.runs.whitebox import strong_protocol as strong

if __name__ == "__main__":
    units.main(strong, __doc__)
