"""Batch re-execution: every page, and the units of work that its rows come from, as one graph of jobs for Snakemake.

`python -m lib.batch` (make reproduce) writes a plan, hands it to the Snakefile, and prints what became of each job.
Records are the only memory: a batch that was killed anywhere goes on where it was by the same command.
"""
