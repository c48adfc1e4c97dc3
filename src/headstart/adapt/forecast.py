"""What fine-tuning will cost, from a few steps on a few examples before anything is trained."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.boundary import Plain, Replayed, Source, source_for
from headstart.adapt.feed import Feed
from headstart.adapt.finetune import FineTune, habit_of, scaled_head
from headstart.adapt.loop import Diverged, Phase, copied, model_of, train
from headstart.adapt.method import Context
from headstart.adapt.objective import embedded
from headstart.adapt.pace import STEPS as PACED
from headstart.adapt.pace import stand_in, threads_of
from headstart.adapt.parts import Parts
from headstart.adapt.techniques.dropout import without_dropout
from headstart.adapt.watch import FITTED
from headstart.compute.machine import torch_device
from headstart.compute.precision import Precision, precision_for
from headstart.compute.progress import silent
from headstart.compute.threads import threads
from headstart.data.dataset import Dataset
from headstart.errors import ModelError
from headstart.sources.backbone import Backbone, need_trainable

LOOKED_AT = 8  # examples
STEPS = 2  # measured a phase; the first one warms up
COPIES = 6  # of the weights: origin, the one that moves, gradient, two moments, the best so far


@dataclass(frozen=True, slots=True)
class Forecast:
    """Costs of one schedule. `memory`: bytes beyond what the process has; `step`: one example's.

    `total`: seconds of all epochs, with validation and what is run once, as if there were no
    budget. `fixed`: seconds besides, which no budget bounds: preparing the examples, measuring the
    pace, and asking the final model about training examples. `epoch`: seconds of one pass in the
    last phase. `step`: seconds an example there.
    """

    total: float
    fixed: float
    epoch: float
    step: float
    memory: int


def forecast(method: FineTune, context: Context) -> Forecast:
    """Time `method` on LOOKED_AT typical examples; nothing of the context is changed.

    Techniques are left out: adapters cost about what moving everything does. Raises ModelError
    for a backbone that cannot be trained or gives no numbers, ValueError without one.
    """
    if context.source is None:
        raise ValueError("forecast needs a backbone in the context.")
    need_trainable(context.source.backbone)
    backbone = copied(context.source.backbone)
    without_dropout(backbone.module)
    part = _typical(context.data, context.training)
    began = time.perf_counter()
    feed = Feed(backbone, part.inputs)
    preparing = (time.perf_counter() - began) / len(part)
    try:
        return _measured(method, context, backbone, feed, len(part), preparing)
    except Diverged:
        raise ModelError(
            f"{backbone.card.id} gives NaN or infinite values before it is trained; take another "
            "model."
        ) from None
    finally:
        feed.close()


def _typical(data: Dataset, rows: np.ndarray) -> Dataset:
    """Return the examples in the middle by length, where they are texts; else evenly spread."""
    if data.inputs.modality == "text":
        lengths = np.asarray([len(str(data.inputs.items[int(row)])) for row in rows])
        near = np.argsort(np.abs(lengths - lengths.mean()), kind="stable")
        return data.take(rows[np.sort(near[:LOOKED_AT])])
    places = np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(np.int64))
    return data.take(rows[places])


def _measured(
    method: FineTune, context: Context, backbone: Backbone, feed: Feed, looked_at: int,
    preparing: float,
) -> Forecast:  # fmt: skip
    rows, precision = np.arange(looked_at), precision_for(backbone.module)
    head = scaled_head(np.zeros((2, backbone.width), np.float32), context.data.task.outputs)
    model = model_of(backbone, head).to(torch_device())
    parts = Parts.of(model, backbone)
    training, held = len(context.training), len(context.validation)
    batch = min(method.batch, max(2, training))
    an_epoch = -(-training // batch)
    epochs = method.epochs or habit_of(backbone).epochs
    phases = method.phases(backbone, context, max(1, epochs * an_epoch))
    count = threads_of(backbone, feed, rows, looked_at)
    total, step, forward = 0.0, 0.0, 0.0
    with threads(count):
        whole = _forward(backbone, Plain(feed), rows, precision) / looked_at
        for phase in phases:
            source = _source(feed, backbone, parts, phase, rows)
            step = _seconds(model, parts, phase, backbone, source, rows, precision) / looked_at
            forward = _forward(backbone, source, rows, precision) / looked_at
            once = whole * (training + held) if isinstance(source, Replayed) else 0.0  # at most
            validations = 1 + phase.steps // max(1, an_epoch)
            total += once + phase.steps * batch * step + validations * held * forward
        kept = _kept(model, backbone, source, rows, precision) / looked_at
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    fixed = (
        preparing * len(context.data)
        + PACED * min(batch, training) * step
        + min(FITTED, training) * whole
    )
    return Forecast(total, fixed, training * step, step, int(COPIES * weights + batch * kept))


def _source(feed: Feed, backbone: Backbone, parts: Parts, phase: Phase, rows: np.ndarray) -> Source:
    """Return batches from the boundary before the first block that moves, as training would."""
    moving = parts.in_backbone(phase.rates)
    source, _ = source_for(feed, backbone, moving, rows, lambda stage: silent(stage, len(rows)))
    return source


def _seconds(
    model: nn.ModuleDict, parts: Parts, phase: Phase, backbone: Backbone, source: Source,
    rows: np.ndarray, precision: Precision,
) -> float:  # fmt: skip
    """Return seconds a step at rates of 0, which cost the same and cannot diverge."""
    pair = send_to_device(source.batch(rows), torch_device()), torch.zeros(0)
    still = Phase(
        name="forecast", steps=STEPS, rates=dict.fromkeys(phase.rates, 0.0),
        loss=stand_in(backbone, precision), norm=phase.norm,
    )  # fmt: skip
    steps = train(model, parts, (still,), lambda _at, _used: iter([pair] * STEPS), seed=0)
    return min([taken.seconds for taken in steps][1:])


def _forward(backbone: Backbone, source: Source, rows: np.ndarray, precision: Precision) -> float:
    batch = send_to_device(source.batch(rows), torch_device())
    start = time.perf_counter()
    with torch.inference_mode():
        embedded(backbone, batch, precision)
    return time.perf_counter() - start


def _kept(
    model: nn.ModuleDict, backbone: Backbone, source: Source, rows: np.ndarray, precision: Precision
) -> int:
    """Return the bytes that a forward pass keeps for the gradient, weights not counted."""
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    found: dict[int, int] = {}

    def note(value: Tensor) -> Tensor:
        if value.data_ptr() not in weights:
            found[value.data_ptr()] = value.numel() * value.element_size()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        batch = send_to_device(source.batch(rows), torch_device())
        loss = stand_in(backbone, precision)(model, batch, torch.zeros(0), 0.0)
    del loss
    return sum(found.values())
