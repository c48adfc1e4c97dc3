"""What exports are checked with: made-up examples, so that none of the run leaves it."""

from __future__ import annotations

from typing import Any

import numpy as np

AGREE = 1e-4  # largest difference of an output, relative to the largest output
TEXTS = ("One plain sentence.", "it", "A longer one, with more words than the others have. " * 3)


def examples(modality: str, backbone: Any) -> list[Any]:
    """Return three decoded examples of unequal size for `backbone`."""
    rng = np.random.default_rng(0)
    if modality == "text":
        return list(TEXTS)
    if modality == "audio":
        rate = backbone.spec.sampling_rate
        return [rng.normal(0, 0.1, rate * n // 2).astype(np.float32) for n in (1, 2, 3)]
    from PIL import Image

    side = backbone.spec.size or 64
    shapes = [(side, side), (side, 2 * side), (3 * side, 2 * side)]
    return [Image.fromarray(rng.integers(0, 255, (*s, 3), dtype=np.uint8)) for s in shapes]


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number that is wanted; inf for NaN."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - wanted).max()) / max(float(np.abs(wanted).max()), 1e-6)
