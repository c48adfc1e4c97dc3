"""Point measurements of one model's scores: metrics, per class, confusion."""

from __future__ import annotations

import numpy as np

from headstart.errors import DataError, UsageError
from headstart.evaluate import metrics
from headstart.evaluate.summaries import counts, memberships
from headstart.records import TaskFacts


def check_scores(task: TaskFacts, scores: np.ndarray, n: int, who: str) -> None:
    """Raise UsageError unless `scores` are finite and shaped for `n` > 0 examples of the task."""
    if n == 0:
        raise UsageError(f"{who}: there is no example to measure on; give at least one.")
    wanted = (n,) if task.kind == "regression" else (n, len(task.labels))
    got = np.shape(scores)
    if got != wanted:
        raise UsageError(
            f"{who}: expected scores of shape {wanted} for {n} examples of a {task.kind} task "
            f"with {len(task.labels)} labels, got {got}. Check what its predict returns."
        )
    bad = ~np.isfinite(scores)
    if bad.any():
        first = int(np.argwhere(bad)[0, 0])
        raise UsageError(
            f"{who}: expected finite scores, got {int(bad.sum())} that are NaN or infinite "
            f"(first in example {first}). The training diverged or a feature is broken; lower its "
            "learning rate or check its features."
        )
    if task.kind != "regression" and (np.min(scores) < 0 or np.max(scores) > 1 + 1e-6):
        raise UsageError(
            f"{who}: expected probabilities in [0, 1], got {np.min(scores):.4g} to "
            f"{np.max(scores):.4g}. Apply the task's activation to raw outputs first."
        )


def check_truth(task: TaskFacts, truth: np.ndarray) -> None:
    """Raise DataError unless `truth` holds targets of the task (see summaries.py)."""
    k = len(task.labels)
    if task.kind == "regression":
        good = truth.ndim == 1 and bool(np.isfinite(truth).all())
        wanted = "finite numbers (n,)"
    elif task.kind == "multi-label":
        good = truth.ndim == 2 and truth.shape[1] == k and bool(np.isin(truth, (0, 1)).all())
        wanted = f"0 and 1 (n, {k})"
    else:
        whole = truth.ndim == 1 and np.issubdtype(truth.dtype, np.integer)
        good = whole and bool(((truth >= 0) & (truth < k)).all())
        wanted = f"class numbers (n,) in 0..{k - 1}"
    if not good:
        raise DataError(
            f"Test or validation targets: expected {wanted} for a {task.kind} task, got "
            f"{truth.dtype} {truth.shape}. Check the target column."
        )


def _checked(task: TaskFacts, truth: np.ndarray, scores: np.ndarray) -> None:
    check_scores(task, scores, len(truth), "measure")
    check_truth(task, truth)


def measure(task: TaskFacts, truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return every metric of the task, the primary one first; nan where one is undefined.

    truth: int (n,), 0-1 (n, k) or float (n,). scores: probabilities (n, k) or predictions (n,).
    Raises UsageError for scores that are not finite or of the wrong shape.
    """
    _checked(task, truth, scores)
    values = metrics.measurer(task.metrics, truth, scores)(np.ones((len(truth), 1)))
    return {name: float(value[0]) for name, value in values.items()}


def per_class(
    task: TaskFacts, truth: np.ndarray, scores: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return precision, recall, f1 and support a class; empty for regression.

    What divides by 0 (a class never predicted, or never true) is 0, as in scikit-learn.
    """
    _checked(task, truth, scores)
    if task.kind == "regression":
        return {}
    found = counts(truth, scores)(np.ones((len(truth), 1)))
    columns = {
        "precision": metrics.precision(found),
        "recall": metrics.recall(found),
        "f1": metrics.f1(found),
        "support": found.actual,
    }
    return {
        label: {name: float(values[c, 0]) for name, values in columns.items()}
        for c, label in enumerate(task.labels)
    }


def confusion(task: TaskFacts, truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Count pairs of truth (rows) and prediction (columns): int64 (k, k), in order of the labels.

    Multi-label: (k, 2, 2), one table a label, absent before present. Raises UsageError for
    regression, which has none.
    """
    _checked(task, truth, scores)
    if task.kind == "regression":
        raise UsageError("confusion needs classes; a regression task has none. Read r2 and rmse.")
    k = len(task.labels)
    actual, predicted = memberships(truth, scores)
    if truth.ndim == 2:
        cells = 4 * np.arange(k) + 2 * actual + predicted
        return np.bincount(cells.ravel(), minlength=4 * k).reshape(k, 2, 2)
    return np.bincount(
        truth.astype(np.int64) * k + predicted.argmax(axis=1), minlength=k * k
    ).reshape(k, k)
