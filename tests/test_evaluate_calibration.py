"""Calibration, abstention, precision-recall: scikit-learn, slow loops, simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn import metrics as reference

from headstart.evaluate import abstention, calibration
from headstart.evaluate.abstention import aurc, risks
from headstart.evaluate.calibration import bins_of, brier, folded
from headstart.evaluate.evidence import pr_curves
from headstart.evaluate.precision_recall import average_precision, curve
from headstart.records import TaskFacts

TASK = TaskFacts("classification", ("a", "b", "c"), ("accuracy",))
MANY = TaskFacts("multi-label", ("x", "y"), ("f1_micro",))


def sample(n: int, rng: np.random.Generator, sharp: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are calibrated for sharp = 1, too sure above."""
    truth = rng.integers(0, 3, n)
    outputs = np.exp(sharp * 1.5 * (rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[truth]))
    return truth, outputs / outputs.sum(axis=1, keepdims=True)


def test_folded_normal_against_an_integral() -> None:
    for mean, deviation in ((0.0, 1.0), (0.3, 0.2), (-1.0, 0.5)):
        expected = quad(lambda x, m=mean, s=deviation: abs(x) * norm.pdf(x, m, s), -9, 9)[0]
        assert folded(np.array(mean), np.array(deviation)) == pytest.approx(expected, abs=1e-6)
    assert folded(np.array(-2.0), np.array(0.0)) == 2


def test_brier_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, scores = sample(200, rng)
    expected = sum(reference.brier_score_loss(truth == c, scores[:, c]) for c in range(3))
    assert brier(truth, scores).mean() == pytest.approx(expected)
    on = (rng.random((50, 2)) < 0.4).astype(np.int8)
    said = rng.random((50, 2))
    expected = np.mean([reference.brier_score_loss(on[:, c], said[:, c]) for c in range(2)])
    assert brier(on, said).mean() == pytest.approx(expected)


def test_the_diagram_against_a_slow_loop() -> None:
    truth, scores = sample(400, np.random.default_rng(1), 2.0)
    made = calibration(TASK, truth, scores, rng=np.random.default_rng(2), resamples=100)
    assert made is not None
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    seen = 0
    for one in made.bins:
        inside = (confidence >= one.low) & (confidence <= one.high)
        assert one.count == inside.sum()
        assert one.accuracy.value == pytest.approx(right[inside].mean())
        assert one.confidence == pytest.approx(confidence[inside].mean())
        assert one.accuracy.low is not None and one.accuracy.low <= one.accuracy.value
        seen += one.count
    assert seen == 400 and len(made.bins) == 15
    plug_in = sum(b.count / 400 * abs(b.accuracy.value - b.confidence) for b in made.bins)
    assert 0.6 * plug_in < made.error.value < plug_in  # less than the biased estimate


def test_ties_share_a_bin() -> None:
    bins = bins_of(np.repeat([0.5, 0.9], 50), np.arange(100) % 2 == 0)
    assert set(bins[:50]) == {0} and set(bins[50:]) == {1}


def test_debiasing_is_nearer_to_the_truth_and_the_interval_holds_it() -> None:
    """Calibrated and too sure models, n = 200: at least 90 of 100 intervals hold the true error."""
    rng = np.random.default_rng(3)
    for sharp in (1.0, 2.0):
        big_truth, big = sample(100_000, rng, sharp)
        confidence, right = big.max(axis=1), big.argmax(axis=1) == big_truth
        held, raw, mended = 0, 0.0, 0.0
        for _ in range(100):
            truth, scores = sample(200, rng, sharp)
            made = calibration(TASK, truth, scores, rng=rng, resamples=100)
            assert made is not None and made.error.low is not None and made.error.high is not None
            bins = np.searchsorted([b.high for b in made.bins][:-1], confidence)
            gaps = np.bincount(bins, right - confidence, minlength=len(made.bins))
            true = np.abs(gaps).sum() / len(right)
            held += made.error.low <= true <= made.error.high
            seen = sum(b.count / 200 * abs(b.accuracy.value - b.confidence) for b in made.bins)
            raw, mended = raw + seen - true, mended + made.error.value - true
        assert held >= 90
        assert abs(mended) < 0.75 * abs(raw)


def test_several_labels_and_numbers() -> None:
    rng = np.random.default_rng(4)
    scores = rng.random((300, 2))
    on = (rng.random((300, 2)) < scores).astype(np.int8)
    made = calibration(MANY, on, scores, rng=rng, resamples=100)
    assert made is not None and made.error.low == 0 and sum(b.count for b in made.bins) == 600
    numbers = TaskFacts("regression", ("y",), ("r2",))
    assert calibration(numbers, np.ones(3), np.ones(3), rng=rng) is None
    assert abstention(numbers, np.ones(3), np.ones(3), rng=rng) is None


def test_aurc_against_a_slow_loop_over_orders_of_ties() -> None:
    confidence = np.array([0.9, 0.7, 0.7, 0.7, 0.2])
    right = np.array([True, False, True, True, False])
    rng = np.random.default_rng(5)
    slow = []
    for _ in range(4000):
        order = np.lexsort((rng.random(5), -confidence))
        slow.append(np.mean(np.cumsum(~right[order]) / np.arange(1, 6)))
    _, errors = risks(confidence, right)
    assert aurc(errors, np.ones((5, 1)))[0] == pytest.approx(np.mean(slow), abs=0.005)


def test_coverage_ends_at_the_accuracy() -> None:
    truth, scores = sample(300, np.random.default_rng(6))
    made = abstention(TASK, truth, scores, rng=np.random.default_rng(7), resamples=100)
    assert made is not None
    last, first = made.points[-1], made.points[0]
    assert last.coverage == 1 and last.accuracy.value == pytest.approx(
        (scores.argmax(1) == truth).mean()
    )
    assert first.accuracy.value > last.accuracy.value and first.threshold > last.threshold
    assert made.area.low is not None and made.area.low < made.area.value


def test_precision_recall_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(8)
    for digits in (1, 3):
        positive = rng.random(150) < 0.2
        scores = np.round(rng.random(150) + 0.3 * positive, digits)
        found = average_precision(positive, scores)(np.ones((150, 1)))[0]
        assert found == pytest.approx(reference.average_precision_score(positive, scores))
        recall, precision, threshold = curve(positive, scores, most=1000)
        p, r, t = reference.precision_recall_curve(positive, scores)
        assert recall[::-1] == pytest.approx(r[:-1]) and precision[::-1] == pytest.approx(p[:-1])
        assert threshold[::-1] == pytest.approx(t)
    thin = curve(np.arange(5000) % 3 == 0, rng.random(5000))
    assert len(thin[0]) <= 101 and thin[0][-1] == 1
    assert len(curve(np.zeros(4, bool), np.arange(4.0))[0]) == 0


def test_curves_of_classes_leave_out_what_does_not_occur() -> None:
    truth, scores = sample(120, np.random.default_rng(9))
    keep = truth != 2
    made = pr_curves(TASK, truth[keep], scores[keep], rng=np.random.default_rng(0), resamples=50)
    assert set(made) == {"a", "b"}
    one = made["a"].average_precision
    assert one.low is not None and one.high is not None and 0 < one.low < one.value < one.high < 1
