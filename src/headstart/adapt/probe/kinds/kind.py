"""What every kind of head is, and how numbers are put into units that losses are made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from headstart.adapt.probe.given import Fit, Given
from headstart.adapt.solvers.design import Scaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What kinds read of a probe's settings. `scale`: whether held-out outputs set a temperature.
    `seed`: for the draw of landmarks."""

    strengths: tuple[float, ...]
    scalings: tuple[Scaling, ...]
    kernel_strengths: tuple[float, ...]
    gammas: tuple[float, ...]
    landmarks: int
    neighbours: tuple[int, ...]
    scale: bool
    seed: int


class Kind(Protocol):
    """A kind of head. `dense`: whether it cannot take sparse features."""

    @property
    def name(self) -> str: ...

    @property
    def dense(self) -> bool: ...

    def fit(self, given: Given, settings: Settings) -> Fit:
        """Fit a head to checked data; its temperature is set where `settings.scale` says so."""


def in_own_unit(given: Given, fit: Callable[[Given], Fit]) -> Fit:
    """Fit numbers in units of their standard deviation around their mean; classes as they are."""
    if not given.numeric:
        return fit(given)
    mean, spread = float(np.mean(given.targets)), float(np.std(given.targets)) or 1.0
    found = fit(replace(given, targets=(given.targets - mean) / spread))
    left_out = None if found.left_out is None else found.left_out * spread + mean
    loss = found.loss * spread**2
    return replace(found, head=found.head.sharpened(spread, mean), left_out=left_out).told(
        out_of_fold_loss=loss
    )
