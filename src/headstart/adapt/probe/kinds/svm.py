"""Linear support vector machines with the squared hinge; for numbers the squared tube."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.adapt.probe.given import Fit, Given
from headstart.adapt.probe.kinds.kind import Settings, in_own_unit
from headstart.adapt.probe.linear import by_loss, in_each_scaling
from headstart.adapt.solvers.links import SQUARED_HINGE, Link, squared_tube

TUBE = 0.1  # standard deviations of the target that cost nothing (scikit-learn's SVR has 0.1 too)


def margin_link(given: Given) -> Link:
    """Return the loss of a support vector machine for classes, labels or standardised numbers."""
    return squared_tube(TUBE) if given.numeric else SQUARED_HINGE


@dataclass(frozen=True, slots=True)
class Svm:
    """One class against the rest, in the primal. Source: Fan et al. (LIBLINEAR), JMLR 2008."""

    name = "svm"
    dense = False

    def fit(self, given: Given, settings: Settings) -> Fit:
        def scaled(mine: Given) -> Fit:
            return in_each_scaling(
                by_loss(margin_link(mine)), mine, settings.scalings, settings.strengths,
                scale=settings.scale,
            )  # fmt: skip

        return in_own_unit(given, scaled)
