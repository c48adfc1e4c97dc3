"""Ridge regression for all strengths from one decomposition, with exact leave-one-out errors.

Dimensions: N examples, R rank of the design, S strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headstart.adapt.folds import Folds
from headstart.adapt.solvers.design import Design


@dataclass(frozen=True, slots=True, eq=False)
class RidgeFit:
    """The chosen ridge model. `left_out` (n,): each example predicted by a fit without it."""

    weights: np.ndarray  # (D, 1)
    bias: np.ndarray  # (1,)
    strength: float
    left_out: np.ndarray
    errors: np.ndarray  # (S,) mean squared leave-one-out error of every strength


def ridge_by_folds(
    design: Design,
    targets: Float[np.ndarray, " N"],
    strengths: Sequence[float],
    folds: Folds,
) -> RidgeFit:
    """Like `ridge`, but every example is predicted by a fit without its whole fold.

    For grouped data, where leaving one example out would leave its group in, and for data with
    validation examples of its own.
    """
    import torch

    columns = design.forward[:, :-1].double()
    truth = torch.from_numpy(np.array(targets, dtype=np.float64))
    left_out = torch.zeros(len(strengths), len(truth), dtype=torch.float64)
    for fold in range(folds.count):
        inside, asked = torch.from_numpy(folds.inside(fold)), torch.from_numpy(folds.of == fold)
        if not asked.any() or not inside.any():
            continue
        mean, centre = columns[inside].mean(dim=0), truth[inside].mean()
        own = columns[inside] - mean
        values, basis = torch.linalg.eigh(own.T @ own)
        along = basis.T @ (own.T @ (truth[inside] - centre))
        outside = (columns[asked] - mean) @ basis
        for at, strength in enumerate(strengths):
            shrink = 1.0 / (values.clamp_min(0.0) + len(own) * strength)
            left_out[at, asked] = outside @ (shrink * along) + centre
    errors = (left_out - truth)[:, torch.from_numpy(folds.asked)].square().mean(dim=1).numpy()
    best = int(errors.argmin())
    fitted = ridge(design, targets, [strengths[best]])
    return RidgeFit(fitted.weights, fitted.bias, strengths[best], left_out[best].numpy(), errors)


def ridge(design: Design, targets: Float[np.ndarray, " N"], strengths: Sequence[float]) -> RidgeFit:
    """Fit targets (n,) at the strength with the smallest leave-one-out error.

    Minimises mean squared error / 2 + strength / 2 * ||weights||^2 with a free intercept; columns
    of the design are centred, orthogonal up to rounding. Source of the leave-one-out identity:
    Allen, Technometrics 1974 (PRESS).
    """
    import torch

    columns = design.forward[:, :-1].double()
    count = len(targets)
    centre = float(targets.mean())
    residual = torch.from_numpy(targets - centre).double()
    values = columns.square().sum(dim=0)  # (R,) squared lengths of orthogonal columns
    along = columns.T @ residual  # (R,)
    best: tuple[float, float, torch.Tensor] | None = None
    errors = np.empty(len(strengths))
    for at, strength in enumerate(strengths):
        shrink = 1.0 / (values + count * strength)
        fitted = columns @ (shrink * along)
        leverage = columns.square() @ shrink + 1.0 / count
        gone = (residual - fitted) / (1.0 - leverage).clamp_min(1e-9)
        errors[at] = float(gone.square().mean())
        if best is None or errors[at] < best[0]:
            best = (errors[at], strength, gone)
    assert best is not None
    _, strength, gone = best
    solution = along / (values + count * strength)
    full = torch.cat([solution, torch.tensor([centre], dtype=torch.float64)])[:, None]
    weights, bias = design.weights(full.float())
    return RidgeFit(weights, bias, strength, targets - gone.numpy(), errors)
