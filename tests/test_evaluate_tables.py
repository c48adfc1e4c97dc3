"""Tables a class and group, hardest examples, residuals; and checks of a test part."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp
from sklearn.metrics import f1_score, log_loss, precision_score, recall_score

from headstart.evaluate.abstention import abstention
from headstart.evaluate.calibration import calibration
from headstart.evaluate.checks import (
    check_groups,
    check_leak,
    check_predictions,
    check_truth_part,
    check_unseen,
    duplicates,
)
from headstart.evaluate.intervals import bootstrap, interval
from headstart.evaluate.metrics import metric
from headstart.evaluate.tables import by_group, class_intervals, hardest, residuals
from headstart.records import TaskFacts

TASK = TaskFacts("classification", ("a", "b", "c"), ("accuracy",))
MANY = TaskFacts("multi-label", ("x", "y"), ("f1_micro",))
NUMBER = TaskFacts("regression", ("y",), ("r2",))


def sample(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    outputs = np.exp(rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[truth])
    return truth, outputs / outputs.sum(axis=1, keepdims=True)


def test_a_class_has_the_values_of_scikit_learn_and_wilsons_intervals() -> None:
    truth, scores = sample()
    said = scores.argmax(axis=1)
    made = class_intervals(TASK, truth, scores)
    for c, label in enumerate(TASK.labels):
        for name, score in (
            ("precision", precision_score), ("recall", recall_score), ("f1", f1_score),
        ):  # fmt: skip
            assert made[label][name].value == pytest.approx(score(truth == c, said == c))
        hits, support = int(((truth == c) & (said == c)).sum()), int((truth == c).sum())
        expected = binomtest(hits, support).proportion_ci(0.95, method="wilson")
        assert (made[label]["recall"].low, made[label]["recall"].high) == pytest.approx(
            tuple(expected), abs=1e-6
        )


def test_intervals_of_f1_hold_the_true_f1() -> None:
    rng = np.random.default_rng(1)
    task = TaskFacts("classification", ("no", "yes"), ("accuracy",))
    held = 0
    for _ in range(300):
        truth = (rng.random(150) < 0.3).astype(int)
        right = rng.random(150) < 0.8
        scores = np.eye(2)[np.where(right, truth, 1 - truth)]
        f1 = class_intervals(task, truth, scores)["yes"]["f1"]
        # Of the population: right 0.24, missed 0.06, wrongly said 0.14.
        assert f1.low is not None and f1.high is not None
        held += f1.low <= 2 * 0.24 / (2 * 0.24 + 0.06 + 0.14) <= f1.high
    assert 0.92 <= held / 300 <= 0.98


def test_what_never_occurs_is_left_out_and_groups_widen() -> None:
    truth, scores = sample()
    scores = scores.copy()
    scores[:, 2] = 0
    made = class_intervals(TASK, np.where(truth == 2, 0, truth), scores)
    assert made["c"] == {}
    copies = [np.repeat(x, 5, axis=0) for x in sample()]
    groups = np.repeat(np.arange(90), 5).astype(object)
    wide, narrow = class_intervals(TASK, *copies, groups=groups), class_intervals(TASK, *copies)
    assert wide["a"]["recall"].low < narrow["a"]["recall"].low  # type: ignore[operator]
    assert class_intervals(NUMBER, np.ones(3), np.ones(3)) == {}


def test_few_groups_are_as_unsure_in_all_places() -> None:
    truth, scores = sample(30)
    groups = np.repeat(["p", "q", "r"], 10).astype(object)
    rng, task = np.random.default_rng(3), TaskFacts("classification", TASK.labels, ("accuracy",))
    boot = bootstrap(task, truth, {"m": scores}, rng=rng, groups=groups)
    value = float((scores.argmax(axis=1) == truth).mean())
    values = boot.values["m"]["accuracy"]
    whole = interval(metric("accuracy"), value, values, truth, boot)
    found = abstention(task, truth, scores, rng=rng, groups=groups)
    assert found is not None and whole.low is not None and whole.low < 0.25
    assert found.points[-1].accuracy.low == pytest.approx(whole.low, abs=0.1)
    recall = class_intervals(task, truth, scores, groups=groups)["a"]["recall"]
    assert recall.low is not None and recall.low < 0.2
    reliable = calibration(task, truth, scores, rng=rng, groups=groups)
    assert reliable is not None and reliable.brier.high is not None and reliable.brier.high <= 2
    assert all(one.accuracy.low is not None and one.accuracy.low < 0.2 for one in reliable.bins)


def test_few_groups_are_told() -> None:
    names = np.repeat(["p", "q", "r"], 10).astype(object)
    assert [check.name for check in check_groups(names)] == ["few groups"]
    assert "has 3 groups" in check_groups(names)[0].words
    assert check_groups(None) == [] and check_groups(np.arange(30).astype(object)) == []
    assert check_groups(np.arange(12).repeat(3).astype(object)) == []


def test_groups_come_worst_first() -> None:
    truth, scores = sample(200)
    groups = np.array(["north"] * 80 + [None] * 20 + ["south"] * 100, dtype=object)
    scores[:80] = np.eye(3)[(truth[:80] + 1) % 3]
    rows = by_group(TASK, truth, scores, groups, rng=np.random.default_rng(0))
    assert rows[0].group == "north" and rows[0].metrics["accuracy"].value == 0
    assert rows[0].metrics["accuracy"].high is not None
    assert {row.group: row.count for row in rows} == {"north": 80, "south": 100, "(none)": 20}
    constant = by_group(
        NUMBER, np.array([1.0, 1, 2, 3]), np.arange(4.0), np.array(["u", "u", "v", "v"], object),
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert constant[-1].group == "u" and constant[-1].metrics == {}


def test_hardest_examples_have_the_highest_loss() -> None:
    truth, scores = sample()
    found = hardest(TASK, truth, scores, ids=[f"f{i}" for i in range(90)], most=4)
    slow = [log_loss([t], [s], labels=[0, 1, 2]) for t, s in zip(truth, scores, strict=True)]
    worst = sorted(range(90), key=lambda row: -slow[row])[:4]
    assert [h.id for h in found] == [f"f{row}" for row in worst]
    assert [h.loss for h in found] == pytest.approx([slow[row] for row in worst])
    far = hardest(NUMBER, np.zeros(3), np.array([0.1, -5.0, 2.0]), most=1)
    assert (far[0].id, far[0].loss) == ("test row 1", 5.0)


def test_residuals_have_students_interval() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=500)
    found = residuals(NUMBER, truth, truth + 0.3 + rng.normal(size=500))
    assert found is not None
    gap = np.array([p - t for t, p in found.points])
    assert len(gap) == 300 and found.points[0][0] == truth.min()
    rng = np.random.default_rng(2)
    truth = rng.normal(size=500)
    expected = ttest_1samp(0.3 + rng.normal(size=500), 0).confidence_interval(0.95)
    assert (found.bias.low, found.bias.high) == pytest.approx(tuple(expected))
    assert residuals(TASK, np.zeros(2, int), np.eye(3)[:2]) is None
    assert residuals(NUMBER, np.ones(1), np.ones(1)).bias.low is None  # type: ignore[union-attr]


def test_odd_test_parts_are_named() -> None:
    names = [c.name for c in check_truth_part(TASK, np.zeros(5, int))]
    assert names == ["few examples", "one class"]
    words = check_truth_part(TASK, np.array([0, 1, 2, 0, 1]))[0].words
    assert words.startswith("5 test examples tell little: with 4 of 5 right")
    low, high = binomtest(4, 5).proportion_ci(0.95, method="wilson")
    assert f"{low:.2f} to {high:.2f}" in words
    assert check_truth_part(TASK, np.arange(60) % 3) == []
    (rare,) = check_truth_part(TASK, np.array([0] * 40 + [1] * 40 + [2] * 4))
    assert rare.name == "rare classes" and "'c'" in rare.words and "'a'" not in rare.words
    assert check_truth_part(TASK, np.zeros(0, int))[0].level == "error"
    silent = check_truth_part(MANY, np.tile([1, 0], (40, 1)))
    assert "'y'" in silent[0].words and "'x'" not in silent[0].words
    assert check_truth_part(NUMBER, np.full(40, 2.0))[0].name == "constant target"


def test_unseen_labels_are_named_by_number() -> None:
    (one,) = check_unseen(["a", "cat", "cat", "dog"], ["a", "b"])
    assert "3 test examples" in one.words and "'cat', 'dog'" in one.words
    assert one.examples == [["cat"], ["dog"]]
    assert check_unseen(["a"], ["a", "b"]) == []


def test_leaks_are_named_with_their_rows() -> None:
    rng = np.random.default_rng(3)
    training = rng.integers(0, 256, (50, 16), dtype=np.uint8)
    training[7] = training[4]
    test = rng.integers(0, 256, (20, 16), dtype=np.uint8)
    test[3], test[9] = training[11], training[7]
    slow = [
        (i, next(j for j in range(50) if (training[j] == test[i]).all()))
        for i in range(20)
        if any((training[j] == test[i]).all() for j in range(50))
    ]
    assert duplicates(test, training).tolist() == [list(pair) for pair in slow] == [[3, 11], [9, 4]]
    (one,) = check_leak(
        test, training, test_ids=[f"t{i}" for i in range(20)],
        training_ids=[f"r{i}" for i in range(50)],
    )  # fmt: skip
    assert one.examples == [["t3", "r11"], ["t9", "r4"]] and "t3 is r11; t9 is r4" in one.words
    assert "2 of 20" in one.words and one.level == "warning"
    assert check_leak(test[:2], training, test_ids=["a", "b"], training_ids=["c"] * 50) == []


def test_empty_and_constant_predictions_are_named() -> None:
    assert check_predictions(TASK, "m", np.empty((0, 3)))[0].level == "error"
    assert (
        "'b' for each of 4"
        in check_predictions(TASK, "m", np.tile([0.1, 0.8, 0.1], (4, 1)))[0].words
    )
    assert check_predictions(MANY, "m", np.full((4, 2), 0.3))[0].name == "empty predictions"
    assert check_predictions(NUMBER, "m", np.full(4, 1.5))[0].name == "one answer"
    assert check_predictions(*(TASK, "m"), sample()[1]) == []
