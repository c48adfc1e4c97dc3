"""The thin singular value decomposition that most scores rest on, from the smaller Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

FLAT = 1e-12  # squared singular values below this share of the largest are rounding


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """features = left @ diag(sqrt(squared)) @ right, of rank r; right is never needed.

    `left` (n, r) has orthonormal columns, `squared` (r,) > 0 falls. `width`: d of the features.
    """

    left: np.ndarray
    squared: np.ndarray
    width: int

    @property
    def coordinates(self) -> np.ndarray:
        """The features (n, r) in the basis of their principal directions."""
        found: np.ndarray = self.left * np.sqrt(self.squared)
        return found


def spectrum(features: Float[np.ndarray, "n d"]) -> Spectrum:
    """Decompose features (n, d) float64 as they are; centre them first where that is wanted.

    The Gram matrix of the smaller side costs a fraction of a full decomposition; it loses singular
    values below 1e-6 of the largest, which float32 features do not hold anyway.
    """
    count, width = features.shape
    wide = width > count
    gram = features @ features.T if wide else features.T @ features
    squared, basis = np.linalg.eigh(gram)
    squared, basis = squared[::-1], basis[:, ::-1]
    kept = int((squared > FLAT * squared.max(initial=0.0)).sum())
    squared, basis = squared[:kept], basis[:, :kept]
    left = basis if wide else features @ basis / np.sqrt(squared)
    return Spectrum(left, squared, width)


def shrinkage(
    rows: Float[np.ndarray, "n r"], squared: Float[np.ndarray, " q"], width: int
) -> float:
    """Return Ledoit and Wolf's weight of the identity for the covariance of centred features.

    `rows`: the features in any orthonormal basis, of which only the lengths count; `squared`: their
    squared singular values; `width`: the dimension d of the features. In [0, 1]: the covariance
    (1/n) is then best estimated by (1 - a) S + a trace(S) / d I. Source: Ledoit and Wolf, J.
    Multivariate Analysis 88, 2004, section 3.

    >>> shrinkage(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([2.0]), 2)
    0.0
    """
    count = len(rows)
    values = squared / count
    energy = float(values @ values)
    apart = energy - float(values.sum()) ** 2 / width  # squared distance to the nearest identity
    fourth = float(((rows * rows).sum(axis=1) ** 2).mean())
    noise = max(0.0, (fourth - energy) / count)
    # Of one dimension, and of equal variances, the identity is what is there already.
    return min(1.0, noise / apart) if apart > FLAT * energy else 0.0
