"""Eight labels a class: contrastive tuning (few-shot) against the frozen probe, on ten draws.

`chosen` is what `transfer --method auto` hands over of the two: few-shot tuning, which the advice
favours, unless out-of-fold outputs are clearly against it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from bench.adapt import CASES, KEPT, measured
from bench.cases import accuracy
from bench.table import Row

NAME = "few_labels"
LABELS, DRAWS = 8, 10
SETS = ("customer_reviews", "trec, all")


def run() -> list[Row]:
    rows = []
    for name in SETS:
        found = [
            measured(name, str(draw), module="bench.few_labels", folder=KEPT.with_name(NAME))
            for draw in range(DRAWS)
        ]
        probe, few, chosen = (
            np.asarray([one[key] for one in found]) for key in ("probe", "few-shot", "chosen")
        )
        gain = few - probe
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        rows.append(
            Row(what=f"{name}: {LABELS} labels a class, {DRAWS} draws", ours=few.mean(),
                theirs=probe.mean(), ratio=few.mean() / probe.mean(), target=1.0, unit="",
                note=f"gain {100 * gain.mean():+.1f} points, standard error {100 * error:.1f}; "
                f"what auto hands over {chosen.mean():.3f}; "
                f"{np.mean([one['cpu'] for one in found]):.0f} s a draw")
        )  # fmt: skip
    return rows


def draw(name: str, number: int) -> dict[str, Any]:
    """Measure one draw of LABELS examples a class from the training part."""
    import time

    from headstart.adapt import Context, FewShot, Probe, plan
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.machine import machine
    from headstart.compute.randomness import rng_for
    from headstart.run.choosing import Entry, best
    from headstart.sources import load

    machine()
    case, _ = CASES[name]
    splits = case.open().splits
    rng = rng_for(number, "bench/few_labels")
    targets = splits.train.targets
    rows = [rng.permutation(np.flatnonzero(targets == k))[:LABELS] for k in np.unique(targets)]
    data = splits.train.take(np.sort(np.concatenate(rows)))
    folds = plan(data, None, rng=rng_for(number, "folds"))
    source = BackboneFeaturiser(load(case.model))
    context = Context(data, folds, np.arange(0), number, 3600.0, source)
    start = time.process_time()
    methods = (Probe(head="auto"), FewShot())
    entries = [Entry("candidate", None, method, method.adapt(context)) for method in methods]
    cpu = time.process_time() - start
    truth = splits.test.targets.open()
    tests = {
        entry.method.name: accuracy(entry.trained.adapted.scores(splits.test.inputs), truth)
        for entry in entries
    }
    return tests | {"chosen": tests[best(entries, data, "few-shot").method.name], "cpu": cpu}


if __name__ == "__main__":
    print(json.dumps(draw(sys.argv[1], int(sys.argv[2]))))
