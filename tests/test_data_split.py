"""Holding out a test part."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.data.split import holdout
from headstart.errors import TooFewExamples


def labels(number: int) -> tuple[str, ...]:
    return tuple(f"c{i}" for i in range(number))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [(50, 50), (97, 31, 5, 2), (2, 2), (3, 2, 2, 2, 2, 2, 2)])
def test_stratified(sizes: tuple[int, ...], seed: int) -> None:
    targets = np.repeat(np.arange(len(sizes)), sizes)
    train, test = holdout(targets, labels(len(sizes)), None, seed=seed)
    assert np.array_equal(np.sort([*train, *test]), np.arange(len(targets)))
    held = np.bincount(targets[test], minlength=len(sizes))
    assert held.min() >= 1
    assert np.bincount(targets[train], minlength=len(sizes)).min() >= 1
    assert np.all(np.abs(held - 0.2 * np.array(sizes)) <= 1)


def test_the_seed_decides() -> None:
    targets = np.arange(100) % 3
    one, again, other = (holdout(targets, labels(3), None, seed=s)[1] for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_class_of_one_is_named() -> None:
    with pytest.raises(TooFewExamples, match=r"'c1' has a single example.*--test"):
        holdout(np.array([0, 0, 1, 2, 2]), labels(3), None, seed=0)
    with pytest.raises(TooFewExamples, match="at least 2"):
        holdout(np.array([0.5]), ("y",), None, seed=0)


def test_continuous_targets_are_spread_over_their_range() -> None:
    targets = np.random.default_rng(0).exponential(size=500)
    _, test = holdout(targets, ("y",), None, seed=0)
    assert len(test) == 100
    ranks = np.argsort(np.argsort(targets))[test] // 50
    assert np.bincount(ranks, minlength=10).tolist() == [10] * 10
    assert len(holdout(np.array([1.0, 2.0]), ("y",), None, seed=0)[1]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_part_and_classes_stay_in_training(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 30, 400).astype(object)
    targets = rng.integers(0, 4, 400)
    train, test = holdout(targets, labels(4), groups, seed=seed)
    assert not set(groups[train]) & set(groups[test])
    assert len(train) + len(test) == 400
    assert 0.1 < len(test) / 400 < 0.3
    assert set(targets[train]) == set(range(4))
    assert set(targets[test]) == set(range(4))


def test_groups_that_cannot_be_held_out() -> None:
    targets = np.array([0, 0, 1, 1])
    with pytest.raises(TooFewExamples, match="No group can be held out"):
        holdout(targets, labels(2), np.array(["a", "a", "b", "b"], dtype=object), seed=0)
    with pytest.raises(TooFewExamples, match="one group, 'a'"):
        holdout(targets, labels(2), np.array(["a"] * 4, dtype=object), seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_every_label_of_many_is_on_both_sides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = (rng.random((300, 12)) < np.geomspace(0.01, 0.6, 12)).astype(np.int8)
    train, test = holdout(targets, labels(12), None, seed=seed)
    assert np.array_equal(np.sort([*train, *test]), np.arange(300))
    positives = targets.sum(axis=0)
    assert np.all((targets[train].sum(axis=0) > 0) | (positives == 0))
    assert np.all((targets[test].sum(axis=0) > 0) | (positives < 2))
    assert 55 <= len(test) <= 66


def test_a_class_of_one_group_stays_in_training() -> None:
    # The first group is the largest, and would serve as a test part but for class 2.
    targets = np.array([0] * 7 + [1] * 7 + [2, 2] + [0, 0, 1, 1] * 14)
    groups = np.array(["only"] * 16 + [str(i // 4) for i in range(56)], dtype=object)
    for seed in range(10):
        train, test = holdout(targets, labels(3), groups, seed=seed)
        assert 2 in targets[train]
        assert len(test)


def test_a_label_that_is_never_the_rarest_of_its_row() -> None:
    rows = [[1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 1, 1, 0]] + [[0, 0, 0, 1]] * 20
    targets = np.array(rows, dtype=np.int8)
    for seed in range(20):
        train, test = holdout(targets, labels(4), None, seed=seed)
        assert targets[train].any(axis=0).all()
        assert targets[test][:, 2].any()
