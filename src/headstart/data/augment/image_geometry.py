"""Images: crop, flips, rotation and scale. Every result has the size of its example."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from headstart.data.augment import pictures
from headstart.data.augment.base import OnExamples, happens, within

TRIES = 10  # that a crop of the drawn area and shape fits; then the whole image is taken


@dataclass(frozen=True, slots=True)
class Crop(OnExamples):
    """Cut out a random rectangle and enlarge it to the size of the image.

    `area`: the least share of the image that is kept, (0, 1]; drawn uniformly from there to 1.
    `stretch`: how much the rectangle's aspect ratio may differ from the image's, from 1 (never) to
    4. Source: Szegedy et al., Going deeper with convolutions, CVPR 2015 (area 0.08, stretch 4/3).
    """

    area: float = 0.35
    stretch: float = 4 / 3
    name: ClassVar[str] = "crop"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "area", 0.01, 1)
        within(self, "stretch", 1, 4)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the crop, at the size of `decoded`."""
        box = self.box(decoded.width, decoded.height, rng)
        return decoded.resize(decoded.size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)

    def box(
        self, width: int, height: int, rng: np.random.Generator
    ) -> tuple[float, float, float, float]:
        """Draw (left, top, right, bottom) in whole pixels, at least 1 on each side."""
        for _ in range(TRIES):
            area = rng.uniform(self.area, 1)
            ratio = math.exp(rng.uniform(-1, 1) * math.log(self.stretch))
            across, down = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if across <= 1 and down <= 1:
                wide = max(1, round(width * across))
                high = max(1, round(height * down))
                left = int(rng.integers(0, width - wide + 1))
                top = int(rng.integers(0, height - high + 1))
                return left, top, left + wide, top + high
        return 0, 0, width, height


@dataclass(frozen=True, slots=True)
class Flip(OnExamples):
    """Mirror left and right, with probability `chance`. Not for letters, digits or arrows."""

    chance: float = 0.5
    name: ClassVar[str] = "flip"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "chance", 0, 1)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the image or its mirror image."""
        if not happens(self.chance, rng):
            return decoded
        return decoded.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


@dataclass(frozen=True, slots=True)
class FlipVertical(OnExamples):
    """Mirror up and down, with probability `chance`: for pictures from above or a microscope."""

    chance: float = 0.5
    name: ClassVar[str] = "vflip"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "chance", 0, 1)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the image or its reflection."""
        if not happens(self.chance, rng):
            return decoded
        return decoded.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


@dataclass(frozen=True, slots=True)
class Rotate(OnExamples):
    """Turn about the centre by up to `degrees` either way; corners get the mean colour."""

    degrees: float = 15.0
    chance: float = 1.0
    name: ClassVar[str] = "rotate"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "degrees", 0, 180)
        within(self, "chance", 0, 1)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the turned image, at the size of `decoded`."""
        if not happens(self.chance, rng):
            return decoded
        return pictures.rotated(decoded, rng.uniform(-self.degrees, self.degrees))


@dataclass(frozen=True, slots=True)
class Scale(OnExamples):
    """Zoom about the centre by a factor between 1 / (1 + `by`) and 1 + `by`, log-uniform."""

    by: float = 0.25
    chance: float = 1.0
    name: ClassVar[str] = "scale"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "by", 0, 3)
        within(self, "chance", 0, 1)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the zoomed image, at the size of `decoded`; a margin gets the mean colour."""
        if not happens(self.chance, rng):
            return decoded
        return pictures.zoomed(decoded, (1 + self.by) ** rng.uniform(-1, 1))
