"""How an export answers: examples are decoded and asked batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from headstart.compute.progress import Progress
from headstart.data.dataset import Unlabelled
from headstart.data.task import Task

BATCH = 16


def answered(
    raw: Callable[[list[Any]], np.ndarray], inputs: Unlabelled, task: Task, spec: Any, *,
    name: str, progress: Progress, batch: int = BATCH,
) -> np.ndarray:  # fmt: skip
    """Return what `Task.kind.activate` makes of the raw outputs (n, k).

    raw: from decoded examples to outputs. spec: what decoding is told of the model.
    """
    from headstart.data.modality import modality

    decode, parts = modality(inputs.modality).decode, []
    with progress(name, len(inputs)) as advance:
        for at in range(0, len(inputs), batch):
            rows = range(at, min(at + batch, len(inputs)))
            parts.append(raw([decode(inputs.items[row], spec) for row in rows]))
            advance(len(rows))
    return task.kind.activate(np.concatenate(parts))
