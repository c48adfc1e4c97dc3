"""Unequal classes: weigh the rare ones more, or shift the outputs by how frequent they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.adapt.technique import Criterion, Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassWeights:
    """Weigh an example by (n / (k * count of its class)) ** power; multi-label: positives alike.

    `power` in (0, 1]: 1 makes all classes count the same (King and Zeng, 2001), 0.5 is half way.
    """

    power: float = 1.0
    name = "class-weights"

    def __post_init__(self) -> None:
        if not 0 < self.power <= 1:
            raise ValueError(f"power must be in (0, 1], got {self.power}.")

    def criterion(self, inner: Criterion, setting: Setting) -> Criterion:
        counts = class_counts(setting)
        if counts is None:
            return inner
        if setting.task.name == "multi-label":
            return _positives(inner, counts, len(setting.targets), self.power)
        weights = (counts.sum() / (counts.clamp_min(1) * (counts > 0).sum())) ** self.power
        weights = weights / ((weights * counts).sum() / counts.sum())  # the mean loss stays

        def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
            return inner(outputs, targets) * weights.to(outputs.device)[targets]

        return criterion


def _positives(inner: Criterion, counts: Tensor, total: int, power: float) -> Criterion:
    """Weigh each example by the mean weight of its positive labels; 1 where it has none."""
    weights = ((total / counts.clamp_min(1)) / (total / counts.clamp_min(1)).min()) ** power

    def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
        on = (targets > 0).to(outputs.dtype)
        mean = (on * weights.to(outputs.device)).sum(dim=1) / on.sum(dim=1).clamp_min(1)
        return inner(outputs, targets) * torch.where(on.sum(dim=1) > 0, mean, 1.0)

    return criterion


@dataclass(frozen=True, kw_only=True, slots=True)
class LogitAdjustment:
    """Train on outputs plus tau * log(class frequency), and answer without it.

    Fisher consistent for the balanced error at tau = 1. Source: Menon et al., ICLR 2021, eq. 10.
    """

    tau: float = 1.0
    name = "logit-adjustment"

    def __post_init__(self) -> None:
        if self.tau <= 0:
            raise ValueError(f"tau must be > 0, got {self.tau}.")

    def criterion(self, inner: Criterion, setting: Setting) -> Criterion:
        counts = class_counts(setting)
        if counts is None:
            return inner
        if setting.task.name == "multi-label":
            share = (counts + 1) / (len(setting.targets) + 2)
            shift = self.tau * (share / (1 - share)).log()
        else:
            shift = self.tau * ((counts + 1) / (counts + 1).sum()).log()

        def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
            return inner(outputs + shift.to(outputs.device), targets)

        return criterion


def class_counts(setting: Setting) -> Tensor | None:
    """Return how often each class, or label, is there (k,) float; None for regression."""
    if setting.task.name == "regression":
        return None
    if setting.task.name == "multi-label":
        return (setting.targets > 0).float().sum(dim=0)
    return torch.bincount(setting.targets, minlength=setting.task.outputs).float()
