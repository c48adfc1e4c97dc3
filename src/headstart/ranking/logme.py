"""LogME: the logarithm of the largest evidence of a Bayesian linear model on the features."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from headstart.ranking.checks import checked, columns
from headstart.ranking.spectrum import spectrum

QUIET = 1e-8  # least noise to signal; where features fit exactly, the evidence would grow for ever
GRID, ZOOMS, POINTS = 73, 4, 9


def logme(features: Float[np.ndarray, "n d"], targets: Num[np.ndarray, "n ..."]) -> float:
    """Score how probable the targets are under a linear model on the features, weights integrated.

    Mean over columns of max over a, b of log p(y | F, a, b) / n with y = F w + noise, w ~ N(0, I/a)
    and noise ~ N(0, I/b). Range (-inf, inf), higher is better; nats per example. Class numbers
    become one column of 0 and 1 a class; float values are standardised first, so that their unit
    plays no part. Raises TooFewExamples for one class or fewer examples than classes, DataError
    for NaN and for targets without spread.

    y is Gaussian with covariance F F'/a + I/b, so only the rank of F counts: directions without
    data contribute nothing. (The code that came with the paper leaves D - rank factors of |A| out
    where there are fewer examples than dimensions, and so grows with D: thuml/LogME, issue 23.)
    Source: You et al., ICML 2021, eq. 2, and arXiv:2110.10545; the maximum is searched for
    exactly, as a function of a / b alone, instead of by their fixed point.
    """
    table = checked("LogME", features, targets)
    wanted = columns("LogME", targets)
    found = spectrum(table)
    along = (found.left.T @ wanted) ** 2  # (r, k)
    rest = np.maximum((wanted * wanted).sum(axis=0) - along.sum(axis=0), 0.0)
    return float(evidence(found.squared, along, rest, len(table)).mean() / len(table))


def evidence(
    squared: Float[np.ndarray, " r"],
    along: Float[np.ndarray, "r k"],
    rest: Float[np.ndarray, " k"],
    count: int,
) -> Float[np.ndarray, " k"]:
    """Return the largest log evidence of each of k target columns, in nats.

    `squared`: squared singular values of the features; `along`: squared projections of the targets
    on the left singular vectors; `rest`: the squared length that remains. For t = a / b the best a
    is n / q(t), which leaves one number to search: a grid over log t, then zooms.
    """
    scale = float(squared[0]) if len(squared) else 1.0
    coarse = np.log(scale) + np.linspace(np.log(QUIET), -np.log(QUIET), GRID)
    values = profile(
        np.repeat(coarse[:, None], along.shape[1], axis=1), squared, along, rest, count
    )
    best = coarse[values.argmax(axis=0)]
    top: np.ndarray = values.max(axis=0)
    step = coarse[1] - coarse[0]
    offsets = np.linspace(-1.0, 1.0, POINTS)[:, None]
    for _ in range(ZOOMS):
        places = np.clip(best + step * offsets, coarse[0], coarse[-1])
        values = profile(places, squared, along, rest, count)
        best = np.take_along_axis(places, values.argmax(axis=0)[None], axis=0)[0]
        top = np.maximum(top, values.max(axis=0))
        step *= 2.0 / (POINTS - 1)
    return top


def profile(
    places: Float[np.ndarray, "p k"],
    squared: Float[np.ndarray, " r"],
    along: Float[np.ndarray, "r k"],
    rest: Float[np.ndarray, " k"],
    count: int,
) -> Float[np.ndarray, "p k"]:
    """Return the log evidence at log t = `places`, the best a for each of them put in."""
    found = np.empty_like(places)
    for row, at in enumerate(places):
        ratio = np.exp(at)
        shifted = squared[:, None] + ratio  # (r, k)
        misfit = (along / shifted).sum(axis=0) + rest / ratio
        volume = np.log(shifted).sum(axis=0) + (count - len(squared)) * at
        found[row] = count * (np.log(count / misfit) - np.log(2 * np.pi) - 1.0) - volume
    return found / 2.0
