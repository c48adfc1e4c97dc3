"""Fine-tuning against the transformers Trainer's default recipe: time to the accuracy it ends with.

Theirs (see rival.py): AdamW, learning rate 5e-5, linear decay, 3 epochs, fp32, batch 32, the data's
own validation part or a fifth of the training data. Ours: the same weights, data and validation
rows; the clock runs from before the first feature until the first checkpoint whose
validation accuracy is not below theirs. Both in fresh processes, one after the other.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from bench.cases import MINILM, MOBILENET, SHARED, Case, accuracy
from bench.fresh import fresh
from bench.table import Row, faster

NAME = "finetune"
TARGET = 5.0
BATCH = 32
SECONDS = 400.0

CASES = {
    "clothing_small": Case("clothing_small", MOBILENET, SHARED / "data" / "clothing_small", {}),
    "customer_reviews": Case("customer_reviews", MINILM, SHARED / "data" / "customer_reviews", {}),
}


def run() -> list[Row]:
    rows = []
    for name in CASES:
        theirs = fresh("bench.finetune", "theirs", name)
        ours = fresh("bench.finetune", "ours", name, str(theirs["validation"]))
        note = (
            f"validation {theirs['validation']:.4f} (theirs), {ours['validation']:.4f} (ours, "
            f"whole run {ours['seconds']:.0f} s); test {theirs['test']:.4f} and {ours['test']:.4f}"
        )
        rows.append(faster(name, ours["reached"], theirs["seconds"], TARGET, note))
        rows.append(
            Row(what=f"{name}: test accuracy at the end", ours=ours["test"], theirs=theirs["test"],
                ratio=ours["test"] / theirs["test"], target=1.0, unit="")
        )  # fmt: skip
    return rows


def opened(name: str) -> tuple[Any, np.ndarray, Any]:
    """Return (training and validation data, rows to validate on, test part)."""
    from headstart.adapt import validation_rows
    from headstart.data.dataset import joined

    splits = CASES[name].open().splits
    if splits.validation is None:
        return splits.train, validation_rows(splits.train, None, 0), splits.test
    data = joined(splits.train, splits.validation)
    return data, np.arange(len(splits.train), len(data)), splits.test


def ours(name: str, goal: float) -> dict[str, float]:
    """Fine-tune with our defaults; the time to `goal` comes from the curve's clock."""
    from headstart.adapt import Context, FineTune, Probe, plan
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.machine import machine
    from headstart.compute.randomness import rng_for
    from headstart.sources import load

    machine()
    data, rows, test = opened(name)
    source = BackboneFeaturiser(load(CASES[name].model))
    start = time.perf_counter()
    folds = plan(data, rows, rng=rng_for(0, "folds"))
    context = Context(data, folds, rows, 0, SECONDS, source)
    probe = Probe().adapt(context)
    at_probe = time.perf_counter() - start
    held = accuracy(probe.held_scores(rows), data.targets[rows])
    begun = time.perf_counter() - start
    tuned = FineTune().adapt(context)
    total = time.perf_counter() - start
    reached = at_probe if held >= goal else float("inf")
    for entry in tuned.details["curve"]:
        if entry["accuracy"] >= goal - 1e-9:
            reached = min(reached, begun + entry["seconds"])
    truth = test.targets.open()
    end = accuracy(tuned.held_scores(rows), data.targets[rows])
    return {
        "reached": reached,
        "seconds": total,
        "validation": max(end, held),
        "test": accuracy(tuned.adapted.scores(test.inputs), truth),
        "probe": held,
    }


def theirs(name: str) -> dict[str, float]:
    """Train with the Trainer as it comes."""
    from bench.rival import trained

    data, rows, test = opened(name)
    training = np.setdiff1d(np.arange(len(data)), rows)
    return trained(CASES[name], data, training, rows, test, batch=BATCH)


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        print(json.dumps(ours(sys.argv[2], float(sys.argv[3]))))
    else:
        print(json.dumps(theirs(sys.argv[2])))
