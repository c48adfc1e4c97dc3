"""What every modality can do; image, text and audio each fill this form in a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from headstart.data.dataset import Item

# What decode gives: a PIL RGB image, a str, or float32 mono samples (t,) in [-1, 1].
Decoded = Any


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a backbone wants its examples decoded to, so that decoding does no needless work.

    `sampling_rate` in Hz (audio). `size`: shorter side in pixels that will be needed (image):
    a JPEG may be decoded at a reduced scale that is still at least this large.
    `seconds`: audio longer than this is cut there.
    """

    sampling_rate: int = 16000
    size: int | None = None
    seconds: float = 30.0


class SimpleFeatures(Protocol):
    """Hand-made features, fitted on training examples, for the simple baseline."""

    @property
    def name(self) -> str:
        """Return "colour-texture", "tf-idf", "mfcc", …: what a person reads."""

    def transform(self, decoded: Sequence[Decoded]) -> Any:
        """Return features (n, d): float32 ndarray, or scipy CSR matrix."""

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return (JSON-able settings, arrays): all that `simple_from_state` needs."""


class Modality(Protocol):
    """One kind of input. Stateless; one instance each in BUILTIN."""

    name: str
    suffixes: frozenset[str]  # lower-case file name endings, with the dot

    def read(self, item: Item) -> bytes:
        """Return the bytes that identify the content (they are hashed). Raises Unreadable."""

    def decode(self, item: Item, spec: InputSpec) -> Decoded:
        """Decode one example, bounded in size and time. Raises Unreadable with the reason."""

    def fit_simple(self, decoded: Sequence[Decoded]) -> SimpleFeatures:
        """Fit the hand-made features on training examples."""

    def simple_from_state(
        self, settings: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> SimpleFeatures:
        """Rebuild fitted hand-made features from what `state` gave."""

    def show(self, item: Item) -> str:
        """Return an HTML fragment (self-contained, escaped) that shows the example in a report."""
