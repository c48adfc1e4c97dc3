"""Error against the number of labels: a power law with a floor, and what it can and cannot tell.

    error(n) = floor + scale * (n + shift) ** -rate        floor, scale, shift >= 0

(Viering and Loog, IEEE TPAMI 45, 2023, find that form, their POW4, among the best.) The shift lets
a curve begin flat, near chance, and fall faster later, as with many classes and few labels of each.
A few points seldom tell floor, rate and shift apart, and a single best fit then extrapolates far
too surely. So a whole grid of them is kept, each weighed by how well it fits: given the three, the
law is linear in the scale, whose posterior is a normal distribution. Predictions are mixtures of
those. Draws are weighed robustly (Student's t with 4 degrees of freedom), and the spread of draws
is part of the interval, which is meant to hold the error of one new draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import TooFewExamples, UsageError
from headstart.records import Interval

FEWEST = 4  # different counts that a curve needs
REACH = 4.0  # times the largest count: beyond, nothing is said
RATES = np.geomspace(0.08, 2.5, 60)
FLOORS = np.linspace(0.0, 0.995, 50)  # of the lowest error seen
SHIFTS = np.array([0.0, 0.1, 0.2, 0.4, 0.8, 1.6])  # of the largest count
PLAIN = 0.5  # prior weight of no shift
RATE_PRIOR = (0.5, 0.7)  # centre, and standard deviation of its logarithm
MISFIT = 0.02  # of an error: how far off a power law may be where draws are many
FREEDOM = 4


def geometric_counts(least: int, most: int, points: int = 6) -> list[int]:
    """Return up to `points` label counts from `least` to `most`, each about the same factor apart.

    >>> geometric_counts(10, 320)
    [10, 20, 40, 80, 160, 320]
    """
    if not 0 < least < most:
        raise UsageError(f"Label curve: expected 0 < least < most, got {least} and {most}.")
    return sorted({round(float(c)) for c in np.geomspace(least, most, points)})


def subsets(
    truth: np.ndarray, counts: Sequence[int], draws: int, *, rng: np.random.Generator
) -> list[list[np.ndarray]]:
    """Return rows[draw][i], counts[i] of them, a draw's smaller within its larger.

    For classes, int (n,), rows are taken in turn from every class in proportion, so that a small
    subset has all of them where it can. Raises TooFewExamples where there are fewer rows.
    """
    n = len(truth)
    if max(counts) > n:
        raise TooFewExamples(f"Label curve: {max(counts)} labels asked for, there are {n}.")
    found = []
    for _ in range(draws):
        order = rng.permutation(n)
        if truth.ndim == 1 and truth.dtype.kind in "iu":
            place = np.empty(n)
            for c in np.unique(truth):
                mine = order[truth[order] == c]
                place[mine] = (np.arange(len(mine)) + rng.random()) / len(mine)
            order = np.argsort(place, kind="stable")
        found.append([np.sort(order[:count]) for count in counts])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class PowerLaw:
    """A fitted label curve: the most probable law, and all laws of the grid with their weights.

    counts (m,), errors (m,): means over draws. `weights`, `floors`, `rates`, `shifts`,
    `scales`, `deviations` (g,): the mixture; `deviations` are of the scales. `spread`: standard
    deviation of one draw at the largest count.
    """

    counts: np.ndarray
    errors: np.ndarray
    floor: float
    scale: float
    rate: float
    shift: float
    weights: np.ndarray
    floors: np.ndarray
    rates: np.ndarray
    shifts: np.ndarray
    scales: np.ndarray
    deviations: np.ndarray
    spread: float

    @property
    def most(self) -> float:
        return float(self.counts.max())

    def supports(self, n: float) -> bool:
        """Say whether `n` labels lie within what was seen, or at most REACH times beyond."""
        return bool(self.counts.min() <= n <= REACH * self.most * (1 + 1e-9))

    def at(self, n: Any) -> Any:
        """Return the error of the most probable law at `n`, a number or an array."""
        return self.floor + self.scale * (n + self.shift) ** -self.rate

    def predict(self, n: float, level: float = 0.95) -> Interval:
        """Return the error expected of one new draw of `n` labels, with its interval.

        Bounds are None where n is beyond what the curve supports.
        """
        means, deviations = self._mixture(n)
        centre = float(self.weights @ means)
        if not self.supports(n):
            return Interval(value=centre)
        deviations = np.sqrt(deviations**2 + self.spread**2)
        low, high = (
            mixture_quantile(q, self.weights, means, deviations)
            for q in ((1 - level) / 2, (1 + level) / 2)
        )
        return Interval(value=centre).bounded(max(0.0, low), max(0.0, high))

    def _mixture(self, n: float) -> tuple[np.ndarray, np.ndarray]:
        power = (n + self.shifts) ** -self.rates
        return self.floors + self.scales * power, self.deviations * power

    def sample(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return (floors, scales, rates, shifts) of laws drawn from the mixture, each (size,)."""
        rows = rng.choice(len(self.weights), size, p=self.weights)
        scales = self.scales[rows] + self.deviations[rows] * rng.normal(size=size)
        return self.floors[rows], np.maximum(scales, 0.0), self.rates[rows], self.shifts[rows]


def mixture_quantile(
    q: float, weights: np.ndarray, means: np.ndarray, deviations: np.ndarray
) -> float:
    """Return the q-quantile of a mixture of normal distributions, by bisection."""
    from scipy.special import ndtr

    low = float((means - 10 * deviations).min())
    high = float((means + 10 * deviations).max())
    for _ in range(60):
        middle = (low + high) / 2
        below = float(weights @ ndtr((middle - means) / np.maximum(deviations, 1e-12)))
        low, high = (middle, high) if below < q else (low, middle)
    return (low + high) / 2


def fit_curve(counts: Sequence[int], errors: Sequence[Sequence[float]]) -> PowerLaw:
    """Fit a power law with a floor to errors[i][draw], in [0, inf), at counts[i] labels.

    Raises UsageError for values that are not finite or fewer than FEWEST different counts.
    """
    n = np.asarray(counts, dtype=np.float64)
    draws = [np.asarray(row, dtype=np.float64) for row in errors]
    if len(n) != len(draws) or len(set(counts)) < FEWEST or any(not len(row) for row in draws):
        raise UsageError(
            f"Label curve: expected errors at {FEWEST} or more different counts of labels, got "
            f"{len(draws)} at {len(set(counts))} counts."
        )
    if not all(np.isfinite(row).all() for row in draws):
        raise UsageError("Label curve: expected finite errors; a fit diverged or was undefined.")
    mean = np.asarray([robust_mean(row) for row in draws])
    variance, size = _variances(draws, mean)
    noise = variance / size + (MISFIT * mean) ** 2
    robust = np.ones(len(n))
    for _ in range(4):
        law = _grid(n, mean, noise / robust, float(np.sqrt(variance[n.argmax()])))
        residual = (mean - law.at(n)) ** 2 / noise
        robust = (FREEDOM + 1) / (FREEDOM + residual)
    return law


def robust_mean(values: np.ndarray) -> float:
    """Return the location of `values` by Student's t with 4 degrees of freedom."""
    centre = float(np.median(values))
    scale = 1.4826 * float(np.median(np.abs(values - centre)))
    if len(values) < 3 or scale == 0:
        return float(values.mean())
    for _ in range(20):
        weights = (FREEDOM + 1) / (FREEDOM + ((values - centre) / scale) ** 2)
        centre = float((weights * values).sum() / weights.sum())
    return centre


def _variances(draws: list[np.ndarray], mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (variance of a draw, number of draws) at each count, half its own, half shared.

    Few draws say little of their variance; what is shared is its ratio to the error.
    """
    size = np.asarray([len(row) for row in draws], dtype=np.float64)
    own = np.asarray([row.var(ddof=1) if len(row) > 1 else np.nan for row in draws])
    safe = np.maximum(mean, 1e-4)
    known = own[np.isfinite(own)] / safe[np.isfinite(own)]
    shared = float(known.mean()) * safe if len(known) else (0.1 * safe) ** 2
    variance = np.where(np.isfinite(own), (own + shared) / 2, shared)
    return np.maximum(variance, 1e-10), size


def _grid(n: np.ndarray, mean: np.ndarray, noise: np.ndarray, spread: float) -> PowerLaw:
    axes = np.meshgrid(RATES, FLOORS * mean.min(), SHIFTS * n.max(), indexing="ij")
    rates, floors, shifts = (axis.ravel() for axis in axes)
    power = (n[None] + shifts[:, None]) ** -rates[:, None]  # (g, m)
    precision = (power**2 / noise).sum(axis=1)
    target = mean[None] - floors[:, None]
    scales = (power * target / noise).sum(axis=1) / precision
    misfit = ((target - scales[:, None] * power) ** 2 / noise).sum(axis=1)
    prior = ((np.log(rates) - np.log(RATE_PRIOR[0])) / RATE_PRIOR[1]) ** 2
    shifted = np.log((1 - PLAIN) / (len(SHIFTS) - 1))
    prior -= 2 * np.where(shifts > 0, shifted, np.log(PLAIN))
    # Where the scale is negative the law would rise: it is left out.
    score = np.where(scales > 0, -(misfit + prior) / 2, -np.inf)
    if not np.isfinite(score).any():  # errors that rise with n: flat is the best such law
        scales, score = np.zeros_like(scales), -(misfit + prior) / 2
    weights = np.exp(score - score.max())
    weights /= weights.sum()
    best = int(weights.argmax())
    kept = weights > 1e-6
    return PowerLaw(
        counts=n, errors=mean, floor=float(floors[best]), scale=float(scales[best]),
        rate=float(rates[best]), shift=float(shifts[best]),
        weights=weights[kept] / weights[kept].sum(), floors=floors[kept], rates=rates[kept],
        shifts=shifts[kept], scales=scales[kept], deviations=1 / np.sqrt(precision[kept]),
        spread=spread,
    )  # fmt: skip
