"""Intervals: what a resample is, known closed forms, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, t

from headstart.evaluate import bootstrap, interval, measure, metric
from headstart.evaluate.intervals import draw, group_numbers, strata_of, wilson
from headstart.records import Interval, TaskFacts

TASK = TaskFacts(
    "classification",
    ("a", "b", "c"),
    ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"),
)
NUMBER = TaskFacts("regression", ("y",), ("mae", "r2", "rmse"))


def sample(n: int, rng: np.random.Generator, lift: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(n) % 3
    outputs = np.exp(rng.normal(size=(n, 3)) + lift * np.eye(3)[truth])
    return truth, outputs / outputs.sum(axis=1, keepdims=True)


def intervals(
    task: TaskFacts, truth: np.ndarray, scores: np.ndarray, seed: int = 0, **options: object
) -> dict[str, Interval]:
    rng = np.random.default_rng(seed)
    boot = bootstrap(task, truth, {"m": scores}, rng=rng, **options)  # type: ignore[arg-type]
    return {
        name: interval(metric(name), value, boot.values["m"][name], truth, boot)
        for name, value in measure(task, truth, scores).items()
    }


def certain(truth: np.ndarray, k: int = 3) -> np.ndarray:
    return np.where(np.eye(k)[truth] > 0, 0.9, 0.1 / (k - 1))


def test_a_resample_keeps_the_size_of_every_class() -> None:
    truth = np.array([0] * 20 + [1] * 5 + [2] * 2 + [3])
    rng = np.random.default_rng(0)
    weights = np.concatenate(
        list(draw(strata_of(truth, "classification"), 28, rng=rng, resamples=301)), axis=1
    )
    assert weights.shape == (28, 301)
    for c, size in enumerate((20, 5, 2, 1)):
        assert np.allclose(weights[truth == c].sum(axis=0), size)
    # Unbiased variance: of a mean of m values it is s² / m, with s² over m - 1.
    values = rng.normal(size=20)
    wide = np.concatenate(list(draw([np.arange(20)], 20, rng=rng, resamples=20_000)), axis=1)
    assert (values @ wide / 20).var() == pytest.approx(values.var(ddof=1) / 20, rel=0.05)


def test_classes_of_one_example_are_resampled_together() -> None:
    parts = strata_of(np.array([0, 1, 2, 2, 2]), "classification")
    assert sorted(sorted(part.tolist()) for part in parts) == [[0, 1], [2, 3, 4]]


def test_all_right_is_not_certainty() -> None:
    truth = np.arange(50) % 2
    task = TaskFacts("classification", ("a", "b"), TASK.metrics)
    found = intervals(task, truth, certain(truth, 2))
    expected = binomtest(50, 50).proportion_ci(0.95, method="wilson")
    for name in ("accuracy", "balanced_accuracy", "f1_macro"):
        assert found[name].high == 1
        assert found[name].low == pytest.approx(expected.low, abs=0.005)
    assert found["roc_auc"].low is not None
    assert 0.8 < found["roc_auc"].low < 0.9  # rests on the 25 of the rarer side
    assert intervals(task, 1 - truth, certain(truth, 2))["accuracy"].low == 0


def test_wilson_agrees_with_scipy() -> None:
    for right in (0, 3, 17, 20):
        expected = binomtest(right, 20).proportion_ci(0.95, method="wilson")
        assert wilson(right / 20, 20, 1.959963985) == pytest.approx(tuple(expected), abs=1e-8)


def test_mean_absolute_error_has_nearly_the_students_interval() -> None:
    rng = np.random.default_rng(1)
    truth, noise = rng.normal(size=2000), rng.normal(size=2000)
    found = intervals(NUMBER, truth, truth + noise, resamples=4000)["mae"]
    sizes = np.abs(noise)
    half = t.ppf(0.975, 1999) * sizes.std(ddof=1) / np.sqrt(2000)
    assert (found.low, found.high) == pytest.approx(
        (sizes.mean() - half, sizes.mean() + half), abs=0.05 * half
    )


def test_every_interval_holds_its_value_and_stays_in_range() -> None:
    rng = np.random.default_rng(2)
    for n in (6, 30, 300):
        for found in intervals(TASK, *sample(n, rng), resamples=200).values():
            assert found.low is not None and found.high is not None
            assert 0 <= found.low <= found.value <= found.high
        truth = rng.normal(size=n)
        r2 = intervals(NUMBER, truth, truth + rng.normal(size=n), resamples=200)["r2"]
        assert r2.low is not None and r2.high is not None
        assert r2.low < r2.value < r2.high < 1


def test_where_nothing_is_known_there_are_no_bounds() -> None:
    one = intervals(NUMBER, np.array([1.0]), np.array([2.0]), resamples=20)
    assert one["mae"] == Interval(value=1.0)
    perfect = intervals(NUMBER, np.arange(9.0), np.arange(9.0), resamples=20)
    assert perfect["r2"] == Interval(value=1.0)


def test_whole_groups_are_resampled() -> None:
    assert group_numbers(np.array(["x", "y", "x", None, None], dtype=object)).tolist() == [
        0, 1, 0, 2, 3,
    ]  # fmt: skip
    # Ten copies of each example, in one group, know no more than the examples alone.
    truth, scores = sample(60, np.random.default_rng(3))
    groups = np.repeat(np.arange(60), 10).astype(object)
    truth, scores = np.repeat(truth, 10), np.repeat(scores, 10, axis=0)
    single = TaskFacts("classification", TASK.labels, ("accuracy", "log_loss"))
    grouped = intervals(single, truth, scores, groups=groups)
    plain = intervals(single, truth, scores)
    for name in single.metrics:
        wide, narrow = (x[name].high - x[name].low for x in (grouped, plain))  # type: ignore[operator]
        assert 2.5 < wide / narrow < 4  # sqrt(10) is 3.16
    whole = intervals(single, truth, certain(truth), groups=groups)["accuracy"]
    assert whole.low == pytest.approx(wilson(1.0, 60, 2.0)[0], abs=0.003)


def test_same_generator_same_interval() -> None:
    truth, scores = sample(40, np.random.default_rng(4))
    assert intervals(TASK, truth, scores, 5) == intervals(TASK, truth, scores, 5)
    assert intervals(TASK, truth, scores, 5) != intervals(TASK, truth, scores, 6)


@pytest.mark.parametrize("n", [50, 200])
def test_intervals_cover(n: int) -> None:
    rng = np.random.default_rng(6)
    names = ("accuracy", "f1_macro")
    task = TaskFacts("classification", TASK.labels, names)
    true = measure(task, *sample(150_000, rng, 3.0))  # about 0.97: percentiles cover 0.79 at n = 50
    trials, held = 250, dict.fromkeys(names, 0)
    for trial in range(trials):
        for name, found in intervals(task, *sample(n, rng, 3.0), trial, resamples=200).items():
            assert found.low is not None and found.high is not None
            held[name] += found.low <= true[name] <= found.high
    for name in names:
        assert 0.92 <= held[name] / trials <= 0.99, name
