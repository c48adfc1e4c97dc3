"""Hand-made features of images: what can be had without any pretrained model.

N examples, H and W pixels, O orientations, C cells a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

TINY = 16  # px: at or below this longer side, the pixels themselves are the features
SMALL = 64  # px: up to here a finer thumbnail is kept beside the texture
TEXTURE = 64  # px a side of the square that gradients are measured on
CELLS = 4  # texture cells a side
ORIENTATIONS = 9  # of unsigned gradients, over 180 degrees
COLOUR_SIDE = 32  # px a side of the square that colours are counted on
COLOUR_LEVELS = 4  # a channel, so 64 joint colours


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """Features of fixed length: thumbnail, and by choice joint colours and gradient orientations.

    `width`, `height`: thumbnail in px. `channels`: 1 luminance, 3 RGB thumbnail.
    """

    name: str
    width: int
    height: int
    channels: int
    colours: bool
    texture: bool

    def transform(self, decoded: Sequence[Any]) -> np.ndarray:
        """Return features (n, d) float32, each in [0, 1], of PIL RGB images."""
        parts = [self._thumbnails(decoded)]
        if self.colours:
            parts.append(_colours(_stack(decoded, "RGB", COLOUR_SIDE, COLOUR_SIDE)))
        if self.texture:
            parts.append(_texture(_stack(decoded, "L", TEXTURE, TEXTURE)))
        return np.concatenate(parts, axis=1)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return (JSON-able settings, no arrays)."""
        return {name: getattr(self, name) for name in self.__slots__}, {}

    def _thumbnails(self, decoded: Sequence[Any]) -> np.ndarray:
        mode = "L" if self.channels == 1 else "RGB"
        pixels = _stack(decoded, mode, self.width, self.height)
        return pixels.reshape(len(decoded), -1).astype(np.float32) / 255


def fit(decoded: Sequence[Any]) -> ImageFeatures:
    """Choose thumbnail size and colour by what the training images are.

    Images of at most 16 px keep every pixel (of the largest image) and nothing else; larger ones
    get an 8x8 thumbnail of luminance (16x16 up to 64 px), gradient orientations, and joint colours
    unless every image is grey.
    """
    if not len(decoded):
        raise ValueError("Image features are fitted on at least 1 training image, got 0.")
    width, height = max(i.width for i in decoded), max(i.height for i in decoded)
    coloured = any(_coloured(image) for image in decoded)
    if max(width, height) <= TINY:
        return ImageFeatures("pixels", width, height, 3 if coloured else 1, False, False)
    side = 16 if max(width, height) <= SMALL else 8
    name = "colour-texture" if coloured else "texture"
    return ImageFeatures(name, side, side, 1, coloured, True)


def _coloured(image: Any) -> bool:
    """Tell whether channels differ by more than rounding; a thumbnail answers for large images."""
    pixels = _stack([image], "RGB", min(image.width, COLOUR_SIDE), min(image.height, COLOUR_SIDE))
    return int(np.ptp(pixels.astype(np.int16), axis=-1).max()) > 2


def _stack(decoded: Sequence[Any], mode: str, width: int, height: int) -> np.ndarray:
    """Return uint8 (n, height, width) for mode L, (n, height, width, 3) for RGB."""
    shape = (len(decoded), height, width) if mode == "L" else (len(decoded), height, width, 3)
    out = np.empty(shape, np.uint8)
    for row, image in enumerate(decoded):
        out[row] = np.asarray(_resized(image, width, height).convert(mode))
    return out


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    # Averaging over whole boxes first makes large photographs cost little more than small ones.
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _colours(pixels: np.ndarray) -> np.ndarray:
    """Return square roots of joint colour frequencies (n, 64) of uint8 (n, h, w, 3).

    The root (Hellinger's map) keeps one dominant background from drowning the rest.
    """
    levels = pixels.reshape(len(pixels), -1, 3).astype(np.int64) * COLOUR_LEVELS // 256
    bins = COLOUR_LEVELS**3
    codes = (levels[..., 0] * COLOUR_LEVELS + levels[..., 1]) * COLOUR_LEVELS + levels[..., 2]
    rows = np.arange(len(pixels))[:, None] * bins
    counts = np.bincount((codes + rows).ravel(), minlength=len(pixels) * bins)
    frequencies = counts.reshape(len(pixels), bins) / codes.shape[1]
    return np.asarray(np.sqrt(frequencies), np.float32)


def _texture(grey: np.ndarray) -> np.ndarray:
    """Return gradient orientations a cell (n, CELLS * CELLS * ORIENTATIONS) of uint8 (n, h, w).

    Source: Dalal and Triggs, CVPR 2005: unsigned orientations, each gradient shared between its
    two nearest bins; here one norm a cell instead of overlapping blocks.
    """
    out = np.empty((len(grey), CELLS * CELLS * ORIENTATIONS), np.float32)
    for start in range(0, len(grey), 64):  # so that intermediate arrays stay in cache
        out[start : start + 64] = _orientations(grey[start : start + 64].astype(np.float32) / 255)
    return out


def _orientations(grey_NHW: np.ndarray) -> np.ndarray:
    down = np.zeros_like(grey_NHW)
    right = np.zeros_like(grey_NHW)
    down[:, 1:-1] = (grey_NHW[:, 2:] - grey_NHW[:, :-2]) / 2
    right[:, :, 1:-1] = (grey_NHW[:, :, 2:] - grey_NHW[:, :, :-2]) / 2
    size = np.hypot(down, right)
    place = np.arctan2(down, right) * (ORIENTATIONS / np.pi) % ORIENTATIONS
    low = np.minimum(place.astype(np.int64), ORIENTATIONS - 1)  # rounding may reach the modulus
    share = (place - low).astype(np.float32)
    count, height, width = grey_NHW.shape
    row, column = np.arange(height) * CELLS // height, np.arange(width) * CELLS // width
    cell = row[:, None] * CELLS + column[None, :]
    base = (np.arange(count)[:, None, None] * CELLS**2 + cell) * ORIENTATIONS
    bins = count * CELLS**2 * ORIENTATIONS
    total = np.bincount((base + low).ravel(), (size * (1 - share)).ravel(), bins)
    total += np.bincount((base + (low + 1) % ORIENTATIONS).ravel(), (size * share).ravel(), bins)
    cells = total.reshape(count, CELLS**2, ORIENTATIONS)
    floor = (height // CELLS) * (width // CELLS) / 255  # one grey level a pixel: flat
    norm = np.sqrt((cells**2).sum(axis=2, keepdims=True) + floor**2)
    return np.asarray((cells / norm).reshape(count, -1), np.float32)
