"""Images: colour, blur and erasing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from headstart.data.augment.base import OnExamples, happens, within
from headstart.data.augment.pictures import hue_turned

USUAL = 224  # px: shorter side at which `blur` is stated
ASPECT = 3.0  # of an erased rectangle, either way
TRIES = 10  # that a rectangle of the drawn area and shape fits; then nothing is erased


@dataclass(frozen=True, slots=True)
class Colour(OnExamples):
    """Change brightness, contrast, saturation and hue, in random order.

    `strength`: the first three are multiplied by a factor between 1 - s and 1 + s, where s is
    `strength` times `brightness`, `contrast` or `saturation`; the hue is turned by up to
    `strength` times `hue` of the colour circle either way. 0 leaves one alone.
    Source: Howard, 2013, arXiv 1312.5402; Krizhevsky et al., 2012.
    """

    strength: float = 0.3
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.15
    chance: float = 1.0
    name: ClassVar[str] = "colour"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "strength", 0, 1)
        for field in ("brightness", "contrast", "saturation", "chance"):
            within(self, field, 0, 1)
        within(self, "hue", 0, 0.5)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the image in changed colours."""
        if not happens(self.chance, rng):
            return decoded
        draws, order = rng.uniform(-1, 1, 4) * self.strength, rng.permutation(4)
        for step in order:
            decoded = self._step(decoded, int(step), float(draws[step]))
        return decoded

    def _step(self, image: Image.Image, step: int, draw: float) -> Image.Image:
        if step == 0:
            return ImageEnhance.Brightness(image).enhance(1 + draw * self.brightness)
        if step == 1:
            return ImageEnhance.Contrast(image).enhance(1 + draw * self.contrast)
        if step == 2:
            return ImageEnhance.Color(image).enhance(1 + draw * self.saturation)
        return hue_turned(image, draw * self.hue)


@dataclass(frozen=True, slots=True)
class Blur(OnExamples):
    """Blur by a Gaussian whose standard deviation is up to `radius` pixels.

    `radius` is stated for a shorter side of 224 px and grows with the image.
    """

    radius: float = 2.0
    chance: float = 0.5
    name: ClassVar[str] = "blur"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "radius", 0, 20)
        within(self, "chance", 0, 1)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return the blurred image, or the image."""
        if not happens(self.chance, rng):
            return decoded
        radius = rng.uniform(0, self.radius) * min(decoded.size) / USUAL
        return decoded.filter(ImageFilter.GaussianBlur(radius))


@dataclass(frozen=True, slots=True)
class Erase(OnExamples):
    """Fill a random rectangle with noise, with probability `chance`.

    `area`: the largest share of the image that goes; from 0.02 of it on. The aspect ratio is
    between 1/3 and 3. Source: Zhong et al., Random erasing data augmentation, AAAI 2020 (RE-R).
    """

    area: float = 0.2
    chance: float = 0.5
    name: ClassVar[str] = "erase"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        within(self, "area", 0.02, 1)
        within(self, "chance", 0, 1)

    def example(self, decoded: Image.Image, *, rng: np.random.Generator) -> Image.Image:
        """Return a copy with the rectangle filled, or the image where none fits."""
        if not happens(self.chance, rng):
            return decoded
        box = self.box(decoded.width, decoded.height, rng)
        if box is None:
            return decoded
        left, top, right, bottom = box
        noise = rng.integers(0, 256, (bottom - top, right - left, 3), dtype=np.uint8)
        filled = decoded.copy()
        filled.paste(Image.fromarray(noise), (left, top))
        return filled

    def box(
        self, width: int, height: int, rng: np.random.Generator
    ) -> tuple[int, int, int, int] | None:
        """Draw (left, top, right, bottom) of the rectangle, or None after ten that do not fit."""
        for _ in range(TRIES):
            area = rng.uniform(0.02, self.area) * width * height
            ratio = math.exp(rng.uniform(-1, 1) * math.log(ASPECT))
            wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < wide <= width and 0 < high <= height:
                left = int(rng.integers(0, width - wide + 1))
                top = int(rng.integers(0, height - high + 1))
                return left, top, left + wide, top + high
        return None
