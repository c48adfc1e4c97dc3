"""Can confidence be believed? Reliability diagram, calibration error, Brier score.

The expected calibration error (ECE) is the mean distance between how sure a model is and how often
it is right, over bins of equal counts. Its plug-in estimate is too large: where a bin is perfectly
calibrated, noise alone makes a distance. The bias is taken out as Kumar, Liang and Ma (NeurIPS
2019) do for the absolute distance: with d the distance seen in a bin and s its standard error,
noise would add E|N(d, s²)| - |d| once more, about as much as it added already. Some bias is left,
less than the plug-in's.

Its interval is Student's with the bootstrap's standard error, bins held fixed. The lower bound is 0
unless a model of the same confidences that is calibrated seldom (2.5 % of simulated outcomes) shows
as much (Bröcker and Smith, Weather and Forecasting 22, 2007): close to 0 the estimate is not
normal, and a positive lower bound would claim a flaw that the data do not show.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.evaluate.intervals import (
    Bootstrap,
    draw,
    group_numbers,
    positive_bounds,
    quantile,
    standard_error,
    width,
    wilson,
)
from headstart.records import Calibration, ConfidenceBin, Interval, TaskFacts

BINS = 15
FEWEST = 10  # predictions a bin, at least
RESAMPLES = 400
SELDOM = 0.025  # of outcomes of a calibrated model: what they seldom show is no chance
METHOD = "bins of equal counts, distances debiased (Kumar et al. 2019), bootstrap interval"


def confidence_of(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (confidence, came true), float and bool: of the answer (n,), or of every label (n k,).

    A classifier is asked about the class that it answers, a multi-label model about each label.
    """
    if truth.ndim == 2:
        return np.asarray(scores, dtype=np.float64).ravel(), truth.ravel() > 0
    return np.asarray(scores.max(axis=1), dtype=np.float64), scores.argmax(axis=1) == truth


def bins_of(confidence: np.ndarray, right: np.ndarray, most: int = BINS) -> np.ndarray:
    """Return the bin (m,) int of every prediction: equal counts, equal confidences together.

    Fewer bins where few predictions are wrong: a bin without an error shows no distance.
    """
    rare = int(min(right.sum(), (~right).sum()))
    wanted = int(np.clip(min(len(confidence) // FEWEST, rare // 2), 1, most))
    inner = np.quantile(confidence, np.arange(1, wanted) / wanted)
    found: np.ndarray = np.searchsorted(np.unique(inner), confidence, side="left")
    return np.unique(found, return_inverse=True)[1]


def folded(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return E|x| of x ~ N(mean, deviation²).

    >>> float(round(folded(np.array(0.0), np.array(1.0)), 4))
    0.7979
    """
    from scipy.special import ndtr

    mean, safe = np.abs(mean), np.maximum(deviation, 1e-300)
    z = np.minimum(mean / safe, 40.0)
    density = np.exp(-(z**2) / 2) * np.sqrt(2 / np.pi)
    return np.where(deviation > 0, safe * density + mean * (2 * ndtr(z) - 1), mean)


Found = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # share, mean distance, its standard error: (k, b)


def _gaps(confidence: np.ndarray, right: np.ndarray, bins: np.ndarray) -> Callable[..., Found]:
    """Prepare: weights (m, b) -> `Found`.

    `doubt` > 0 adds to the variance of a bin as Laplace's two more predictions would (0.5): a bin
    all of whose answers are right is not certain.
    """
    from scipy.sparse import csr_array

    m, k = len(bins), int(bins.max()) + 1
    gap = right - confidence
    rows, at = [np.ones(m), gap, gap**2], (bins, np.arange(m))
    counted, summed, squared = (csr_array((row, at), shape=(k, m)) for row in rows)

    def gaps(weights: np.ndarray, doubt: float = 0.0) -> Found:
        count = np.maximum(counted @ weights, 1e-12)
        mean = summed @ weights / count
        left = squared @ weights - count * mean**2 + doubt
        variance = np.maximum(left, 0) / np.maximum(count - 1 + 2 * (doubt > 0), 1)
        return count / count.sum(axis=0), mean, np.sqrt(variance / count)

    return gaps


def debiased(share: np.ndarray, gap: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the debiased ECE (b,) from shares, distances and standard errors (k, b); unclipped."""
    total: np.ndarray = (share * (2 * np.abs(gap) - folded(gap, error))).sum(axis=0)
    return total


def brier(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the squared distance of each example's probabilities from its truth (n,).

    Summed over classes, in [0, 2] (Brier, Monthly Weather Review 78, 1950); multi-label: mean over
    labels, in [0, 1].
    """
    if truth.ndim == 2:
        return np.asarray(((scores - truth) ** 2).mean(axis=1))
    return np.asarray(((scores - np.eye(scores.shape[1])[truth]) ** 2).sum(axis=1))


def calibration(
    task: TaskFacts,
    truth: np.ndarray,
    scores: np.ndarray,
    *,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Calibration | None:
    """Return reliability, ECE and Brier score with 95 % intervals; None for regression.

    truth, scores: as in `measure`, checked. groups: object (n,); then whole groups are resampled.
    """
    if task.kind == "regression":
        return None
    n = len(truth)
    confidence, right = confidence_of(truth, scores)
    bins = bins_of(confidence, right)
    gaps, squares = _gaps(confidence, right, bins), brier(truth, scores)
    numbers = group_numbers(groups) if groups is not None else np.arange(n)
    units = int(numbers.max()) + 1
    errors, briers = [], []
    for drawn in draw([np.arange(units)], units, rng=rng, resamples=resamples):
        weights = drawn[numbers]
        briers.append(squares @ weights / weights.sum(axis=0))
        errors.append(debiased(*gaps(np.repeat(weights, len(right) // n, axis=0))))
    boot = Bootstrap({}, units - 1, units, n)
    low, high = positive_bounds(float(squares.mean()), np.concatenate(briers), boot.freedom)
    most = 1.0 if truth.ndim == 2 else 2.0  # no Brier score is more
    found = gaps(np.ones((len(right), 1)))
    spread = _spread(gaps(np.ones((len(right), 1)), 0.5), np.concatenate(errors), boot)
    chance = _seen_by_chance(found, confidence, bins, spread[1], rng, resamples)
    return Calibration(
        error=_error_interval(found, spread[0], chance, boot.freedom),
        brier=Interval(value=float(squares.mean())).bounded(low, min(high, most)),
        bins=_diagram(confidence, right, bins, units, n),
        method=METHOD,
    )


def _spread(found: Found, values: np.ndarray, boot: Bootstrap) -> tuple[float, float]:
    """Return (standard error of the ECE, how much more examples that err together vary)."""
    share, _, error = found
    independent = float(np.sqrt(((share * error) ** 2).sum()))
    spread = standard_error(values)
    inflation = max(1.0, spread / max(independent, 1e-12)) if boot.units < boot.n else 1.0
    return max(spread, independent), inflation


def _seen_by_chance(
    found: Found, confidence: np.ndarray, bins: np.ndarray, inflation: float,
    rng: np.random.Generator, trials: int,
) -> float:  # fmt: skip
    """Return how often a calibrated model shows at least this plug-in ECE, up to SELDOM."""
    share, gap, _ = found
    seen = float((share * np.abs(gap)).sum())
    size, k = len(bins), int(bins.max()) + 1
    more = 1
    for _ in range(trials):
        noise = (rng.random(size) < confidence) - confidence
        chance = np.abs(np.bincount(bins, noise, minlength=k)).sum() / size * inflation
        more += chance >= seen
        if more >= SELDOM * (trials + 1):
            break  # often enough: how often precisely does not matter
    return more / (trials + 1)


def _error_interval(found: Found, spread: float, chance: float, freedom: int) -> Interval:
    value = float(np.clip(debiased(*found)[0], 0.0, 1.0))
    if freedom < 1 or not np.isfinite(spread):
        return Interval(value=value)
    half = quantile(freedom) * spread
    low = max(0.0, value - half) if chance < SELDOM else 0.0
    return Interval(value=value, low=low, high=min(1.0, value + half))


def _diagram(
    confidence: np.ndarray, right: np.ndarray, bins: np.ndarray, units: int, n: int
) -> list[ConfidenceBin]:
    made = []
    for k in range(int(bins.max()) + 1):
        inside = bins == k
        sure, hit = confidence[inside], float(right[inside].mean())
        low, high = wilson(hit, max(1.0, len(sure) * units / n), width(units, n))
        made.append(
            ConfidenceBin(
                low=float(sure.min()),
                high=float(sure.max()),
                confidence=float(sure.mean()),
                accuracy=Interval(value=hit, low=min(low, hit), high=max(high, hit)),
                count=len(sure),
            )
        )
    return made
