"""A learning-rate range test: how large the steps may be, measured on a copy.

The rate grows by an equal factor a step, and the loss is watched: first it falls, then it bursts
(Smith, WACV 2017). The rate that is taken is where the smoothed loss falls steepest over the
logarithm of the rate, at most a tenth of where it bursts.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from headstart.adapt.loop import Diverged, Loss, Phase, train
from headstart.adapt.parts import Parts
from headstart.adapt.rates import RISE
from headstart.sources.backbone import Backbone, running

STEPS = 60  # ten to each power of ten
FEWEST = 20  # steps; with fewer the curve says nothing
TOP = 1.0  # the last rate
SMOOTH = 0.8  # share of the past in the smoothed loss that is watched for a burst
REACH = 4  # steps on either side that the slope is smoothed over
BURSTS = 3.0  # times the lowest smoothed loss so far
MARGIN = 10.0  # the rate stays so many times below the one where the loss bursts
FALLS = 0.02  # share by which the loss must fall for its slope to mean something


@dataclass(frozen=True, slots=True)
class Found:
    """The rate, why it is that one, and the curve: (rate, loss) of each step."""

    rate: float
    reason: str
    curve: tuple[tuple[float, float], ...]
    bursts_at: float | None

    def facts(self) -> dict[str, Any]:
        """Return what the record says."""
        return {
            "rate": self.rate,
            "reason": self.reason,
            "bursts_at": self.bursts_at,
            "curve": [{"rate": rate, "loss": loss} for rate, loss in self.curve],
        }


def range_test(
    model: nn.ModuleDict, parts: Parts, phase: Phase, backbone: Backbone,
    loss_of: Callable[[nn.ModuleDict, Backbone], Loss],
    batches: Callable[[], Iterator[tuple[Any, Tensor]]], *, usual: float, seconds: float, seed: int,
) -> Found:  # fmt: skip
    """Return the peak rate for what `phase` moves; `model` is not changed.

    `phase.rates`: the head stands still, as its rate is a setting of its own; the others keep
    their ratios. `loss_of` makes the loss of a copy. `usual`: what is taken where the test says
    nothing: within a tenth of where the loss bursts, too. `seconds`: the time it may take.
    """
    twin = copy.deepcopy(model)
    top = max(rate for part, rate in phase.rates.items() if part != "head")
    rates = {part: TOP * r / top for part, r in phase.rates.items() if part != "head"}
    loss = loss_of(twin, running(backbone, twin["backbone"]))
    rising = replace(
        phase, name="range test", steps=STEPS, rates=rates, loss=loss, shape="rising",
        accumulate=1, norm="frozen",
    )  # fmt: skip
    curve: list[tuple[float, float]] = []
    begun = time.perf_counter()
    finite, before = True, TOP * RISE
    try:
        for step in train(twin, parts, (rising,), lambda at, used: batches(), seed=seed):
            # The loss of a step is measured before its update: it is what the rates before made.
            curve.append((before, step.loss))
            before = TOP * step.rate
            if bursting(np.asarray([loss for _, loss in curve])) is not None:
                break
            if time.perf_counter() - begun > seconds:
                reason = f"the usual one: {len(curve)} steps of the test took all its time"
                return Found(usual, reason, tuple(curve), None)
    except Diverged:
        finite = False
    return chosen(tuple(curve), usual, finite=finite)


def chosen(curve: tuple[tuple[float, float], ...], usual: float, *, finite: bool = True) -> Found:
    """Return the rate that a curve speaks for. `finite`: it ended for another reason than NaN.

    >>> falls = [(10 ** (k / 10 - 6), 1 / (1 + 10 ** (k / 10 - 3))) for k in range(45)]
    >>> 3e-4 < chosen(tuple(falls), 1.0).rate < 4e-3
    True
    """
    rates = np.asarray([rate for rate, _ in curve])
    losses = np.asarray([loss for _, loss in curve])
    end = bursting(losses)
    bursts = float(rates[end]) if end is not None else None
    if not finite and bursts is None:
        bursts = float(rates[-1]) if len(rates) else RISE * TOP
    limit = float("inf") if bursts is None else bursts / MARGIN
    if len(curve) < FEWEST:
        return Found(min(usual, limit), "the usual one: the test was too short", curve, bursts)
    even = centred(losses)
    lowest = int(np.argmin(even[:end]))
    if even[lowest] > (1 - FALLS) * even[0] or lowest < 2:
        reason = "the usual one: the loss hardly falls at any rate"
        return Found(min(usual, limit), reason, curve, bursts)
    slopes = np.gradient(even, np.log(rates))[: lowest + 1]
    steepest = float(rates[int(np.argmin(slopes))])
    if steepest > limit:
        return Found(limit, "a tenth of where the loss bursts", curve, bursts)
    return Found(steepest, "where the loss falls steepest", curve, bursts)


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Return the exponential mean (n,) of losses (n,), its start corrected.

    >>> smoothed(np.ones(3)).round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    mean, found = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = SMOOTH * mean + (1 - SMOOTH) * float(loss)
        found.append(mean / (1 - SMOOTH**count))
    return np.asarray(found)


def centred(losses: np.ndarray) -> np.ndarray:
    """Return the mean (n,) over the neighbours up to REACH steps away: it does not lag.

    >>> centred(np.arange(5.0)).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    count, found = len(losses), []
    for at in range(count):
        reach = min(REACH, at, count - 1 - at)
        found.append(float(losses[at - reach : at + reach + 1].mean()))
    return np.asarray(found)


def bursting(losses: np.ndarray) -> int | None:
    """Return the first step whose smoothed loss is far above the lowest before; None for none."""
    smooth = smoothed(losses)
    lowest = np.minimum.accumulate(smooth)
    # A loss near zero has no scale of its own: what it began with is one.
    high = np.flatnonzero(smooth > np.maximum(BURSTS * lowest, lowest + smooth[:1]))
    return int(high[0]) if len(high) else None
