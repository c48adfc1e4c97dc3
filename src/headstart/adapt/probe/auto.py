"""Choosing among kinds of head by out-of-fold losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from headstart.adapt.probe.given import Fit, Given, link_of, truth_of
from headstart.adapt.probe.kinds import Kind

MOST_STORED = 10_000  # examples; a search among more for each of them takes minutes


def worth_trying(kind: Kind, given: Given) -> bool:
    """Whether a head that nobody asked for by name is tried on this data."""
    if given.sparse and kind.dense:
        return False
    return not (kind.name == "knn" and given.count > MOST_STORED)


def simplest_of_the_best(fits: Sequence[Fit], given: Given) -> Fit:
    """Return the first fit whose loss is within one standard error of the best one's.

    `fits` come simplest first; losses are paired by example. Source: Breiman et al., CART, 1984.
    """
    if any(fit.left_out is None for fit in fits) or not len(given.asked):
        return fits[0]
    losses = [example_losses(fit, given) for fit in fits]
    best = min(losses, key=lambda one: float(one.mean()))
    for fit, mine in zip(fits, losses, strict=True):
        worse = mine - best
        if worse.mean() <= worse.std() / np.sqrt(len(worse)):
            return fit
    raise AssertionError("the best is within reach of itself")


def example_losses(fit: Fit, given: Given) -> np.ndarray:
    """Return the loss (m,) of each example that was held out: nats, or the squared error."""
    assert fit.left_out is not None
    rows = given.asked
    outputs, targets = fit.left_out[rows], given.targets[rows]
    if given.numeric:
        squares: np.ndarray = np.square(outputs[:, 0] - targets)
        return squares
    raw = torch.from_numpy(np.ascontiguousarray(outputs, dtype=np.float64))
    truth = truth_of(targets, given.task).double()
    found: np.ndarray = link_of(given.task).losses(raw, truth).numpy()
    return found
