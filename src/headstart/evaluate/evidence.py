"""All that one result's predictions and the truth say beyond its metrics, ready for its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from headstart.evaluate import intervals, tables
from headstart.evaluate.abstention import abstention
from headstart.evaluate.calibration import RESAMPLES, calibration
from headstart.evaluate.metrics import metric
from headstart.evaluate.precision_recall import average_precision, curve
from headstart.evaluate.summaries import memberships
from headstart.records import (
    Abstention,
    Calibration,
    GroupRow,
    HardExample,
    Interval,
    PrecisionRecall,
    Residuals,
    TaskFacts,
)

MOST_CURVES = 30  # classes or labels that get a curve, the rarest first


@dataclass(frozen=True, slots=True)
class Evidence:
    """Names and values are those of the fields of a `Result`."""

    class_intervals: dict[str, dict[str, Interval]]
    groups: list[GroupRow]
    calibration: Calibration | None
    abstention: Abstention | None
    pr_curves: dict[str, PrecisionRecall]
    residuals: Residuals | None
    hardest: list[HardExample]

    def fields(self) -> dict[str, Any]:
        """Return what `Result.model_copy(update=…)` takes."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def evidence_of(
    task: TaskFacts,
    truth: np.ndarray,
    scores: np.ndarray,
    *,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    ids: Sequence[str] | None = None,
    resamples: int = intervals.RESAMPLES,
) -> Evidence:
    """Return the evidence of one result. truth, scores: as in `measure`, checked."""
    few = min(resamples, RESAMPLES)
    return Evidence(
        class_intervals=tables.class_intervals(task, truth, scores, groups=groups),
        groups=tables.by_group(task, truth, scores, groups, rng=rng, resamples=min(few, 200))
        if groups is not None
        else [],
        calibration=calibration(task, truth, scores, rng=rng, groups=groups, resamples=few),
        abstention=abstention(task, truth, scores, rng=rng, groups=groups, resamples=few),
        pr_curves=pr_curves(task, truth, scores, rng=rng, groups=groups, resamples=few),
        residuals=tables.residuals(task, truth, scores, groups=groups),
        hardest=tables.hardest(task, truth, scores, ids=ids),
    )


def pr_curves(
    task: TaskFacts,
    truth: np.ndarray,
    scores: np.ndarray,
    *,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, PrecisionRecall]:
    """Return class or label name to its precision-recall curve with average precision.

    Only of classes that some test example has and some has not; of more than MOST_CURVES the rarest
    are kept, since theirs says most. Empty for regression.
    """
    if task.kind == "regression":
        return {}
    n = len(truth)
    actual, _ = memberships(truth, scores)
    sizes = actual.sum(axis=0)
    shown = [c for c in np.argsort(sizes, kind="stable") if 0 < sizes[c] < n][:MOST_CURVES]
    numbers = intervals.group_numbers(groups) if groups is not None else np.arange(n)
    units = int(numbers.max()) + 1
    parts = {c: average_precision(actual[:, c], scores[:, c]) for c in shown}
    values: dict[int, list[np.ndarray]] = {c: [] for c in shown}
    for drawn in intervals.draw([np.arange(units)], units, rng=rng, resamples=resamples):
        for c, part in parts.items():
            values[c].append(part(drawn[numbers]))
    of, boot = metric("average_precision"), intervals.Bootstrap({}, units - 1, units, n)
    made = {}
    for c in sorted(shown):
        one = float(parts[c](np.ones((n, 1)))[0])
        truth_of = actual[:, c].astype(np.int64)
        recall, precision, threshold = curve(actual[:, c], scores[:, c])
        made[task.labels[c]] = PrecisionRecall(
            average_precision=intervals.interval(
                of, one, np.concatenate(values[c]), truth_of, boot
            ),
            positives=int(sizes[c]),
            recall=[round(float(x), 5) for x in recall],
            precision=[round(float(x), 5) for x in precision],
            threshold=[float(x) for x in threshold],
        )
    return made
