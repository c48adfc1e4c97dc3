"""What each technique adds to plain fine-tuning, beside its time: an interval a technique.

Small sets (see SETS), three seeds that draw the training examples; with and without the technique
on the same examples. The interval of the difference in test accuracy is a bootstrap over test
examples and seeds together. Kept as JSON in .bench/ablation, like bench/adapt.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.adapt import KEPT, SEEDS, tuned
from bench.fresh import fresh
from bench.table import Row

NAME = "ablation"
SETS = {"customer_reviews, 500": "text", "clothing_small, 300": "image"}
TEXT, IMAGE = ("text",), ("image",)
BOTH = TEXT + IMAGE

VARIANTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all stages together": ({"unfreeze": "together", "depth": "all"}, IMAGE),
    "last stages, then all": ({"unfreeze": "last-first", "depth": "all", "epochs": 8}, IMAGE),
    "last third": ({"depth": 0.34}, TEXT),
    "gradual unfreezing": ({"unfreeze": "gradual", "depth": "all"}, BOTH),
    "head first": ({"unfreeze": "head-first", "depth": "all"}, BOTH),
    "no layer-wise decay": ({"decay": 1.0}, TEXT),
    "layer-wise decay 0.85": ({"decay": 0.85}, IMAGE),
    "patience of 2 epochs": ({"patience": 2}, IMAGE),
    "one cycle": ({"shape": "one-cycle"}, BOTH),
    "range test": ({"rate": "test"}, BOTH),
    "batch norm trained": ({"norm": "trained"}, IMAGE),
    "batch norm recalibrated": ({"norm": "recalibrated"}, IMAGE),
    "accumulate 2": ({"accumulate": 2}, BOTH),
    "no clipping": ({"clip": 0.0}, BOTH),
    "dropout kept": ({"keep_dropout": True}, BOTH),
    "weight decay 0": ({"weight_decay": 0.0}, BOTH),
    "twice the epochs": ({"epochs": 4}, TEXT),
    "8 epochs": ({"epochs": 8}, IMAGE),
    "augmented (flip, crop)": ({"augment": "flip,crop"}, IMAGE),
    "augmented (swap, delete)": ({"augment": "swap,delete"}, TEXT),
    **{
        name: ({"techniques": [name]}, BOTH)
        for name in (
            "bitfit", "norm-only", "lora", "lora:rslora=true", "lora:dora=true", "ia3", "dropout",
            "l1", "l2-sp", "smoothing", "mixup", "class-weights", "logit-adjustment", "ema", "soup",
        )
    },
    "cutmix": ({"techniques": ["cutmix"]}, IMAGE),
    "prompt": ({"techniques": ["prompt"]}, TEXT),
    "prefix": ({"techniques": ["prefix"]}, TEXT),
    "drop-path": ({"techniques": ["drop-path"]}, BOTH),
}  # fmt: skip
FOLDER = KEPT.with_name(NAME)


def run() -> list[Row]:
    """Measure what is not yet kept: one process for a set and a seed."""
    rows = []
    for name in SETS:
        for seed in SEEDS:
            if len(found_in(name, seed)) < len(wanted(name)):
                fresh("bench.ablation", name, str(seed))
        rows += table(name)
    return rows


def table(name: str) -> list[Row]:
    """Return a row for each technique, over the seeds that have been measured."""
    seeds = [found for found in (found_in(name, seed) for seed in SEEDS) if "plain" in found]
    rows = []
    for variant in list(wanted(name))[1:]:
        both = [found for found in seeds if "right" in found.get(variant, {})]
        if both:
            pairs = [found[variant] for found in both], [found["plain"] for found in both]
            rows.append(row(f"{name}: {variant}", *pairs))
    return rows


def wanted(name: str) -> dict[str, dict[str, Any]]:
    """Return the settings of what is measured on a set, plain fine-tuning first."""
    own = {title: settings for title, (settings, kinds) in VARIANTS.items() if SETS[name] in kinds}
    return {"plain": {}, **own}


def place(name: str, seed: int) -> Path:
    return FOLDER / f"{name.replace(', ', '-')}-{seed}.json"


def found_in(name: str, seed: int) -> dict[str, dict[str, Any]]:
    path = place(name, seed)
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def measure(name: str, seed: int) -> None:
    """Measure all of a set and a seed; every result is kept at once."""
    from headstart.errors import HeadstartError

    FOLDER.mkdir(parents=True, exist_ok=True)
    for variant, settings in wanted(name).items():
        found = found_in(name, seed)
        if variant in found:
            continue
        try:
            found[variant] = tuned(name, seed, settings)
        except HeadstartError as error:  # the model has no place for it
            found[variant] = {"refused": str(error)}
        place(name, seed).write_text(json.dumps(found), encoding="utf-8")


def row(what: str, found: list[dict[str, Any]], plain: list[dict[str, Any]]) -> Row:
    """Return the row of a technique: its accuracy, plain fine-tuning's, and the difference."""
    with_, without = (
        np.asarray([one["right"] for one in side], float) for side in (found, plain)
    )  # (seeds, test examples)
    rng = np.random.default_rng(0)
    seeds, examples = with_.shape
    differences = []
    for _ in range(2000):
        drawn = rng.integers(seeds, size=seeds)
        cases = rng.integers(examples, size=examples)
        differences.append((with_ - without)[drawn][:, cases].mean())
    low, high = 100 * np.quantile(differences, [0.025, 0.975])
    time = np.mean([one["cpu"] for one in found]) / np.mean([one["cpu"] for one in plain])
    gain = 100 * (with_.mean() - without.mean())
    return Row(
        what=what, ours=with_.mean(), theirs=without.mean(), ratio=with_.mean() / without.mean(),
        target=None, unit="",
        note=f"{gain:+.1f} points ({low:+.1f} to {high:+.1f}), {time:.1f} times the time",
    )  # fmt: skip


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
    print("{}")
