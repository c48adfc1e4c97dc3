"""Training by gradient steps, for fine-tuning and for the from-scratch baseline alike.

How many steps there is time for is measured first; validation examples stop the training and pick
the checkpoint; the result is an ordinary adapted model.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.adapted import Adapted
from headstart.adapt.boundary import Cached, Plain, Source, source_for
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.feed import Feed
from headstart.adapt.heads import Linear
from headstart.adapt.loop import Diverged, Phase, endless, model_of, train
from headstart.adapt.method import Context, Trained
from headstart.adapt.probe import mean_loss, temperature
from headstart.compute.layout import lay_out
from headstart.compute.machine import machine, torch_device
from headstart.compute.precision import FP32, Precision, suited_attention
from headstart.compute.randomness import rng_for, seed_for
from headstart.compute.threads import threads
from headstart.data.task import Task
from headstart.sources.backbone import Backbone, Batch, running, with_module

ENOUGH_TO_CALIBRATE = 20  # validation examples
WORTH_SHARING = 0.2  # seconds a step, above which all cores are surely worth it
TIME_SHARE = 0.85  # of the time that training steps may take; the rest is validation


class ScaledLinear(nn.Module):
    """A linear head on standardised features, so that one learning rate suits any backbone."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(mean), outputs)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.linear((features - self.mean) / self.scale)
        return out

    def start_from(self, head: Linear) -> None:
        """Take over the function of a fitted head."""
        weights = torch.from_numpy(head.weights)  # (d, k)
        with torch.no_grad():
            self.linear.weight.copy_((weights * self.scale[:, None]).T)
            self.linear.bias.copy_(torch.from_numpy(head.bias) + self.mean @ weights)

    def merged(self, scale: float, centre: float) -> Linear:
        """Return the head for raw features; outputs times `scale` plus `centre`."""
        with torch.no_grad():
            weights = (self.linear.weight / self.scale).T.double()
            bias = self.linear.bias.double() - self.mean.double() @ weights
        return Linear((weights * scale).float().numpy(), (bias * scale + centre).float().numpy())


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets as the loss wants them: regression standardised by training examples."""

    values: Tensor
    centre: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, targets: np.ndarray, task: Task, training: np.ndarray) -> Targets:
        if task.name != "regression":
            return cls(torch.from_numpy(targets))
        centre = float(targets[training].mean())
        scale = float(targets[training].std()) or 1.0
        return cls(torch.from_numpy((targets - centre) / scale).float(), centre, scale)


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What to train: a backbone whose module will change, a head, and phases for so many steps."""

    name: str
    method: str
    backbone: Backbone
    head: ScaledLinear
    phases: Callable[[int], tuple[Phase, ...]]
    epochs: int  # at most
    batch: int
    patience: int  # validations without improvement before it stops
    precision: Precision


def task_loss(task: Task, backbone: Backbone, precision: Precision = FP32) -> Callable[..., Tensor]:
    """Return the loss of a phase: the task's own, on embeddings through the head."""

    def loss(model: nn.ModuleDict, inputs: Any, targets: Tensor, progress: float) -> Tensor:
        return task.kind.loss(model["head"](embedded(backbone, inputs, precision)), targets)

    return loss


def embedded(backbone: Backbone, inputs: Batch | Cached, precision: Precision) -> Tensor:
    """Return embeddings (n, d) fp32, from the boundary on where the front of a batch was run."""
    with precision.forward():
        out = inputs.embed() if isinstance(inputs, Cached) else backbone.embed(inputs)
    return out.float()


def fit(training: Training, context: Context) -> Trained:
    """Train until the steps, the time or the patience is spent; the best checkpoint is kept.

    A loss that diverges ends the training; the best checkpoint so far is kept and it is said.
    """
    start = time.perf_counter()
    lay_out(training.backbone.module)
    model = model_of(training.backbone, training.head).to(torch_device())
    targets = Targets.of(context.data.targets, context.data.task, context.training)
    feed = Feed(training.backbone, context.data.inputs, progress=context.progress)
    prepared = time.perf_counter() - start
    try:
        watch = _Watch(training, context, feed, targets)
        with suited_attention(training.backbone.module, training.precision):
            details = _run(training, context, model, feed, targets, watch)
    finally:
        feed.close()
    model.load_state_dict(watch.best)
    model.to("cpu")  # an adapted model is moved again by the engine that runs it
    adapted, outputs, extra = _finished(training, context, watch)
    size = sum(p.numel() for p in model.parameters())
    moving = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Trained(
        adapted=adapted,
        rows=context.validation,
        outputs=outputs,
        seconds={"prepare": prepared, "fit": time.perf_counter() - start - prepared},
        parameters={"total": size, "trained": moving},
        details=details | extra,
    )


def _run(
    training: Training, context: Context, model: nn.ModuleDict, feed: Feed, targets: Targets,
    watch: _Watch,
) -> dict[str, Any]:  # fmt: skip
    rows = context.training
    an_epoch = feed.steps(len(rows), training.batch)
    pace, count = _pace(training, model, feed, targets, rows)
    affordable = int(TIME_SHARE * context.seconds / pace)
    steps = max(2, min(training.epochs * an_epoch, affordable))
    phases = training.phases(steps)
    rng = rng_for(context.seed, f"batches/{training.name}")
    found: dict[str, Any] = {}
    used = np.concatenate([rows, context.validation])

    def batches(phase: Phase) -> Iterator[tuple[Any, Tensor]]:
        watch.source, about = source_for(
            feed, training.backbone, set(phase.rates), used,
            lambda stage: context.progress(f"frozen part before {stage}", len(used)),
        )  # fmt: skip
        found.update({phase.name: about} if about else {})
        return endless(lambda rng: _epoch(watch.source, targets, rows, training.batch, rng), rng)

    total = sum(phase.steps for phase in phases)
    ended = "all steps"
    watch.validate(model, 0, float("nan"))
    recent: list[float] = []
    begun = time.perf_counter()  # what measuring the pace took is no time that the model had
    with threads(count), context.progress(training.name, total) as advance:
        try:
            seed = seed_for(context.seed, f"dropout/{training.name}")
            for step in train(model, training.backbone, phases, batches, seed=seed):
                advance(1)
                recent.append(step.loss)
                if step.number % an_epoch == 0 or step.number == total:
                    watch.validate(model, step.number, float(np.mean(recent)))
                    recent = []
                if watch.waited > training.patience:
                    ended = "patience"
                    break
                if time.perf_counter() - begun > context.seconds:
                    ended = "time"
                    watch.validate(model, step.number, float(np.mean(recent or [step.loss])))
                    break
        except Diverged as error:
            ended = f"diverged at {error}"
            context.say(f"{training.name} diverged at {error}; the best state before is kept.")
    return {
        "steps": step_count(watch),
        "steps_planned": total,
        "steps_an_epoch": an_epoch,
        "threads": count,
        "precision": str(training.precision),
        "batch": training.batch,
        "ended": ended,
        "phases": [{"name": p.name, "steps": p.steps, "rates": p.rates} for p in phases],
        "boundaries": found,
        "curve": watch.curve,
        "best_step": watch.best_step,
    }


def step_count(watch: _Watch) -> int:
    return int(watch.curve[-1]["step"]) if watch.curve else 0


def _epoch(
    source: Source, targets: Targets, rows: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[tuple[Any, Tensor]]:
    for chosen in source.feed.epoch(rows, size, rng=rng):
        pair = source.batch(chosen), targets.values[torch.from_numpy(chosen)]
        yield send_to_device(pair, torch_device())


def _pace(
    training: Training, model: nn.ModuleDict, feed: Feed, targets: Targets, rows: np.ndarray
) -> tuple[float, int]:
    """Measure seconds a step on a copy that is thrown away: (the best, on so many threads)."""
    twin = copy.deepcopy(model)
    backbone = running(training.backbone, twin["backbone"])
    middle = np.argsort(feed.lengths[rows]) if feed.lengths is not None else np.arange(len(rows))
    at = max(0, len(rows) // 2 - training.batch // 2)
    batch = rows[middle[at : at + training.batch]]
    pair = feed.batch(batch), targets.values[torch.from_numpy(batch)]
    pair = send_to_device(pair, torch_device())
    last = training.phases(4)[-1]
    still = dict.fromkeys(last.rates, 0.0)  # costs the same, and cannot diverge
    phase = replace(last, steps=3, rates=still, loss=stand_in(backbone, training.precision))

    def measured(count: int) -> tuple[float, int]:
        with threads(count):
            steps = train(twin, backbone, (phase,), lambda _: iter([pair] * 3), seed=0)
            return min([step.seconds for step in steps][1:]), count

    together = measured(machine().cores)
    return together if together[0] > WORTH_SHARING else min(together, measured(1))


def stand_in(backbone: Backbone, precision: Precision) -> Callable[..., Tensor]:
    """Return a loss as dear as the real one, on another copy of the backbone."""

    def loss(model: nn.ModuleDict, inputs: Batch, targets: Tensor, progress: float) -> Tensor:
        out: Tensor = model["head"](embedded(backbone, inputs, precision)).square().mean()
        return out

    return loss


class _Watch:
    """Validates, keeps the best state, and counts how long there was nothing better."""

    def __init__(self, training: Training, context: Context, feed: Feed, targets: Targets) -> None:
        self._training, self._context = training, context
        self.source: Source = Plain(feed)
        self._started = time.perf_counter()
        self._targets = targets
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_step = 0
        self.outputs = np.empty((0, context.data.task.outputs))
        self._key: tuple[float, float] | None = None
        self.waited = 0

    def clock(self) -> float:
        """Return the seconds since the examples were ready."""
        return round(time.perf_counter() - self._started, 3)

    def validate(self, model: nn.ModuleDict, step: int, loss: float) -> None:
        rows = self._context.validation
        if not len(rows):  # nothing to choose by: the last state is the best there is
            self.best, self.best_step = _copied(model), step
            if step:
                self.curve.append({"step": step, "loss": loss})
            return
        outputs = self._predict(model, rows)
        key = held_key(outputs, self._context.data.targets[rows], self._context.data.task)
        entry = {"step": float(step), "validation": key[1], "seconds": self.clock()}
        if self._context.data.task.name == "classification":
            entry["accuracy"] = 1.0 - key[0]
        self.curve.append(entry if np.isnan(loss) else entry | {"loss": loss})
        if self._key is None or key < self._key:
            self._key, self.best, self.best_step = key, _copied(model), step
            self.outputs, self.waited = outputs, 0
        else:
            self.waited += 1

    def _predict(self, model: nn.ModuleDict, rows: np.ndarray) -> np.ndarray:
        parts = []
        order, lengths = rows, self.source.feed.lengths
        if lengths is not None:
            order = rows[np.argsort(lengths[rows], kind="stable")]
        with torch.inference_mode():
            for at in range(0, len(order), 64):
                batch = send_to_device(self.source.batch(order[at : at + 64]), torch_device())
                embeddings = embedded(self._training.backbone, batch, self._training.precision)
                parts.append(model["head"](embeddings).cpu().double().numpy())
        outputs = np.empty((len(rows), self._context.data.task.outputs))
        outputs[np.searchsorted(rows, order)] = np.concatenate(parts)
        return outputs * self._targets.scale + self._targets.centre


def held_key(outputs: np.ndarray, targets: np.ndarray, task: Task) -> tuple[float, float]:
    """What validation is judged by, smaller is better: (share of errors, loss)."""
    if task.name == "regression":
        loss = float(np.mean((outputs[:, 0] - targets) ** 2))
        return loss, loss
    if task.name == "classification":
        errors = float(np.mean(outputs.argmax(axis=1) != targets))
    else:
        errors = float(np.mean((outputs > 0) != (targets > 0)))
    return errors, mean_loss(outputs, targets, task)


def _copied(model: nn.ModuleDict) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _finished(
    training: Training, context: Context, watch: _Watch
) -> tuple[Adapted, np.ndarray, dict[str, Any]]:
    task = context.data.task
    head = training.head.merged(watch._targets.scale, watch._targets.centre)
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
