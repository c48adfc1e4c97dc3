"""Images: files of the usual formats, or arrays of pixels."""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from headstart.data.dataset import Item
from headstart.data.modality import image_features
from headstart.data.modality.base import InputSpec, SimpleFeatures
from headstart.data.modality.files import check_file, read_file
from headstart.errors import Unreadable

MAX_PIXELS = 100_000_000  # checked before decoding, whatever Pillow's own bound is set to
SHOWN = 160  # px, longer side in a report

# Decoders that stay within their bytes; others (EPS, for one) start outside programs.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


class ImageModality:
    """Images: a Path, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)."""

    name = "image"
    suffixes = frozenset(
        {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
        | {".ppm", ".pgm", ".pbm", ".pnm"}
    )

    def read(self, item: Item) -> bytes:
        """Return the file's bytes, or an array's type, shape and pixels. Raises Unreadable."""
        if isinstance(item, Path):
            return read_file(item)
        if isinstance(item, np.ndarray) and item.dtype != object:
            header = f"{item.dtype.str} {item.shape} ".encode()
            return header + np.ascontiguousarray(item).tobytes()
        raise Unreadable(f"no image: expected a path or an array, got {type(item).__name__}")

    def decode(self, item: Item, spec: InputSpec) -> Image.Image:
        """Return a PIL RGB image: upright, transparency laid over white.

        With `spec.size`, a JPEG may come at 1/2, 1/4 or 1/8 scale, its shorter side still at least
        that. Arrays follow `to_uint8`. Raises Unreadable with the reason.
        """
        if isinstance(item, Path):
            check_file(item)
            return _decode_file(item, spec.size)
        if isinstance(item, np.ndarray):
            return _from_array(item)
        raise Unreadable(f"no image: expected a path or an array, got {type(item).__name__}")

    def fit_simple(self, decoded: Sequence[Any]) -> SimpleFeatures:
        """Fit "pixels" for images of at most 16 px, else "colour-texture" or "texture"."""
        return image_features.fit(decoded)

    def simple_from_state(
        self, settings: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> SimpleFeatures:
        """Rebuild what `state` of the simple features gave."""
        return image_features.ImageFeatures(**settings)

    def show(self, item: Item) -> str:
        """Return an <img> of at most 160 px with its JPEG inside, or the reason why there is none.

        Arrays of fewer pixels are enlarged by whole numbers, so that a digit can be seen.
        """
        title = html.escape(item.name if isinstance(item, Path) else "image", quote=True)
        try:
            image = self.decode(item, InputSpec(size=SHOWN))
        except Unreadable as error:
            return f"<em>{title}: {html.escape(str(error))}</em>"
        image.thumbnail((SHOWN, SHOWN))
        scale = max(1, 64 // max(image.size))
        width, height = image.width * scale, image.height * scale
        image = image.resize((width, height), Image.Resampling.NEAREST)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        code = base64.b64encode(buffer.getvalue()).decode("ascii")
        source = f"data:image/jpeg;base64,{code}"
        return f'<img src="{source}" width="{width}" height="{height}" alt="{title}">'


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Return pixels of any shape as uint8, 255 being white, by their type and largest value.

    uint8 stays; booleans times 255. Other numbers: largest value up to 1: times 255; up to 16 (as
    in scikit-learn's digits): times 255/16; up to 255: as they are; up to 65535: divided by 257.
    Pass a whole stack of images, where there is one, so that all of them follow
    one rule. Raises Unreadable for NaN, negative or larger values.

    >>> to_uint8(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 128, 255]
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind not in "iuf":
        raise Unreadable(f"pixels are of type {pixels.dtype}; expected numbers")
    if not pixels.size:
        return pixels.astype(np.uint8)
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 65535):  # NaN fails both
        raise Unreadable(f"pixel values from {low:g} to {high:g}; expected 0 to 1, 255 or 65535")
    white = next(top for top in (1.0, 16.0, 255.0, 65535.0) if high <= top)
    # Half up, not half to even: 0.5 of 255 is 128.
    return np.floor(pixels.astype(np.float64) * (255 / white) + 0.5).astype(np.uint8)


def _decode_file(path: Path, size: int | None) -> Image.Image:
    try:
        with _open(path) as image:
            _check_size(image.width, image.height)
            if size is not None:
                # A square wish holds for both orientations; Pillow keeps each side at least so.
                image.draft(None, (size, size))
            image.load()
            return _to_rgb(_upright(image))
    except Unreadable:
        raise
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise Unreadable(_reason(error)) from None


def _open(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Our own bound speaks, as a reason in quarantine and not as a warning on the screen.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Unreadable(
            f"{width} x {height} pixels is more than the bound of {MAX_PIXELS // 10**6} million"
        )
    if not (width and height):
        raise Unreadable(f"no pixels: {width} x {height}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF tells nothing; the picture itself is whole
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16-bit, 32-bit, float: convert() would clip to 255
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image).astype(np.uint32) // 257).astype(np.uint8)
        else:
            grey = to_uint8(np.asarray(image))
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    # A copy in any case: the file behind `image` is about to be closed.
    return image.convert("RGB")


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise Unreadable(f"array of shape {pixels.shape}; expected (h, w), (h, w, 3) or (h, w, 4)")
    _check_size(pixels.shape[1], pixels.shape[0])
    return _to_rgb(Image.fromarray(np.ascontiguousarray(to_uint8(pixels))))


def _reason(error: Exception) -> str:
    """Say in a few words why an image cannot be read; no path, since quarantine names it."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image: cannot identify file"
    if isinstance(error, Image.DecompressionBombError):
        found = re.search(r"\d+", str(error))
        count = f"{int(found[0]) // 10**6} million" if found else "so many"
        return f"{count} pixels is more than the bound of {MAX_PIXELS // 10**6} million"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    words = str(error).strip() or type(error).__name__
    if "truncated" in words.lower() or isinstance(error, EOFError):
        return f"truncated: {words}"
    return f"broken image: {words}"


IMAGE = ImageModality()
