"""Probabilities that mean what they say: temperature scaling, and its loss."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headstart.adapt.heads import Head
from headstart.adapt.probe.given import Fit, Given, link_of, size_of, truth_of
from headstart.adapt.solvers.links import SIGMOID, Link
from headstart.data.task import Task

SHARPEST = 20.0  # factors of outputs lie in [1 / 20, 20]


def best_factor(
    link: Link, outputs: Tensor, truth: Tensor, *, near: float = 1.0, tolerance: float = 1e-4
) -> tuple[float, float]:
    """Return the factor of outputs (n, k) with the least mean loss, and that loss.

    The loss is convex in the factor: Newton's method inside a bracket. `near`: where to begin;
    `tolerance`: relative.
    """
    raw, wanted = outputs.T.contiguous()[:, None], truth.T.contiguous()[:, None]  # (k, 1, n)
    low, high = 1.0 / SHARPEST, SHARPEST
    factor = min(max(near, low), high)
    for _ in range(30):
        _, residual = link.both(raw * factor, wanted)
        slope = float((residual * raw).mean(dim=(1, 2)).sum())
        low, high = (low, factor) if slope > 0 else (factor, high)
        # The derivative of the residual, by a small step: exact enough to head for the root.
        ahead = link.both(raw * (factor * 1.01), wanted)[1]
        bend = float(((ahead - residual) * raw).mean(dim=(1, 2)).sum()) / (0.01 * factor)
        new = factor - slope / bend if bend > 0 else float("nan")
        new = new if low < new < high else (low * high) ** 0.5
        done = abs(new - factor) <= tolerance * factor
        factor = new
        if done:
            break
    return factor, float(link.both(raw * factor, wanted)[0].mean())


def temperature(outputs: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Return the T in [0.05, 20] for which outputs / T have the least log loss.

    Targets are smoothed: n examples without an error do not show that there is none in 10 n.
    Source: Guo et al., ICML 2017. `outputs` must not come from a fit on the same examples.
    """
    link = link_of(task)
    truth = smoothed(truth_of(targets, task).double(), link)
    raw = torch.from_numpy(np.ascontiguousarray(outputs, dtype=np.float64))
    return 1.0 / best_factor(link, raw, truth)[0]


def smoothed(truth: Tensor, link: Link) -> Tensor:
    """Spread one example's worth of truth (n, k) over all outcomes.

    Source: Platt, Probabilities for SV machines, 1999, sec. 2.2.
    """
    share = 1.0 / (len(truth) + 1)
    even = 0.5 if link is SIGMOID else 1.0 / truth.shape[1]
    return truth * (1 - share) + share * even


def mean_loss(outputs: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Return the mean log loss (nats; summed over labels for multi-label) of raw outputs (n, k)."""
    raw = torch.from_numpy(np.ascontiguousarray(outputs, dtype=np.float64))
    return float(link_of(task).losses(raw, truth_of(targets, task).double()).mean())


def held_loss(left_out: np.ndarray, given: Given) -> float:
    """Return the mean loss of held-out outputs (n, k): nats, or the squared error."""
    rows = given.asked
    if not len(rows):
        return float("inf")
    if given.numeric:
        return float(np.square(left_out[rows, 0] - given.targets[rows]).mean())
    return mean_loss(left_out[rows], given.targets[rows], given.task)


def finished(head: Head, left_out: np.ndarray | None, given: Given, *, scale: bool) -> Fit:
    """Set the scale of a head's outputs by what was held out, where asked, and say its loss."""
    details = {}
    if left_out is not None and scale and not given.numeric and len(given.asked):
        rows = given.asked
        factor = 1.0 / temperature(left_out[rows], given.targets[rows], given.task)
        head, left_out = head.sharpened(factor), left_out * factor
        details["temperature"] = round(1.0 / factor, 4)
    loss = float("inf") if left_out is None else held_loss(left_out, given)
    return Fit(head, left_out, details | {"out_of_fold_loss": loss}, size_of(head))
