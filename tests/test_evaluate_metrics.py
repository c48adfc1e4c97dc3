"""Metrics against scikit-learn, on all examples and on explicit resamples."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.errors import DataError, UsageError
from headstart.evaluate import METRICS, better, choose, confusion, measure, metric, per_class
from headstart.evaluate.metrics import measurer
from headstart.records import TaskFacts

LABELS = ("ant", "bee", "cat", "dog")
ONE = TaskFacts(
    "classification", LABELS, tuple(m.name for m in METRICS if "classification" in m.needs)
)
TWO = TaskFacts("classification", ("no", "yes"), ONE.metrics)
MANY = TaskFacts("multi-label", LABELS, tuple(m.name for m in METRICS if "multi-label" in m.needs))
NUMBER = TaskFacts("regression", ("price",), ("r2", "mae", "rmse"))


def classes(n: int, k: int, seed: int, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, n, p=np.arange(1, k + 1) / (k * (k + 1) / 2))
    outputs = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[truth]
    scores = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    if ties:  # coarse probabilities, summing to 1: many equal scores
        scores = np.round(scores, 1) + 1e-3
        scores /= scores.sum(axis=1, keepdims=True)
    return truth, scores


def labels(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 4)) < (0.5, 0.3, 0.2, 0.4)).astype(np.int8)
    return truth, np.round(1 / (1 + np.exp(-(rng.normal(size=(n, 4)) + 2 * truth - 1))), 2)


def sklearn_classification(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    predicted = scores.argmax(axis=1)
    k = scores.shape[1]
    found = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, predicted),
        "f1_weighted": reference.f1_score(truth, predicted, average="weighted", zero_division=0),
        "log_loss": reference.log_loss(truth, scores, labels=range(k)),
        "matthews": reference.matthews_corrcoef(truth, predicted),
    }
    for name in ("precision", "recall", "f1"):
        score = getattr(reference, f"{name}_score")
        found[f"{name}_macro"] = score(truth, predicted, average="macro", zero_division=0)
        found[f"{name}_weighted"] = score(truth, predicted, average="weighted", zero_division=0)
    if k == 2:
        found["roc_auc"] = reference.roc_auc_score(truth, scores[:, 1])
        found["average_precision"] = reference.average_precision_score(truth, scores[:, 1])
    else:
        present = np.unique(truth)
        found["average_precision"] = float(
            np.mean([reference.average_precision_score(truth == c, scores[:, c]) for c in present])
        )
        found["roc_auc"] = float(
            np.mean([reference.roc_auc_score(truth == c, scores[:, c]) for c in present])
        )
    return found


def sklearn_labels(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    predicted = (scores >= 0.5).astype(int)
    found = {
        "f1_micro": reference.f1_score(truth, predicted, average="micro"),
        "subset_accuracy": reference.accuracy_score(truth, predicted),
        "roc_auc": reference.roc_auc_score(truth, scores, average="macro"),
        "average_precision": reference.average_precision_score(truth, scores, average="macro"),
        "f1_samples": reference.f1_score(truth, predicted, average="samples", zero_division=0),
        "log_loss": float(
            np.mean(
                [reference.log_loss(truth[:, c], scores[:, c], labels=[0, 1]) for c in range(4)]
            )
        ),
    }
    for name in ("precision", "recall", "f1"):
        score = getattr(reference, f"{name}_score")
        found[f"{name}_macro"] = score(truth, predicted, average="macro", zero_division=0)
    return found


def sklearn_regression(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    return {
        "r2": reference.r2_score(truth, scores),
        "mae": reference.mean_absolute_error(truth, scores),
        "rmse": reference.root_mean_squared_error(truth, scores),
    }


CASES = {
    "four classes with ties": (ONE, *classes(120, 4, 0), sklearn_classification),
    "four classes": (ONE, *classes(120, 4, 1, ties=False), sklearn_classification),
    "two classes": (TWO, *classes(90, 2, 2), sklearn_classification),
    "multi-label": (MANY, *labels(100, 3), sklearn_labels),
    "regression": (
        NUMBER,
        1e4 + np.random.default_rng(4).normal(size=80),
        1e4 + 0.7 * np.random.default_rng(4).normal(size=80),
        sklearn_regression,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_metrics_agree_with_scikit_learn(case: str) -> None:
    task, truth, scores, expected = CASES[case]
    assert measure(task, truth, scores) == pytest.approx(expected(truth, scores), abs=1e-9)
    assert list(measure(task, truth, scores)) == list(task.metrics)


@pytest.mark.parametrize("case", CASES)
def test_weighted_path_agrees_with_scikit_learn_on_the_explicit_resample(case: str) -> None:
    task, truth, scores, expected = CASES[case]
    rng = np.random.default_rng(7)
    n = len(truth)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=8).T.astype(float)
    fast = measurer(task.metrics, truth, scores)(weights)
    for column in range(8):
        rows = np.repeat(np.arange(n), weights[:, column].astype(int))
        slow = expected(truth[rows], scores[rows])
        assert {name: values[column] for name, values in fast.items()} == pytest.approx(
            slow, abs=1e-9
        )


def test_classes_that_do_not_occur_are_left_out_as_in_scikit_learn() -> None:
    truth, scores = classes(60, 4, 5)
    rows = truth != 2  # absent from the truth, still predicted now and then
    truth, scores = truth[rows], scores[rows]
    assert (scores.argmax(axis=1) == 2).any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # balanced accuracy says: y_pred has classes not in y_true
        assert measure(ONE, truth, scores) == pytest.approx(sklearn_classification(truth, scores))
    never = scores.copy()
    never[:, 2] = 0  # and now absent from both
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn_classification(truth, never / never.sum(axis=1, keepdims=True))
    got = measure(ONE, truth, never / never.sum(axis=1, keepdims=True))
    assert got == pytest.approx(expected)


def test_multi_label_leaves_out_a_label_that_never_occurs() -> None:
    truth, scores = labels(50, 6)
    truth[:, 3], scores[:, 3] = 0, 0.1
    expected = reference.f1_score(
        truth, scores >= 0.5, average="macro", labels=[0, 1, 2], zero_division=0
    )
    assert measure(MANY, truth, scores)["f1_macro"] == pytest.approx(expected)


def test_what_is_undefined_is_nan() -> None:
    truth, scores = np.zeros(5, dtype=int), np.full((5, 2), 0.5)
    found = measure(TWO, truth, scores)
    assert np.isnan(found["roc_auc"])
    assert found["accuracy"] == 1
    assert np.isnan(measure(NUMBER, np.full(5, 0.1), np.arange(5.0))["r2"])
    assert np.isnan(metric("rmse").compute(np.array([]), np.array([])))


def test_log_loss_clips_certain_errors() -> None:
    wrong = measure(TWO, np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))["log_loss"]
    assert wrong == pytest.approx(-np.log(1e-15) / 2)


def test_per_class_and_confusion_agree_with_scikit_learn() -> None:
    truth, scores = classes(80, 4, 8)
    predicted = scores.argmax(axis=1)
    p, r, f, s = reference.precision_recall_fscore_support(truth, predicted, zero_division=0)
    found = per_class(ONE, truth, scores)
    for c, label in enumerate(LABELS):
        assert found[label] == pytest.approx(
            {"precision": p[c], "recall": r[c], "f1": f[c], "support": s[c]}
        )
    assert (confusion(ONE, truth, scores) == reference.confusion_matrix(truth, predicted)).all()
    truth, scores = labels(70, 9)
    expected = reference.multilabel_confusion_matrix(truth, scores >= 0.5)
    assert (confusion(MANY, truth, scores) == expected).all()
    assert per_class(NUMBER, np.arange(3.0), np.arange(3.0)) == {}
    with pytest.raises(UsageError, match="regression"):
        confusion(NUMBER, np.arange(3.0), np.arange(3.0))


def test_bad_scores_and_targets_are_named() -> None:
    truth, scores = classes(20, 4, 10)
    broken = scores.copy()
    broken[3, 1] = np.nan
    with pytest.raises(UsageError, match="example 3"):
        measure(ONE, truth, broken)
    with pytest.raises(UsageError, match=r"\(20, 4\).*\(20, 3\)"):
        measure(ONE, truth, scores[:, :3])
    with pytest.raises(UsageError, match="no example"):
        measure(ONE, truth[:0], scores[:0])
    with pytest.raises(UsageError, match="probabilities"):
        measure(ONE, truth, scores * 7)
    with pytest.raises(DataError, match=r"0\.\.3"):
        measure(ONE, truth + 1, scores)
    with pytest.raises(DataError, match="finite"):
        measure(NUMBER, np.array([1.0, np.inf]), np.zeros(2))
    with pytest.raises(UsageError, match="known: accuracy"):
        metric("acuracy")


def test_better_follows_the_direction_and_nan_beats_nothing() -> None:
    errors = TaskFacts("regression", ("y",), ("rmse",))
    assert better(ONE, 0.9, 0.8)
    assert not better(ONE, 0.8, 0.8)
    assert better(errors, 1.0, 2.0)
    assert better(errors, 1.0, float("nan"))
    assert not better(errors, float("nan"), 1.0)


def test_choose_takes_the_best_then_log_loss_then_the_simpler() -> None:
    order = ["simple", "probe", "finetune"]

    def values(*pairs: tuple[float, float]) -> dict[str, dict[str, float]]:
        return {
            name: {"accuracy": a, "log_loss": b}
            for name, (a, b) in zip(reversed(order), pairs, strict=True)
        }

    assert choose(ONE, values((0.9, 1.0), (0.8, 0.1), (0.8, 0.1)), order) == "finetune"
    assert choose(ONE, values((0.9 + 1e-12, 1.0), (0.9, 0.4), (0.8, 0.1)), order) == "probe"
    assert choose(ONE, values((0.9, 0.4), (0.9, 0.4), (0.9, 0.4)), order) == "simple"
    nan = float("nan")
    assert choose(ONE, values((nan, 0.1), (nan, 0.1), (0.1, 3.0)), order) == "simple"
    assert choose(ONE, {"a": {"accuracy": 0.5}, "b": {"accuracy": 0.5}}, ["b", "a"]) == "b"
    with pytest.raises(UsageError, match="'a' has no 'accuracy'"):
        choose(ONE, {"a": {"rmse": 1.0}}, ["a"])
    with pytest.raises(UsageError, match="none"):
        choose(ONE, {}, [])


def test_importing_evaluate_loads_nothing_heavy() -> None:
    code = (
        "import sys, headstart.evaluate; "
        "print(sorted({'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
