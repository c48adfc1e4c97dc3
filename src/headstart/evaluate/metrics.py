"""Every metric: what it is called, which way is better, and how it is read off a summary.

A metric that is not defined for some truth (R² of a constant target, AUC of one class) is nan.
A new metric is one `Metric` in METRICS, or an entry point of the group `headstart.metric`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from headstart.errors import UsageError
from headstart.evaluate import summaries
from headstart.evaluate.precision_recall import mean_average_precision
from headstart.evaluate.summaries import Counts, SquaredErrors, Summary, ratio
from headstart.plugins import registry

Scale = Literal["share", "quotient", "area", "correlation", "loss", "one minus loss"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `scale` says how its interval is made (see intervals.py) and its range.

    scale: "share" (means of right or wrong) and "quotient" (of counts, as F1), in [0, 1]; "area",
    in [0, 1], finer than counts; "correlation", in [-1, 1], 0 is chance; "loss", in [0, inf), 0 is
    perfect; "one minus loss", in (-inf, 1], 1 is perfect. `summary` prepares what `read` turns into
    one value a resample. `rests_on` gives, for the truth, the number of examples on which a metric
    in [0, 1] rests.
    """

    name: str
    title: str  # as it stands in the middle of a sentence
    larger_is_better: bool
    needs: tuple[str, ...]  # kinds of task that it serves
    scale: Scale
    summary: Callable[[np.ndarray, np.ndarray], Summary]
    read: Callable[[Any], np.ndarray]
    rests_on: Callable[[np.ndarray], float] = len

    def compute(self, truth: np.ndarray, scores: np.ndarray) -> float:
        """Return the metric; nan where it is undefined, as for no examples at all."""
        if not len(truth):
            return float("nan")
        return float(self.weighted(truth, scores, np.ones((len(truth), 1)))[0])

    def weighted(self, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the metric of each resample (b,) for example weights (n, b)."""
        return self.read(self.summary(truth, scores)(weights))


def harmonic_size(truth: np.ndarray) -> float:
    """Number of examples on which a mean over classes rests: k² / Σ 1/n_c, at most n.

    From the variance of a mean of k independent shares of n_c examples each.
    """
    sizes = truth.sum(axis=0) if truth.ndim == 2 else np.bincount(truth)
    sizes = sizes[sizes > 0]
    return float(min(len(truth), len(sizes) ** 2 / (1 / sizes).sum())) if len(sizes) else 0.0


def area_size(truth: np.ndarray) -> float:
    """Number of examples on which an AUC rests: the rarer side of each column counts.

    The variance of an AUC A is at most A (1 - A) / min(positives, negatives)
    (Birnbaum and Klose, Ann. Math. Statist. 28, 1957).
    """
    n = len(truth)
    sizes = truth.sum(axis=0) if truth.ndim == 2 else np.bincount(truth)
    rarer = np.minimum(sizes, n - sizes)
    if truth.ndim == 1 and len(sizes) == 2:
        rarer = rarer[:1]  # both columns tell the same
    rarer = rarer[rarer > 0]
    return float(min(n, len(rarer) ** 2 / (1 / rarer).sum())) if len(rarer) else 0.0


def _over_occurring(values: np.ndarray, c: Counts) -> np.ndarray:
    """Mean over the classes that are true or predicted in a resample: (k, b) -> (b,)."""
    occurs = c.occurs
    return ratio((values * occurs).sum(axis=0), occurs.sum(axis=0), np.nan)


def precision(c: Counts) -> np.ndarray:
    """Share of what was predicted that is true, (k, b); 0 where nothing was predicted."""
    return ratio(c.both, c.predicted, 0.0)


def recall(c: Counts) -> np.ndarray:
    """Share of what is true that was predicted, (k, b); 0 where nothing is true."""
    return ratio(c.both, c.actual, 0.0)


def f1(c: Counts) -> np.ndarray:
    """Harmonic mean of precision and recall, (k, b); 0 where neither exists."""
    return ratio(2 * c.both, c.predicted + c.actual, 0.0)


def _balanced(c: Counts) -> np.ndarray:
    return ratio(recall(c).sum(axis=0), (c.actual > 0).sum(axis=0), np.nan)


def _weighted(values: np.ndarray, c: Counts) -> np.ndarray:
    return ratio((values * c.actual).sum(axis=0), c.actual.sum(axis=0), np.nan)


def _f1_micro(c: Counts) -> np.ndarray:
    return ratio(2 * c.both.sum(axis=0), (c.predicted + c.actual).sum(axis=0), np.nan)


def _matthews(c: Counts) -> np.ndarray:
    """Correlation, 0 where one side is constant (Gorodkin, Comput. Biol. Chem. 28, 2004)."""
    n = c.actual.sum(axis=0)
    agreed = c.both.sum(axis=0) * n - (c.predicted * c.actual).sum(axis=0)
    spread = [np.maximum(n**2 - (side**2).sum(axis=0), 0) for side in (c.predicted, c.actual)]
    return ratio(agreed, np.sqrt(spread[0] * spread[1]), 0.0)


def _r2(s: SquaredErrors) -> np.ndarray:
    return 1 - ratio(s.errors, s.spread, np.nan)


def _same(values: np.ndarray) -> np.ndarray:
    return values


_ONE, _MANY, _NUMBER = ("classification",), ("multi-label",), ("regression",)
_COUNTS, _AREA = summaries.counts, summaries.mean_area
_LOG_LOSS = summaries.mean_of(summaries.surprise)

METRICS: tuple[Metric, ...] = (
    # Share of examples whose class is right.
    Metric("accuracy", "accuracy", True, _ONE, "share", _COUNTS,
           lambda c: ratio(c.both.sum(axis=0), c.actual.sum(axis=0), np.nan)),
    # Mean recall of the classes that occur in the truth.
    Metric("balanced_accuracy", "balanced accuracy", True, _ONE, "share", _COUNTS, _balanced,
           harmonic_size),
    # Means over the classes that occur in truth or predictions, all classes counting alike.
    Metric("precision_macro", "macro precision", True, _ONE + _MANY, "quotient", _COUNTS,
           lambda c: _over_occurring(precision(c), c), harmonic_size),
    Metric("recall_macro", "macro recall", True, _ONE + _MANY, "share", _COUNTS,
           lambda c: _over_occurring(recall(c), c), harmonic_size),
    Metric("f1_macro", "macro F1", True, _ONE + _MANY, "quotient", _COUNTS,
           lambda c: _over_occurring(f1(c), c), harmonic_size),
    # Means with classes counting by how often they are true.
    Metric("f1_weighted", "weighted F1", True, _ONE, "quotient", _COUNTS,
           lambda c: _weighted(f1(c), c)),
    Metric("precision_weighted", "weighted precision", True, _ONE, "quotient", _COUNTS,
           lambda c: _weighted(precision(c), c)),
    Metric("recall_weighted", "weighted recall", True, _ONE, "share", _COUNTS,
           lambda c: _weighted(recall(c), c)),
    # Correlation of truth and prediction: fair to every class, however rare.
    Metric("matthews", "Matthews correlation", True, _ONE, "correlation", _COUNTS, _matthews,
           harmonic_size),
    # F1 of all decisions of all labels together.
    Metric("f1_micro", "micro F1", True, _MANY, "quotient", _COUNTS, _f1_micro, np.size),
    # Mean of the F1 of each example's labels.
    Metric("f1_samples", "F1 of an example", True, _MANY, "share",
           summaries.mean_of(summaries.example_f1), _same),
    # Share of examples all of whose labels are right.
    Metric("subset_accuracy", "subset accuracy", True, _MANY, "share",
           summaries.mean_of(summaries.all_labels_right), _same),
    # Two classes: of the second; more: mean of one against the rest; 0.5 is chance.
    Metric("roc_auc", "ROC AUC", True, _ONE + _MANY, "area", _AREA, _same, area_size),
    # Columns as for roc_auc; the share of positives is chance.
    Metric("average_precision", "average precision", True, _ONE + _MANY, "area",
           mean_average_precision, _same, area_size),
    # Nats an example (multi-label: a decision); probabilities are clipped at 1e-15.
    Metric("log_loss", "log loss", False, _ONE + _MANY, "loss", _LOG_LOSS, _same),
    # Share of the target's variance that is explained; 0 is as good as its mean.
    Metric("r2", "R²", True, _NUMBER, "one minus loss", summaries.squared_errors, _r2),
    # In the target's unit.
    Metric("mae", "mean absolute error", False, _NUMBER, "loss",
           summaries.mean_of(summaries.absolute_error), _same),
    Metric("rmse", "RMSE", False, _NUMBER, "loss", summaries.squared_errors,
           lambda s: np.sqrt(s.errors / s.weight)),
)  # fmt: skip


@cache
def _known() -> dict[str, Metric]:
    return registry("metric", METRICS)


def metric(name: str) -> Metric:
    """Return the metric called `name`. Raises UsageError that lists the names there are."""
    known = _known()
    if name not in known:
        raise UsageError(f"Unknown metric {name!r}; known: {', '.join(sorted(known))}.")
    return known[name]


def measurer(
    names: Iterable[str], truth: np.ndarray, scores: np.ndarray
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Prepare several metrics at once: weights (n, b) -> metric name to values (b,).

    Metrics that read the same summary share it. truth, scores: as summaries.py says, checked.
    """
    chosen = [metric(name) for name in names]
    prepared = {m.summary: m.summary(truth, scores) for m in chosen}

    def measured(weights: np.ndarray) -> dict[str, np.ndarray]:
        read = {key: summary(weights) for key, summary in prepared.items()}
        return {m.name: m.read(read[m.summary]) for m in chosen}

    return measured
