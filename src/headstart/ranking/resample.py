"""Half-samples: a bootstrap without replacement, since a left-out example must have no copy.

A plain bootstrap draws some examples twice; leave-one-out scores then find the copy, and every
model looks better the more it memorises. Half-samples have no copies, and the same variance.
"""

from __future__ import annotations

import numpy as np

LEAST = 200  # examples of a half-sample, where there are so many: small ones are quick to score
PER_CLASS = 4
MOST = 0.7  # of all examples: a larger part says little of how scores vary


def half_samples(targets: np.ndarray, *, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return `count` sorted arrays of rows, no row twice in one, every class in all of them.

    At most half of the n examples, and no more than max(200, 4 a class), though at least two of
    every class that has two. [] where that leaves too little out: with fewer than 8 examples, or
    with hardly two of each class.
    """
    total = len(targets)
    if total < 8:
        return []
    if targets.ndim == 2 or np.issubdtype(targets.dtype, np.floating):
        size = min(total // 2, LEAST)
        return [np.sort(rng.choice(total, size, replace=False)) for _ in range(count)]
    groups = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    size = min(total // 2, max(LEAST, PER_CLASS * len(groups)))
    sizes = [min(len(rows), max(2, round(size * len(rows) / total))) for rows in groups]
    if sum(sizes) > MOST * total:
        return []
    return [
        np.sort(
            np.concatenate(
                [rng.choice(rows, s, replace=False) for rows, s in zip(groups, sizes, strict=True)]
            )
        )
        for _ in range(count)
    ]


def scaled(values: np.ndarray, whole: np.ndarray, size: int, total: int) -> np.ndarray:
    """Turn scores (b, m) of samples of `size` into ones that vary like scores of all `total`.

    Without replacement the variance is v (1/size - 1/total), where v / total is wanted: deviations
    from their mean are scaled by sqrt(size / (total - size)), and put around the scores (m,) of
    the whole. Source: Politis, Romano and Wolf, Subsampling, 1999; Wu, Annals of Statistics 14,
    1986.
    """
    factor = np.sqrt(size / max(1, total - size))
    found: np.ndarray = whole + factor * (values - values.mean(axis=0, keepdims=True))
    return found


def sample(targets: np.ndarray, most: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return sorted rows of at most about `most` examples: all of them, or in equal shares.

    Classes keep their shares, each with at least five examples where it has them.
    """
    total = len(targets)
    if total <= most:
        return np.arange(total)
    if targets.ndim == 2 or np.issubdtype(targets.dtype, np.floating):
        return np.sort(rng.choice(total, most, replace=False))
    chosen = []
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        wanted = max(5, round(most * len(rows) / total))
        chosen.append(rng.choice(rows, min(wanted, len(rows)), replace=False))
    return np.sort(np.concatenate(chosen))
