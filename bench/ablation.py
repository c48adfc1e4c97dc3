"""What each technique adds to plain fine-tuning, beside its time: an interval a technique.

Small sets (see SETS), three seeds that draw the training examples; with and without the technique
on the same examples. The interval of the difference in test accuracy is a bootstrap over test
examples and seeds together. Kept as JSON in .bench/ablation, like bench/adapt.py.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from bench.adapt import KEPT, SEEDS, kept
from bench.table import Row

NAME = "ablation"
SETS = {"clothing_small, 600": "image", "customer_reviews, 1000": "text"}
TEXT, IMAGE = ("text",), ("image",)
BOTH = TEXT + IMAGE

VARIANTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all stages together": ({"unfreeze": "together", "depth": "all"}, IMAGE),
    "last stages, then all": ({"unfreeze": "last-first", "depth": "all", "epochs": 8}, IMAGE),
    "last third": ({"depth": 0.34}, TEXT),
    "gradual unfreezing": ({"unfreeze": "gradual", "depth": "all"}, BOTH),
    "head first": ({"unfreeze": "head-first", "depth": "all"}, BOTH),
    "no layer-wise decay": ({"decay": 1.0}, BOTH),
    "one cycle": ({"shape": "one-cycle"}, BOTH),
    "range test": ({"rate": "test"}, BOTH),
    "batch norm trained": ({"norm": "trained"}, IMAGE),
    "batch norm recalibrated": ({"norm": "recalibrated"}, IMAGE),
    "accumulate 2": ({"accumulate": 2}, BOTH),
    "no clipping": ({"clip": 0.0}, BOTH),
    "dropout kept": ({"keep_dropout": True}, BOTH),
    "weight decay 0": ({"weight_decay": 0.0}, BOTH),
    "twice the epochs": ({"epochs": 0}, BOTH),
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
    rows = []
    for name, modality in SETS.items():
        plain = [measured(name, seed, "plain", {}) for seed in SEEDS]
        for variant, (settings, modalities) in VARIANTS.items():
            if modality in modalities:
                found = [measured(name, seed, variant, settings) for seed in SEEDS]
                if all("right" in one for one in found):
                    rows.append(row(f"{name}: {variant}", found, plain))
    return rows


def measured(name: str, seed: int, variant: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what bench.adapt's `tuned` gives; {"refused": why} where the model has no place."""
    title = f"{name} {variant} {seed}"
    return kept("tuned", name, str(seed), json.dumps(settings), folder=FOLDER, title=title)


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
