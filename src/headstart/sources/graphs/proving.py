"""What a graph says of itself, tried out when it is opened: one row an example, any length.

Exported graphs often claim that they take any number of examples, and hold a shape of one inside.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import ModelError
from headstart.sources.backbone import Batch
from headstart.sources.graphs.feature import Feature
from headstart.sources.graphs.feeding import embeddings, one_by_one
from headstart.sources.graphs.inputs import Taken
from headstart.sources.graphs.session import run_session

CLOSE = 1e-2  # of the largest number: far above rounding, far below another example's features


def settled(session: Any, taking: Taken, feature: Feature, batch: Batch, path: Path) -> Feature:
    """Return the feature pooled over the axis that grows with the input, tried on a longer one.

    `batch`: of one example. Raises ModelError where each example has not one row of fixed width.
    """
    shape = _shape(session, taking, feature, batch)
    if not taking.single and (not shape or shape[0] != (taking.rows or 1)):
        raise ModelError(
            f"{path}: the value {feature.tensor!r} has the shape {shape} for "
            f"{taking.rows or 1} example(s), so it is no feature of each. Name another with '#'."
        )
    if taking.modality == "image" or taking.steps is not None:
        return feature
    try:
        longer = _shape(session, taking, feature, _longer(batch))
    except ModelError:  # made for no longer one
        return feature
    if feature.pooling == "mean" and longer[1] == shape[1] and longer[2] != shape[2]:
        return replace(feature, pooling="average")  # (n, c, t): steps come last
    if feature.width(longer) != feature.width(shape):
        raise ModelError(
            f"{path}: the value {feature.tensor!r} grows with the input, from {shape} to {longer}, "
            "so it is no feature of fixed width. Name another with '#'."
        )
    return feature


def takes_two(session: Any, taking: Taken, feature: Feature, batch: Batch) -> bool:
    """Whether an example beside another, of zeros, gives what it gives alone."""
    import torch

    one = embeddings(session, taking, feature, batch)
    beside = {
        name: torch.cat([value, value if "mask" in name else torch.zeros_like(value)])
        for name, value in batch.items()
    }
    try:
        two = embeddings(session, taking, feature, beside)
    except ModelError:
        return False
    away = CLOSE * float(np.abs(one).max(initial=0.0))
    return two.shape == (2, one.shape[1]) and np.allclose(
        two[:1], one, rtol=0, atol=away, equal_nan=True
    )


def one_at_a_time(model: Any, taking: Taken) -> Taken:
    """Write into the graph that it takes one example at a time, and return that."""
    names = {one.name for one in taking.inputs}
    for value in model.graph.input:
        if value.name in names:
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = 1
    return replace(
        taking, inputs=tuple(replace(one, dims=(1, *one.dims[1:])) for one in taking.inputs)
    )


def _longer(batch: Batch) -> Batch:
    import torch

    return {name: torch.cat([value, value], dim=-1) for name, value in batch.items()}


def _shape(session: Any, taking: Taken, feature: Feature, batch: Batch) -> tuple[int, ...]:
    feeds = next(one_by_one(taking, batch))
    (found,) = run_session(session, [feature.tensor], feeds)
    return found.shape
