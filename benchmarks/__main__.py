"""The command line of the benchmarks: python -m benchmarks [CONTEST ...] [--profile P] [--seed S] [--device D]
[--fresh]"""

import argparse
import sys

from benchmarks.bench import bench, contests
from lib.memory import keep_memory

parser = argparse.ArgumentParser(prog="python -m benchmarks",
                                 description="Time ours beside the plain way and other libraries.")
parser.add_argument("contests", nargs="*", metavar="CONTEST", help="default: all of them")
parser.add_argument("--profile", default="laptop")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--device", default="auto")
parser.add_argument("--fresh", action="store_true", help="time again what has a record")
args = parser.parse_args()
keep_memory()
try:
    for name in args.contests or contests(args.profile, args.seed):
        found = bench(name, args.profile, args.seed, args.device, fresh=args.fresh)
        print(f"{name}: {len(found)} rows", flush=True)
except (ValueError, OSError) as error:
    sys.exit(f"error: {error}")
