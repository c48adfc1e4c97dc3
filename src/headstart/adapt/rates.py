"""How a learning rate goes over the steps of a phase: pure functions of the step's index."""

from __future__ import annotations

import math
from typing import Literal, get_args

Shape = Literal["cosine", "one-cycle", "linear", "constant", "rising"]
SHAPES: tuple[str, ...] = get_args(Shape)
BETAS = (0.9, 0.999)  # AdamW's
CYCLE = (0.95, 0.85)  # the first beta of one-cycle: far from the peak, and at it
RISE = 1e-6  # where a range test starts, as a share of its last rate


def share(shape: Shape, index: int, steps: int, warm_up: float) -> float:
    """Share in (0, 1] of the peak learning rate at step `index` of `steps`.

    All shapes but "rising" climb linearly over the first `warm_up` share of the steps, one-cycle
    along a cosine (Smith, 2018; annealing as in fast.ai). "rising" grows by an equal factor a step
    from RISE to 1: the learning-rate range test (Smith, WACV 2017).

    >>> [round(share("cosine", i, 10, 0.2), 2) for i in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.04]
    >>> [round(share("linear", i, 10, 0.2), 2) for i in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.12]
    """
    if shape == "rising":
        return float(RISE ** (1 - (index + 1) / steps))
    rising = max(1, round(warm_up * steps))
    if index < rising:
        done = (index + 1) / rising
        return 0.5 * (1 - math.cos(math.pi * done)) if shape == "one-cycle" else done
    left = (index - rising) / max(1, steps - rising)
    if shape == "constant":
        return 1.0
    if shape == "linear":
        return 1.0 - left
    return 0.5 * (1 + math.cos(math.pi * left))


def momentum(index: int, steps: int, warm_up: float) -> float:
    """Return AdamW's first beta of one-cycle: low where the rate is high.

    >>> [round(momentum(i, 10, 0.2), 3) for i in (1, 9)]
    [0.85, 0.946]
    """
    return CYCLE[0] + (CYCLE[1] - CYCLE[0]) * share("one-cycle", index, steps, warm_up)
