"""Choosing on validation data: which way is better, and which result is best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from headstart.errors import UsageError
from headstart.evaluate.metrics import metric
from headstart.records import TaskFacts

TIE = 1e-9  # metrics closer than this are equal
TIE_BREAKERS = ("log_loss", "rmse")  # finer than counts: they see confidence and size of errors


def better(task: TaskFacts, a: float, b: float) -> bool:
    """Say whether `a` beats `b` by the task's primary metric; nan beats nothing."""
    return _loss(task.primary, a) < _loss(task.primary, b)


def choose(
    task: TaskFacts, validation: Mapping[str, Mapping[str, float]], order: Sequence[str]
) -> str:
    """Return the name with the best primary metric on validation data.

    validation: name to metric to value. Equal ones (within 1e-9) go by log loss or RMSE if all of
    them have it, then to the first in `order`, which lists the simpler first. Raises UsageError
    if nothing was measured or the primary metric is missing.
    """
    if not validation:
        raise UsageError("choose: expected at least one result on validation data, got none.")
    lacking = [name for name, values in validation.items() if task.primary not in values]
    if lacking:
        raise UsageError(
            f"choose: {lacking[0]!r} has no {task.primary!r} on validation data; measure it with "
            "evaluate.measure."
        )
    place = {name: position for position, name in enumerate(order)}
    names = sorted(validation, key=lambda name: place.get(name, len(place)))
    for key in (task.primary, *TIE_BREAKERS):
        if all(key in validation[name] for name in names):
            losses = {name: _loss(key, validation[name][key]) for name in names}
            least = min(losses.values())
            names = [name for name in names if losses[name] <= least + TIE]
    return names[0]


def _loss(name: str, value: float) -> float:
    """The value turned so that smaller is better; nan is worst."""
    if math.isnan(value):
        return math.inf
    return -value if metric(name).larger_is_better else value
