"""What stands on top of features: fitted, frozen, and saved as plain arrays.

Every adapted model, candidate or baseline, is a way to get features and one of these heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from headstart.errors import RunError


@runtime_checkable
class Head(Protocol):
    """Features (n, d) to raw outputs (n, k): logits, or predictions for regression."""

    kind: ClassVar[str]

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        """Return raw outputs (n, k) float64 of features (n, d), dense or sparse."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that `head_from` needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """outputs = features @ weights + bias. `weights` (d, k), `bias` (k,) float32."""

    weights: np.ndarray
    bias: np.ndarray
    kind: ClassVar[str] = "linear"

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        out: np.ndarray = np.asarray(features @ self.weights, dtype=np.float64) + self.bias
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights, "bias": self.bias}

    def sharpened(self, factor: float) -> Linear:
        """Multiply all outputs by `factor` (temperature scaling: factor = 1 / temperature)."""
        return replace(
            self,
            weights=(self.weights * factor).astype(np.float32),
            bias=(self.bias * factor).astype(np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A linear head over the Gaussian kernel to landmark examples (Nyström).

    `landmarks` (m, d) in units of `scale` (d,) around `mean` (d,); `gamma` (1,): the kernel is
    exp(-gamma * squared distance). Source: Williams and Seeger, NIPS 2000.
    """

    landmarks: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    gamma: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    kind: ClassVar[str] = "kernel"

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        standard = (np.asarray(features, dtype=np.float32) - self.mean) / self.scale
        near = gaussian(standard, self.landmarks, float(self.gamma[0]))
        out: np.ndarray = near @ self.weights.astype(np.float64) + self.bias
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("landmarks", "mean", "scale", "gamma", "weights", "bias")
        return {name: getattr(self, name) for name in names}

    def sharpened(self, factor: float) -> Kernel:
        """Multiply all outputs by `factor`."""
        return replace(self, weights=self.weights * factor, bias=self.bias * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """The same outputs (k,) for every example: class frequencies, or the mean."""

    answer: np.ndarray
    kind: ClassVar[str] = "constant"

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        return np.tile(self.answer.astype(np.float64), (features.shape[0], 1))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"answer": self.answer}


BUILTIN: tuple[type[Head], ...] = (Linear, Kernel, Constant)


def head_from(kind: str, arrays: dict[str, np.ndarray]) -> Head:
    """Rebuild a head from its kind and arrays. Raises RunError for an unknown kind."""
    for head in BUILTIN:
        if head.kind == kind:
            return head(**arrays)
    raise RunError(
        f"The model has a head of kind {kind!r}; this version knows "
        f"{', '.join(head.kind for head in BUILTIN)}. Upgrade headstart."
    )


def gaussian(
    one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"], gamma: float
) -> Float[np.ndarray, "n m"]:
    """Return exp(-gamma * squared distance) (n, m) float64 between rows of (n, d) and (m, d)."""
    squares = (one.astype(np.float64) ** 2).sum(axis=1)[:, None]
    squares = squares + (other.astype(np.float64) ** 2).sum(axis=1)[None, :]
    squares -= 2.0 * (one @ other.T)
    result: np.ndarray = np.exp(-gamma * np.maximum(squares, 0.0))
    return result
