"""Repeated k-fold cross-validation: a plan of folds, and a test that knows that folds overlap.

The plan is numpy only: the caller trains on `plan != fold`, measures on `plan == fold`, and hands
the scores back. Whatever is tuned must be tuned inside the training rows of each fold: nested.

Scores of folds share most of their training examples, so their plain t-test claims far too much.
Nadeau and Bengio (Machine Learning 52, 2003) widen the variance by n_test / n_train; Bouckaert and
Frank (PAKDD 2004) found it fit for repeated cross-validation.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import TooFewExamples, UsageError
from headstart.evaluate.comparisons import answer_by, student_p
from headstart.evaluate.intervals import group_numbers, quantile
from headstart.evaluate.metrics import metric
from headstart.evaluate.verdict import signed
from headstart.records import CrossValidation, Interval

BINS = 10  # of a continuous target, to keep folds alike


def plan_folds(
    truth: np.ndarray,
    folds: int,
    repeats: int = 1,
    *,
    groups: np.ndarray | None = None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the fold (repeats, n) int64, in 0..folds-1, that holds each example out.

    truth: int (n,) classes, 0-1 (n, k) labels, or float (n,). Classes, label counts or quantiles
    are spread evenly over the folds; groups, object (n,), never part (None is a group of its own).
    Raises UsageError for fewer than 2 folds or 1 repeat, TooFewExamples for fewer examples or
    groups than folds.
    """
    if folds < 2 or repeats < 1:
        raise UsageError(
            f"Cross-validation: expected at least 2 folds and 1 repeat, got {folds} and {repeats}."
        )
    numbers = group_numbers(groups) if groups is not None else np.arange(len(truth))
    units = int(numbers.max()) + 1 if len(numbers) else 0
    if units < folds:
        what = "examples" if groups is None else "groups"
        raise TooFewExamples(
            f"Cross-validation: {units} {what} cannot make {folds} folds; ask for at most {units}."
        )
    table = _table(truth, numbers, units)
    if units == len(truth):
        return np.stack([_dealt(table, folds, rng)[numbers] for _ in range(repeats)])
    return np.stack([_greedy(table, folds, rng)[numbers] for _ in range(repeats)])


def _table(truth: np.ndarray, numbers: np.ndarray, units: int) -> np.ndarray:
    """Count what each unit holds of each class, label or quantile: (units, strata)."""
    if truth.ndim == 2:
        columns = np.column_stack([truth, np.ones(len(truth))])
    else:
        stratum = truth
        if truth.dtype.kind == "f":
            bins = max(1, min(BINS, len(truth) // 10))
            stratum = np.argsort(np.argsort(truth, kind="stable")) * bins // len(truth)
        columns = np.eye(int(stratum.max()) + 1)[stratum]
    table = np.zeros((units, columns.shape[1]))
    np.add.at(table, numbers, columns)
    return table


def _dealt(table: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deal single examples like cards, stratum after stratum: sizes differ by at most 1."""
    if (table.sum(axis=1) > 1).any():  # several labels an example
        return _greedy(table, folds, rng)
    shuffled = rng.permutation(len(table))
    order = shuffled[np.argsort(table[shuffled].argmax(axis=1), kind="stable")]
    fold = np.empty(len(table), np.int64)
    fold[order] = rng.permutation(folds)[np.arange(len(table)) % folds]
    return fold


def _greedy(table: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Give each unit, the most uneven first, to the fold that stays most alike the others."""
    fold = np.empty(len(table), np.int64)
    share = table / np.maximum(table.sum(axis=0), 1)  # of its stratum
    load, size = np.zeros((folds, table.shape[1])), np.zeros(folds)
    total = np.maximum(table.sum(axis=1), 1)
    for unit in np.lexsort((rng.random(len(table)), -share.max(axis=1))):
        after = load + share[unit]
        # What squares grow by: one number a fold, the strata that the unit holds weigh.
        growth = (after**2 - load**2).sum(axis=1)
        empty = size == 0  # every fold needs something to test on
        left = len(table) - int((size > 0).sum())
        cost = growth + 1e-9 * size / total.sum()
        cost = np.where(empty & (left <= folds), -1.0, cost) if empty.any() else cost
        best = int(np.flatnonzero(cost <= cost.min() + 1e-15)[0])
        fold[unit] = best
        load[best] += share[unit]
        size[best] += total[unit]
    return fold


def corrected_t(differences: np.ndarray, test_share: float) -> tuple[Interval, float | None, int]:
    """Return (mean with its 95 % interval, two-sided p, degrees of freedom) of fold differences.

    differences (j,): of two models on the same folds. test_share: test examples by training
    examples, 1 / (k - 1) for k folds. Variance: (1 / j + test_share) s², j - 1 degrees of freedom
    (Nadeau and Bengio 2003, eq. 16). No bounds and no p where s² is 0 or there is one fold.
    """
    values = np.asarray(differences, dtype=np.float64).ravel()
    j = len(values)
    mean = float(values.mean())
    if j < 2 or float(np.ptp(values)) == 0:
        return Interval(value=mean), None, max(0, j - 1)
    error = float(np.sqrt((1 / j + test_share) * values.var(ddof=1)))
    half = quantile(j - 1) * error
    return (
        Interval(value=mean).bounded(mean - half, mean + half),
        student_p(mean, error, j - 1),
        j - 1,
    )


def cross_validated(
    scores: dict[str, np.ndarray], *, candidate: str, against: str, name: str
) -> CrossValidation:
    """Compare two results over the folds of a repeated cross-validation.

    scores: result to the metric `name` on every fold (repeats, folds). Raises UsageError where the
    two have other shapes, or values that are not finite.
    """
    first, second = np.atleast_2d(scores[candidate]), np.atleast_2d(scores[against])
    if first.shape != second.shape or first.shape[1] < 2:
        raise UsageError(
            "Cross-validation: expected scores (repeats, folds) of one shape with 2 folds or more, "
            f"got {first.shape} for {candidate!r} and {second.shape} for {against!r}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UsageError(f"Cross-validation: {name} is not defined in some fold; use fewer folds.")
    of = metric(name)
    gap = (first - second) * (1.0 if of.larger_is_better else -1.0)
    repeats, folds = gap.shape
    found, p, _ = corrected_t(gap, 1 / (folds - 1))
    answer = answer_by(found.value, p)
    opening = {"helps": "Helps", "hurts": "Negative transfer"}.get(answer, "No clear difference")
    words = (
        f"{opening}: {of.title} {signed(of, found.value, unit=True)} for {candidate!r} against "
        f"{against!r} over {folds} folds" + (f" x {repeats} repeats" if repeats > 1 else "")
    )
    if found.low is not None and found.high is not None and p is not None:
        bounds = f"{signed(of, found.low)} to {signed(of, found.high)}"
        words += f" (95 % interval {bounds}, p = {p:.2g}; corrected for overlapping folds)"
    return CrossValidation(
        candidate=candidate, against=against, metric=name, folds=folds, repeats=repeats,
        difference=found, p=p, answer=answer, words=words + ".",
    )  # fmt: skip
