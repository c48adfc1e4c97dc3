"""Training by gradient steps, for fine-tuning and for the from-scratch baseline alike.

How many steps there is time for is measured first; validation examples stop the training and pick
the checkpoint; the result is an ordinary adapted model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.adapt.adapted import Adapted
from headstart.adapt.boundary import Plain
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.feed import Augments, Feed
from headstart.adapt.loop import Phase, model_of
from headstart.adapt.method import Context, Trained
from headstart.adapt.objective import objective
from headstart.adapt.pace import pace, threads_of
from headstart.adapt.parts import Part, Parts
from headstart.adapt.probe import temperature
from headstart.adapt.progressing import Progressing
from headstart.adapt.targets import ScaledLinear, Targets
from headstart.adapt.technique import Blends, Follows, Setting, Technique
from headstart.adapt.watch import Watch
from headstart.compute.layout import lay_out
from headstart.compute.machine import torch_device
from headstart.compute.precision import Precision, suited_attention
from headstart.compute.randomness import seed_for
from headstart.compute.threads import threads
from headstart.sources.backbone import Backbone, with_module

ENOUGH_TO_CALIBRATE = 20  # validation examples
TIME_SHARE = 0.85  # of the time that training steps may take; the rest is validation

Plan = Callable[[int], tuple[Phase, ...]]  # phases for so many steps; their loss is set afterwards


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What to train: a backbone whose module will change, a head, and a plan of phases.

    `parts`: names, beside the head and the stages, that phases may move. `restored` puts the
    module back into its own architecture at the end. `augment` and `views`: see `Feed`.
    """

    name: str
    method: str
    backbone: Backbone
    head: ScaledLinear
    plan: Plan
    epochs: int  # at most
    batch: int
    patience: int  # validations without improvement before it stops
    precision: Precision
    techniques: Sequence[Technique] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    restored: Callable[[nn.Module], None] = lambda module: None
    augment: Augments | None = None
    views: int = 0
    metric: str = "error"
    settings: str = ""  # of the method, so that no other's checkpoint is taken up
    facts: Mapping[str, Any] = field(default_factory=dict)


def fit(training: Training, context: Context) -> Trained:
    """Train until the steps, the time or the patience is spent; the best checkpoint is kept.

    A loss that diverges ends the training; the best checkpoint so far is kept and it is said.
    """
    start = time.perf_counter()
    lay_out(training.backbone.module)
    model = model_of(training.backbone, training.head).to(torch_device())
    targets = Targets.of(context.data.targets, context.data.task, context.training)
    feed = Feed(
        training.backbone, context.data.inputs, progress=context.progress,
        augment=training.augment, views=training.views, seed=context.seed,
    )  # fmt: skip
    prepared = time.perf_counter() - start
    try:
        keep = [t.keep for t in training.techniques if isinstance(t, Blends)]
        watch = Watch(
            training.backbone, training.precision, context, targets, Plain(feed),
            metric=training.metric, keep=max(keep, default=1),
        )  # fmt: skip
        with suited_attention(training.backbone.module, training.precision):
            details = _trained(training, context, model, feed, targets, watch)
    finally:
        feed.close()
    size = sum(p.numel() for p in model.parameters())
    moving = details.pop("moving")
    training.restored(training.backbone.module)
    model.to("cpu")  # an adapted model is moved again by the engine that runs it
    adapted, outputs, extra = _finished(training, context, watch, targets)
    return Trained(
        adapted=adapted,
        rows=context.validation,
        outputs=outputs,
        seconds={"prepare": prepared, "fit": time.perf_counter() - start - prepared},
        parameters={"total": size, "trained": moving},
        details=details | extra | dict(training.facts),
    )


def _trained(
    training: Training, context: Context, model: nn.ModuleDict, feed: Feed, targets: Targets,
    watch: Watch,
) -> dict[str, Any]:  # fmt: skip
    parts = Parts.of(model, training.backbone, training.parts)
    rows = context.training
    setting = Setting(
        context.data.task, training.backbone, targets.values[torch.from_numpy(rows)], context.seed
    )
    progressing = Progressing(training, context, model, parts, feed, targets, watch)
    with progressing.checkpoints() as saved:
        count = saved["threads"] if saved else threads_of(
            training.backbone, feed, rows, training.batch
        )  # fmt: skip
        steps = saved["steps"] if saved else _affordable(
            training, context, parts, model, feed, count
        )  # fmt: skip
        with threads(count):
            loss = objective(training.techniques, model, setting, training.precision)
            for technique in training.techniques:
                if isinstance(technique, Follows):
                    watch.follower = technique.follow(model)
            ended = progressing.run(steps, count, loss)
            blends = [t for t in training.techniques if isinstance(t, Blends)]
            blended = watch.blended(model, blends)
    return progressing.facts(ended, count) | blended


def _affordable(
    training: Training, context: Context, parts: Parts, model: nn.ModuleDict, feed: Feed,
    count: int,
) -> int:  # fmt: skip
    """Return how many steps there are: those of all epochs, or what the time allows."""
    wanted = training.epochs * feed.steps(len(context.training), training.batch)
    last = training.plan(wanted)[-1]
    wanted = -(-wanted // last.accumulate)
    seconds = pace(
        training.backbone, parts, model, feed, context.training, last.rates, training.batch,
        training.precision, count,
    )  # fmt: skip
    affordable = int(TIME_SHARE * context.seconds / (seconds * last.accumulate))
    return max(2, min(wanted, affordable))


def _finished(
    training: Training, context: Context, watch: Watch, targets: Targets
) -> tuple[Adapted, np.ndarray, dict[str, Any]]:
    task = context.data.task
    head = training.head.merged(targets.scale, targets.centre)
    outputs, extra = watch.outputs, {}
    if task.name != "regression" and len(outputs) >= ENOUGH_TO_CALIBRATE:
        t = temperature(outputs, context.data.targets[context.validation], task)
        head, outputs = head.sharpened(1 / t), outputs / t
        extra["temperature"] = round(t, 4)
    backbone = with_module(training.backbone, training.backbone.module)
    featuriser = BackboneFeaturiser(backbone, unchanged=False)
    adapted = Adapted(
        training.name, training.method, context.data.inputs.modality, task, featuriser, head
    )
    return adapted, outputs, extra


def dropout_seed(context: Context, name: str) -> int:
    """Return what dropout and mixing draw from."""
    return seed_for(context.seed, f"dropout/{name}")
