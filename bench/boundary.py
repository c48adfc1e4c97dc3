"""Training the last quarter of a network with the outputs of the frozen front kept, and without.

Seconds of the second epoch, its validation included: what filling the cache took is in the note.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import patch

from bench.cases import accuracy
from bench.finetune import CASES, opened
from bench.fresh import fresh
from bench.table import Row, faster

NAME = "boundary"
TARGET = 2.5


def run() -> list[Row]:
    rows = []
    for name in CASES:
        cached, plain = (fresh("bench.boundary", side, name) for side in ("cached", "plain"))
        note = (
            f"first epoch, cache included, {cached['first']:.1f} s; from {cached['boundary']}; "
            f"validation accuracy {cached['accuracy']:.4f} and {plain['accuracy']:.4f}"
        )
        target = TARGET if name == "clothing_small" else None
        rows.append(
            faster(f"last quarter: {name}", cached["second"], plain["second"], target, note)
        )
    return rows


def measured(side: str, name: str) -> dict[str, Any]:
    """Train two epochs of the last quarter of the blocks."""
    from headstart.adapt import Context, FineTune, plan, progressing
    from headstart.adapt.boundary import Plain
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.machine import machine
    from headstart.compute.randomness import rng_for
    from headstart.sources import load

    machine()
    data, rows, _ = opened(name)
    source = BackboneFeaturiser(load(CASES[name].model))
    context = Context(data, plan(data, rows, rng=rng_for(0, "folds")), rows, 0, 1000.0, source)
    method = FineTune(epochs=2, depth=0.25, unfreeze="together", patience=9)
    if side == "plain":
        whole = lambda feed, *_: (Plain(feed), {})  # noqa: E731
        with patch.object(progressing, "source_for", whole):
            made = method.adapt(context)
    else:
        made = method.adapt(context)
    curve = made.details["curve"]
    return {
        "first": curve[1]["seconds"] - curve[0]["seconds"],
        "second": curve[2]["seconds"] - curve[1]["seconds"],
        "boundary": made.details["boundaries"].get("all stages", {}).get("boundary", "none"),
        "accuracy": accuracy(made.held_scores(rows), data.targets[rows]),
    }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[2])))
