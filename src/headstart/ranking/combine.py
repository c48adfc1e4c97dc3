"""One number from several scores and a static prior, and how sure it is.

Transferability scores are noisy measurements of one thing, and highly correlated: each is put on
one scale, their mean is put on that scale again, and it is shrunk towards the static prior. The
less the scores are certain (half-samples say how much), the more the prior counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headstart.ranking.standard import Scale, standardised

# Weight of scores that are certain, the prior has the rest. Where a comparable accuracy was
# published for every model, the list is hard to beat: the weight learned leave-one-data-set-out on
# the published tables is 0 in 7 of 8 cases (bench/ranking_tables.py), and 0.25 costs nothing there
# (weighted tau 0.707, the list alone 0.713). Where size alone is known, models may come from
# anywhere, which those tables (ImageNet networks alone) cannot speak of; that weight is set by
# reason: above a half, so that scores can overrule mere size.
TRUST = {"accuracy": 0.25, "size": 0.65}
# How far fine-tuned accuracy scatters around a combined score, in standard deviations over models:
# root mean square on the published tables (0.78; tests/test_ranking_tables.py).
SCATTER = 0.8
DRAWS = 200  # of that scatter, for each half-sample
LEAST_DRAWS = 5000  # in all


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """Combined scores of m models. `low`, `high`: 95 % interval from half-samples (nan without).

    `best`: probability of being the best after fine-tuning, sampling and scatter both counted.
    `over` (m, m): probability that the model of the row beats that of the column. `weight`: what
    the scores counted in the end; the prior has the rest. `alone`: values before some share
    theirs.
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    best: np.ndarray
    over: np.ndarray
    weight: float
    alone: np.ndarray


def mean_score(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean of standardised scores (m,), standardised again."""
    return standardised(np.mean([standardised(values) for values in scores.values()], axis=0))


def trust(noise: float, given: float) -> float:
    """Return the weight of scores that have sampling variance `noise` >= 0 beside variance 1.

    The usual shrinkage of a measurement: at no noise `given`, falling towards 0.

    >>> trust(0.0, 0.5), round(trust(1.0, 0.5), 3)
    (0.5, 0.333)
    """
    if given >= 1.0:
        return 1.0
    odds = given / (1.0 - given) / (1.0 + noise)
    return odds / (1.0 + odds)


def combine(
    scores: Mapping[str, np.ndarray],
    resampled: Mapping[str, np.ndarray],
    prior: np.ndarray | None,
    *,
    trusted: float = TRUST["size"],
    sharing: np.ndarray | None = None,
    rng: np.random.Generator,
) -> Combined:
    """Combine scores (m,) by name with a static prior (m,), None where nothing is known.

    `trusted`: weight of scores that are certain, the prior has the rest; see TRUST.
    `sharing` (m,): models that share the first place, see ceiling.py.
    `resampled`: the same scores on half-samples (b, m), as `half_samples` scales them; b may be 0.
    """
    whole = mean_score(scores)
    again = _again(scores, resampled)
    noise = float(again.var(axis=0).mean()) if len(again) > 1 else 0.0
    weight = 1.0 if prior is None else trust(noise, trusted)
    base = np.zeros_like(whole) if prior is None else (1.0 - weight) * prior
    values = alone = base + weight * whole
    varied = base + weight * again if len(again) else values[None]
    if sharing is not None and sharing.any():
        values, varied = values.copy(), varied.copy()
        values[sharing] = values.max()
        varied[:, sharing] = varied.max(axis=1, keepdims=True)
    low, high = np.quantile(varied, [0.025, 0.975], axis=0)
    if len(again) < 2:
        low = high = np.full_like(values, np.nan)
    best, over = _chances(varied, rng)
    low, high = np.minimum(low, values), np.maximum(high, values)
    return Combined(values, low, high, best, over, weight, alone)


def _again(scores: Mapping[str, np.ndarray], resampled: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean score (b, m) of every half-sample, on the scales of the whole sample.

    A half-sample that lifts all models alike says nothing of their order: its median is taken out.
    """
    scales = {name: Scale.of(values) for name, values in scores.items()}
    parts = []
    for name, values in resampled.items():
        drift = np.median(values - scores[name], axis=1, keepdims=True)
        parts.append(scales[name](values - drift))
    if not parts or not len(parts[0]):
        return np.zeros((0, len(next(iter(scores.values())))))
    whole = np.mean([scales[name](values) for name, values in scores.items()], axis=0)
    return Scale.of(whole)(np.mean(parts, axis=0))


def _chances(varied: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (probability of being best (m,), of beating each other (m, m)).

    From values (b, m) of b half-samples, with the scatter of fine-tuned accuracy around them.
    """
    count, models = varied.shape
    draws = max(DRAWS, LEAST_DRAWS // count)
    noise = rng.normal(0.0, SCATTER, (count, draws, models))
    drawn = (varied[:, None] + noise).reshape(-1, models)
    best = np.bincount(drawn.argmax(axis=1), minlength=models) / len(drawn)
    over = np.stack([(drawn[:, [one]] > drawn).mean(axis=0) for one in range(models)])
    return best, over
