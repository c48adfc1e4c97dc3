"""Images: conformance, modes, orientation, bounds, arrays, and the hand-made features."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.modality.base import InputSpec
from headstart.data.modality.image import IMAGE, to_uint8
from headstart.errors import Unreadable
from headstart.testing.modality import HOSTILE, ModalityConformance

SPEC = InputSpec()


def photo(seed: int, height: int = 60, width: int = 90) -> np.ndarray:
    """Return a smooth coloured picture, uint8 (height, width, 3)."""
    rough = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


def claimed_png(folder: Path, width: int, height: int) -> Path:
    """Write a tiny PNG that claims to be of that size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + tail

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path = folder / f"{width}x{height}.png"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


class TestImage(ModalityConformance):
    modality = IMAGE
    spec = InputSpec(size=32)

    def items(self, folder):
        paths = []
        for seed, suffix in enumerate((".jpg", ".png", ".webp", ".gif", ".tif", ".bmp")):
            paths.append(folder / f"{seed}{suffix}")
            Image.fromarray(photo(seed)).save(paths[-1])
        return [*paths, photo(10), photo(11)[:, :, 0], photo(12)[:, :, 1:2] / 255.0]

    def garbage(self, folder):
        (folder / "zero.jpg").write_bytes(b"")
        (folder / "words.png").write_text("I am no image")
        (folder / "postscript.png").write_bytes(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
        )
        cut = []
        for suffix in (".jpg", ".png", ".webp", ".gif", ".tif", ".bmp"):
            whole = io.BytesIO()
            Image.fromarray(photo(0)).save(
                whole, {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:])
            )
            cut.append(folder / f"cut{suffix}")
            cut[-1].write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        names = ("zero.jpg", "words.png", "postscript.png", "absent.png")
        arrays = [
            np.zeros((4, 4, 2), np.uint8),
            np.zeros(9),
            np.zeros((0, 4)),
            np.full((4, 4), np.nan),
        ]
        objects = np.array([["a", "b"]], dtype=object)
        bombs = [claimed_png(folder, 20_000, 20_000), claimed_png(folder, 10_001, 10_000)]
        return [
            *(folder / name for name in names),
            *cut,
            *bombs,
            folder,
            *arrays,
            objects,
            "text",
            3,
        ]

    def hostile(self, folder):
        good, bad = folder / f"{HOSTILE[:40]}.png", folder / f"bad{HOSTILE[:40]}.png"
        Image.fromarray(photo(0)).save(good)
        bad.write_bytes(b"?")
        return [good, bad]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda f: f / "absent.png", "no such file or directory"),
        (lambda f: f, "not a file"),
        (lambda f: claimed_png(f, 10_001, 10_000), "10001 x 10000 pixels is more than the bound"),
        (
            lambda f: claimed_png(f, 20_000, 20_000),
            "400 million pixels is more than the bound of 100",
        ),
        (lambda f: claimed_png(f, 20, 2_000), "truncated"),
        (lambda f: np.full((4, 4), -1.0), "pixel values from -1 to -1"),
    ],
)
def test_reasons_say_what_is_wrong(make, reason: str, tmp_path: Path):
    with pytest.raises(Unreadable, match=reason):
        IMAGE.decode(make(tmp_path), SPEC)


def test_zero_bytes_and_no_image_are_named(tmp_path: Path):
    for content, reason in (
        (b"", "^zero bytes$"),
        (b"hello", "^not an image: cannot identify file$"),
    ):
        (tmp_path / "x.png").write_bytes(content)
        with pytest.raises(Unreadable, match=reason):
            IMAGE.decode(tmp_path / "x.png", SPEC)


@pytest.mark.filterwarnings("error")
def test_the_bound_holds_whatever_pillow_is_set_to(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(Unreadable, match="20000 x 20000 pixels"):
        IMAGE.decode(claimed_png(tmp_path, 20_000, 20_000), SPEC)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    path = tmp_path / "fine.png"
    Image.fromarray(photo(1)).save(path)
    assert IMAGE.decode(path, SPEC).size == (90, 60)  # 5400 pixels: Pillow would warn


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_with_and_without_draft(orientation: int, tmp_path: Path):
    pixels = np.zeros((160, 240, 3), np.uint8)
    pixels[:80, :120] = (255, 0, 0)  # a red corner, top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "o.jpg"
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    # Where the stored top left corner stands in the upright picture (EXIF 2.3, table of 0x0112).
    row, column = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0)}.get(
        orientation, {5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}.get(orientation)
    )
    for size, scale in ((None, 1), (40, 4), (41, 2)):
        upright = np.asarray(IMAGE.decode(path, InputSpec(size=size)))
        height, width = (160, 240) if orientation < 5 else (240, 160)
        assert upright.shape == (height // scale, width // scale, 3)
        quarters = upright.reshape(2, height // scale // 2, 2, width // scale // 2, 3).mean((1, 3))
        red = quarters[..., 0] > 200
        assert red.sum() == 1 and red[row, column]


def test_draft_keeps_the_shorter_side_large_enough(tmp_path: Path):
    path = tmp_path / "large.jpg"
    Image.fromarray(photo(1, 301, 777)).save(path)
    whole = IMAGE.decode(path, SPEC)
    for size in (37, 38, 75, 76, 150, 151, 300, 301, 500):
        small = IMAGE.decode(path, InputSpec(size=size))
        assert min(small.size) >= min(size, 301)
        apart = np.abs(np.asarray(small, float) - np.asarray(whole.resize(small.size), float))
        assert apart.mean() < 6  # other filters and a fraction of a pixel


def test_modes_become_rgb_sensibly(tmp_path: Path):
    def decoded(image: Image.Image, suffix: str = ".png", **options) -> np.ndarray:
        image.save(tmp_path / f"m{suffix}", **options)
        return np.asarray(IMAGE.decode(tmp_path / f"m{suffix}", SPEC)).astype(int)

    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert np.abs(decoded(half)[0, 0] - (255, 127, 127)).max() <= 1
    clear = Image.new("LA", (4, 4), (0, 0))
    assert (decoded(clear) == 255).all()
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert (decoded(palette)[0, 0] == (10, 200, 30)).all()
    assert (decoded(palette, transparency=1) == 255).all()
    deep = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    assert decoded(deep)[0, :, 0].tolist() == [0, 100, 255]
    floats = Image.fromarray(np.array([[0, 0.2, 1.0]], np.float32))
    assert decoded(floats, ".tif")[0, :, 2].tolist() == [0, 51, 255]
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(decoded(inks, ".jpg", quality=95)[0, 0] - (255, 0, 0)).max() <= 8
    assert (decoded(Image.new("1", (4, 4), 1)) == 255).all()


def test_arrays_follow_the_stated_rule():
    assert to_uint8(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]
    assert to_uint8(np.array([0.0, 8.0, 16.0])).tolist() == [0, 128, 255]
    assert to_uint8(np.array([0, 17, 255])).tolist() == [0, 17, 255]
    assert to_uint8(np.array([0, 257, 65535], np.uint16)).tolist() == [0, 1, 255]
    assert to_uint8(np.array([True, False])).tolist() == [255, 0]
    assert to_uint8(np.array([0, 3], np.uint8)).tolist() == [0, 3]
    for bad in (np.array([np.inf, 1]), np.array([70_000]), np.array([1j])):
        with pytest.raises(Unreadable):
            to_uint8(bad)


def test_arrays_of_different_shape_or_type_are_different_content():
    pixels = np.arange(12, dtype=np.uint8)
    views = [pixels.reshape(3, 4), pixels.reshape(4, 3), pixels.reshape(3, 4).view(np.int8)]
    assert len({IMAGE.read(view) for view in views}) == 3
    assert IMAGE.read(views[0]) == IMAGE.read(np.asfortranarray(views[0]))


def test_tiny_grey_images_keep_their_pixels():
    from sklearn.datasets import load_digits

    digits = load_digits().images[:50]
    decoded = [IMAGE.decode(one, SPEC) for one in digits]
    fitted = IMAGE.fit_simple(decoded)
    assert fitted.name == "pixels"
    np.testing.assert_allclose(fitted.transform(decoded), digits.reshape(50, 64) / 16, atol=0.003)
    larger = [decoded[0].resize((50, 70))]
    assert fitted.transform(larger).shape == (1, 64)


def test_grey_photographs_get_no_colours():
    colour = [IMAGE.decode(photo(seed), SPEC) for seed in range(3)]
    grey = [IMAGE.decode(photo(seed)[:, :, 0], SPEC) for seed in range(3)]
    assert IMAGE.fit_simple(colour).name == "colour-texture"
    assert IMAGE.fit_simple(grey).name == "texture"
    gap = (
        IMAGE.fit_simple(colour).transform(grey).shape[1]
        - IMAGE.fit_simple(grey).transform(grey).shape[1]
    )
    assert gap == 64


def test_colours_are_counted_as_by_hand():
    flat = np.zeros((128, 128, 3), np.uint8)
    flat[:64] = (255, 0, 0)
    flat[64:] = (0, 130, 70)
    image = IMAGE.decode(flat, SPEC)
    features = IMAGE.fit_simple([image]).transform([image])[0][64 : 64 + 64]
    want = np.zeros(64)
    want[[3 * 16, 2 * 4 + 1]] = 0.5  # levels (3, 0, 0) and (0, 2, 1); boundary rows mix a little
    np.testing.assert_allclose(features**2, want, atol=0.04)


def test_texture_tells_orientation():
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    images = [IMAGE.decode(pixels, SPEC) for pixels in (ramp, ramp.T, (ramp // 2 + ramp.T // 2))]
    fitted = IMAGE.fit_simple([IMAGE.decode(photo(0), SPEC), *images])
    cells = fitted.transform(images)[:, -144:].reshape(3, 16, 9).mean(1)
    # Gradients along x (0 degrees), y (90: shared by bins 4 and 5 of 20 degrees) and 45 (bin 2).
    assert cells[0].argmax() == 0 and cells[0, 0] > 0.9
    assert set(np.argsort(cells[1])[-2:]) == {4, 5}
    assert cells[2].argmax() == 2


def test_show_holds_a_small_jpeg():
    for pixels, size in ((photo(1, 600, 900), (160, 107)), (np.eye(8) * 16, (64, 64))):
        fragment = IMAGE.show(pixels)
        code = re.search(r'src="data:image/jpeg;base64,([^"]+)"', fragment)[1]
        assert Image.open(io.BytesIO(base64.b64decode(code))).size == size
        assert f'width="{size[0]}"' in fragment
