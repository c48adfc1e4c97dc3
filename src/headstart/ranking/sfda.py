"""A self-challenging discriminant score: classes that stay apart when hard examples are pulled."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num
from scipy.special import log_softmax, softmax

from headstart.ranking.checks import checked, classes
from headstart.ranking.spectrum import shrinkage, spectrum


def sfda(
    features: Float[np.ndarray, "n d"],
    labels: Num[np.ndarray, " n"],
    weight: float | None = None,
) -> float:
    """Score the posterior of a regularised discriminant after it has made its own task harder.

    A first discriminant gives the probability p of each example's own class (softmax taken twice,
    as in the paper's code); the example becomes p x + (1 - p) times the mean of the other class
    means; the mean log posterior of a second discriminant on these is the score. Range (-inf, 0],
    higher is better; nats per example. Raises TooFewExamples for one class or fewer examples than
    classes, DataError for NaN.

    `weight` in [0, 1]: shrinkage of the scatter within classes towards a multiple of the identity.
    None takes Ledoit and Wolf's, where the paper's exp(-5 largest eigenvalue) would depend on the
    unit of the features, and be nothing for most. Source: Shao et al., "Not All Models Are Equal",
    ECCV 2022, section 3; the logarithm as in its equations (its code leaves it out).
    """
    table = checked("SFDA", features, labels)
    codes, count = classes("SFDA", labels)
    found = spectrum(table - table.mean(axis=0))
    points = found.coordinates  # a rotation, which changes nothing but the work
    logits, weight = discriminant(points, codes, count, found.width, weight)
    sure = softmax(softmax(logits, axis=1), axis=1)[np.arange(len(codes)), codes, None]
    means = class_means(points, codes, count)
    others = (means.sum(axis=0) - means) / (count - 1)
    mixed = sure * points + (1.0 - sure) * others[codes]
    logits, _ = discriminant(mixed, codes, count, found.width, weight)
    posterior = log_softmax(logits, axis=1)[np.arange(len(codes)), codes]
    return float(posterior.mean())


def discriminant(
    points: np.ndarray, codes: np.ndarray, count: int, width: int, weight: float | None
) -> tuple[np.ndarray, float]:
    """Return (log posteriors (n, count) up to a constant a row, the shrinkage that was used).

    `points` (n, r): features in a basis of r of their `width` dimensions, the others empty.
    """
    means = class_means(points, codes, count)
    inside = spectrum(points - means[codes])
    if weight is None:
        weight = shrinkage(inside.coordinates, inside.squared, width)
    values = inside.squared / len(codes)
    level = float(values.sum()) / width
    if level <= 0:  # every class is one point: any metric will do
        weight, level = 1.0, 1.0
    basis = (points - means[codes]).T @ inside.left / np.sqrt(inside.squared)  # (r, q)
    outside = max(weight * level, 1e-12 * level)
    scale = 1.0 / ((1.0 - weight) * values + outside) - 1.0 / outside
    turned = means @ basis
    weights = (turned * scale) @ basis.T + means / outside  # means C⁻¹, (count, r)
    prior = np.log(np.bincount(codes, minlength=count) / len(codes))
    return points @ weights.T - 0.5 * (weights * means).sum(axis=1) + prior, weight


def class_means(points: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Return the mean (count, r) of each class."""
    sums = np.zeros((count, points.shape[1]))
    np.add.at(sums, codes, points)
    means: np.ndarray = sums / np.bincount(codes, minlength=count)[:, None]
    return means
