"""Heads over a Gaussian kernel: log loss or least squares, or a support vector machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.adapt.heads import Kernel, gaussian
from headstart.adapt.probe.calibrate import finished
from headstart.adapt.probe.given import Fit, Given, link_of
from headstart.adapt.probe.kinds.kind import Settings, in_own_unit
from headstart.adapt.probe.kinds.svm import margin_link
from headstart.adapt.probe.linear import Solve, by_loss, by_squares
from headstart.adapt.solvers.design import design, device_for, moments_of


@dataclass(frozen=True, slots=True)
class Rbf:
    """Kernel logistic regression, or kernel ridge for numbers."""

    name = "rbf"
    dense = True

    def fit(self, given: Given, settings: Settings) -> Fit:
        solve = by_squares if given.numeric else by_loss(link_of(given.task))
        return over_kernel(solve, given, settings)


@dataclass(frozen=True, slots=True)
class RbfSvm:
    """A support vector machine with the squared hinge over the Gaussian kernel, in the primal.

    Source: Chapelle, Training a SVM in the primal, Neural Computation 2007.
    """

    name = "rbf-svm"
    dense = True

    def fit(self, given: Given, settings: Settings) -> Fit:
        def over(mine: Given) -> Fit:
            return over_kernel(by_loss(margin_link(mine)), mine, settings)

        return in_own_unit(given, over)


def over_kernel(solve: Solve, given: Given, settings: Settings) -> Fit:
    """Fit at each gamma, in units of 1 / d on features divided by one number; take the best.

    The kernel is exact up to `settings.landmarks` examples, Nyström's beyond.
    """
    mean, scale = _even(given.features)
    standard = ((given.features - mean) / scale).astype(np.float32)
    rows = np.arange(len(standard))
    if len(rows) > settings.landmarks:
        rng = np.random.default_rng(settings.seed)
        rows = np.sort(rng.choice(rows, settings.landmarks, replace=False))
    marks = standard[rows]
    fits = []
    for times in settings.gammas:
        gamma = times / max(1, int(np.isfinite(scale).sum()))
        mapped, whiten = mapped_by(standard, marks, gamma)
        prepared = design(mapped, scaling="none", device=device_for(mapped, given.task.outputs))
        weights, bias, strength, left_out = solve(prepared, given, settings.kernel_strengths)
        width = np.asarray([gamma], np.float32)
        head = Kernel(marks, mean, scale, width, whiten @ weights, bias)
        details = {"gamma_times_d": times, "landmarks": len(marks), "strength": strength}
        fit = finished(head, left_out, given, scale=settings.scale)
        fits.append(fit.told(head="rbf kernel", **details))
    return min(fits, key=lambda fit: fit.loss)


def mapped_by(
    standard: np.ndarray, marks: np.ndarray, gamma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, l) whose products are the kernel's, and what whitens those to marks."""
    exact = marks.astype(np.float64)
    whiten = _whitening(gaussian(exact, exact, gamma))
    return gaussian(standard, marks, gamma) @ whiten.astype(np.float32), whiten


def _even(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (d,), and one scale for all columns that vary (infinite for the rest)."""
    mean, scale = moments_of(features)
    varies = np.isfinite(scale)
    overall = np.sqrt(np.mean(scale[varies] ** 2)) if varies.any() else 1.0
    return mean.astype(np.float32), np.where(varies, overall, np.inf).astype(np.float32)


def _whitening(kernel: np.ndarray) -> np.ndarray:
    """Return W (m, r) so that K(x, landmarks) @ W are features whose products are the kernel."""
    values, vectors = np.linalg.eigh(kernel)
    kept = values > 1e-8 * values.max()
    found: np.ndarray = vectors[:, kept] / np.sqrt(values[kept])
    return found
