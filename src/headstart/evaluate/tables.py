"""Per class, per group, and example by example: where a model is weak, with intervals.

Recall and precision of a class are shares and get Wilson's interval. F1 = 2 J / (1 + J) grows with
the Jaccard share J = right / (predicted or true), so Wilson's interval of J gives that of F1. Where
examples come in groups, each counts for units / n of an example, as in intervals.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.evaluate import intervals, metrics
from headstart.evaluate.intervals import group_numbers, width, wilson
from headstart.evaluate.summaries import absolute_error, counts, surprise
from headstart.records import GroupRow, HardExample, Interval, Residuals, TaskFacts

MOST_GROUPS = 50
HARDEST = 12
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
POINTS = 300


def _share(right: float, of: float, units: int, n: int) -> Interval | None:
    if of <= 0:
        return None
    value = right / of
    return Interval(value=value).bounded(*wilson(value, max(1.0, of * units / n), width(units, n)))


def _f1(jaccard: Interval | None) -> Interval | None:
    if jaccard is None or jaccard.low is None or jaccard.high is None:
        return None
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    return Interval(value=value, low=low, high=high)


def class_intervals(
    task: TaskFacts, truth: np.ndarray, scores: np.ndarray, *, groups: np.ndarray | None = None
) -> dict[str, dict[str, Interval]]:
    """Return class to precision, recall and f1 with 95 % intervals; empty for regression.

    What divides by 0 is left out: precision of a class never predicted, recall of one never true.
    """
    if task.kind == "regression":
        return {}
    n = len(truth)
    units = int(group_numbers(groups).max()) + 1 if groups is not None else n
    found = counts(truth, scores)(np.ones((n, 1)))
    table = {}
    for c, label in enumerate(task.labels):
        both, said, real = (float(x[c, 0]) for x in (found.both, found.predicted, found.actual))
        cells = {
            "precision": _share(both, said, units, n),
            "recall": _share(both, real, units, n),
            "f1": _f1(_share(both, said + real - both, units, n)),
        }
        table[label] = {name: cell for name, cell in cells.items() if cell is not None}
    return table


def by_group(
    task: TaskFacts,
    truth: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    *,
    rng: np.random.Generator,
    resamples: int = 200,
    most: int = MOST_GROUPS,
) -> list[GroupRow]:
    """Return the primary metric of each group with its 95 % interval, the worst first.

    groups: object (n,); None is the group "(none)". Of more than `most` groups the largest are
    kept. Metrics that are not defined within a group are left out, and such groups come last.
    """
    one = TaskFacts(task.kind, task.labels, (task.primary,))
    of = metrics.metric(task.primary)
    names = np.asarray(["(none)" if g is None else str(g) for g in groups])
    found, sizes = np.unique(names, return_counts=True)
    rows = []
    for group in found[np.argsort(-sizes, kind="stable")][:most]:
        inside = np.flatnonzero(names == group)
        part, said = truth[inside], scores[inside]
        value = of.compute(part, said)
        shown = {}
        if np.isfinite(value):
            boot = intervals.bootstrap(one, part, {"": said}, rng=rng, resamples=resamples)
            values = boot.values[""][of.name]
            shown = {of.name: intervals.interval(of, value, values, part, boot)}
        rows.append(GroupRow(group=str(group), count=len(inside), metrics=shown))
    sign = 1 if of.larger_is_better else -1
    worst = [sign * r.metrics[of.name].value if r.metrics else np.inf for r in rows]
    return [rows[at] for at in np.argsort(worst, kind="stable")]


def losses(task: TaskFacts, truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the loss of each example (n,): nats, or for regression the absolute error."""
    return (absolute_error if task.kind == "regression" else surprise)(truth, scores)


def hardest_rows(
    task: TaskFacts, truth: np.ndarray, scores: np.ndarray, most: int = HARDEST
) -> np.ndarray:
    """Return the rows (m,) of the examples of highest loss, the highest first."""
    rows: np.ndarray = np.argsort(-losses(task, truth, scores), kind="stable")[:most]
    return rows


def hardest(
    task: TaskFacts,
    truth: np.ndarray,
    scores: np.ndarray,
    *,
    ids: Sequence[str] | None = None,
    most: int = HARDEST,
) -> list[HardExample]:
    """Return the examples of highest loss, the highest first; ids default to "test row i"."""
    loss = losses(task, truth, scores)
    order = hardest_rows(task, truth, scores, most)
    return [
        HardExample(
            id=str(ids[row]) if ids is not None else f"test row {row}", loss=float(loss[row])
        )
        for row in order
    ]


def residuals(
    task: TaskFacts, truth: np.ndarray, scores: np.ndarray, *, groups: np.ndarray | None = None
) -> Residuals | None:
    """Return bias, spread and points to plot of a regression; None for other tasks.

    The interval of the bias is Student's, over means of groups where there are any. Points are
    spread evenly over the order of the truth.
    """
    if task.kind != "regression":
        return None
    gap = np.asarray(scores, dtype=np.float64) - truth
    n = len(gap)
    numbers = group_numbers(groups) if groups is not None else np.arange(n)
    units = int(numbers.max()) + 1
    bias, half = float(gap.mean()), float("nan")
    if units > 1:
        sums = np.bincount(numbers, gap - bias)
        error = np.sqrt((sums**2).sum() * units / (units - 1)) / n
        half = intervals.quantile(units - 1) * float(error)
    order = np.argsort(truth, kind="stable")
    shown = order[np.unique(np.linspace(0, n - 1, min(n, POINTS)).astype(int))]
    return Residuals(
        bias=Interval(value=bias).bounded(bias - half, bias + half),
        quantiles={f"{q:g}": float(np.quantile(gap, q)) for q in QUANTILES},
        points=[(float(truth[row]), float(scores[row])) for row in shown],
    )
