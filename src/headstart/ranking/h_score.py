"""H-score with shrinkage: how much of the features' variation the classes explain."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from headstart.ranking.checks import checked, classes
from headstart.ranking.spectrum import shrinkage, spectrum


def h_score(features: Float[np.ndarray, "n d"], labels: Num[np.ndarray, " n"]) -> float:
    """Score how far class means lie apart, in units of the features' own covariance.

    (1 - s) trace(C⁻¹ B): B is the covariance of the class means (each example counts for its
    class), C the covariance of the features shrunk by s towards a multiple of the identity. Range
    [0, classes - 1], higher is better; dimensionless. Without shrinkage every model reaches its
    largest value as soon as there are more dimensions than examples. Raises TooFewExamples for one
    class or fewer examples than classes, DataError for NaN.
    Source: Bao et al., ICIP 2019; the shrinkage from Ibrahim, Ponomareva and Mazumder, "Newer is
    not always better", ECML PKDD 2022, with the weight s of Ledoit and Wolf 2004.
    """
    table = checked("H-score", features, labels)
    codes, count = classes("H-score", labels)
    centred = table - table.mean(axis=0)
    found = spectrum(centred)
    weight = shrinkage(centred, found.squared, found.width)
    sizes = np.bincount(codes, minlength=count)
    means = np.stack([found.coordinates[codes == c].mean(axis=0) for c in range(count)])
    between = (sizes[:, None] * means * means).sum(axis=0) / len(codes)  # (r,) its diagonal
    values = found.squared / len(codes)
    level = float(values.sum()) / found.width
    shrunk = (1.0 - weight) * values + weight * level
    return float((1.0 - weight) * (between / np.where(shrunk > 0, shrunk, 1.0)).sum())
