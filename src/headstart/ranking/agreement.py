"""How well one order of models agrees with another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from headstart.errors import DataError


def weighted_tau(scores: Num[np.ndarray, " m"], truth: Num[np.ndarray, " m"]) -> float:
    """Return the weighted Kendall tau: agreement at the top counts more.

    A pair of models weighs 1/(i+1) + 1/(j+1) for ranks i and j from 0, once by `scores` and once
    by `truth` (the other breaking ties), and both taus are averaged. Range [-1, 1], 1 for the same
    order; nan where one side is constant. Raises DataError for fewer than two models or NaN.
    Source: Vigna, WWW 2015; the same as scipy.stats.weightedtau.

    >>> weighted_tau(np.array([3, 2, 1]), np.array([30, 20, 10]))
    1.0
    """
    if len(scores) != len(truth) or len(scores) < 2:
        raise DataError(f"Weighted tau needs two or more pairs, got {len(scores)}, {len(truth)}.")
    if not (np.isfinite(scores).all() and np.isfinite(truth).all()):
        raise DataError("Weighted tau got NaN or infinite values; leave those models out.")
    return 0.5 * (_tau(scores, truth, scores, truth) + _tau(scores, truth, truth, scores))


def _tau(one: np.ndarray, other: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Tau with ranks by `first`, falling, ties by `second`."""
    ranks = np.empty(len(one), np.int64)
    # scipy's order for models that are equal in both: the later one is ranked first.
    ranks[np.lexsort((second, first))[::-1]] = np.arange(len(one))
    weight = 1.0 / (1.0 + ranks)
    pair = np.triu(weight[:, None] + weight[None, :], 1)
    ours = np.sign(one[:, None].astype(float) - one[None, :])
    theirs = np.sign(other[:, None].astype(float) - other[None, :])
    bound = (pair * ours**2).sum() * (pair * theirs**2).sum()
    return float((pair * ours * theirs).sum() / np.sqrt(bound)) if bound > 0 else float("nan")


def regret(scores: Num[np.ndarray, " m"], truth: Float[np.ndarray, " m"]) -> float:
    """Return what the top pick lacks to the best model, in the unit of `truth`; 0 is best.

    The first one is picked where several scores are highest.

    >>> regret(np.array([1, 3, 2]), np.array([0.7, 0.8, 0.9])).__round__(2)
    0.1
    """
    return float(truth.max() - truth[int(np.argmax(scores))])
