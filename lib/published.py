"""What the papers print, as rows like ours: tables, operating points and distances from data/paper/*.json."""

import json

import pandas as pd

from lib.results import ROOT, tidy

PAPER = ROOT / "data" / "paper"


def table(paper: str, name: str) -> pd.DataFrame:
    """A published table as tidy rows: attack, source (white, grey, black), model, dataset, metric, value
    (fractions)."""
    content = json.loads((PAPER / f"{paper}.json").read_text())
    tables = [known for known in content if known.startswith("table")]
    if name not in tables:
        raise KeyError(f"{paper}.json has no table {name!r}; expected one of {tables}")
    body, rows = content[name], []
    dataset = "mnist" if "mnist" in name else "cifar-binary"
    for row in body.get("rows", []):
        for model, cell in row["cells"].items():
            key = {"dataset": dataset, "attack": row["attack"].lower(), "source": row["threat_model"], "model": model}
            rows += [key | {"metric": "min_eps", "value": cell["mean_min_linf"]},
                     key | {"metric": "accuracy_upto", "eps": body["accuracy_eps_max"],
                            "value": cell["victim_accuracy_pct"] / 100}]
    for dataset, eps in (("mnist", 0.3), ("cifar_binary", 0.05)) if not rows else ():
        for model, cell in body[dataset].items():
            rows += [{"dataset": dataset.replace("_", "-"), "attack": attack.lower(), "source": "white", "model": model,
                      "metric": "accuracy", "eps": eps, "value": value / 100} for attack, value in cell.items()]
    return tidy(rows)


def auc(name: str) -> pd.DataFrame:
    """A published table of detectors' AUC on MNIST (1, 8 to 12 of Yin et al. 2020) as tidy rows like those of
    lib.runs.auc.

    variant: the ball that a detector was trained in, as "linf0.3" or "l2-2.5"; norm, eps: the one it is attacked in.
    Raises KeyError listing the tables for any other.
    """
    tables = {known: body for known, body in json.loads((PAPER / "gat.json").read_text())["tables"].items()
              if body.get("dataset") == "mnist" and body["metric"] == "auc"}
    if name not in tables:
        raise KeyError(f"gat.json has no AUC table {name!r} on MNIST; expected one of {', '.join(tables)}")
    body, rows = tables[name], []
    for row in [{"k": body.get("k")} | row for row in body["rows"]]:
        row = {key: body[key] for key in ("norm", "eps", "steps", "step_size") if key in body} | row
        norm, eps = row.get("attack_norm", row.get("norm")), row.get("attack_eps", row.get("eps"))
        trained = row.get("train_norm", norm).lower()
        starts = row.get("start", "fixed").split()[0]
        rows.append({"dataset": "mnist", "model": "GAT", "class": row["k"], "attack": body["optimizer"],
                     "norm": norm.lower(),
                     "variant": f"{trained}{'-' if trained == 'l2' else ''}{row.get('train_eps', eps)}",
                     "eps": eps, "steps": row["steps"], "step_size": row["step_size"], "metric": "auc",
                     "value": row["value"], "restarts": 0 if starts == "fixed" else int(starts)})
    return tidy(rows)


def operating_points() -> dict[float, tuple[float, float]]:
    """Published (error, accuracy) of the robust network on MNIST, by the radius of the attack (Yin et al.,
    Figure 2b)."""
    points = json.loads((PAPER / "gat.json").read_text())["operating_points"]
    return {point["eps"]: (point["error"], point["accuracy"])
            for point in points if point["id"].startswith("op_mnist_madry")}


def distances() -> dict[str, float]:
    """Mean L2 distances of Table 2 of Yin et al. on MNIST: "earlier" (Carlini and Wagner), by system as "linf0.3", and
    "submission linf0.3", what the submitted version of the paper printed."""
    table = json.loads((PAPER / "gat.json").read_text())["tables"]["2"]
    found = {}
    for prefix, rows in (("", table["rows"]), ("submission ", table["submission_version_values"])):
        for row in rows:
            name = f"{row['train_norm'].lower()}{row['train_eps']}" if "train_eps" in row else "earlier"
            found[prefix + name] = row["value"]
    return found


def shares_moved() -> dict[str, float]:
    """Shares of images that the searches of Table 2 of Yin et al. moved past a system on MNIST, named as "linf0.3"."""
    table = json.loads((PAPER / "gat.json").read_text())["tables"]["2"]
    return {f"{row['train_norm'].lower()}{row['train_eps']}": row["fpr_reached"]
            for row in table["rows"] if "fpr_reached" in row}


def distance_threshold() -> float:
    """The logit from which the published search on MNIST counts an image as accepted, the same for both systems."""
    searches = json.loads((PAPER / "gat.json").read_text())["tables"]["7"]["rows"]
    return next(row["threshold"] for row in searches if row["dataset"] == "mnist")


def adaptive_attack() -> dict[str, float]:
    """Robust accuracy on CIFAR-10 that Tramer et al. (2020) left to "integrated" and "generative" classification."""
    found = json.loads((PAPER / "gat.json").read_text())["tramer_2020"]
    return {name: found[name]["robust_accuracy"] for name in ("integrated", "generative")}
