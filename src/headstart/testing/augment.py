"""A conformance suite for augmentations: inherit it, say which one, run pytest.

class TestFog(AugmentationConformance):
    augmentation = Fog(density=0.3)
    wrong = ("fog:-1", "fog:2")
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pytest

from headstart.data.augment import Augmentation, Chain, parse, spec_of
from headstart.data.modality.base import Decoded
from headstart.errors import UsageError

OTHER = {"image": "text", "text": "audio", "audio": "image"}


class AugmentationConformance:
    """What every augmentation must do.

    `wrong`: specs with values out of range. `works_on`: "example" or "batch". `draws`: how often
    one example is augmented at most; fewer for what is slow.
    """

    augmentation: ClassVar[Augmentation]
    wrong: ClassVar[tuple[str, ...]]
    works_on: ClassVar[str] = "example"
    draws: ClassVar[int] = 40

    def examples(self) -> Sequence[Decoded]:
        """Return at least 4 decoded examples of unequal size."""
        return usual(self.augmentation.modality)

    def smallest(self) -> Decoded:
        """Return the smallest example that decode lets through: 1 x 1, one word, 10 ms."""
        return smallest(self.augmentation.modality)

    def test_it_is_a_frozen_dataclass(self) -> None:
        one: Any = self.augmentation
        assert one.name.isidentifier() and one.modality in OTHER
        assert dataclasses.is_dataclass(one)
        field = dataclasses.fields(one)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field, getattr(one, field))

    def test_its_spec_gives_it_back(self) -> None:
        one = self.augmentation
        chain = Chain(one.modality, (one, one))
        again = parse(str(chain), one.modality)
        assert again == chain and str(again) == str(chain)
        assert parse(spec_of(one), one.modality).augmentations == (one,)

    def test_another_modality_is_refused(self) -> None:
        one = self.augmentation
        with pytest.raises(UsageError, match=one.modality):
            parse(spec_of(one), OTHER[one.modality])

    def test_values_out_of_range_are_refused_by_name(self) -> None:
        assert self.wrong
        for spec in self.wrong:
            with pytest.raises(UsageError, match=self.augmentation.name):
                parse(spec, self.augmentation.modality)

    def test_same_generator_same_result(self) -> None:
        for k, decoded in enumerate(self.examples()):
            assert same(self._changed(decoded, k), self._changed(decoded, k))

    def test_it_changes_something_and_not_always_the_same(self) -> None:
        for decoded in self.examples():
            found = [self._changed(decoded, seed) for seed in range(self.draws)]
            apart = [one for one in found if not same(one, self._unchanged(decoded))]
            assert apart, f"{self.augmentation} never changes {decoded!r}"
            assert not all(same(apart[0], one) for one in apart[1:]), "one change only"

    def test_type_and_size_are_kept(self) -> None:
        for decoded in [*self.examples(), self.smallest()]:
            for seed in range(min(10, self.draws)):
                check_kept(decoded, self.augmentation.example(decoded, rng=rng(seed)))

    def test_the_example_itself_is_left_alone(self) -> None:
        for decoded in self.examples():
            before = content(decoded)
            for seed in range(min(5, self.draws)):
                self.augmentation.example(decoded, rng=rng(seed))
            assert content(decoded) == before

    def test_global_generators_are_left_alone(self) -> None:
        import torch

        # The legacy state is what is watched, not drawn from.
        states = (random.getstate(), str(np.random.get_state()), torch.get_rng_state())  # noqa: NPY002
        for seed, decoded in enumerate(self.examples()):
            self._changed(decoded, seed)
        assert random.getstate() == states[0]
        assert str(np.random.get_state()) == states[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[2])

    def test_threads_change_nothing(self) -> None:
        jobs = [
            (decoded, seed) for decoded in self.examples() for seed in range(min(6, self.draws))
        ]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda job: self._changed(*job), jobs))
        for job, found in zip(jobs, together, strict=True):
            assert same(found, self._changed(*job))

    def test_a_batch_keeps_keys_order_and_labels(self) -> None:
        given = batch_for(self.augmentation.modality)
        before = {key: value.copy() for key, value in given.items()}
        found = self.augmentation.batch(given, rng=rng(0))
        assert list(found) == list(given)
        for key, value in given.items():
            assert np.array_equal(value, before[key]), f"{key} of the caller's batch was changed"
            assert found[key].shape == value.shape and found[key].dtype == value.dtype
        for key in ("labels", "attention_mask"):
            assert np.array_equal(found[key], before[key])

    def test_no_chance_no_change(self) -> None:
        one: Any = self.augmentation
        if any(field.name == "chance" for field in dataclasses.fields(one)):
            never = dataclasses.replace(one, chance=0.0)
            for seed, decoded in enumerate(self.examples()):
                assert same(never.example(decoded, rng=rng(seed)), decoded)

    def _changed(self, decoded: Decoded, seed: int) -> Any:
        if self.works_on == "example":
            return self.augmentation.example(decoded, rng=rng(seed))
        return self.augmentation.batch({"input_values": decoded[None]}, rng=rng(seed))[
            "input_values"
        ]

    def _unchanged(self, decoded: Decoded) -> Any:
        return decoded if self.works_on == "example" else decoded[None]


def rng(seed: int) -> np.random.Generator:
    """Return a fresh generator."""
    return np.random.default_rng(seed)


def usual(modality: str) -> list[Decoded]:
    """Return four decoded examples of unequal size."""
    draw = rng(7)
    if modality == "image":
        from PIL import Image

        sides = ((48, 48), (64, 40), (31, 57), (90, 120))
        grain = [draw.integers(0, 256, (h // 3, w // 3, 3), dtype=np.uint8) for w, h in sides]
        return [
            Image.fromarray(pixels).resize(size) for pixels, size in zip(grain, sides, strict=True)
        ]
    if modality == "text":
        return [
            "The film was not very good, but the plot had a bright and happy ending.",
            "A  quick\tbrown fox jumps over the lazy dog;\nthe dog sleeps on. ",
            "good bad film plot dull bright film plot good",
            "What is the large city of the big country called, and who was its first king?",
        ]
    clips = []
    for length in (16000, 12345, 4000, 40001):
        time = np.arange(length) / 16000
        tone = 0.5 * np.sin(2 * np.pi * 440 * time) * np.exp(-2 * time)
        clips.append((tone + 0.01 * draw.standard_normal(length)).astype(np.float32))
    return clips


def smallest(modality: str) -> Decoded:
    """Return the smallest example that decode lets through."""
    if modality == "image":
        from PIL import Image

        return Image.new("RGB", (1, 1), (10, 200, 30))
    if modality == "text":
        return "good"
    return np.sin(np.arange(160) / 5).astype(np.float32)


def batch_for(modality: str) -> dict[str, np.ndarray]:
    """Return a preprocessed batch of two, with what must not change beside it."""
    draw = rng(3)
    inputs = {
        "image": ("pixel_values", (2, 3, 16, 16), (2, 1)),
        "text": ("input_ids", (2, 8), (2, 8)),
        "audio": ("input_features", (2, 60, 20), (2, 60)),
    }
    key, shape, mask = inputs[modality]
    values: np.ndarray = draw.standard_normal(shape).astype(np.float32)
    return {
        key: values if modality != "text" else draw.integers(0, 40, shape),
        "attention_mask": np.ones(mask, np.int64),
        "labels": np.asarray([1, 0]),
    }


def content(decoded: Decoded) -> bytes:
    """Return an example's bytes."""
    if isinstance(decoded, str):
        return decoded.encode()
    return bytes(decoded.tobytes())


def same(one: Any, other: Any) -> bool:
    """Tell whether two examples are equal, element by element."""
    return type(one) is type(other) and content(one) == content(other)


def check_kept(before: Decoded, after: Decoded) -> None:
    """Assert that `after` is what `before` was: same type and size, finite, in range."""
    if isinstance(before, str):
        assert isinstance(after, str) and after.strip(), f"nothing is left of {before!r}"
    elif isinstance(before, np.ndarray):
        assert isinstance(after, np.ndarray)
        assert after.shape == before.shape and after.dtype == np.float32
        assert np.isfinite(after).all() and np.abs(after).max() <= 1
    else:
        assert after.size == before.size and after.mode == "RGB"
