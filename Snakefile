"""The graph of a batch: one job a unit of work, one a page. `python -m lib.batch` writes the plan, and calls this.

A record is moved into place by the process that made it and is never taken back, hence `update`: Snakemake must not
delete one that another worker has finished meanwhile. Only missing records are planned, and what they wait for is
`ancient`: times of files mean little after a checkout. A page is done again when it, the code or a record is newer
than its copy.
"""

import json
import re
import shlex
from pathlib import Path

plan = json.loads(Path(config["plan"]).read_text())
run = f"cd {shlex.quote(workflow.basedir)} && {shlex.quote(config['python'])} -m"
record = f"{plan['results']}/{{record}}.npz"
copy, log = f"{plan['build']}/{{page}}.ipynb", f"{plan['build']}/log/"
missing = [str(Path(file).relative_to(plan["results"]).with_suffix("")) for file in plan["units"]]


def unit_of(wildcards):
    return plan["units"][record.format(**wildcards)]


def page_of(wildcards):
    return plan["pages"][copy.format(**wildcards)]


rule all:
    input:
        list(plan["units"]),
        list(plan["pages"]),


rule unit:
    input:
        lambda w: [ancient(other) for other in unit_of(w)["after"]],
    output:
        update(record),
    log:
        log + "{record}.txt",
    wildcard_constraints:
        record="|".join(map(re.escape, missing)) or "(?!)",     # none but these: a stored record is nobody's output
    resources:
        gpu=plan["gpus"],
    params:
        words=lambda w: unit_of(w)["words"],
    shell:
        run + " {params.words} --device {plan[device]} --results {plan[results]:q} > {log:q} 2>&1"


rule page:
    input:
        lambda w: page_of(w)["inputs"],
    output:
        copy,
    log:
        text=log + "{page}.txt",
        notebook=log + "{page}.ipynb",      # as far as it came: a log stays where a job fails
    wildcard_constraints:
        page="book/.+",
    params:
        page=lambda w: page_of(w)["page"],
        given=lambda w: json.dumps(page_of(w)["given"]),
    shell:
        run + " lib.batch.page {params.page:q} {output:q} --executed {log.notebook:q} --given {params.given:q}"
        " > {log.text:q} 2>&1"
