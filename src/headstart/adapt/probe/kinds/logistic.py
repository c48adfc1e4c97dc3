"""Multinomial or binary logistic regression; for numbers ridge, its counterpart there."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.adapt.probe.given import Fit, Given, link_of
from headstart.adapt.probe.kinds.kind import Settings
from headstart.adapt.probe.linear import by_loss, by_squares, in_each_scaling


@dataclass(frozen=True, slots=True)
class Logistic:
    """Its probabilities are right by construction, but for the strength's shrinking."""

    name = "logistic"
    dense = False

    def fit(self, given: Given, settings: Settings) -> Fit:
        solve = by_squares if given.numeric else by_loss(link_of(given.task))
        return in_each_scaling(
            solve, given, settings.scalings, settings.strengths, scale=settings.scale
        )
