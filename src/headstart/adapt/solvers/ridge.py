"""Ridge regression for all strengths from one decomposition, with exact held-out outputs.

Dimensions: N examples, D features, R rank of the design, K outputs, S strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headstart.adapt.folds import Folds
from headstart.adapt.solvers.design import Design

WORTH_UPDATING = 0.25  # rows of a fold, as a share of R, up to which its block is solved for


@dataclass(frozen=True, slots=True, eq=False)
class RidgeFit:
    """The chosen ridge model. `left_out` (N, K): each example predicted by a fit without it."""

    weights: np.ndarray  # (D, K)
    bias: np.ndarray  # (K,)
    strength: float
    left_out: np.ndarray
    errors: np.ndarray  # (S,) mean squared held-out error of every strength


def ridge(
    design: Design, targets: Float[np.ndarray, "N K"], strengths: Sequence[float]
) -> RidgeFit:
    """Fit targets at the strength with the smallest leave-one-out error.

    Minimises mean squared error / 2 + strength / 2 * ||weights||^2 with a free intercept; columns
    of the design are centred, orthogonal up to rounding. Source of the leave-one-out identity:
    Allen, Technometrics 1974 (PRESS).
    """
    columns, _, residual = _parts(design, targets)
    count = len(targets)
    values = columns.square().sum(dim=0)  # (R,) squared lengths of orthogonal columns
    along = columns.T @ residual  # (R, K)
    errors = np.empty(len(strengths))
    kept: Tensor | None = None
    for at, strength in enumerate(strengths):
        shrink = 1.0 / (values + count * strength)
        fitted = columns @ (shrink[:, None] * along)
        leverage = columns.square() @ shrink + 1.0 / count
        gone = (residual - fitted) / (1.0 - leverage).clamp_min(1e-9)[:, None]
        errors[at] = float(gone.square().mean())
        if kept is None or errors[at] < errors[:at].min():
            kept = gone
    assert kept is not None
    strength = strengths[int(errors.argmin())]
    weights, bias = ridge_weights(design, targets, strength)
    return RidgeFit(weights, bias, strength, targets - kept.cpu().numpy(), errors)


def ridge_weights(
    design: Design, targets: Float[np.ndarray, "N K"], strength: float
) -> tuple[Float[np.ndarray, "D K"], Float[np.ndarray, " K"]]:
    """Return weights (D, K) and bias (K,) at one strength, for raw features."""
    columns, centre, residual = _parts(design, targets)
    values = columns.square().sum(dim=0)
    solution = (columns.T @ residual) / (values + len(targets) * strength)[:, None]
    return design.weights(torch.cat([solution, centre[None]]).float())


def ridge_by_folds(
    design: Design, targets: Float[np.ndarray, "N K"], strengths: Sequence[float], folds: Folds
) -> RidgeFit:
    """Like `ridge`, but every example is predicted by a fit without its whole fold.

    For grouped data, where leaving one example out would leave its group in, and for data with
    validation examples of its own.
    """
    left_out = FoldRidge(design, targets, folds)
    errors = np.empty(len(strengths))
    kept: np.ndarray | None = None
    for at, strength in enumerate(strengths):
        outputs = left_out.at(strength).cpu().numpy()
        errors[at] = np.square((outputs - targets)[folds.asked]).mean()
        if kept is None or errors[at] < errors[:at].min():
            kept = outputs
    assert kept is not None
    strength = strengths[int(errors.argmin())]
    return RidgeFit(*ridge_weights(design, targets, strength), strength, kept, errors)


class FoldRidge:
    """Held-out outputs (N, K) of all folds, at any strength.

    A fold that is small beside the rank is taken out of the one decomposition by the block
    form of PRESS; a larger one has its own, which is cheaper there and serves all strengths.
    """

    def __init__(self, design: Design, targets: Float[np.ndarray, "N K"], folds: Folds) -> None:
        self.columns, self.centre, self.residual = _parts(design, targets)
        self.values = self.columns.square().sum(dim=0)
        self.along = self.columns.T @ self.residual
        self.parts: list[_Update | _Own] = []
        for fold in range(folds.count):
            inside, asked = folds.inside(fold), folds.of == fold
            if not asked.any() or not inside.any():
                continue
            gone = np.flatnonzero(~inside)
            mine = np.flatnonzero(asked[gone])
            if len(gone) <= WORTH_UPDATING * self.columns.shape[1]:
                self.parts.append(_Update(self, gone, mine))
            else:
                self.parts.append(_Own(self, np.flatnonzero(inside), gone[mine]))

    def at(self, strength: float) -> Tensor:
        """Return outputs (N, K) float64; rows that no fit is asked about are zero."""
        out = torch.zeros_like(self.residual)
        for part in self.parts:
            rows, outputs = part.at(strength)
            out[rows] = outputs
        return out


class _Update:
    """A fold removed from the solution of all the data. Source: Allen, 1974, for blocks."""

    def __init__(self, whole: FoldRidge, gone: np.ndarray, asked: np.ndarray) -> None:
        self.whole, self.gone, self.asked = whole, torch.from_numpy(gone), torch.from_numpy(asked)
        self.columns = whole.columns[self.gone]
        self.left = len(whole.columns) - len(gone)

    def at(self, strength: float) -> tuple[Tensor, Tensor]:
        whole = self.whole
        shrink = 1.0 / (whole.values + self.left * strength)
        hat = 1.0 / len(whole.columns) + (self.columns * shrink) @ self.columns.T
        missed = whole.residual[self.gone] - self.columns @ (shrink[:, None] * whole.along)
        away = torch.linalg.solve(torch.eye(len(hat)).to(hat) - hat, missed)
        outputs = whole.centre + whole.residual[self.gone] - away
        return self.gone[self.asked], outputs[self.asked]


class _Own:
    """A fold whose rest has a decomposition of its own."""

    def __init__(self, whole: FoldRidge, inside: np.ndarray, asked: np.ndarray) -> None:
        self.rows = torch.from_numpy(asked)
        own, truth = whole.columns[inside], whole.residual[inside]
        mean, centre = own.mean(dim=0), truth.mean(dim=0)
        own = own - mean
        self.values, basis = torch.linalg.eigh(own.T @ own)
        self.along = basis.T @ (own.T @ (truth - centre))
        self.outside = (whole.columns[asked] - mean) @ basis
        self.centre, self.left = whole.centre + centre, len(own)

    def at(self, strength: float) -> tuple[Tensor, Tensor]:
        shrink = 1.0 / (self.values.clamp_min(0.0) + self.left * strength)
        return self.rows, self.outside @ (shrink[:, None] * self.along) + self.centre


def _parts(
    design: Design, targets: Float[np.ndarray, "N K"]
) -> tuple[Float[Tensor, "N R"], Float[Tensor, " K"], Float[Tensor, "N K"]]:
    """Return columns without the intercept, mean of the targets, and targets around it."""
    columns = design.forward[:, :-1].double()
    truth = torch.from_numpy(np.array(targets, dtype=np.float64)).to(columns.device)
    centre = truth.mean(dim=0)
    return columns, centre, truth - centre
