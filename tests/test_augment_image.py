"""Augmentations of images: conformance, and each against a reference."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from headstart.data.augment import pictures
from headstart.data.augment.image_colour import Blur, Colour, Erase
from headstart.data.augment.image_geometry import Crop, Flip, FlipVertical, Rotate, Scale
from headstart.data.augment.image_policies import (
    OPERATIONS,
    RandAugment,
    TrivialAugment,
    posterised,
    solarised,
)
from headstart.testing.augment import AugmentationConformance, rng, usual


class TestCrop(AugmentationConformance):
    augmentation = Crop(area=0.2)
    wrong = ("crop:0", "crop:1.1", "crop:stretch=0.5")


class TestFlip(AugmentationConformance):
    augmentation = Flip(chance=0.6)
    wrong = ("flip:-0.1", "flip:2")

    def test_it_changes_something_and_not_always_the_same(self) -> None:
        check_mirrored(Flip(chance=0.5), Image.Transpose.FLIP_LEFT_RIGHT)


class TestFlipVertical(AugmentationConformance):
    augmentation = FlipVertical(chance=0.6)
    wrong = ("vflip:-0.1", "vflip:nan")

    def test_it_changes_something_and_not_always_the_same(self) -> None:
        check_mirrored(FlipVertical(chance=0.5), Image.Transpose.FLIP_TOP_BOTTOM)


def check_mirrored(one: Flip | FlipVertical, how: Image.Transpose) -> None:
    for image in usual("image"):
        found = Counter(one.example(image, rng=rng(seed)).tobytes() for seed in range(200))
        assert set(found) == {image.tobytes(), image.transpose(how).tobytes()}
        assert 70 <= found[image.tobytes()] <= 130


class TestRotate(AugmentationConformance):
    augmentation = Rotate(degrees=30)
    wrong = ("rotate:-1", "rotate:181", "rotate:10:2")


class TestScale(AugmentationConformance):
    augmentation = Scale(by=0.5)
    wrong = ("scale:-0.1", "scale:4")


class TestColour(AugmentationConformance):
    augmentation = Colour(strength=0.5)
    wrong = ("colour:1.5", "colour:hue=0.6", "colour:brightness=-1")


class TestBlur(AugmentationConformance):
    augmentation = Blur(radius=9)
    wrong = ("blur:-1", "blur:21")


class TestErase(AugmentationConformance):
    augmentation = Erase(area=0.3)
    wrong = ("erase:0", "erase:1.2", "erase:0.1:3")


class TestRandAugment(AugmentationConformance):
    augmentation = RandAugment(count=2, magnitude=9)
    wrong = ("rand:0", "rand:2:31")


class TestTrivialAugment(AugmentationConformance):
    augmentation = TrivialAugment()
    wrong = ("trivial:31", "trivial:-1")


@pytest.fixture
def square() -> Image.Image:
    pixels = rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def smooth(width: int, height: int) -> Image.Image:
    """A picture without edges, so that two ways of interpolating nearly agree."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    planes = [np.sin(3 * x + y), np.cos(2 * y - x), np.sin(2 * x * y)]
    return Image.fromarray((127 + 120 * np.stack(planes, axis=-1)).astype(np.uint8))


def test_a_quarter_turn_is_a_transposition(square: Image.Image) -> None:
    for degrees, how in (
        (90, Image.Transpose.ROTATE_90),
        (180, Image.Transpose.ROTATE_180),
        (-90, Image.Transpose.ROTATE_270),
    ):
        assert pictures.rotated(square, degrees).tobytes() == square.transpose(how).tobytes()


def test_rotation_agrees_with_a_slow_loop() -> None:
    image, degrees = smooth(60, 44), 20.0
    found = array(pictures.rotated(image, degrees))
    given, angle = array(image), np.deg2rad(degrees)
    for y in range(16, 28):
        for x in range(20, 40):
            dx, dy = x + 0.5 - 30, y + 0.5 - 22
            # Anticlockwise with y downwards; the source of a pixel is turned the other way.
            sx = np.cos(angle) * dx - np.sin(angle) * dy + 30 - 0.5
            sy = np.sin(angle) * dx + np.cos(angle) * dy + 22 - 0.5
            nearest = given[round(sy), round(sx)]
            assert np.abs(found[y, x] - nearest).max() <= 6


def test_corners_get_the_mean_colour() -> None:
    image = Image.new("RGB", (50, 50), (200, 100, 50))
    assert pictures.rotated(image, 45).tobytes() == image.tobytes()
    assert pictures.zoomed(image, 0.5).tobytes() == image.tobytes()


def test_zoom_magnifies_about_the_centre() -> None:
    image = smooth(80, 60)
    centre = array(pictures.zoomed(image, 2.0))
    reference = array(image.crop((20, 15, 60, 45)).resize((80, 60), Image.Resampling.BILINEAR))
    assert np.abs(centre - reference)[2:-2, 2:-2].max() <= 2
    small = array(pictures.zoomed(image, 0.5))
    assert np.abs(small[5, 5] - np.asarray(pictures.mean_colour(image))).max() == 0
    assert np.abs(small[30, 40] - array(image)[30, 40]).max() <= 3


def test_moving_by_whole_pixels_is_exact(square: Image.Image) -> None:
    found = array(pictures.moved(square, 10 / 40, -5 / 40))
    np.testing.assert_array_equal(found[:34, 11:], array(square)[5:39, 1:30])
    assert (found[:, :9] == np.asarray(pictures.mean_colour(square))).all()


def test_shear_slides_rows() -> None:
    image = smooth(60, 41)
    found, given = array(pictures.sheared(image, 0.5, 0)), array(image)
    np.testing.assert_allclose(found[20, 5:-5], given[20, 5:-5], atol=3)  # the middle row stays
    np.testing.assert_allclose(found[30, 5:-15], given[30, 10:-10], atol=3)  # 10 rows below: by 5


def test_hue_turns_round_the_circle() -> None:
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    r, g, b = pictures.hue_turned(red, 1 / 3).getpixel((0, 0))  # type: ignore[misc]
    assert g > 250 and r < 12 and b < 12
    assert pictures.hue_turned(red, 0) is red


@pytest.mark.parametrize("field", ["brightness", "contrast", "saturation", "hue"])
def test_each_side_of_colour_can_be_had_alone(square: Image.Image, field: str) -> None:
    off = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    none = Colour(1.0, **off).example(square, rng=rng(1))
    assert none.tobytes() == square.tobytes()
    one = Colour(1.0, **{**off, field: 0.5})
    assert one.example(square, rng=rng(1)).tobytes() != square.tobytes()


def test_brightness_stays_within_its_factor() -> None:
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    one = Colour(0.3, contrast=0, saturation=0, hue=0)
    levels = [one.example(grey, rng=rng(seed)).getpixel((0, 0))[0] for seed in range(300)]  # type: ignore[index]
    assert 69 <= min(levels) < 74 and 126 < max(levels) <= 130


def test_crops_keep_area_shape_and_bounds() -> None:
    one, draw = Crop(area=0.3, stretch=1.5), rng(2)
    boxes = np.asarray([one.box(200, 100, draw) for _ in range(500)])
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    shares = wide * high / 20000
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 200 and boxes[:, 3].max() <= 100
    assert 0.29 <= shares.min() < 0.35 and 0.9 < shares.max() <= 1
    ratio = (wide / high) / 2
    assert 1 / 1.55 <= ratio.min() < 0.75 and 1.3 < ratio.max() <= 1.55


def test_a_whole_crop_changes_nothing(square: Image.Image) -> None:
    assert Crop(area=1, stretch=1).example(square, rng=rng(0)).tobytes() == square.tobytes()


def test_erasing_fills_one_rectangle_of_the_stated_area() -> None:
    image = Image.new("RGB", (100, 80), (0, 0, 0))
    shares = []
    for seed in range(100):
        found = np.asarray(Erase(area=0.2, chance=1).example(image, rng=rng(seed))).any(axis=2)
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert found.sum() > 0.98 * height * width  # a noisy pixel may be black
        assert 1 / 3.5 < width / height < 3.5
        shares.append(height * width / 8000)
    assert 0.015 < min(shares) < 0.04 and 0.17 < max(shares) < 0.21


def test_blur_grows_with_the_image() -> None:
    edge = np.zeros((448, 448, 3), np.uint8)
    edge[:, 224:] = 255
    large, small = Image.fromarray(edge), Image.fromarray(edge[::2, ::2])
    one = Blur(radius=4, chance=1)
    wide = [
        int(((pixels > 20) & (pixels < 235)).sum())
        for pixels in (
            np.asarray(one.example(image, rng=rng(1)))[10, :, 0] for image in (large, small)
        )
    ]
    assert wide[1] > 2 and wide[0] == pytest.approx(2 * wide[1], rel=0.2)


def test_posterise_keeps_bits_and_solarise_inverts(square: Image.Image) -> None:
    levels = np.asarray(square)
    np.testing.assert_array_equal(np.asarray(posterised(square, 4)), levels & 0xF0)
    np.testing.assert_array_equal(np.asarray(posterised(square, 0)), levels)
    reference = np.where(levels < 156, levels, 255 - levels)
    np.testing.assert_array_equal(np.asarray(solarised(square, 100)), reference)
    np.testing.assert_array_equal(np.asarray(solarised(square, 256)), 255 - levels)


def test_the_fourteen_operations_do_nothing_at_magnitude_0(square: Image.Image) -> None:
    assert len(OPERATIONS) == 14
    for operation in OPERATIONS:
        changed = operation.apply(square, 0.0).tobytes() != square.tobytes()
        assert changed == (operation.name in {"equalise"}), operation.name  # noise spans 0 to 255


def test_policies_draw_every_operation(square: Image.Image) -> None:
    rand = {RandAugment(1, 15).example(square, rng=rng(s)).tobytes() for s in range(400)}
    signed = sum(operation.signed for operation in OPERATIONS)
    autocontrast = 1  # noise spans 0 to 255, so it looks like identity
    assert len(rand) == len(OPERATIONS) - autocontrast + signed
    trivial = {TrivialAugment().example(square, rng=rng(s)).tobytes() for s in range(400)}
    assert len(trivial) > 150  # 31 magnitudes as well
