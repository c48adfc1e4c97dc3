"""Least squares with an L2 penalty: to the numbers, or to -1 and 1 for each class or label."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.adapt.probe.given import Fit, Given
from headstart.adapt.probe.kinds.kind import Settings
from headstart.adapt.probe.linear import by_squares, in_each_scaling


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """In closed form, for all strengths and classes at once."""

    name = "ridge"
    dense = False

    def fit(self, given: Given, settings: Settings) -> Fit:
        return in_each_scaling(
            by_squares, given, settings.scalings, settings.strengths, scale=settings.scale
        )
