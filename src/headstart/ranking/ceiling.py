"""The ceiling: where frozen features leave so little wrong that no model can be much better.

Scores are put on one scale over the models, so that differences of a tenth of a point look as large
as differences of ten points. Where the best model leaves no more than a point wrong, they say
nothing any more: models within a point of it share the first place with it, the smaller ones first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Num

from headstart.ranking.checks import columns
from headstart.ranking.probe import left_out

MARGIN = 0.01  # a point: what a choice of model may cost; the benchmarks hold us to the same
LEAST = 300  # examples from which a point can be seen: none wrong of 300 says 1 % or less (95 %)
RARE = 0.5  # of an even share of the examples: with fewer, a class hardly shows in their mean
ALPHA = 0.05


def left_out_right(
    features: Float[np.ndarray, "n d"], targets: Num[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"] | None:
    """Tell which examples a ridge gets right that was fitted without them.

    None for values and several labels at once. Raises as `probe` does.
    """
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        return None
    wanted = columns("The ceiling", targets)
    outputs = left_out(np.asarray(features, np.float64), wanted)
    right: np.ndarray = outputs.argmax(axis=1) == wanted.argmax(axis=1)
    return right


def sharing(
    rights: Sequence[Bool[np.ndarray, " n"] | None], targets: Num[np.ndarray, " n"]
) -> Bool[np.ndarray, " m"]:
    """Tell which of m models share the first place: none, or two and more.

    There are some where 300 examples or more are looked at and the best leaves at most 1 % wrong,
    on average over the classes (a rare class that is always missed would otherwise pass for a
    ceiling): that one, and all that get no more than 1 % fewer of the examples right, unless they
    get a rare class right clearly less often, which costs few of the examples.
    """
    alone = np.zeros(len(rights), bool)
    known = [one for one in rights if one is not None]
    if len(known) < len(rights) or len(targets) < LEAST:
        return alone
    hot = columns("The ceiling", targets)
    recall = [float(((hot * one[:, None]).sum(axis=0) / hot.sum(axis=0)).mean()) for one in known]
    if max(recall) < 1.0 - MARGIN - 1e-9:
        return alone
    best = known[int(np.argmax(recall))]
    shared = np.array(
        [one.mean() >= best.mean() - MARGIN - 1e-9 and not _misses(one, best, hot) for one in known]
    )
    return shared if shared.sum() > 1 else alone


def rare(counts: Num[np.ndarray, " k"]) -> Num[np.ndarray, " r"]:
    """Return which classes are rare, of the examples (k,) that each has; those without any are not.

    >>> rare(np.array([60, 35, 5, 0])).tolist()
    [2]
    """
    return np.flatnonzero((counts > 0) & (counts < RARE * counts.sum() / len(counts)))


def _misses(
    one: Bool[np.ndarray, " n"], best: Bool[np.ndarray, " n"], hot: Float[np.ndarray, "n k"]
) -> bool:
    """Tell whether `one` gets a rare class right less often than `best`: exact McNemar, 5 %."""
    from scipy.stats import binomtest

    for label in rare(hot.sum(axis=0)):
        of = hot[:, label] > 0
        lost, won = int((best & ~one & of).sum()), int((one & ~best & of).sum())
        if lost > won and binomtest(won, won + lost).pvalue < ALPHA:
            return True
    return False
