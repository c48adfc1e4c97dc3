"""The hardest test examples: what they are, what was said of them, and how they look or sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.dataset import Unlabelled
from headstart.data.modality import modality
from headstart.data.task import Task
from headstart.evaluate.tables import hardest_rows, losses
from headstart.records import HardExample
from headstart.report.safe import cleaned


def readable(task: Task, truth: np.ndarray) -> list[Any]:
    """Return targets as a person reads them: names, lists of names, or numbers."""
    if task.name == "classification":
        return [task.labels[int(t)] for t in truth]
    if task.name == "multi-label":
        return [[label for label, on in zip(task.labels, row, strict=True) if on] for row in truth]
    return [float(t) for t in truth]


def hardest(task: Task, truth: np.ndarray, scores: np.ndarray, ids: Any) -> list[HardExample]:
    """Return the test examples of highest loss."""
    facts = task.facts()
    rows = hardest_rows(facts, truth, scores)
    loss = losses(facts, truth[rows], scores[rows])
    said = task.kind.answer(scores[rows], task.labels)
    sure = scores[rows].max(axis=1) if task.name == "classification" else None
    found = []
    for at, (real, answer) in enumerate(zip(readable(task, truth[rows]), said, strict=True)):
        text = _text(answer) + (f" ({sure[at]:.2f})" if sure is not None else "")
        found.append(
            HardExample(
                id=str(ids[int(rows[at])]), loss=float(loss[at]), truth=_text(real), answer=text
            )
        )
    return found


def _text(answer: Any) -> str:
    if isinstance(answer, list):
        return ", ".join(answer) or "(none)"
    return f"{answer:.5g}" if isinstance(answer, float) else str(answer)


def pictures(rows: np.ndarray, inputs: Unlabelled) -> dict[str, str]:
    """Return id to an HTML fragment that shows the example: a picture, a text, or a player.

    Cleaned, so that the report is the same when it is written again from what RUN keeps.
    """
    show = modality(inputs.modality).show
    return {str(inputs.ids[int(row)]): str(cleaned(show(inputs.items[int(row)]))) for row in rows}
