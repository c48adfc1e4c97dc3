"""What a training will cost, from a few steps on a few examples before anything is trained."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.baselines import FromScratch
from headstart.adapt.boundary import Cached, Plain, Replayed, Source, source_for
from headstart.adapt.feed import MEMORY_SHARE, SAMPLED, Feed
from headstart.adapt.finetune import FineTune, habit_of, scaled_head
from headstart.adapt.gradient import TIME_SHARE
from headstart.adapt.loop import Diverged, Phase, copied, model_of, train
from headstart.adapt.method import Context
from headstart.adapt.objective import embedded
from headstart.adapt.pace import STEPS as PACED
from headstart.adapt.pace import stand_in, threads_of
from headstart.adapt.parts import Parts
from headstart.adapt.techniques.dropout import without_dropout
from headstart.adapt.watch import BATCH as ASKED
from headstart.adapt.watch import FITTED
from headstart.compute.machine import machine, torch_device
from headstart.compute.precision import Precision, precision_for
from headstart.compute.progress import silent
from headstart.compute.threads import threads
from headstart.data.dataset import Dataset
from headstart.errors import ModelError
from headstart.features.batches import LIVE, largest
from headstart.sources.backbone import Backbone, need_trainable

LOOKED_AT = 8  # examples
STEPS = 2  # measured a phase; the first one warms up
COPIES = 6  # of the weights: origin, the one that moves, gradient, two moments, the best so far
LEAST = 2  # steps that are made, however little time there is


@dataclass(frozen=True, slots=True)
class Forecast:
    """Costs of one schedule, in seconds and bytes, as if there were no budget.

    `fixed`: what no budget bounds: preparing the examples, measuring the pace, running the frozen
    front once, the validation before the first step, asking about training examples at the end.
    `steps`: all training steps; `validating`: all validations after them, `once` of them.
    `pace`: what a step is taken to cost when steps are dealt out, over what it costs: it is
    measured before the frozen front was run. `epoch`: one pass in the last phase. `step`: one
    example there. `least`: the steps that are made in any case. `memory`: bytes beyond what the
    process has. `checkpoint`: bytes of one on disk, without the best state that lies beside it.
    """

    fixed: float
    steps: float
    validating: float
    once: float
    pace: float
    epoch: float
    step: float
    least: float
    memory: int
    checkpoint: int

    @property
    def total(self) -> float:
        """Seconds without a budget."""
        return self.fixed + self.steps + self.validating

    def within(self, seconds: float) -> float:
        """Return the seconds in all where training may take `seconds`, as training keeps to them.

        Steps are dealt out by their measured pace, and the clock is asked after each.
        """
        share = min(1.0, TIME_SHARE * seconds / max(1e-9, self.steps * self.pace))
        steps = max(self.least, share * self.steps)
        validating = max(self.once, share * self.validating)
        return self.fixed + min(steps + validating, max(seconds, self.least) + self.once)


def forecast(method: FineTune | FromScratch, context: Context) -> Forecast:
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
    preparing = (time.perf_counter() - began) / (len(part) + min(SAMPLED, len(part)))
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
    method: FineTune | FromScratch, context: Context, backbone: Backbone, feed: Feed,
    looked_at: int, preparing: float,
) -> Forecast:  # fmt: skip
    rows, precision = np.arange(looked_at), precision_for(backbone.module)
    head = scaled_head(np.zeros((2, backbone.width), np.float32), context.data.task.outputs)
    model = model_of(backbone, head).to(torch_device())
    parts = Parts.of(model, backbone)
    training, held = len(context.training), len(context.validation)
    batch, an_epoch, phases = _schedule(method, context, backbone, feed)
    timed = list[_Timed]()
    with threads(threads_of(backbone, feed, rows, looked_at)):
        whole = _forward(backbone, Plain(feed), rows, precision) / looked_at
        for phase in phases:
            source = _source(feed, backbone, parts, phase, rows)
            step = _seconds(model, parts, phase, backbone, source, rows, precision) / looked_at
            forward = _forward(backbone, source, rows, precision) / looked_at
            timed.append(_Timed(phase.steps, step, forward, isinstance(source, Replayed)))
        kept = _kept(model, backbone, source, rows, precision) / looked_at
    last = timed[-1]
    plain = last.step + (whole - last.forward if last.replayed else 0.0)
    first = 0.0 if isinstance(method, FineTune) else held * whole  # the probe has answered
    asked = min(FITTED, training) if context.data.task.name == "classification" else 0
    once = held * last.forward
    fronts = sum(max(0.0, whole - one.forward) for one in timed if one.replayed)  # up to there
    return Forecast(
        fixed=preparing * len(context.data) + PACED * batch * plain + first + asked * whole
        + fronts * (training + held),
        steps=sum(one.steps * batch * one.step for one in timed),
        validating=sum(one.steps // an_epoch * held * one.forward for one in timed) + once,
        once=once, pace=max(1.0, plain / max(1e-9, last.step)), epoch=training * last.step,
        step=last.step, least=LEAST * batch * last.step,
        memory=_memory(model, backbone, feed, source, context, int(batch * kept)),
        checkpoint=_checkpoint(model, parts, phases[-1]),
    )  # fmt: skip


def _schedule(
    method: FineTune | FromScratch, context: Context, backbone: Backbone, feed: Feed
) -> tuple[int, int, tuple[Phase, ...]]:
    """Return examples a step, steps an epoch, and the phases of all epochs."""
    training = len(context.training)
    if isinstance(method, FineTune):
        batch = min(method.batch, max(2, training))
        epochs = method.epochs or habit_of(backbone).epochs
    else:
        batch, epochs = method.examples(training), method.epochs
    an_epoch = feed.steps(training, batch)
    return batch, an_epoch, method.phases(backbone, context, max(1, epochs * an_epoch))


@dataclass(frozen=True, slots=True)
class _Timed:
    """One phase: its steps, seconds an example of a step and of a forward pass."""

    steps: int
    step: float
    forward: float
    replayed: bool  # from the boundary


def _memory(
    model: nn.ModuleDict, backbone: Backbone, feed: Feed, source: Source, context: Context,
    gradient: int,
) -> int:  # fmt: skip
    """Return the most bytes at once: prepared examples are there twice when they are stacked.

    While it trains: weights and their copies, examples, states at the boundary, what the gradient
    needs, and a batch of validation: the allocator keeps what the one freed, and the other, whose
    tensors have other sizes, takes anew.
    """
    one, examples = np.array([0]), len(context.data)
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    prepared = feed.bytes_each * examples
    if prepared > MEMORY_SHARE * machine().memory:
        prepared = 0.0  # decoded again whenever they are asked for
    batch, hidden = source.batch(one), 0
    if isinstance(batch, Cached):
        hidden = batch.hidden.numel() * batch.hidden.element_size() * examples
    passing = LIVE * largest(backbone, feed.batch(one))
    working = gradient + ASKED * passing
    return int(max(2 * prepared, COPIES * weights + prepared + hidden + working))


def _checkpoint(model: nn.ModuleDict, parts: Parts, phase: Phase) -> int:
    """Return bytes: all weights, and two moments of those that move at last."""
    sizes = {name: 4 * weight.numel() for name, weight in model.named_parameters()}
    moving = {name for part in phase.rates for name in parts.parameters(part)}
    return sum(sizes.values()) + 2 * sum(sizes[name] for name in moving)


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
