"""Losses over raw outputs, with what the solver must know of each.

Dimensions: K outputs come first in memory, so that sums over them run along whole vectors;
P problems, N examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Link:
    """A convex loss over raw outputs, summed over the K outputs of an example.

    `bound`: the largest eigenvalue of its Hessian in the outputs. `both` takes outputs (K, P, N)
    and truth (K, 1, N), and gives losses (P, N) and their derivative by the outputs (K, P, N).
    """

    name: str
    bound: float
    both: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

    def losses(
        self, outputs: Float[Tensor, "N K"], truth: Float[Tensor, "N K"]
    ) -> Float[Tensor, " N"]:
        """Return the loss (N,) of each example, for outputs and truth (N, K)."""
        return self.both(outputs.T[:, None], truth.T[:, None])[0][0]


def _softmax(outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    top = outputs.amax(dim=0)
    shares = (outputs - top).exp_()
    total = shares.sum(dim=0)
    losses = total.log().add_(top).sub_((outputs * truth).sum(dim=0))
    return losses, shares.div_(total).sub_(truth)


def _sigmoid(outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    losses = (torch.nn.functional.softplus(outputs) - outputs * truth).sum(dim=0)
    return losses, outputs.sigmoid().sub_(truth)


def _squared_hinge(outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    side = 2.0 * truth - 1.0
    missing = (1.0 - side * outputs).clamp_min_(0.0)
    return missing.square().sum(dim=0), (-2.0 * side) * missing


SOFTMAX = Link("softmax", 0.5, _softmax)  # truth: 0 or 1, one 1 an example
SIGMOID = Link("sigmoid", 0.25, _sigmoid)  # truth: 0 or 1
# One against the rest, as in LIBLINEAR's L2-loss SVM (Fan et al., JMLR 2008). Truth: 0 or 1.
SQUARED_HINGE = Link("squared hinge", 2.0, _squared_hinge)


def squared_tube(width: float) -> Link:
    """Return the squared epsilon-insensitive loss of support vector regression.

    Errors up to `width`, in the target's unit, cost nothing. Source: Ho and Lin, JMLR 2012.
    """

    def both(outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        gap = outputs - truth
        excess = gap - gap.clamp(-width, width)
        return excess.square().sum(dim=0), 2.0 * excess

    return Link("squared tube", 2.0, both)
