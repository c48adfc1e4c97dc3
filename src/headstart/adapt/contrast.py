"""What few-shot tuning asks of a batch: examples of a class together, those of others apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.adapt.loop import Loss
from headstart.adapt.objective import embedded
from headstart.compute.precision import Precision
from headstart.sources.backbone import Backbone


def even_batches(
    rows: np.ndarray, targets: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield endless batches of `size` rows in which classes are as even as they can be.

    Each class is dealt in an order of its own, again and again; a class with one example cannot
    be near itself, but serves as something to be far from.
    """
    classes = [rows[targets[rows] == label] for label in np.unique(targets[rows])]
    decks: list[list[int]] = [[] for _ in classes]
    while True:
        batch: list[int] = []
        while len(batch) < size:
            for at in rng.permutation(len(classes)):
                if len(batch) == size:
                    break
                if not decks[at]:
                    decks[at] = [int(row) for row in rng.permutation(classes[at])]
                batch.append(decks[at].pop())
        yield np.sort(np.unique(batch))


def pair_loss(backbone: Backbone, precision: Precision) -> Loss:
    """Return the mean squared error of cosines: 1 wanted within a class, 0 between classes.

    Pairs within and between classes weigh the same in total, as in SetFit's sampling.
    """

    def loss(model: nn.ModuleDict, inputs: Any, targets: Tensor, progress: float) -> Tensor:
        return pairs(embedded(backbone, inputs, precision), targets)

    return loss


def pairs(features: Tensor, targets: Tensor) -> Tensor:
    """Return the balanced mean of (cosine - same class) ** 2 over all pairs of rows."""
    unit = nn.functional.normalize(features, dim=1)
    cosines = unit @ unit.T
    same = targets[:, None] == targets[None, :]
    upper = torch.ones_like(same).triu(diagonal=1)
    errors = (cosines - same.to(cosines.dtype)).square()
    kinds = [errors[upper & same], errors[upper & ~same]]
    means = [kind.mean() for kind in kinds if kind.numel()]
    return torch.stack(means).mean() if means else features.sum() * 0.0
