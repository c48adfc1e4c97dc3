"""What stands on top of features: fitted, frozen, and saved as plain arrays.

Every adapted model, candidate or baseline, is a way to get features and one of these heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import expit, softmax

from headstart.errors import RunError

LABELS, CLASSES, NUMBERS = 0, 1, 2  # what outputs mean, in arrays: they go through sigmoid, …


@runtime_checkable
class Head(Protocol):
    """Features (n, d) to raw outputs (n, k): logits, or predictions for regression."""

    kind: ClassVar[str]

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        """Return raw outputs (n, k) float64 of features (n, d), dense or sparse."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that `head_from` needs."""

    def sharpened(self, factor: float, shift: float = 0.0) -> Head:
        """Multiply all outputs by `factor` and add `shift`.

        Temperature scaling has factor = 1 / temperature; regression comes back to its unit so.
        """


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

    def sharpened(self, factor: float, shift: float = 0.0) -> Linear:
        return replace(
            self,
            weights=(self.weights * factor).astype(np.float32),
            bias=(self.bias * factor + shift).astype(np.float32),
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
        out: np.ndarray = near.astype(np.float64) @ self.weights.astype(np.float64) + self.bias
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("landmarks", "mean", "scale", "gamma", "weights", "bias")
        return {name: getattr(self, name) for name in names}

    def sharpened(self, factor: float, shift: float = 0.0) -> Kernel:
        return replace(self, weights=self.weights * factor, bias=self.bias * factor + shift)


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """The same outputs (k,) for every example: class frequencies, or the mean."""

    answer: np.ndarray
    kind: ClassVar[str] = "constant"

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        return np.tile(self.answer.astype(np.float64), (features.shape[0], 1))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"answer": self.answer}

    def sharpened(self, factor: float, shift: float = 0.0) -> Constant:
        return replace(self, answer=(self.answer * factor + shift).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The answers of the nearest training examples, weighted by one over their distance.

    `stored` (n, d) float16: half the size of float32, and rounding that moves no distance by more
    than a thousandth. `answers` (n, k): 0 and 1 (int8), or the numbers. Features are made rows of
    length one (`unit` 1: distances then order as cosines do), or (features - mean) / scale.
    `count`: neighbours. `prior` (k,): one example's worth of the training frequencies smooths what
    the neighbours say. `gain` (2,): factor and shift of the outputs. All but `stored` and
    `answers` are small.
    """

    stored: np.ndarray
    answers: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    unit: np.ndarray
    count: np.ndarray
    prior: np.ndarray
    meaning: np.ndarray  # LABELS, CLASSES or NUMBERS
    gain: np.ndarray
    kind: ClassVar[str] = "neighbours"

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        import torch

        from headstart.adapt.solvers.neighbours import answered

        stored = torch.from_numpy(self.stored.astype(np.float32))
        answers = torch.from_numpy(self.answers.astype(np.float32))
        queries = torch.from_numpy(self.placed(features).astype(np.float32))
        found = answered(queries, stored, answers, [int(self.count[0])])
        return self.spoken(next(iter(found.values())).double().numpy())

    def placed(self, features: Any) -> np.ndarray:
        """Return features (n, d) where distances are measured, rounded as those stored."""
        rows = np.asarray(features, dtype=np.float32)
        if int(self.unit[0]):
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        else:
            rows = (rows - self.mean) / self.scale
        rounded: np.ndarray = rows.astype(np.float16)
        return rounded

    def spoken(self, said: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Turn mean answers of the neighbours (n, k) into raw outputs."""
        factor, shift = (float(value) for value in self.gain)
        if int(self.meaning[0]) == NUMBERS:
            numbers: np.ndarray = said * factor + shift
            return numbers
        count = int(self.count[0])
        shares = (count * said + self.prior) / (count + 1.0)
        out: np.ndarray = logits(shares, int(self.meaning[0])) * factor + shift
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("stored", "answers", "mean", "scale", "unit", "count", "prior", "meaning", "gain")
        return {name: getattr(self, name) for name in names}

    def sharpened(self, factor: float, shift: float = 0.0) -> Neighbours:
        gain = self.gain * factor + np.asarray([0.0, shift])
        return replace(self, gain=gain.astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Isotonic:
    """Another head whose probabilities are corrected, each class by a rising curve of its own.

    Class c goes through (`before`, `after`) between `ends[c]` and `ends[c + 1]`, in straight
    lines; the classes of an example are then made to add up to one. Source: Zadrozny and
    Elkan, KDD 2002.
    """

    inner: Head
    before: np.ndarray
    after: np.ndarray
    ends: np.ndarray  # (k + 1,) int64
    meaning: np.ndarray  # LABELS or CLASSES
    kind: ClassVar[str] = "isotonic"

    def outputs(self, features: Any) -> Float[np.ndarray, "n k"]:
        return self.corrected(self.inner.outputs(features))

    def corrected(self, outputs: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Turn raw outputs (n, k) of the inner head into those of this one."""
        meaning = int(self.meaning[0])
        shares = softmax(outputs, axis=1) if meaning == CLASSES else expit(outputs)
        curves = [
            np.interp(shares[:, c], self.before[start:end], self.after[start:end])
            for c, (start, end) in enumerate(zip(self.ends, self.ends[1:], strict=False))
        ]
        return logits(np.stack(curves, axis=1), meaning)

    def arrays(self) -> dict[str, np.ndarray]:
        own = {name: getattr(self, name) for name in ("before", "after", "ends", "meaning")}
        inner = {f"{self.inner.kind}.{name}": a for name, a in self.inner.arrays().items()}
        return own | inner

    def sharpened(self, factor: float, shift: float = 0.0) -> Isotonic:
        raise TypeError("The outputs of an isotonic head are log-probabilities: leave them be.")

    @classmethod
    def restored(cls, arrays: dict[str, np.ndarray]) -> Isotonic:
        """Rebuild the head with the one inside it, whose arrays are named KIND.NAME."""
        inside = [name.split(".", 1) for name in arrays if "." in name]
        kind = inside[0][0]
        inner = head_from(kind, {name: arrays[f"{kind}.{name}"] for _, name in inside})
        return cls(inner, **{name: a for name, a in arrays.items() if "." not in name})


def logits(shares: Float[np.ndarray, "n k"], meaning: int) -> Float[np.ndarray, "n k"]:
    """Return raw outputs (n, k) whose softmax (CLASSES; rows add up to one) or sigmoid is this."""
    if meaning == CLASSES:
        shares = shares / shares.sum(axis=1, keepdims=True)
        out: np.ndarray = np.log(shares)
    else:
        out = np.log(shares) - np.log1p(-shares)
    return out


BUILTIN: Sequence[type[Head]] = (Linear, Kernel, Constant, Neighbours, Isotonic)


def head_from(kind: str, arrays: dict[str, np.ndarray]) -> Head:
    """Rebuild a head from its kind and arrays. Raises RunError for an unknown kind."""
    for head in BUILTIN:
        if head.kind == kind:
            restore = getattr(head, "restored", None)
            found: Head = restore(arrays) if restore else head(**arrays)
            return found
    raise RunError(
        f"The model has a head of kind {kind!r}; this version knows "
        f"{', '.join(head.kind for head in BUILTIN)}. Upgrade headstart."
    )


def gaussian(
    one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"], gamma: float
) -> Float[np.ndarray, "n m"]:
    """Return exp(-gamma * squared distance) (n, m) between rows of (n, d) and (m, d).

    In the precision of the rows: their own rounding is larger than that of the distances where
    gamma is about 1 / d.
    """
    squares = one @ other.T
    squares *= -2.0
    squares += (one**2).sum(axis=1)[:, None]
    squares += (other**2).sum(axis=1)[None, :]
    np.maximum(squares, 0.0, out=squares)
    squares *= -gamma
    result: np.ndarray = np.exp(squares, out=squares)
    return result
