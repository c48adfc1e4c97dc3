"""Pure functions on PIL RGB images that several augmentations share. Sizes are kept."""

from __future__ import annotations

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]


def mean_colour(image: Image.Image) -> Colour:
    """Return the mean of all pixels: what uncovered corners are filled with.

    After a model's normalisation it lies near 0, where black would be a strong signal.
    """
    mean = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(mean, tuple)
    return int(mean[0]), int(mean[1]), int(mean[2])


def rotated(image: Image.Image, degrees: float) -> Image.Image:
    """Turn anticlockwise about the centre; what leaves the frame is lost.

    A square turned by a multiple of 90 degrees keeps every pixel.
    """
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=mean_colour(image))


def warped(
    image: Image.Image, matrix: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)
) -> Image.Image:
    """Map about the centre: pixel p of the result is p -> matrix (2, 2) @ (p - c) + c - shift.

    `shift`: pixels (right, down) that the content moves by.
    """
    centre = np.asarray([image.width / 2, image.height / 2])
    offset = centre - matrix @ centre - np.asarray(shift)
    (a, b), (d, e) = matrix.tolist()
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        (a, b, float(offset[0]), d, e, float(offset[1])),
        Image.Resampling.BILINEAR,
        fillcolor=mean_colour(image),
    )


def zoomed(image: Image.Image, factor: float) -> Image.Image:
    """Enlarge (factor above 1) or shrink the content about the centre."""
    return warped(image, np.eye(2) / factor)


def sheared(image: Image.Image, across: float, down: float) -> Image.Image:
    """Shear by pixels per pixel: rows slide by `across`, columns by `down`."""
    return warped(image, np.asarray([[1.0, across], [down, 1.0]]))


def moved(image: Image.Image, right: float, down: float) -> Image.Image:
    """Move the content by shares of width and height."""
    return warped(image, np.eye(2), (right * image.width, down * image.height))


def hue_turned(image: Image.Image, turns: float) -> Image.Image:
    """Turn every hue by `turns` of the colour circle, in steps of 1/256."""
    step = round(turns * 256) % 256
    if not step:
        return image
    hue, saturation, value = image.convert("HSV").split()
    table = [(level + step) % 256 for level in range(256)]
    return Image.merge("HSV", (hue.point(table), saturation, value)).convert("RGB")
