"""The common way from an image to numbers, at the machine's pace: resize, crop, one normalisation.

transformers' PIL processors convert each image four times between PIL and numpy, and make a new
float array for each step. Where a processor does nothing but resize (to a shorter side or an exact
size), crop at the centre, rescale and normalise, the same is done here with one Pillow call and
two passes over memory. It is used only if it gave what the processor itself gave on generated
images, to 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

EQUAL = 1e-6
TRIED = ((61, 97), (97, 61), (300, 411), (411, 300), (160, 160))  # width, height in pixels
# What else a processor may be told to do; none of it is done here.
OTHER_STEPS = ("do_pad", "do_reduce_labels", "do_flip_channel_order", "do_thumbnail", "crop_pct",
               "do_align_long_axis", "do_split_image", "do_color_quantize", "offset")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pixels:
    """RGB images to pixel_values (n, 3, h, w) float32, channels last in memory."""

    size: int | tuple[int, int]  # shorter side, or (height, width)
    filter: int  # Pillow's resampling filter
    crop: tuple[int, int]  # (height, width); the whole resized image where `size` is exact
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]

    def __call__(self, images: Sequence[Image]) -> Tensor:
        import torch

        height, width = self.crop
        out = np.empty((len(images), height, width * 3), np.float32)
        scale = np.tile(np.asarray(self.scale, np.float32), width)  # long rows: numpy's fast loop
        shift = np.tile(np.asarray(self.shift, np.float32), width)
        for image, row in zip(images, out, strict=True):
            pixels = np.asarray(self._resized(image)).reshape(height, width * 3)
            np.multiply(pixels, scale, out=row, dtype=np.float32)
            row += shift
        return torch.from_numpy(out.reshape(-1, height, width, 3)).permute(0, 3, 1, 2)

    def _resized(self, image: Image) -> Image:
        width, height = image.size
        if isinstance(self.size, tuple):
            new_height, new_width = self.size
        else:
            # As transformers and torchvision count: the longer side is cut, not rounded.
            longer = int(self.size * max(width, height) / min(width, height))
            new_width, new_height = (self.size, longer) if width <= height else (longer, self.size)
        resized = image.resize((new_width, new_height), self.filter)  # type: ignore[arg-type]
        if (new_height, new_width) == self.crop:
            return resized
        top, left = (new_height - self.crop[0]) // 2, (new_width - self.crop[1]) // 2
        return resized.crop((left, top, left + self.crop[1], top + self.crop[0]))


def quick(processor: Any) -> Pixels | None:
    """Return the fast way for a transformers processor, None where its steps are others."""
    try:
        pixels = _read(processor)
        return pixels if pixels is not None and _equal(pixels, processor) else None
    except Exception:  # a processor with settings of another form: it runs itself
        return None


def _read(processor: Any) -> Pixels | None:
    asked = {name: getattr(processor, name, None) for name in OTHER_STEPS}
    if any(asked.values()) or not processor.do_resize:
        return None
    sides = {key: int(side) for key, side in dict(processor.size).items() if side}
    size: int | tuple[int, int]
    if set(sides) == {"shortest_edge"}:
        size = least = sides["shortest_edge"]
    elif set(sides) == {"height", "width"}:
        size = (sides["height"], sides["width"])
        least = min(size)
    else:
        return None
    if getattr(processor, "do_center_crop", False):
        crop = (int(processor.crop_size["height"]), int(processor.crop_size["width"]))
    elif isinstance(size, tuple):
        crop = size
    else:
        return None
    if max(crop) > least and crop != size:
        return None  # the processor would pad
    factor = float(processor.rescale_factor) if processor.do_rescale else 1.0
    mean, std = np.zeros(3), np.ones(3)
    if processor.do_normalize:
        mean = np.broadcast_to(np.asarray(processor.image_mean, np.float64), 3)
        std = np.broadcast_to(np.asarray(processor.image_std, np.float64), 3)
    red, green, blue = (factor / std).tolist()
    return Pixels(
        size, int(processor.resample), crop, (red, green, blue), tuple((-mean / std).tolist())
    )


def _equal(pixels: Pixels, processor: Any) -> bool:
    from PIL import Image

    rng = np.random.default_rng(0)
    for width, height in TRIED:
        coarse = rng.integers(0, 256, (height // 7, width // 7, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        expected = np.asarray(processor(images=[image], return_tensors="np")["pixel_values"])
        found = pixels([image]).numpy()
        if expected.shape != found.shape or not np.abs(expected - found).max() <= EQUAL:
            return False
    return True
