"""Nearest neighbours, exactly, in blocks of a matrix product.

Dimensions: M queries, N stored examples, D features, C neighbours, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 1 << 24  # distances held at once
CLOSEST = 1e-3  # share of the farthest of C distances: nearer ones (copies) count no more


def nearest(
    queries: Float[Tensor, "M D"], stored: Float[Tensor, "N D"], count: int
) -> tuple[Float[Tensor, "M C"], Int[Tensor, "M C"]]:
    """Return Euclidean distances to, and rows of, the nearest `count` stored examples, in order."""
    count = min(count, len(stored))
    lengths = stored.square().sum(dim=1)
    distances, rows = [], []
    for part in queries.split(max(1, BLOCK // max(1, len(stored)))):
        squares = torch.addmm(lengths, part, stored.T, alpha=-2.0)
        squares += part.square().sum(dim=1, keepdim=True)
        found = squares.topk(count, dim=1, largest=False)
        distances.append(found.values.clamp_min(0.0).sqrt())
        rows.append(found.indices)
    return torch.cat(distances), torch.cat(rows)


def votes(distances: Float[Tensor, "M C"], answers: Float[Tensor, "M C K"]) -> Float[Tensor, "M K"]:
    """Return the mean answer of the neighbours, each weighted by one over its distance.

    Source: scikit-learn's weights="distance"; here copies do not outvote all others.
    """
    floor = CLOSEST * distances[:, -1:] + 1e-12
    weights = 1.0 / distances.clamp_min(floor)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.einsum("mc,mck->mk", weights, answers)


def answered(
    queries: Float[Tensor, "M D"], stored: Float[Tensor, "N D"], answers: Float[Tensor, "N K"],
    counts: Sequence[int],
) -> dict[int, Float[Tensor, "M K"]]:  # fmt: skip
    """Return what the nearest stored examples say of each query, by how many are asked."""
    most = min(max(counts), len(stored))
    distances, rows = nearest(queries, stored, most)
    block = max(1, BLOCK // (most * answers.shape[1]))
    parts: dict[int, list[Tensor]] = {count: [] for count in counts}
    for far, near in zip(distances.split(block), rows.split(block), strict=True):
        said = answers[near]
        for count, found in parts.items():
            found.append(votes(far[:, :count], said[:, :count]))
    return {count: torch.cat(found) for count, found in parts.items()}
