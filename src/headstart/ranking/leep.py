"""LEEP: how well the source task's own answers predict the target labels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from headstart.errors import DataError
from headstart.ranking.checks import checked, classes


def leep(source: Float[np.ndarray, "n z"], labels: Num[np.ndarray, " n"]) -> float:
    """Score the model's probabilities of its source classes as predictors of the target labels.

    Mean of log sum over z of P(y | z) p(z | x), P(y | z) estimated from the same examples. Range
    (-inf, 0], higher is better; nats per example. Raises TooFewExamples for one class or fewer
    examples than classes, DataError for NaN and for rows that are no probabilities.
    Source: Nguyen et al., "LEEP", ICML 2020, eq. 2.

    >>> leep(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]))
    0.0
    """
    table = checked("LEEP", source, labels)
    codes, count = classes("LEEP", labels)
    probabilities("LEEP", table)
    joint = np.zeros((count, table.shape[1]))
    np.add.at(joint, codes, table)
    share = joint.sum(axis=0)
    given = joint / np.where(share > 0, share, 1.0)  # P(y | z); a z that never occurs counts nil
    return float(np.log((table * given[codes]).sum(axis=1)).mean())


def probabilities(who: str, table: np.ndarray) -> None:
    """Raise DataError unless every row is a distribution."""
    if (table < 0).any() or not np.allclose(table.sum(axis=1), 1.0, atol=1e-3):
        raise DataError(
            f"{who} needs probabilities of the source classes: rows >= 0 that add up to 1. "
            "Apply a softmax to the model's outputs."
        )
