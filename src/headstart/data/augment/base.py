"""What an augmentation is: a frozen dataclass that changes an example and never its label."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np

from headstart.data.modality.base import Decoded
from headstart.errors import UsageError


class Augmentation(Protocol):
    """One way to change examples. Frozen; its fields are its configuration.

    Both methods give the same for the same state of `rng`, change none of their arguments, and may
    be called from several threads, each with a generator of its own.
    """

    name: ClassVar[str]
    modality: ClassVar[str]

    def example(self, decoded: Decoded, *, rng: np.random.Generator) -> Decoded:
        """Return a changed example of the same type: image of equal size, samples (t,), str.

        `decoded` is what `data.modality.<modality>.decode` gives: a PIL RGB image, a text, or
        float32 samples (t,) in [-1, 1].
        """

    def batch(self, batch: dict[str, Any], *, rng: np.random.Generator) -> dict[str, Any]:
        """Return a changed batch of preprocessed examples: same keys, shapes, types and order."""


class OnExamples:
    """The batch side of an augmentation that works on decoded examples alone: nothing to do."""

    __slots__ = ()

    def batch(self, batch: dict[str, Any], *, rng: np.random.Generator) -> dict[str, Any]:
        """Return the batch as it is."""
        return batch


def within(owner: Any, field: str, low: float, high: float) -> None:
    """Raise UsageError unless `owner.field` is from `low` to `high`; NaN is not."""
    value = getattr(owner, field)
    if not low <= value <= high:
        raise UsageError(
            f"Augmentation {owner.name}: {field} must be from {low:g} to {high:g}, got {value:g}."
        )


def ordered(owner: Any, lower: str, upper: str) -> None:
    """Raise UsageError unless the field `lower` is at most the field `upper`."""
    low, high = getattr(owner, lower), getattr(owner, upper)
    if low > high:
        raise UsageError(
            f"Augmentation {owner.name}: {lower} must be at most {upper}, got {low:g} and {high:g}."
        )


def happens(chance: float, rng: np.random.Generator) -> bool:
    """Draw whether something of probability `chance` happens; always one number is drawn."""
    return bool(rng.random() < chance)
