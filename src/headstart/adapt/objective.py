"""The loss of a phase: embed, head, the task's own loss, and what techniques make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from headstart.adapt.boundary import Cached
from headstart.adapt.loop import Loss
from headstart.adapt.technique import (
    Criterion,
    Mixes,
    Penalises,
    Setting,
    ShapesLoss,
    Technique,
)
from headstart.compute.precision import FP32, Precision
from headstart.data.task import Task
from headstart.sources.backbone import Backbone, Batch


def task_loss(task: Task, backbone: Backbone, precision: Precision = FP32) -> Loss:
    """Return the task's own loss, on embeddings through the head."""
    return _loss(backbone, precision, task.kind.losses)


def objective(
    techniques: Sequence[Technique], model: nn.ModuleDict, setting: Setting, precision: Precision
) -> Loss:
    """Return the loss that `techniques` make of the task's own; `model` is at its start."""
    criterion: Criterion = setting.task.kind.losses
    shaping = [technique for technique in techniques if isinstance(technique, ShapesLoss)]
    for technique in sorted(shaping, key=lambda one: bool(getattr(one, "last", False))):
        criterion = technique.criterion(criterion, setting)
    mixers = [technique for technique in techniques if isinstance(technique, Mixes)]
    plain = _loss(setting.backbone, precision, criterion, mixers)
    penalties = [t.penalty(model, setting) for t in techniques if isinstance(t, Penalises)]
    if not penalties:
        return plain

    def loss(model: nn.ModuleDict, inputs: Any, targets: Tensor, progress: float) -> Tensor:
        value = plain(model, inputs, targets, progress)
        for penalty in penalties:
            value = value + penalty()
        return value

    return loss


def _loss(
    backbone: Backbone, precision: Precision, criterion: Criterion, mixers: Sequence[Mixes] = ()
) -> Loss:
    def loss(model: nn.ModuleDict, inputs: Any, targets: Tensor, progress: float) -> Tensor:
        pairs: tuple[tuple[Tensor, float | Tensor], ...] = ((targets, 1.0),)
        for mixer in mixers[:1]:
            inputs, pairs = mixer.mix(inputs, targets)
        outputs = model["head"](embedded(backbone, inputs, precision))
        parts = [(criterion(outputs, aims) * weight).mean() for aims, weight in pairs]
        return parts[0] if len(parts) == 1 else parts[0] + sum(parts[1:])

    return loss


def embedded(backbone: Backbone, inputs: Batch | Cached, precision: Precision) -> Tensor:
    """Return embeddings (n, d) fp32, from the boundary on where the front of a batch was run."""
    with precision.forward():
        out = inputs.embed() if isinstance(inputs, Cached) else backbone.embed(inputs)
    return out.float()
