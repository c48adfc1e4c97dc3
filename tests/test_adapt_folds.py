"""Folds and validation rows: stratified, groups whole, the person's own rows apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.adapt.folds import carve, folds_of, plan
from headstart.data.dataset import Dataset, Unlabelled
from headstart.data.task import Task


def labelled(targets: Any, groups: Any = None, kind: str = "classification") -> Dataset:
    targets = np.asarray(targets)
    labels = tuple("abcdefgh"[: int(targets.max()) + 1]) if kind == "classification" else ("y",)
    if kind == "multi-label":
        labels = tuple("abcdefgh"[: targets.shape[1]])
    count = len(targets)
    inputs = Unlabelled("text", [str(i) for i in range(count)], [str(i) for i in range(count)],
                        np.zeros((count, 16), np.uint8))  # fmt: skip
    return Dataset("d", inputs, targets, Task.of(kind, labels),
                   None if groups is None else np.asarray(groups, dtype=object))  # fmt: skip


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sizes", [(50, 50, 50), (97, 12, 5), (40, 3, 2, 1)])
def test_folds_are_stratified_and_even(sizes: tuple[int, ...]) -> None:
    data = labelled(np.repeat(np.arange(len(sizes)), sizes))
    folds = folds_of(data, rng=rng())
    assert folds is not None and folds.max() == 4
    for label, size in enumerate(sizes):
        held = np.bincount(folds[data.targets == label], minlength=5)
        assert held.max() - held.min() <= 1, (label, size, held)
    whole = np.bincount(folds)
    assert whole.max() - whole.min() <= 1


def test_folds_of_regression_are_alike() -> None:
    data = labelled(rng(3).normal(0, 1, 500), kind="regression")
    folds = folds_of(data, rng=rng())
    assert folds is not None
    means = [data.targets[folds == fold].mean() for fold in range(5)]
    assert max(means) - min(means) < 0.05
    assert set(np.bincount(folds)) == {100}


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_part(seed: int) -> None:
    groups = rng(seed).integers(0, 23, 200)
    data = labelled(rng(seed).integers(0, 2, 200), groups)
    folds = folds_of(data, rng=rng(seed))
    assert folds is not None and set(folds) == set(range(5))
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1
    held = carve(data, 0.2, rng=rng(seed))
    assert 20 <= len(held) <= 60
    assert not set(groups[held]) & set(np.delete(groups, held))


def test_too_little_is_not_folded() -> None:
    assert folds_of(labelled([0, 1, 2]), rng=rng()) is None
    assert folds_of(labelled([1.0, 2.0, 3.0], kind="regression"), rng=rng()) is None
    assert folds_of(labelled([0, 1, 0, 1], ["one"] * 4), rng=rng()) is None
    assert plan(labelled([0, 1, 2]), None, rng=rng()) is None


def test_there_are_at_most_as_many_folds_as_a_class_has_examples() -> None:
    folds = folds_of(labelled([0, 0, 1, 1, 2, 2]), rng=rng())
    assert folds is not None and set(folds) == {0, 1}


def test_own_validation_stands_apart() -> None:
    data = labelled(np.arange(60) % 3)
    own = np.arange(40, 60)
    folds = plan(data, own, rng=rng())
    assert folds is not None and folds.apart == 5
    assert set(np.flatnonzero(folds.of == folds.apart)) == set(own)
    for fold in range(folds.count):
        assert not folds.inside(fold)[own].any()
    assert folds.inside(folds.apart).sum() == 40


def test_own_validation_beside_too_little_to_fold() -> None:
    data = labelled([0, 1, 2, 0, 1, 2, 0, 1, 2])
    folds = plan(data, np.arange(3, 9), rng=rng())
    assert folds is not None and folds.apart is not None
    assert folds.inside(folds.apart).tolist() == [True] * 3 + [False] * 6


@pytest.mark.parametrize("share", [0.2, 0.25, 0.5])
def test_carve_takes_its_share_of_every_class(share: float) -> None:
    data = labelled(np.repeat([0, 1, 2], (100, 40, 20)))
    held = carve(data, share, rng=rng())
    assert len(set(held)) == len(held)
    counts = np.bincount(data.targets[held])
    np.testing.assert_allclose(counts, np.array([100, 40, 20]) * share, atol=1)


def test_carve_leaves_a_single_example_to_training() -> None:
    for seed in range(20):
        data = labelled([0] * 10 + [1])
        assert 10 not in carve(data, 0.5, rng=rng(seed))


def test_same_seed_same_folds_other_seed_others() -> None:
    data = labelled(np.arange(90) % 3)
    one, same, other = (folds_of(data, rng=rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    np.testing.assert_array_equal(carve(data, 0.2, rng=rng(1)), carve(data, 0.2, rng=rng(1)))
