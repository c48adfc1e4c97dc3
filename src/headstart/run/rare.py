"""Rare classes, which accuracy does not see: a result that never finds one may be as accurate."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from headstart.data.dataset import Dataset
from headstart.evaluate.intervals import summed
from headstart.evaluate.verdict import ALPHA, mcnemar
from headstart.ranking.ceiling import rare
from headstart.run.choosing import Entry
from headstart.run.scene import each_right

LEAST = 10  # examples of a class, as the tree asks for


def rare_classes(data: Dataset) -> list[str]:
    """Say which class or label has so few examples that nobody can tell how well it is found."""
    if data.task.name == "regression" or not len(data):
        return []
    many = data.task.name == "multi-label"
    counts = (
        data.targets.sum(axis=0) if many else
        np.bincount(data.targets, minlength=data.task.outputs)
    )  # fmt: skip
    least = int(counts.argmin())
    if counts[least] >= LEAST or (counts < LEAST).all():  # where all are rare, the tree says so
        return []
    kind, more, read = (
        ("label", "of it", "recall and macro F1 beside micro F1") if many else
        ("class", "of them", "recall and balanced accuracy beside accuracy")
    )  # fmt: skip
    others = int((counts < LEAST).sum()) - 1
    have = "has" if others == 1 else "have"
    beside = f" ({others} more {have} fewer than {LEAST})" if others else ""
    return [
        f"The {kind} {data.task.labels[least]!r} has {int(counts[least])} of {len(data)} training "
        f"examples{beside}: too few to say how well it is found, whatever is trained. Label "
        f"{LEAST} or more {more}; read {read}."
    ]


def rare_class_won(mine: Entry, theirs: Entry, data: Dataset, rows: Int[np.ndarray, " n"]) -> str:
    """Say which rare class the first result finds clearly more often than the second; "" for none.

    `rows`: examples that both were asked about unseen. Each rare class is judged by exact McNemar
    on its own examples, corrected for their number (Bonferroni); examples of a group have one vote.
    "" too where the second is as clearly better at another rare class, and for other tasks than
    classification.
    """
    if data.task.name != "classification":
        return ""
    truth = data.targets[rows]
    first, second = (each_right(e.trained, data, rows) > 0.5 for e in (mine, theirs))
    few = rare(np.bincount(truth, minlength=data.task.outputs))
    won = list[tuple[float, str]]()
    for label in few:
        at = truth == label
        groups = None if data.groups is None else data.groups[rows[at]]
        votes = summed(first[at].astype(int) - second[at], groups)
        p = min(1.0, len(few) * mcnemar(votes > 0, votes < 0))
        if p < ALPHA and np.sign(votes).sum() < 0:
            return ""
        if p < ALPHA:
            won.append((p, _words(data.task.labels[label], first[at], second[at], p)))
    return min(won)[1] if won else ""


def _words(
    label: str, first: Bool[np.ndarray, " k"], second: Bool[np.ndarray, " k"], p: float
) -> str:
    return (
        f"the rare class {label!r} ({first.sum()} of {len(first)} held-out training examples "
        f"right against {second.sum()}, p = {p:.2g})"
    )
