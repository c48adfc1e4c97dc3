"""What a person should know about a test part before believing its numbers. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.evaluate.intervals import NORMAL, group_numbers, wilson
from headstart.evaluate.verdict import FEW
from headstart.records import Check, TaskFacts

SHOWN = 5  # names or pairs that a sentence lists
GROUPS = 10  # groups, below which an interval says more of their number than of the model
RARE = 10  # examples of a class, below which intervals of means over classes cover too little
KEPT = 200  # pairs that the record keeps


def _some(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more


def check_groups(groups: np.ndarray | None) -> list[Check]:
    """Say that the test part has few groups. groups: object (n,), None for an example alone."""
    if groups is None or not len(groups):
        return []
    units = int(group_numbers(groups).max()) + 1
    if units >= min(GROUPS, len(groups)):
        return []
    words = (
        f"The test part has {units} group{'s' if units != 1 else ''}. Whole groups are resampled, "
        f"so intervals stay wide, however many examples those have. Give a test part of {GROUPS} "
        "groups or more with --test, or collect more groups."
    )
    return [Check(name="few groups", level="warning", words=words)]


def check_truth_part(task: TaskFacts, truth: np.ndarray) -> list[Check]:
    """Return what is odd about test targets: none, few, of one class, constant."""
    n = len(truth)
    if not n:
        return [Check(name="empty", level="error", words="The test part has no example.")]
    made = []
    if n < FEW:
        made.append(Check(name="few examples", level="warning", words=_few(task, n)))
    if task.kind == "classification" and len(task.labels) > 1:
        present = np.unique(truth)
        if len(present) == 1:
            label = task.labels[int(present[0])]
            words = (
                f"All {n} test examples are of one class, {label!r}: accuracy is the recall of "
                "that class alone, and a model that always says it looks perfect. Add examples of "
                "the others, or split again."
            )
            made.append(Check(name="one class", level="warning", words=words))
        sizes = np.bincount(truth, minlength=len(task.labels))
        rare = [task.labels[c] for c in np.flatnonzero((sizes > 0) & (sizes < RARE))]
        if rare and len(present) > 1 and n >= FEW:
            words = (
                f"Fewer than {RARE} test examples each: {_some(rare)}. What is said of them, and "
                "means over classes (macro F1, average precision), is less sure than it looks."
            )
            made.append(Check(name="rare classes", level="note", words=words))
    if task.kind == "multi-label":
        on = truth.sum(axis=0)
        silent = [label for label, count in zip(task.labels, on, strict=True) if not count]
        if silent:
            words = f"No test example has {_some(silent)}: nothing is measured of them."
            made.append(Check(name="labels without positives", level="warning", words=words))
    if task.kind == "regression" and n > 1 and float(np.ptp(truth)) == 0:
        words = f"All {n} test targets are {truth[0]:.4g}: R² is not defined, errors alone count."
        made.append(Check(name="constant target", level="warning", words=words))
    return made


def _few(task: TaskFacts, n: int) -> str:
    opening = f"{n} test example{'s' if n != 1 else ''} tell little"
    if task.kind != "classification":
        return f"{opening}: the intervals say how little."
    low, high = wilson(round(0.8 * n) / n, n, NORMAL)
    return (
        f"{opening}: with {round(0.8 * n)} of {n} right, accuracy could be anything from "
        f"{low:.2f} to {high:.2f}."
    )


def check_unseen(test_labels: Sequence[str], training_labels: Sequence[str]) -> list[Check]:
    """Name the labels that occur in the test part and in no training example.

    test_labels, training_labels: label names as they occur (repeats allowed).
    """
    known = set(training_labels)
    counts: dict[str, int] = {}
    for label in test_labels:
        if label not in known:
            counts[label] = counts.get(label, 0) + 1
    if not counts:
        return []
    names = sorted(counts, key=lambda name: (-counts[name], name))
    words = (
        f"{sum(counts.values())} test examples have labels that no training example has: "
        f"{_some(names)}. No model can get them right; add training examples of them, mend the "
        "spelling, or leave them out."
    )
    return [
        Check(name="unseen labels", level="warning", words=words, examples=[[n] for n in names])
    ]


def duplicates(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return pairs (m, 2) of rows with equal digests: of `first`, and the earliest of `second`.

    first, second: digests (n, d) uint8, as `Unlabelled.digests` holds them.
    """
    seen: dict[bytes, int] = {}
    for row, digest in enumerate(second):
        seen.setdefault(digest.tobytes(), row)
    pairs = [
        (row, seen[digest.tobytes()])
        for row, digest in enumerate(first)
        if digest.tobytes() in seen
    ]
    return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)


def check_leak(
    test: np.ndarray,
    training: np.ndarray,
    *,
    test_ids: Sequence[str],
    training_ids: Sequence[str],
) -> list[Check]:
    """Name the test examples whose content is in the training data too.

    test, training: digests (n, d) uint8. ids: how a person finds an example again.
    """
    pairs = duplicates(test, training)
    if not len(pairs):
        return []
    named = [[str(test_ids[a]), str(training_ids[b])] for a, b in pairs]
    listed = "; ".join(f"{a} is {b}" for a, b in named[:SHOWN])
    more = f"; … ({len(named)} in all)" if len(named) > SHOWN else ""
    words = (
        f"Leak: {len(named)} of {len(test)} test examples are in the training data too, so test "
        f"numbers flatter whoever memorises: {listed}{more}. Remove them from one of the two."
    )
    return [Check(name="leak", level="warning", words=words, examples=named[:KEPT])]


def check_predictions(task: TaskFacts, name: str, scores: np.ndarray) -> list[Check]:
    """Return what is odd about one result's scores: none, no label ever, always one answer."""
    if not len(scores):
        words = f"{name!r} predicts nothing: its scores are empty. Give it at least one example."
        return [Check(name="empty predictions", level="error", words=words)]
    if task.kind == "multi-label" and not (scores >= 0.5).any():
        words = (
            f"{name!r} predicts no label for any of {len(scores)} examples: no score reaches 0.5. "
            "Look at its precision-recall curves for a lower threshold."
        )
        return [Check(name="empty predictions", level="warning", words=words)]
    if task.kind == "classification" and len(scores) > 1 and len(task.labels) > 1:
        said = np.unique(scores.argmax(axis=1))
        if len(said) == 1:
            label = task.labels[int(said[0])]
            words = f"{name!r} answers {label!r} for each of {len(scores)} examples."
            return [Check(name="one answer", level="note", words=words)]
    if task.kind == "regression" and len(scores) > 1 and float(np.ptp(scores)) == 0:
        words = f"{name!r} answers {scores[0]:.4g} for each of {len(scores)} examples."
        return [Check(name="one answer", level="note", words=words)]
    return []
