"""Linear heads: a loss or least squares, each scaling of the features, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headstart.adapt.heads import Linear
from headstart.adapt.probe.calibrate import finished, held_loss
from headstart.adapt.probe.choose import (
    UNFOLDED_STRENGTH,
    Seen,
    Yardstick,
    picked,
    settled,
    turned,
    walked,
)
from headstart.adapt.probe.given import Fit, Given, size_of
from headstart.adapt.solvers.design import Design, Scaling, design, device_for
from headstart.adapt.solvers.links import Link
from headstart.adapt.solvers.ridge import (
    FoldRidge,
    RidgeFit,
    ridge,
    ridge_by_folds,
    ridge_weights,
)

# Features in one basis to weights (d, k), bias (k,), the strength, and held-out outputs (n, k).
Solved = tuple[np.ndarray, np.ndarray, float, np.ndarray | None]
Solve = Callable[[Design, Given, Sequence[float]], Solved]


def in_each_scaling(
    solve: Solve, given: Given, scalings: Sequence[Scaling], strengths: Sequence[float], *,
    scale: bool,
) -> Fit:  # fmt: skip
    """Fit in each scaling of the features, and take the best of these and of their mean."""
    if given.folds is None or given.sparse:
        scalings = scalings[:1]
    fits = []
    for scaling in scalings:
        device = device_for(given.features, given.task.outputs)
        prepared = design(given.features, scaling=scaling, device=device)
        fits.append(_linear(solve(prepared, given, strengths), scaling, given, scale))
    if len(fits) > 1:
        fits.append(_blended(fits, given))
    return min(fits, key=lambda fit: fit.loss)


def _linear(solved: Solved, scaling: Scaling, given: Given, scale: bool) -> Fit:
    weights, bias, strength, left_out = solved
    fit = finished(Linear(weights, bias), left_out, given, scale=scale)
    return fit.told(head="linear", scaling=scaling, strength=strength)


def _blended(fits: Sequence[Fit], given: Given) -> Fit:
    """Return the mean of linear fits, which is a linear fit."""
    heads = [fit.head for fit in fits if isinstance(fit.head, Linear)]
    head = Linear(
        np.mean([head.weights for head in heads], axis=0),
        np.mean([head.bias for head in heads], axis=0),
    )
    left_out = np.mean([fit.left_out for fit in fits if fit.left_out is not None], axis=0)
    details = {
        "head": "linear",
        "scaling": "mean of " + " and ".join(fit.details["scaling"] for fit in fits),
        "strength": [fit.details["strength"] for fit in fits],
        "out_of_fold_loss": held_loss(left_out, given),
    }
    return Fit(head, left_out, details, size_of(head))


def by_loss(link: Link) -> Solve:
    """Return the solver of a convex loss whose truth is `Given.truth`."""

    def solve(prepared: Design, given: Given, strengths: Sequence[float]) -> Solved:
        truth = given.truth()
        choice = walked(prepared, given, truth, link, strengths)
        strength = choice.setting if choice else UNFOLDED_STRENGTH
        weights, bias = settled(prepared, truth, link, strength, choice.start if choice else None)
        return weights, bias, strength, choice.left_out if choice else None

    return solve


def by_squares(prepared: Design, given: Given, strengths: Sequence[float]) -> Solved:
    """Solve least squares; for numbers its strength is that of the least squared error."""
    if given.sparse:
        fit = _sparse_ridge(given, strengths)
    elif given.numeric:
        fit = _ridge(prepared, given, strengths)
    else:
        return _ridge_classes(prepared, given, strengths)
    return fit.weights, fit.bias, fit.strength, fit.left_out


def _ridge(prepared: Design, given: Given, strengths: Sequence[float]) -> RidgeFit:
    given.count_products(len(strengths))
    if given.folds is None:
        return ridge(prepared, given.signed(), strengths)
    return ridge_by_folds(prepared, given.signed(), strengths, given.folds)


def _ridge_classes(prepared: Design, given: Given, strengths: Sequence[float]) -> Solved:
    if given.folds is None:
        strength = UNFOLDED_STRENGTH
        return *ridge_weights(prepared, given.signed(), strength), strength, None
    outputs = FoldRidge(prepared, given.signed(), given.folds)
    look = Yardstick(given, prepared.moments.device)
    seen: list[Seen] = []
    for strength in sorted(strengths, reverse=True):
        seen.append(look(strength, outputs.at(strength)))
        given.count_products(1)
        if turned(seen):
            break
    choice = picked(seen)
    strength = choice.setting
    return *ridge_weights(prepared, given.signed(), strength), strength, choice.left_out


def _sparse_ridge(given: Given, strengths: Sequence[float]) -> RidgeFit:
    from sklearn.linear_model import Ridge

    from headstart.adapt.folds import Folds

    targets, everything = given.signed(), np.arange(given.count)

    def fit(rows: np.ndarray, strength: float) -> Ridge:
        model = Ridge(alpha=strength * len(rows), solver="sparse_cg", tol=1e-4)
        return model.fit(given.features[rows], targets[rows])

    folds = given.folds or Folds(everything % min(5, len(everything)))
    left_out = np.zeros((len(strengths), *targets.shape))
    for fold in range(folds.count):
        asked = np.flatnonzero((folds.of == fold) & folds.asked)
        for at, strength in enumerate(strengths if len(asked) else ()):
            model = fit(np.flatnonzero(folds.inside(fold)), strength)
            left_out[at, asked] = model.predict(given.features[asked]).reshape(len(asked), -1)
    errors = np.square((left_out - targets)[:, folds.asked]).mean(axis=(1, 2))
    best = int(errors.argmin())
    model = fit(everything, strengths[best])
    return RidgeFit(
        weights=np.atleast_2d(model.coef_).T.astype(np.float32),
        bias=np.atleast_1d(model.intercept_).astype(np.float32),
        strength=strengths[best],
        left_out=left_out[best],
        errors=errors,
    )
