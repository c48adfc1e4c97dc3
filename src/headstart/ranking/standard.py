"""Numbers of several models on one scale, which one odd model does not squash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BOUND = 2.5  # a model that is far worse than all others is no further off than this


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the middle of the models lies, and how far they spread: median and scaled MAD.

    Where more than half of the models agree, the mean deviation stands in; where all agree, there
    is no spread, and every model stands at 0.
    """

    middle: float
    spread: float

    @classmethod
    def of(cls, values: np.ndarray) -> Scale:
        """Learn the scale from finite values (m,), m > 0."""
        middle = float(np.median(values))
        off = np.abs(values - middle)
        spread = 1.4826 * float(np.median(off))  # of normal values, the standard deviation
        if spread <= 1e-9 * max(1.0, float(np.abs(values).max())):
            spread = 1.2533 * float(off.mean())
        tiny = 1e-9 * max(1e-300, float(np.abs(values).max()))
        return cls(middle, spread if spread > tiny else 0.0)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values in [-2.5, 2.5], 0 for the middle."""
        if self.spread == 0.0:
            return np.zeros(np.shape(values))
        found: np.ndarray = np.clip((values - self.middle) / self.spread, -BOUND, BOUND)
        return found


def standardised(values: np.ndarray) -> np.ndarray:
    """Return values (m,) on the scale of themselves.

    >>> standardised(np.array([1.0, 2.0, 3.0, 100.0])).round(2).tolist()
    [-1.01, -0.34, 0.34, 2.5]
    """
    return Scale.of(values)(values)
