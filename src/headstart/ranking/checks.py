"""What every score asks of its arguments, and in which form it takes them.

Targets are as `Dataset.targets` holds them: class numbers (n,) of whole numbers, labels (n, k) of
0 and 1, or values (n,) of floats.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import DataError, TooFewExamples


def checked(who: str, features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return features (n, d) as float64.

    Raises DataError for another shape and for NaN or infinite features, TooFewExamples for fewer
    than two examples.
    """
    if features.ndim != 2 or len(features) != len(targets):
        raise DataError(
            f"{who} needs features (n, d) and n targets, got {features.shape} and {targets.shape}."
        )
    if len(features) < 2:
        raise TooFewExamples(f"{who} needs at least 2 examples, got {len(features)}. Add examples.")
    table = np.asarray(features, np.float64)
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise DataError(
            f"{who}: the features of example {row} are NaN or infinite. Check the model's weights, "
            "or leave the model out."
        )
    return table


def classes(who: str, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Return (class numbers from 0 without gaps (n,), how many classes there are).

    Raises DataError for labels that are no whole numbers, TooFewExamples for one class and for
    fewer examples than classes.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{who} is for classification: it needs class numbers (n,), got {labels.dtype} "
            f"{labels.shape}. For other targets choose the scores logme and probe."
        )
    names, codes = np.unique(labels, return_inverse=True)
    count = len(names)
    if count < 2:
        raise TooFewExamples(
            f"{who} needs at least 2 classes, got {count} in {len(labels)} examples. "
            "Check the label column."
        )
    most = max(count, int(names[-1]) + 1)
    if most > len(labels):
        raise TooFewExamples(
            f"{who} got {len(labels)} examples of {most} classes, fewer examples than classes. "
            "Add examples, or merge rare classes."
        )
    if count == len(labels):
        raise TooFewExamples(
            f"{who} got one example of every class ({count}); nothing can be learned from them. "
            "Add examples."
        )
    return codes.astype(np.int64), count


def columns(who: str, targets: np.ndarray) -> np.ndarray:
    """Return targets as columns (n, k) float64: one-hot, the labels, or standardised values.

    Raises as `classes` does, and DataError for labels or values that do not vary.
    """
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        codes, count = classes(who, targets)
        hot: np.ndarray = np.eye(count)[codes]
        return hot
    table = np.asarray(targets, np.float64).reshape(len(targets), -1)
    if not np.isfinite(table).all():
        raise DataError(f"{who}: some targets are NaN or infinite. Remove those examples.")
    spread = table.std(axis=0)
    if not (spread > 1e-12 * np.maximum(1.0, np.abs(table).max(axis=0))).any():
        raise DataError(
            f"{who}: all {len(table)} targets are equal, so there is nothing to predict. "
            "Check the target column."
        )
    if targets.ndim == 2:
        return table[:, spread > 0]
    standard: np.ndarray = (table - table.mean(axis=0)) / spread
    return standard
