"""Images: RandAugment and TrivialAugment, which draw among fourteen operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from headstart.data.augment import pictures
from headstart.data.augment.base import OnExamples, within

LEVELS = 30  # magnitudes go from 0 to this


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `apply(image, x)`: x = magnitude / 30 times the space's reach, signed."""

    name: str
    apply: Callable[[Image.Image, float], Image.Image]
    rand: float  # x at full magnitude in RandAugment
    wide: float  # and in TrivialAugment's wide space
    signed: bool = True


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Callable[..., Image.Image]:
    return lambda image, x: kind(image).enhance(1 + x)


def posterised(image: Image.Image, x: float) -> Image.Image:
    """Keep 8 - x bits of each channel, x rounded to a whole number."""
    return ImageOps.posterize(image, 8 - round(x))


def solarised(image: Image.Image, x: float) -> Image.Image:
    """Invert every level from 256 - x on."""
    return ImageOps.solarize(image, 256 - round(x))


# Both papers' operations. A translation is stated as a share of the side: 150 of 331 pixels in
# RandAugment's code; TrivialAugment's 32 pixels at the 224 of ImageNet.
OPERATIONS: tuple[Operation, ...] = (
    Operation("identity", lambda image, x: image, 0, 0, signed=False),
    Operation("autocontrast", lambda image, x: ImageOps.autocontrast(image), 0, 0, signed=False),
    Operation("equalise", lambda image, x: ImageOps.equalize(image), 0, 0, signed=False),
    Operation("rotate", pictures.rotated, 30, 135),
    Operation("solarise", solarised, 256, 256, signed=False),
    Operation("saturation", _enhanced(ImageEnhance.Color), 0.9, 0.99),
    Operation("posterise", posterised, 4, 6, signed=False),
    Operation("contrast", _enhanced(ImageEnhance.Contrast), 0.9, 0.99),
    Operation("brightness", _enhanced(ImageEnhance.Brightness), 0.9, 0.99),
    Operation("sharpness", _enhanced(ImageEnhance.Sharpness), 0.9, 0.99),
    Operation("shear across", lambda image, x: pictures.sheared(image, x, 0), 0.3, 0.99),
    Operation("shear down", lambda image, x: pictures.sheared(image, 0, x), 0.3, 0.99),
    Operation("move across", lambda image, x: pictures.moved(image, x, 0), 150 / 331, 32 / 224),
    Operation("move down", lambda image, x: pictures.moved(image, 0, x), 150 / 331, 32 / 224),
)


@dataclass(frozen=True, slots=True)
class RandAugment(OnExamples):
    """Apply `count` random operations, one after the other, all at the same `magnitude` (0 to 30).

    Corners get the mean colour. Source: Cubuk et al., RandAugment, NeurIPS 2020.
    """

    count: int = 2
    magnitude: int = 9
    name: ClassVar[str] = "rand"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "count", 1, 10)
        within(self, "magnitude", 0, LEVELS)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the changed image, at the size of `decoded`."""
        for _ in range(self.count):
            operation = OPERATIONS[int(rng.integers(len(OPERATIONS)))]
            decoded = _applied(operation, decoded, self.magnitude / LEVELS * operation.rand, rng)
        return decoded


@dataclass(frozen=True, slots=True)
class TrivialAugment(OnExamples):
    """Apply one random operation at a random magnitude, up to `magnitude` (0 to 30).

    At 30 it is TrivialAugment Wide, which has nothing to tune. Corners get the mean colour.
    Source: Müller and Hutter, TrivialAugment, ICCV 2021.
    """

    magnitude: int = LEVELS
    name: ClassVar[str] = "trivial"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "magnitude", 0, LEVELS)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the changed image, at the size of `decoded`."""
        operation = OPERATIONS[int(rng.integers(len(OPERATIONS)))]
        level = int(rng.integers(self.magnitude + 1))
        return _applied(operation, decoded, level / LEVELS * operation.wide, rng)


def _applied(
    operation: Operation, image: Image.Image, x: float, rng: np.random.Generator
) -> Image.Image:
    sign = 1 if rng.random() < 0.5 else -1  # drawn in any case, so that streams stay in step
    return operation.apply(image, sign * x if operation.signed else x)
