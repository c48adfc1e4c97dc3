"""Unequal classes: weigh the rare ones more, or shift the outputs by how frequent they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.adapt.technique import Criterion, Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassWeights:
    """Weigh an example by (n / (k * count of its class)) ** power (King and Zeng, 2001).

    `power` in (0, 1]: 1 makes all classes count the same, 0.5 is half way. The mean weight is 1.
    Multi-label: so for each label by itself, whose two classes are "has it" and "has it not".
    Regression is left as it is.
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
            return _each_label(inner, counts, len(setting.targets), self.power)
        weights = (counts.sum() / (counts.clamp_min(1) * (counts > 0).sum())) ** self.power
        weights = weights / ((weights * counts).sum() / counts.sum())  # the mean loss stays

        def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
            return inner(outputs, targets) * weights.to(outputs.device)[targets]

        return criterion


def _each_label(inner: Criterion, counts: Tensor, total: int, power: float) -> Criterion:
    """Weigh the two answers of every label; what is between them (smoothed) in proportion."""
    on = (total / (2 * counts.clamp(1, max(1, total - 1)))) ** power
    off = (total / (2 * (total - counts).clamp(1, max(1, total - 1)))) ** power
    mean = (on * counts + off * (total - counts)) / total
    on, off = on / mean, off / mean

    def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
        shares = targets.to(outputs.dtype)
        columns = outputs.reshape(-1, 1)  # each answer by itself: (n * k, 1)
        yes = inner(columns, torch.ones_like(columns)).view_as(outputs)
        no = inner(columns, torch.zeros_like(columns)).view_as(outputs)
        device = outputs.device
        each = shares * on.to(device) * yes + (1 - shares) * off.to(device) * no
        return each.mean(dim=1)

    return criterion


@dataclass(frozen=True, kw_only=True, slots=True)
class LogitAdjustment:
    """Train on outputs plus tau * log(class frequency), and answer without it.

    Fisher consistent for the balanced error at tau = 1. Source: Menon et al., ICLR 2021, eq. 10.
    """

    tau: float = 1.0
    name = "logit-adjustment"
    last = True  # it shifts the outputs that all others must see

    def __post_init__(self) -> None:
        if not self.tau > 0:
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
