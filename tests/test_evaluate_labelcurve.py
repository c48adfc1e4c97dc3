"""Label curves: planted laws, honest extrapolation, and the two answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from headstart.errors import TooFewExamples, UsageError
from headstart.evaluate import fit_curve, labels_for_gain, labels_saved
from headstart.evaluate.labelcurve import geometric_counts, mixture_quantile, robust_mean, subsets

COUNTS = geometric_counts(20, 640)


def draws(
    law: tuple[float, float, float], rng: np.random.Generator, noise: float = 0.03, many: int = 5
) -> list[list[float]]:
    floor, scale, rate = law
    means = [floor + scale * n**-rate for n in COUNTS]
    return [[m * (1 + noise * rng.normal()) for _ in range(many)] for m in means]


def test_counts_and_subsets() -> None:
    assert geometric_counts(10, 320) == [10, 20, 40, 80, 160, 320]
    truth = np.array([0] * 80 + [1] * 20)
    rows = subsets(truth, [10, 40], 3, rng=np.random.default_rng(0))
    for small, large in rows:
        assert len(small) == 10 and len(large) == 40 and set(small) <= set(large)
        assert 1 <= (truth[small] == 1).sum() <= 3 and 7 <= (truth[large] == 1).sum() <= 9
    assert (rows[0][0] != rows[1][0]).any()
    with pytest.raises(TooFewExamples, match="200 labels asked for"):
        subsets(truth, [200], 1, rng=np.random.default_rng(0))
    with pytest.raises(UsageError):
        geometric_counts(5, 5)


def test_a_clean_law_is_found_again() -> None:
    law = fit_curve(COUNTS, draws((0.1, 2.0, 0.6), np.random.default_rng(1), noise=1e-3))
    for n in (30, 300, 2560):
        assert law.at(n) == pytest.approx(0.1 + 2.0 * n**-0.6, rel=0.06)
    far = law.predict(2560)
    assert far.low is not None and far.high is not None
    assert far.low < 0.1 + 2.0 * 2560**-0.6 < far.high


def test_predictions_at_four_times_the_labels_hold_the_truth() -> None:
    """Planted laws of many shapes, one flat at first: at least 90 % of 80."""
    rng = np.random.default_rng(2)
    held = 0
    for trial in range(80):
        floor, rate, shift = rng.uniform(0, 0.2), rng.uniform(0.2, 1.0), (trial % 4 == 0) * 200.0
        scale = rng.uniform(0.3, 0.6) * (20 + shift) ** rate
        true = [floor + scale * (n + shift) ** -rate for n in [*COUNTS, 2560]]
        noisy = [[m * (1 + 0.04 * rng.normal()) for _ in range(5)] for m in true]
        found = fit_curve(COUNTS, noisy[:-1]).predict(2560)
        assert found.low is not None and found.high is not None
        held += found.low <= noisy[-1][0] <= found.high
    assert held / 80 >= 0.9


def test_a_wild_draw_moves_little() -> None:
    made = draws((0.05, 1.5, 0.5), np.random.default_rng(3))
    calm = fit_curve(COUNTS, made).predict(1280)
    made[-1][0] = 0.9
    wild = fit_curve(COUNTS, made).predict(1280)
    assert abs(wild.value - calm.value) < 0.03
    assert robust_mean(np.array([1.0, 1.1, 0.9, 1.0, 50.0])) < 1.2


def test_nothing_is_said_beyond_the_reach() -> None:
    law = fit_curve(COUNTS, draws((0.1, 2.0, 0.6), np.random.default_rng(4)))
    assert law.supports(2560) and not law.supports(2600) and not law.supports(10)
    assert law.predict(100_000).low is None
    with pytest.raises(UsageError, match="4 or more"):
        fit_curve(COUNTS[:3], [[0.1]] * 3)
    with pytest.raises(UsageError, match="finite"):
        fit_curve(COUNTS, [[float("nan")]] * 6)


def test_curves_that_are_flat_or_rise() -> None:
    flat = fit_curve(COUNTS, [[0.3, 0.31, 0.29]] * 6)
    assert flat.predict(2560).value == pytest.approx(0.3, abs=0.03)
    rising = fit_curve(COUNTS, [[0.1 + 0.05 * i] for i in range(6)])
    found = rising.predict(1280)
    assert found.low is not None and np.isfinite(found.value)


def test_mixture_quantile_against_scipy() -> None:
    one = mixture_quantile(0.975, np.array([1.0]), np.array([2.0]), np.array([3.0]))
    assert one == pytest.approx(norm.ppf(0.975, 2, 3))
    rng = np.random.default_rng(5)
    weights, means, deviations = np.array([0.3, 0.7]), np.array([0.0, 4.0]), np.array([1.0, 2.0])
    rows = rng.choice(2, 200_000, p=weights)
    drawn = means[rows] + deviations[rows] * rng.normal(size=200_000)
    assert mixture_quantile(0.2, weights, means, deviations) == pytest.approx(
        np.quantile(drawn, 0.2), abs=0.03
    )


def test_labels_for_one_more_point() -> None:
    rng = np.random.default_rng(6)
    law = fit_curve(COUNTS, draws((0.0, 2.0, 0.5), rng, noise=0.01))
    found = labels_for_gain(law, 0.01, rng=rng)
    here = 2.0 * 640**-0.5
    true = (2.0 / (here - 0.01)) ** 2 - 640
    assert found.labels == pytest.approx(true, rel=0.3)
    assert found.low is not None and found.high is not None and found.low < true < found.high
    assert found.words.startswith("1 point more would take about")
    stuck = fit_curve(COUNTS, draws((0.2, 5.0, 1.2), rng, noise=0.01))
    none = labels_for_gain(stuck, 0.05, rng=rng)
    assert none.labels is None and none.high is None
    assert "supports no number within 4 times the 640 labels" in none.words


def test_labels_that_transfer_saves() -> None:
    rng = np.random.default_rng(7)
    scratch = fit_curve(COUNTS, draws((0.0, 4.0, 0.5), rng, noise=0.01))
    # Half of the errors: from scratch needs four times the labels.
    transfer = fit_curve(COUNTS, draws((0.0, 2.0, 0.5), rng, noise=0.01))
    found = labels_saved(transfer, scratch, rng=rng)
    assert found.labels == pytest.approx(480, abs=25)
    assert found.low is not None and found.high is not None and found.low < 480 < found.high
    assert "Transfer saves about" in found.words and "of 640 labels" in found.words
    much = fit_curve(COUNTS, draws((0.0, 0.1, 0.5), rng, noise=0.01))
    bound = labels_saved(much, scratch, rng=rng)
    assert bound.high is None and "at least" in bound.words
    none = labels_saved(scratch, transfer, rng=rng)
    assert none.labels == 0 and "saves no labels" in none.words
