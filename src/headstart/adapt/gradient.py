"""Training by gradient steps, for fine-tuning and for the from-scratch baseline alike.

How many steps there is time for is measured first; validation examples stop the training and pick
the checkpoint; the result is an ordinary adapted model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import nn

from headstart.adapt.adapted import Adapted
from headstart.adapt.adapter import Adapter
from headstart.adapt.boundary import Plain
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.feed import Augments, Feed
from headstart.adapt.loop import Loss, Phase, model_of
from headstart.adapt.method import Context, Trained
from headstart.adapt.objective import objective
from headstart.adapt.pace import pace, threads_of
from headstart.adapt.parts import Part, Parts
from headstart.adapt.probe import temperature
from headstart.adapt.progressing import Progressing
from headstart.adapt.range_test import range_test
from headstart.adapt.targets import ScaledLinear, Targets
from headstart.adapt.technique import Blends, Follows, Setting, Technique
from headstart.adapt.watch import Watch
from headstart.compute.layout import lay_out
from headstart.compute.machine import torch_device
from headstart.compute.precision import Precision, suited_attention
from headstart.compute.randomness import rng_for, seed_for
from headstart.compute.threads import threads
from headstart.sources.backbone import Backbone, with_module

ENOUGH_TO_CALIBRATE = 20  # validation examples
TEST_SHARE = 0.2  # of the time that a range test may take
TIME_SHARE = 0.85  # of the time that training steps may take; the rest is validation

Plan = Callable[[int], tuple[Phase, ...]]  # phases for so many steps; their loss is set afterwards


@dataclass(frozen=True, slots=True, eq=False)
class RateTest:
    """A range test shall find the rate. `plan`: what is done at a rate; `usual`: one's guess."""

    plan: Callable[[float], Plan]
    usual: float


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What to train: a backbone whose module will change, a head, and a plan of phases.

    `parts`: names, beside the head and the stages, that phases may move. `restored` puts the
    module back into its own architecture at the end, after `adapter` took out what is kept beside
    it. `augment` and `views`: see `Feed`. `test`: the plan waits for a range test.
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
    adapter: Callable[[nn.Module], Adapter] | None = None
    test: RateTest | None = None
    frozen: np.ndarray | None = None
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
    if not training.parts:  # what a technique put in keeps its own order: DoRA's needs it
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
    model.to("cpu")  # an adapted model is moved again by the engine that runs it
    adapter = training.adapter(training.backbone.module) if training.adapter else None
    training.restored(training.backbone.module)
    adapted, outputs, extra = _finished(training, context, watch, targets, adapter)
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
        plan, tested, spent = training.plan, None, 0.0
        if training.test is not None:
            begun = time.perf_counter()
            tested = saved["tested"] if saved else _tested(
                training, training.test, context, parts, model, feed, targets, setting, count
            )  # fmt: skip
            plan = training.test.plan(tested["rate"])
            spent = 0.0 if saved else time.perf_counter() - begun
        steps = saved["steps"] if saved else _affordable(
            training, plan, context.seconds - spent, context.training, parts, model, feed, count
        )  # fmt: skip
        with threads(count):
            loss = objective(training.techniques, model, setting, training.precision)
            for technique in training.techniques:
                if isinstance(technique, Follows):
                    watch.follower = technique.follow(model)
            made = {"steps": steps, "threads": count, "tested": tested}
            ended = progressing.run(made, plan(steps), loss, spent)
            blends = [t for t in training.techniques if isinstance(t, Blends)]
            blended = watch.blended(model, blends)
    facts = progressing.facts(ended, count) | blended
    return facts | ({"range_test": tested} if tested else {})


def _tested(
    training: Training, test: RateTest, context: Context, parts: Parts, model: nn.ModuleDict,
    feed: Feed, targets: Targets, setting: Setting, count: int,
) -> dict[str, Any]:  # fmt: skip
    """Return what a range test over the training examples finds."""

    def batches() -> Iterator[tuple[Any, torch.Tensor]]:
        epoch = 0
        while True:
            rng = rng_for(context.seed, f"range test/{training.name}/{epoch}")
            for rows in feed.epoch(feed.seen(context.training, epoch), training.batch, rng=rng):
                own = torch.from_numpy(rows % len(context.data))
                yield send_to_device((feed.batch(rows), targets.values[own]), torch_device())
            epoch += 1

    def loss_of(twin: nn.ModuleDict, backbone: Backbone) -> Loss:
        own = replace(setting, backbone=backbone)
        return objective(training.techniques, twin, own, training.precision)

    with threads(count):
        found = range_test(
            model, parts, test.plan(test.usual)(2)[-1], training.backbone, loss_of, batches,
            usual=test.usual, seconds=TEST_SHARE * context.seconds,
            seed=seed_for(context.seed, f"range test/{training.name}"),
        )  # fmt: skip
    context.say(f"{training.name}: learning rate {found.rate:.1e}, {found.reason}.")
    return found.facts()


def _affordable(
    training: Training, plan: Plan, seconds: float, rows: np.ndarray, parts: Parts,
    model: nn.ModuleDict, feed: Feed, count: int,
) -> int:  # fmt: skip
    """Return how many steps there are: those of all epochs, or what the time allows."""
    wanted = training.epochs * feed.steps(len(rows), training.batch)
    last = plan(wanted)[-1]
    wanted = -(-wanted // last.accumulate)
    each = pace(
        training.backbone, parts, model, feed, rows, last.rates, training.batch,
        training.precision, count,
    )  # fmt: skip
    affordable = int(TIME_SHARE * seconds / (each * last.accumulate))
    return max(2, min(wanted, affordable))


def _finished(
    training: Training, context: Context, watch: Watch, targets: Targets, adapter: Adapter | None
) -> tuple[Adapted, np.ndarray, dict[str, Any]]:
    task = context.data.task
    head = training.head.merged(targets.scale, targets.centre)
    outputs, extra = watch.outputs, dict[str, Any]()
    if adapter is not None:
        state = training.backbone.module.state_dict().values()
        extra["adapter_bytes"] = adapter.size
        extra["model_bytes"] = sum(value.numel() * value.element_size() for value in state)
    if task.name != "regression" and len(outputs) >= ENOUGH_TO_CALIBRATE:
        t = temperature(outputs, context.data.targets[context.validation], task)
        head, outputs = head.sharpened(1 / t), outputs / t
        extra["temperature"] = round(t, 4)
    backbone = with_module(training.backbone, training.backbone.module)
    featuriser = BackboneFeaturiser(backbone, unchanged=False)
    adapted = Adapted(
        training.name, training.method, context.data.inputs.modality, task, featuriser, head,
        adapter,
    )  # fmt: skip
    return adapted, outputs, extra


def dropout_seed(context: Context, name: str) -> int:
    """Return what dropout and mixing draw from."""
    return seed_for(context.seed, f"dropout/{name}")
