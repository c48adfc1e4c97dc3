"""A cross-validated linear probe in closed form: every example predicted by a fit without it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from headstart.ranking.checks import checked, columns
from headstart.ranking.spectrum import spectrum

STRENGTHS = np.logspace(-6, 1, 15)  # of the ridge, as shares of the largest squared singular value


def probe(features: Float[np.ndarray, "n d"], targets: Num[np.ndarray, "n ..."]) -> float:
    """Score a ridge regression on the features, each example left out in turn.

    Classification: share of examples whose largest output is the right class; range [0, 1].
    Values and multi-label: R² of all columns together, range (-inf, 1], 0 for the mean. Higher is
    better. One decomposition serves all strengths and all examples; the strength with the smallest
    left-out squared error is taken. Raises TooFewExamples for one class or fewer examples than
    classes, DataError for NaN or targets without spread.
    Source of the leave-one-out identity: Allen, Technometrics 16, 1974 (PRESS).
    """
    table = checked("The linear probe", features, targets)
    wanted = columns("The linear probe", targets)
    outputs = left_out(table, wanted)
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        return float((outputs.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    count = len(table)
    others = (wanted - wanted.mean(axis=0)) * count / (count - 1)  # errors of the others' mean
    return 1.0 - float(((wanted - outputs) ** 2).sum() / (others**2).sum())


def left_out(
    features: Float[np.ndarray, "n d"], wanted: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Return each example's outputs by a ridge with free intercept that was fitted without it."""
    count = len(features)
    centre = wanted.mean(axis=0)
    found = spectrum(features - features.mean(axis=0))
    along = found.left.T @ (wanted - centre)  # (r, k)
    spread = found.left**2
    best, outputs = np.inf, np.broadcast_to(centre, wanted.shape)
    scale = float(found.squared[0]) if len(found.squared) else 1.0
    for strength in STRENGTHS * scale:
        keep = found.squared / (found.squared + strength)
        fitted = centre + found.left @ (keep[:, None] * along)
        leverage = spread @ keep + 1.0 / count
        errors = (wanted - fitted) / np.maximum(1.0 - leverage, 1e-9)[:, None]
        total = float((errors**2).sum())
        if total < best:
            best, outputs = total, wanted - errors
    return outputs
