"""Generators made from a seed and a purpose; nothing here or elsewhere seeds a global."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_for(seed: int, purpose: str) -> int:
    """Derive an independent 63-bit seed, so that no two uses share a stream."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def rng_for(seed: int, purpose: str) -> np.random.Generator:
    """Return numpy's generator for a purpose."""
    return np.random.default_rng(seed_for(seed, purpose))


def torch_rng_for(seed: int, purpose: str) -> torch.Generator:
    """Return torch's generator (CPU) for a purpose."""
    import torch

    return torch.Generator().manual_seed(seed_for(seed, purpose))
