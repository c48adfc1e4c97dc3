"""What metrics are computed from, for many resamples at once.

A summary is prepared once for (truth, scores); it then answers for any matrix of example weights
(n, b): column j holds how often each example occurs in resample j. Sorting, arg-max and logarithms
happen in the preparation; a resample costs sparse products only.

Legend: n examples, k classes or labels, b resamples. truth: int (n,) class numbers; 0-1 (n, k) for
multi-label; float (n,) for regression. scores: probabilities (n, k), or predictions (n,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

CLIP = 1e-15  # probabilities are kept in [CLIP, 1 - CLIP] before their logarithm is taken
THRESHOLD = 0.5  # a label of a multi-label task is predicted where its score reaches this

Summary = Callable[[np.ndarray], Any]  # weights (n, b) -> what a metric reads


def ratio(top: np.ndarray, bottom: np.ndarray, otherwise: float) -> np.ndarray:
    """Divide, giving `otherwise` where `bottom` is 0."""
    divided: np.ndarray = np.full(np.shape(top), otherwise)
    np.divide(top, bottom, out=divided, where=bottom > 0)
    return divided


@dataclass(frozen=True, slots=True)
class Counts:
    """Weighted counts a class and resample, each (k, b)."""

    both: np.ndarray  # true and predicted
    predicted: np.ndarray
    actual: np.ndarray

    @property
    def occurs(self) -> np.ndarray:
        """Where a class is true or predicted at least once: bool (k, b)."""
        occurs: np.ndarray = (self.predicted + self.actual) > 0
        return occurs


@dataclass(frozen=True, slots=True)
class SquaredErrors:
    """Weighted sums a resample, each (b,)."""

    errors: np.ndarray  # of squared residuals
    spread: np.ndarray  # of squared deviations of the truth from its own mean
    weight: np.ndarray


def memberships(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is true and what is predicted as 0-1 arrays, both bool (n, k)."""
    if truth.ndim == 2:
        return truth > 0, scores >= THRESHOLD
    classes = np.arange(scores.shape[1])
    return truth[:, None] == classes, scores.argmax(axis=1)[:, None] == classes


def counts(truth: np.ndarray, scores: np.ndarray) -> Summary:
    """Prepare `Counts`."""
    from scipy.sparse import csr_array

    actual, predicted = memberships(truth, scores)
    k = actual.shape[1]
    stacked = np.concatenate([actual & predicted, predicted, actual], axis=1).T  # (3 k, n)
    matrix = csr_array(stacked, dtype=np.float64)

    def summary(weights: np.ndarray) -> Counts:
        totals = matrix @ weights
        return Counts(totals[:k], totals[k : 2 * k], totals[2 * k :])

    return summary


def mean_of(values: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., Summary]:
    """Turn (truth, scores) -> one value an example (n,) into a summary: its mean (b,)."""

    def prepare(truth: np.ndarray, scores: np.ndarray) -> Summary:
        per_example = values(truth, scores)
        return lambda weights: per_example @ weights / weights.sum(axis=0)

    return prepare


def surprise(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each example (n,), nats; multi-label: mean over its labels."""
    scores = np.clip(np.asarray(scores, dtype=np.float64), CLIP, 1 - CLIP)
    if truth.ndim == 2:
        nats: np.ndarray = -np.log(np.where(truth > 0, scores, 1 - scores)).mean(axis=1)
    else:
        nats = -np.log(scores[np.arange(len(truth)), truth])
    return nats


def all_labels_right(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """1.0 where every label of an example is right, else 0.0: (n,)."""
    actual, predicted = memberships(truth, scores)
    right: np.ndarray = (actual == predicted).all(axis=1).astype(np.float64)
    return right


def example_f1(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """F1 of the labels of each example (n,); 0 where it has none and none is predicted."""
    actual, predicted = memberships(truth, scores)
    both = (actual & predicted).sum(axis=1)
    return ratio(2.0 * both, actual.sum(axis=1) + predicted.sum(axis=1), 0.0)


def absolute_error(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Distance of each prediction from its truth (n,), in the target's unit."""
    distance: np.ndarray = np.abs(np.asarray(truth, dtype=np.float64) - scores)
    return distance


def squared_errors(truth: np.ndarray, scores: np.ndarray) -> Summary:
    """Prepare `SquaredErrors`."""
    truth = np.asarray(truth, dtype=np.float64)
    squares = (truth - scores) ** 2
    centred = truth - truth.mean()  # before squaring: keeps the digits of targets far from 0

    def summary(weights: np.ndarray) -> SquaredErrors:
        weight = weights.sum(axis=0)
        spread = centred**2 @ weights - (centred @ weights) ** 2 / weight
        # What rounding leaves of a constant truth counts as no spread.
        noise = 1e-12 * np.maximum(truth @ truth, 1e-300)
        return SquaredErrors(squares @ weights, np.where(spread > noise, spread, 0.0), weight)

    return summary


def area(positive: np.ndarray, scores: np.ndarray) -> Summary:
    """Prepare the area under the ROC curve of one column: positive bool (n,), scores (n,) -> (b,).

    The chance that a positive scores above a negative, ties counting half; nan where either is
    absent. Negatives are binned by the sorted distinct scores of the positives (slot 2j: between
    two of them, 2j + 1: tied with the j-th), so that a resample needs two sparse products and one
    cumulative sum, and no sorting.
    """
    from scipy.sparse import csr_array

    rows, others = np.flatnonzero(positive), np.flatnonzero(~positive)
    anchors, rank = np.unique(scores[rows], return_inverse=True)
    left = np.searchsorted(anchors, scores[others], side="left")
    slot = left + np.searchsorted(anchors, scores[others], side="right")
    m, n = len(anchors), len(scores)
    ones = np.ones(n)
    above = csr_array((ones[: len(rows)], (rank, rows)), shape=(m, n))
    below = csr_array((ones[: len(others)], (slot, others)), shape=(2 * m + 1, n))

    def summary(weights: np.ndarray) -> np.ndarray:
        positives, negatives = above @ weights, below @ weights
        ties = negatives[1::2] / 2
        np.cumsum(negatives, axis=0, out=negatives)
        won = (positives * (negatives[0:-1:2] + ties)).sum(axis=0)
        pairs = positives.sum(axis=0) * negatives[-1]
        return ratio(won, pairs, np.nan)

    return summary


def area_columns(truth: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the (positive, scores) columns an AUC averages; of two classes only the second."""
    if truth.ndim == 2:
        return [(truth[:, c] > 0, scores[:, c]) for c in range(truth.shape[1])]
    k = scores.shape[1]
    return [(truth == c, scores[:, c]) for c in ([1] if k == 2 else range(k))]


def columns_mean(prepare: Callable[[np.ndarray, np.ndarray], Summary]) -> Callable[..., Summary]:
    """Turn a summary of one column into its mean over columns, one class against the rest: (b,).

    Columns that lack positives or negatives in a resample are left out of its mean.
    """

    def of(truth: np.ndarray, scores: np.ndarray) -> Summary:
        parts = [
            prepare(positive, column)
            for positive, column in area_columns(truth, scores)
            if 0 < np.count_nonzero(positive) < len(positive)
        ]

        def summary(weights: np.ndarray) -> np.ndarray:
            total, seen = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
            for part in parts:
                one = part(weights)
                known = np.isfinite(one)
                total += np.where(known, one, 0.0)
                seen += known
            return ratio(total, seen, np.nan)

        return summary

    return of


mean_area = columns_mean(area)
