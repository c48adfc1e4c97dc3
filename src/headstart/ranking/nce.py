"""NCE: the negative conditional entropy of target labels, given the model's source answers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from headstart.ranking.checks import checked, classes
from headstart.ranking.leep import probabilities


def nce(source: Float[np.ndarray, "n z"], labels: Num[np.ndarray, " n"]) -> float:
    """Score what is still unknown of a label once the model's likeliest source class is known.

    -H(Y | Z) of the empirical table of labels and likeliest source classes. Range [-log classes,
    0], higher is better; nats per example. Raises TooFewExamples for one class or fewer examples
    than classes, DataError for NaN and for rows that are no probabilities.
    Source: Tran, Nguyen and Hassner, ICCV 2019, eq. 6.

    >>> round(nce(np.eye(2)[[0, 0, 0, 0]], np.array([0, 0, 1, 1])), 4)  # -log 2
    -0.6931
    """
    table = checked("NCE", source, labels)
    codes, count = classes("NCE", labels)
    probabilities("NCE", table)
    joint = np.zeros((count, table.shape[1]))
    np.add.at(joint, (codes, table.argmax(axis=1)), 1.0 / len(codes))
    given = joint / np.where(joint > 0, joint.sum(axis=0), 1.0)
    seen = joint > 0
    return float((joint[seen] * np.log(given[seen])).sum())
