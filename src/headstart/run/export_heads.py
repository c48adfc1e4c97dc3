"""Heads as torch modules in float32, to be traced: features (n, d) to raw outputs (n, k).

Each says what the head of the same kind in `adapt.heads` says, up to rounding: an export is
checked against that one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.adapt.heads import CLASSES, NUMBERS, Head, Isotonic, Kernel, Linear, Neighbours
from headstart.adapt.solvers.neighbours import votes
from headstart.errors import UsageError


class _Arrays(nn.Module):
    """A module whose buffers are arrays of a head, in float32."""

    def __init__(self, **arrays: np.ndarray) -> None:
        super().__init__()
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.array(array, dtype=np.float32)))

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)


class LinearHead(_Arrays):
    def __init__(self, head: Linear) -> None:
        super().__init__(**head.arrays())

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = features @ self.weights + self.bias
        return found


class KernelHead(_Arrays):
    def __init__(self, head: Kernel) -> None:
        super().__init__(**head.arrays())

    def forward(self, features: Tensor) -> Tensor:
        standard = (features - self.mean) / self.scale
        distances = _distances(standard, self.landmarks)
        found: Tensor = torch.exp(-self.gamma * distances) @ self.weights + self.bias
        return found


class NeighboursHead(_Arrays):
    def __init__(self, head: Neighbours) -> None:
        super().__init__(**head.arrays())
        self.many, self.means = int(head.count[0]), int(head.meaning[0])
        self.is_unit = bool(head.unit[0])

    def forward(self, features: Tensor) -> Tensor:
        if self.is_unit:
            placed = features / features.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        else:
            placed = (features - self.mean) / self.scale
        placed = placed.half().float()  # rounded as those stored
        near = _distances(placed, self.stored).topk(
            min(self.many, len(self.stored)), dim=1, largest=False
        )
        said = votes(near.values.sqrt(), self.answers[near.indices])
        if self.means != NUMBERS:
            said = _logits((self.many * said + self.prior) / (self.many + 1.0), self.means)
        found: Tensor = said * self.gain[0] + self.gain[1]
        return found


class IsotonicHead(nn.Module):
    """Each curve is a sum of slopes over the part of its steps that lies before the value."""

    def __init__(self, head: Isotonic) -> None:
        super().__init__()
        self.inner, self.means = head_module(head.inner), int(head.meaning[0])
        parts = [slice(start, end) for start, end in zip(head.ends, head.ends[1:], strict=False)]
        self.curves = nn.ModuleList(_Curve(head.before[at], head.after[at]) for at in parts)

    def forward(self, features: Tensor) -> Tensor:
        outputs = self.inner(features)
        shares = outputs.softmax(1) if self.means == CLASSES else outputs.sigmoid()
        columns = [curve(shares[:, at]) for at, curve in enumerate(self.curves)]
        return _logits(torch.stack(columns, dim=1), self.means)


class _Curve(_Arrays):
    """numpy.interp over rising (m,) points; constant outside of them."""

    def __init__(self, before: np.ndarray, after: np.ndarray) -> None:
        step = np.diff(before.astype(np.float64))
        slope = np.divide(np.diff(after), step, out=np.zeros_like(step), where=step > 0)
        super().__init__(start=before[:-1], step=step, slope=slope, first=after[:1])

    def forward(self, value: Tensor) -> Tensor:
        inside = torch.minimum((value[:, None] - self.start).clamp_min(0.0), self.step)
        found: Tensor = self.first + (inside * self.slope).sum(1)
        return found


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Return squared distances (n, m) of rows (n, d) from rows (m, d): without blocks, which a
    trace would count."""
    squares = one.square().sum(1, keepdim=True) + other.square().sum(1)
    return (squares - 2.0 * one @ other.T).clamp_min(0.0)


def _logits(shares: Tensor, meaning: int) -> Tensor:
    if meaning == CLASSES:
        return torch.log(shares / shares.sum(1, keepdim=True))
    return torch.log(shares) - torch.log1p(-shares)


BUILTIN: tuple[tuple[type, Callable[[Any], nn.Module]], ...] = (
    (Linear, LinearHead),
    (Kernel, KernelHead),
    (Neighbours, NeighboursHead),
    (Isotonic, IsotonicHead),
)


def head_module(head: Head) -> nn.Module:
    """Return the head as a module. Raises UsageError for a kind that has none."""
    for kind, module in BUILTIN:
        if isinstance(head, kind):
            return module(head)
    raise UsageError(f"its head is of kind {head.kind!r}, which answers without looking.")


def activation(task: str) -> Callable[[Tensor], Tensor] | None:
    """Return what makes probabilities of raw outputs (n, k); None for regression."""
    return {"classification": lambda raw: raw.softmax(1), "multi-label": torch.sigmoid}.get(task)
