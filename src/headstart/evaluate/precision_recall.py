"""Precision against recall: average precision for many resamples at once, and the curve to draw.

Average precision says more than the ROC area where positives are rare: a model without skill has
the share of positives, not 0.5. Its interval is a Student interval of the log odds (Boyd, Eng and
Page, ECML 2013, recommend it among others).
"""

from __future__ import annotations

import numpy as np

from headstart.evaluate.summaries import Summary, columns_mean, ratio

POINTS = 100  # of a curve that is kept


def average_precision(positive: np.ndarray, scores: np.ndarray) -> Summary:
    """Prepare the average precision of one column: positive bool (n,), scores (n,) -> (b,).

    Sum over distinct thresholds of precision times the recall that is gained there, as in
    scikit-learn; nan without a positive. Only thresholds that a positive has gain recall, so
    negatives are binned by them.
    """
    from scipy.sparse import csr_array

    rows, others = np.flatnonzero(positive), np.flatnonzero(~positive)
    anchors, rank = np.unique(scores[rows], return_inverse=True)
    slot = np.searchsorted(anchors, scores[others], side="right")  # anchors it is not below
    m, n = len(anchors), len(scores)
    ones = np.ones(n)
    at = csr_array((ones[: len(rows)], (m - 1 - rank, rows)), shape=(m, n))  # highest first
    over = csr_array((ones[: len(others)], (m - slot, others)), shape=(m + 1, n))

    def summary(weights: np.ndarray) -> np.ndarray:
        gained = at @ weights
        found = np.cumsum(gained, axis=0)
        wrong = np.cumsum((over @ weights)[:m], axis=0)
        return ratio((gained * ratio(found, found + wrong, 0.0)).sum(axis=0), found[-1], np.nan)

    return summary


mean_average_precision = columns_mean(average_precision)


def curve(
    positive: np.ndarray, scores: np.ndarray, *, most: int = POINTS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (recall, precision, threshold), each (m,), m <= `most`, from sure to unsure.

    The point of a threshold counts every example that scores at least that much. Where there are
    more thresholds than `most`, those nearest to an even grid of recall are kept, both ends too.
    Empty without a positive.
    """
    total = int(np.count_nonzero(positive))
    if not total:
        return np.empty(0), np.empty(0), np.empty(0)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(positive[order])[last]
    recall, precision, threshold = found / total, found / (last + 1), scores[order][last]
    if len(last) > most:
        wanted = np.linspace(recall[0], 1.0, most)
        kept = np.unique(np.append(np.searchsorted(recall, wanted).clip(0, len(last) - 1), 0))
        recall, precision, threshold = recall[kept], precision[kept], threshold[kept]
    return recall, precision, threshold
