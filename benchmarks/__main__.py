"""The command line of the benchmarks: python -m benchmarks --profile P [--unit NAME] [--fresh]"""

from benchmarks import bench
from lib.runs import units

units.main(bench.bench, bench.__doc__)
