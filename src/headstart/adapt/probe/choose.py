"""Choosing a setting by out-of-fold outputs, and walking a path of strengths for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.adapt.probe.calibrate import best_factor, smoothed
from headstart.adapt.probe.given import Given, link_of
from headstart.adapt.solvers.design import Design
from headstart.adapt.solvers.links import Link
from headstart.adapt.solvers.path import Path, even_weights, held_out

CHOICE_TOLERANCE = 1e-4  # of the loss, an example: enough to tell strengths apart
FINAL_TOLERANCE = 1e-7
UNFOLDED_STRENGTH = 1.0  # where there is too little data to choose one


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A setting with its held-out outputs (n, k) and what they are worth."""

    setting: Any
    outputs: Tensor
    loss: float
    errors: float
    start: Tensor | None = None  # (R, k): mean solution of the folds

    @property
    def left_out(self) -> np.ndarray:
        found: np.ndarray = self.outputs.double().cpu().numpy()
        return found


class Yardstick:
    """Measures held-out outputs: loss at the best scale, and the count of errors.

    At the best scale, as calibration will set it anyway: without it a weak strength would be
    taken for its scale alone. Regression has the squared error, and no errors to count.
    """

    def __init__(self, given: Given, device: torch.device) -> None:
        self.task, self.numeric = given.task, given.numeric
        self.rows = torch.from_numpy(given.asked).to(device)
        self.truth = given.truth().to(device)[self.rows]
        if not self.numeric:
            self.link = link_of(given.task)
            self.smooth = smoothed(self.truth, self.link)
        self.factor = 1.0

    def __call__(self, setting: Any, outputs: Tensor, start: Tensor | None = None) -> Seen:
        mine = outputs[self.rows]
        if self.numeric:
            loss = float((mine - self.truth).square().mean())
            return Seen(setting, outputs, loss, 0.0, start)
        self.factor, loss = best_factor(
            self.link, mine, self.smooth.to(mine.dtype), near=self.factor, tolerance=0.03
        )
        return Seen(setting, outputs, loss, self._errors(mine), start)

    def _errors(self, outputs: Tensor) -> float:
        if self.task.name == "classification":
            return float((outputs.argmax(dim=1) != self.truth.argmax(dim=1)).sum())
        return float(((outputs > 0) != (self.truth > 0.5)).float().mean(dim=1).sum())


def picked(seen: Sequence[Seen]) -> Seen:
    """Return the best: by errors where they can tell settings apart, among the rest by loss.

    They can by more than a quarter of the standard error of their count.
    """
    best = min(entry.errors for entry in seen)
    slack = 0.25 * np.sqrt(max(best, 0.5))
    return min((e for e in seen if e.errors <= best + slack), key=lambda entry: entry.loss)


def turned(seen: Sequence[Seen]) -> bool:
    """Whether the loss has clearly turned, and errors were fewest some while ago."""
    lowest = min(entry.loss for entry in seen)
    fewest = min(range(len(seen)), key=lambda at: seen[at].errors)
    return seen[-1].loss > 1.3 * lowest and fewest < len(seen) - 6


def walked(
    prepared: Design, given: Given, truth: Tensor, link: Link, strengths: Sequence[float]
) -> Seen | None:
    """Walk the path of all folds together and pick a strength; None without folds."""
    if given.folds is None:
        return None
    device = prepared.moments.device
    fold = torch.from_numpy(given.folds.of).to(device)
    inside = np.stack([given.folds.inside(at) for at in range(given.folds.count)], axis=1)
    path = Path(prepared, truth, even_weights(torch.from_numpy(inside)), link)
    look = Yardstick(given, device)
    seen: list[Seen] = []
    for strength in sorted(strengths, reverse=True):
        given.count_products(1 + path.solve(strength, tolerance=CHOICE_TOLERANCE, most=40))
        outputs = held_out(path.outputs, fold)
        seen.append(look(strength, outputs, path.solution.mean(dim=1)))
        if turned(seen):
            break
    return picked(seen)


def settled(
    prepared: Design, truth: Tensor, link: Link, strength: float, start: Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit all the examples at one strength; returns weights (d, k) and bias (k,).

    Begins at `start` (R, k), the folds' mean solution, or at that of a stronger strength.
    """
    path = Path(prepared, truth, torch.full((len(truth), 1), 1 / len(truth)), link, start)
    if start is None:
        path.solve(strength * 30, tolerance=CHOICE_TOLERANCE, most=50)
    path.solve(strength, tolerance=FINAL_TOLERANCE, most=200)
    return prepared.weights(path.solution[:, 0])
