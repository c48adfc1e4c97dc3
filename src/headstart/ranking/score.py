"""What a transferability score is. A new one is a file here and a line in BUILTIN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Score:
    """A pure function of what a model sees in the training examples, higher is better.

    `function` takes features (n, d), or for `uses` "source" probabilities of the source classes
    (n, z), and targets as `Dataset.targets` holds them. `kinds`: tasks that it serves. `fair`:
    whether examples are judged without having been fitted on (left out, or weights integrated), so
    that a model gains nothing from more dimensions alone. Unless scores are named, only fair ones
    are combined; the others are shown.
    """

    name: str
    title: str
    unit: str
    uses: Literal["features", "source"]
    kinds: tuple[str, ...]
    function: Callable[[np.ndarray, np.ndarray], float]
    fair: bool
