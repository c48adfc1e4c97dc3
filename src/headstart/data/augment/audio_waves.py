"""Audio: noise, gain, shift, stretch and pitch. Samples (t,) stay (t,), float32, in [-1, 1].

All are written in numpy. The package audiomentations has them too, but draws from the generators
of `random` and `numpy.random`, which nothing here may seed, and brings librosa and numba.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import waves
from headstart.data.augment.base import OnExamples, happens, ordered, within


@dataclass(frozen=True, slots=True)
class Noise(OnExamples):
    """Add white noise at a signal-to-noise ratio between `low` and `high` dB, uniform.

    The ratio is that of mean powers over the clip. Where the sum would leave [-1, 1], signal and
    noise are turned down together, so that the ratio holds.
    """

    low: float = 10.0
    high: float = 40.0
    chance: float = 1.0
    name: ClassVar[str] = "noise"
    modality: ClassVar[str] = "audio"

    def __post_init__(self) -> None:
        within(self, "low", -20, 100)
        within(self, "high", -20, 100)
        ordered(self, "low", "high")
        within(self, "chance", 0, 1)

    def example(self, decoded: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Return the noisy samples; silence stays silent."""
        if not happens(self.chance, rng):
            return decoded
        return waves.with_noise(decoded, rng.uniform(self.low, self.high), rng)


@dataclass(frozen=True, slots=True)
class Gain(OnExamples):
    """Make louder or softer by up to `decibels` either way; never so loud that it would clip."""

    decibels: float = 12.0
    chance: float = 1.0
    name: ClassVar[str] = "gain"
    modality: ClassVar[str] = "audio"

    def __post_init__(self) -> None:
        within(self, "decibels", 0, 60)
        within(self, "chance", 0, 1)

    def example(self, decoded: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Return the samples times one factor."""
        if not happens(self.chance, rng):
            return decoded
        factor = 10 ** (rng.uniform(-self.decibels, self.decibels) / 20)
        return waves.bounded(decoded * np.float32(factor))


@dataclass(frozen=True, slots=True)
class Shift(OnExamples):
    """Move in time by up to `share` of the clip either way; what leaves comes in at the other end.

    So nothing of a short sound is lost.
    """

    share: float = 0.2
    chance: float = 1.0
    name: ClassVar[str] = "shift"
    modality: ClassVar[str] = "audio"

    def __post_init__(self) -> None:
        within(self, "share", 0, 1)
        within(self, "chance", 0, 1)

    def example(self, decoded: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Return the moved samples."""
        if not happens(self.chance, rng):
            return decoded
        return np.roll(decoded, round(rng.uniform(-self.share, self.share) * len(decoded)))


@dataclass(frozen=True, slots=True)
class Stretch(OnExamples):
    """Play faster or slower at the same pitch, by a factor between 1 / (1 + `by`) and 1 + `by`.

    The clip keeps its length: one that became longer is cut at a random place, one that became
    shorter gets silence around it. Phase vocoder; source: Flanagan and Golden, 1966.
    """

    by: float = 0.15
    chance: float = 0.5
    name: ClassVar[str] = "stretch"
    modality: ClassVar[str] = "audio"

    def __post_init__(self) -> None:
        within(self, "by", 0, 1)
        within(self, "chance", 0, 1)

    def example(self, decoded: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Return samples of the same number."""
        if not happens(self.chance, rng):
            return decoded
        pace = (1 + self.by) ** rng.uniform(-1, 1)
        return waves.fitted(waves.stretched(decoded, pace), len(decoded), rng)


@dataclass(frozen=True, slots=True)
class Pitch(OnExamples):
    """Raise or lower by up to `semitones`, at the same pace. Not where the pitch is the label."""

    semitones: float = 2.0
    chance: float = 0.5
    name: ClassVar[str] = "pitch"
    modality: ClassVar[str] = "audio"

    def __post_init__(self) -> None:
        within(self, "semitones", 0, 12)
        within(self, "chance", 0, 1)

    def example(self, decoded: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Return samples of the same number."""
        if not happens(self.chance, rng):
            return decoded
        return waves.transposed(decoded, rng.uniform(-self.semitones, self.semitones))
