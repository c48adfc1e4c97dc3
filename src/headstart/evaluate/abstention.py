"""What is gained by not answering where the model is unsure: accuracy against coverage.

The area under risk against coverage (AURC; Geifman and El-Yaniv, NeurIPS 2017) is the mean error
rate over all shares of the examples that might be answered, the surest first.
"""

from __future__ import annotations

import numpy as np

from headstart.evaluate.calibration import RESAMPLES
from headstart.evaluate.intervals import draw, group_numbers, positive_bounds, quantile, wilson
from headstart.evaluate.summaries import ratio
from headstart.records import Abstention, CoveragePoint, Interval, TaskFacts

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def risks(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (order, errors), each (n,): examples from sure to unsure, and their errors.

    Examples of equal confidence share their errors evenly: the expectation over their orders.
    """
    order = np.argsort(-confidence, kind="stable")
    _, tie, sizes = np.unique(-confidence[order], return_inverse=True, return_counts=True)
    wrong = (~right[order]).astype(np.float64)
    return order, (np.bincount(tie, wrong) / sizes)[tie]


def aurc(errors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area (b,) under risk against coverage. errors (n,), weights (n, b): sure first."""
    answered = np.cumsum(weights, axis=0)
    risk = ratio(np.cumsum(weights * errors[:, None], axis=0), answered, 0.0)
    area: np.ndarray = (weights * risk).sum(axis=0) / answered[-1]
    return area


def abstention(
    task: TaskFacts,
    truth: np.ndarray,
    scores: np.ndarray,
    *,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Abstention | None:
    """Return accuracy at several coverages and AURC, with 95 % intervals.

    None but for classification: the other tasks have no confidence in one whole answer. truth,
    scores: as in `measure`, checked. groups: object (n,); then whole groups are resampled.
    """
    if task.kind != "classification":
        return None
    n = len(truth)
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    order, errors = risks(confidence, right)
    numbers = group_numbers(groups) if groups is not None else np.arange(n)
    units = int(numbers.max()) + 1
    blocks = draw([np.arange(units)], units, rng=rng, resamples=resamples)
    values = np.concatenate([aurc(errors, drawn[numbers[order]]) for drawn in blocks])
    value = float(aurc(errors, np.ones((n, 1)))[0])
    low, high = positive_bounds(value, values, units - 1)
    points, student = [], quantile(max(units - 1, 1))  # as the accuracy of all has it
    for share in SHARES:
        count = max(1, round(share * n))
        hit = 1.0 - float(errors[:count].mean())
        bounds = wilson(hit, max(1.0, count * units / n), student)
        points.append(
            CoveragePoint(
                coverage=count / n,
                threshold=float(confidence[order[count - 1]]),
                accuracy=Interval(value=hit, low=min(hit, bounds[0]), high=max(hit, bounds[1])),
            )
        )
    return Abstention(area=Interval(value=value).bounded(low, high), points=points)
