"""Plans of folds, and the t-test that knows that folds overlap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t
from sklearn.model_selection import StratifiedGroupKFold

from headstart.errors import TooFewExamples, UsageError
from headstart.evaluate import cross_validated, plan_folds
from headstart.evaluate.crossval import corrected_t


def test_classes_are_spread_evenly_and_repeats_differ() -> None:
    truth = np.array([0] * 53 + [1] * 20 + [2] * 7)
    plan = plan_folds(truth, 5, 3, rng=np.random.default_rng(0))
    assert plan.shape == (3, 80)
    for fold in plan:
        table = np.array([np.bincount(truth[fold == f], minlength=3) for f in range(5)])
        assert np.ptp(table, axis=0).max() <= 1 and np.ptp(table.sum(axis=1)) <= 1
    assert (plan[0] != plan[1]).any()
    again = plan_folds(truth, 5, 3, rng=np.random.default_rng(0))
    assert (again == plan).all()


def test_groups_never_part_and_are_as_even_as_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    names = rng.integers(0, 40, 400)
    truth = (rng.random(400) < 0.15 + 0.5 * (names % 4 == 0)).astype(int)
    groups = np.array([f"g{i}" for i in names], dtype=object)

    def unevenness(fold: np.ndarray) -> float:
        counts = np.array([np.bincount(truth[fold == f], minlength=2) for f in range(5)])
        return float((counts / counts.sum(axis=0)).std(axis=0).mean())

    fold = plan_folds(truth, 5, groups=groups, rng=rng)[0]
    for group in set(groups):
        assert len(set(fold[groups == group])) == 1
    theirs = np.empty(400, int)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for f, (_, test) in enumerate(splitter.split(truth, truth, groups)):
        theirs[test] = f
    assert set(fold) == set(range(5))
    assert unevenness(fold) < 1.5 * unevenness(theirs) + 0.005


def test_labels_and_numbers_are_spread_too() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random((200, 3)) < (0.5, 0.2, 0.05)).astype(np.int8)
    fold = plan_folds(labels, 4, rng=rng)[0]
    for c in range(3):
        counts = np.bincount(fold[labels[:, c] > 0], minlength=4)
        assert np.ptp(counts) <= 3
    assert np.ptp(np.bincount(fold)) <= 12
    number = rng.normal(size=200)
    fold = plan_folds(number, 5, rng=rng)[0]
    assert np.ptp([number[fold == f].mean() for f in range(5)]) < 0.2
    few = plan_folds(np.arange(3) % 2, 3, groups=np.array(["a", "b", None], object), rng=rng)
    assert sorted(few[0]) == [0, 1, 2]


def test_what_cannot_be_folded_is_said() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(TooFewExamples, match="3 groups cannot make 5"):
        plan_folds(
            np.zeros(9, int), 5, groups=np.repeat(["a", "b", "c"], 3).astype(object), rng=rng
        )
    with pytest.raises(UsageError, match="at least 2 folds"):
        plan_folds(np.zeros(9, int), 1, rng=rng)


def test_corrected_t_against_a_slow_loop() -> None:
    gaps = np.random.default_rng(3).normal(0.02, 0.03, 30)
    found, p, freedom = corrected_t(gaps, 1 / 9)
    mean = sum(gaps) / 30
    variance = sum((g - mean) ** 2 for g in gaps) / 29
    error = (variance * (1 / 30 + 1 / 9)) ** 0.5
    assert freedom == 29 and found.value == pytest.approx(mean)
    assert p == pytest.approx(2 * t.sf(abs(mean) / error, 29))
    assert found.low == pytest.approx(mean - t.ppf(0.975, 29) * error)
    same, none, _ = corrected_t(np.full(5, 0.1), 0.25)
    assert none is None and same.low is None


def test_two_equal_learners_are_seldom_told_apart() -> None:
    """Two nearest-mean learners that see disjoint halves of exchangeable noise features."""
    rng = np.random.default_rng(4)
    claims, plain = 0, 0
    for _ in range(150):
        truth = np.repeat([0, 1], 30)
        features = rng.normal(size=(60, 20)) + 0.35 * truth[:, None]
        fold = plan_folds(truth, 5, 2, rng=rng)
        scores = np.empty((2, 2, 5))
        for r in range(2):
            for f in range(5):
                test = fold[r] == f
                for m in range(2):
                    x = features[:, 10 * m : 10 * m + 10]
                    means = [x[~test & (truth == c)].mean(axis=0) for c in (0, 1)]
                    near = [((x[test] - mean) ** 2).sum(axis=1) for mean in means]
                    scores[m, r, f] = (np.argmin(near, axis=0) == truth[test]).mean()
        _, p, _ = corrected_t(scores[0] - scores[1], 1 / 4)
        claims += p is not None and p < 0.05
        _, naive, _ = corrected_t(scores[0] - scores[1], 0.0)
        plain += naive is not None and naive < 0.05
    assert claims / 150 <= 0.09 < plain / 150


def test_words_and_mistakes() -> None:
    rng = np.random.default_rng(5)
    base = 0.8 + 0.02 * rng.normal(size=(3, 5))
    scores = {"probe": base + 0.05 + 0.002 * rng.normal(size=(3, 5)), "simple": base}
    made = cross_validated(scores, candidate="probe", against="simple", name="accuracy")
    assert made.answer == "helps" and (made.folds, made.repeats) == (5, 3)
    assert "5 folds x 3 repeats" in made.words and made.words.startswith("Helps: accuracy +")
    assert f"for {made.candidate!r} against {made.against!r}" in made.words
    turned = cross_validated(scores, candidate="probe", against="simple", name="log_loss")
    assert turned.answer == "hurts" and turned.words.startswith("Negative transfer")
    with pytest.raises(UsageError, match="one shape"):
        cross_validated({"a": base, "b": base[:, :4]}, candidate="a", against="b", name="accuracy")
    with pytest.raises(UsageError, match="not defined"):
        cross_validated({"a": base, "b": base * np.nan}, candidate="a", against="b", name="r2")
