"""Leave-one-out nearest neighbours: whether examples that look alike to a model are alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from headstart.ranking.checks import checked, classes, columns

NEIGHBOURS = 5
ROWS = 2048  # whose similarities are held at once


def neighbours(features: Float[np.ndarray, "n d"], targets: Num[np.ndarray, " n"]) -> float:
    """Score how well the nearest other examples predict each one.

    Nearness is the cosine of centred features; the 5 nearest count, or all others where there are
    fewer, and of classes no more than a class of median size has others: with 2 examples a class,
    4 of 5 neighbours would be strangers, however good the features. Classification: share of
    examples whose neighbours' majority is right, the more similar class where votes are equal;
    range [0, 1]. Values: R² of the neighbours' mean, range (-inf, 1],
    0 for the mean of all others. Higher is better. Raises TooFewExamples for one class or fewer
    examples than classes, DataError for NaN or values without spread.
    Source: Cover and Hart, IEEE Trans. Information Theory 13, 1967; as a score of pretrained models
    e.g. Renggli et al., CVPR 2022.

    >>> neighbours(np.array([[1.0, 0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0]]), np.arange(4) // 2)
    1.0
    """
    table = checked("kNN", features, targets)
    numbers = np.issubdtype(targets.dtype, np.floating)
    wanted = columns("kNN", targets) if numbers else np.eye(2)
    codes, count = (np.zeros(0, np.int64), 0) if numbers else classes("kNN", targets)
    centred = table - table.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(lengths > 0, lengths, 1.0)
    total = len(unit)
    near = min(NEIGHBOURS, total - 1)
    if not numbers:
        near = min(near, max(1, int(np.median(np.bincount(codes))) - 1))
    right, missed = 0, 0.0
    for start in range(0, total, ROWS):
        rows = np.arange(start, min(start + ROWS, total))
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        # Rounding must not decide between equally near ones: the first in order goes first.
        nearest = np.argsort(-np.round(cosines, 9), axis=1, kind="stable")[:, :near]
        if numbers:
            guess = wanted[nearest, 0].mean(axis=1)
            missed += float(((wanted[rows, 0] - guess) ** 2).sum())
            continue
        votes = np.zeros((len(rows), count))
        weights = 1.0 + 1e-3 * np.take_along_axis(cosines, nearest, axis=1)
        np.add.at(votes, (np.arange(len(rows))[:, None], codes[nearest]), weights)
        right += int((votes.argmax(axis=1) == codes[rows]).sum())
    if numbers:
        return 1.0 - missed / (total * (total / (total - 1)) ** 2)
    return right / total
