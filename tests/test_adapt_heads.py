"""Every kind of head through one suite, over classes, labels and numbers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from headstart.adapt.adapted import Adapted, load_adapted
from headstart.adapt.featurisers import Nothing
from headstart.adapt.folds import Folds
from headstart.adapt.heads import Isotonic, Neighbours
from headstart.adapt.probe import HEADS, Fit, Probe
from headstart.data.task import Task
from headstart.errors import DataError, TooFewExamples, UsageError

COUNT, WIDTH = 90, 8
TASKS = {
    "classification": Task.of("classification", ("a", "b", "c")),
    "multi-label": Task.of("multi-label", ("x", "y")),
    "regression": Task.of("regression", ("y",)),
}
NAMES = [*(kind.name for kind in HEADS), "auto"]
QUICK = {"strengths": (1.0, 0.1, 0.01), "kernel_strengths": (0.1, 0.01, 0.001)}


def made(kind: str, count: int = COUNT, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features and targets that a line explains in part."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (count, WIDTH)) * np.linspace(0.5, 2, WIDTH) + 1.0
    score = (features - 1.0) @ np.random.default_rng(99).normal(0, 1, (WIDTH, 3))
    score += rng.normal(0, 0.7, score.shape)
    targets = {
        "classification": score.argmax(axis=1),
        "multi-label": (score[:, :2] > 0).astype(np.int8),
        "regression": 1000.0 + 40.0 * score[:, 0],
    }
    return features.astype(np.float32), targets[kind]


def dealt(count: int = COUNT, apart: int | None = None) -> Folds:
    return Folds(np.random.default_rng(9).permutation(count) % 4, apart)


def fitted(name: str, kind: str, **settings: object) -> tuple[Fit, np.ndarray, np.ndarray]:
    features, targets = made(kind)
    probe = Probe(head=name, **(QUICK | settings))  # type: ignore[arg-type]
    return probe.fit(features, targets, TASKS[kind], dealt()), features, targets


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=TASKS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def right(kind: str, outputs: np.ndarray, targets: np.ndarray) -> float:
    """Return the share that is right, or of the variance that is explained."""
    if kind == "regression":
        return float(1 - np.square(outputs[:, 0] - targets).mean() / targets.var())
    if kind == "classification":
        return float((outputs.argmax(axis=1) == targets).mean())
    return float(((outputs > 0) == targets).mean())


def test_it_learns_and_what_it_says_held_out_comes_true(name: str, kind: str) -> None:
    fit, _, targets = fitted(name, kind)
    fresh, truth = made(kind, 600, seed=1)
    assert fit.left_out is not None and fit.left_out.shape == (COUNT, TASKS[kind].outputs)
    held = right(kind, fit.left_out, targets)
    true = right(kind, fit.head.outputs(fresh), truth)
    floor = {"classification": 0.66, "multi-label": 0.75, "regression": 0.5}[kind]
    assert true > floor
    assert held == pytest.approx(true, abs=0.2)
    assert fit.trained > 0 and np.isfinite(fit.loss)


def test_the_same_twice_and_settings_unchanged(name: str, kind: str) -> None:
    features, targets = made(kind)
    probe = Probe(head=name, landmarks=40, **QUICK)  # type: ignore[arg-type]
    before = asdict(probe)
    one, two = (probe.fit(features, targets, TASKS[kind], dealt(), seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.head.outputs(features), two.head.outputs(features))
    assert one.details == two.details and asdict(probe) == before


@pytest.mark.parametrize("calibrate", ["temperature", "isotonic", "none"])
def test_saved_it_answers_the_same(name: str, kind: str, calibrate: str, tmp_path: Path) -> None:
    fit, features, _ = fitted(name, kind, calibrate=calibrate)
    Adapted("n", "probe", "image", TASKS[kind], Nothing(), fit.head).save(tmp_path / "model")
    again = load_adapted(tmp_path / "model").head
    assert again.kind == fit.head.kind
    np.testing.assert_array_equal(again.outputs(features), fit.head.outputs(features))
    assert isinstance(fit.head, Isotonic) == (calibrate == "isotonic" and kind != "regression")


def test_labels_of_a_fold_do_not_touch_what_is_held_out_of_it(name: str, kind: str) -> None:
    features, targets = made(kind)
    changed, folds = targets.copy(), dealt()
    mine = folds.of == 2
    changed[mine] = changed[mine][::-1] if kind != "multi-label" else 1 - changed[mine]
    settings = {"strengths": (0.1,), "kernel_strengths": (0.01,), "gammas": (1.0,)}
    probe = Probe(
        head="logistic" if name == "auto" else name, scalings=("global",), neighbours=(5,),
        calibrate="none", **settings,
    )  # type: ignore[arg-type]  # fmt: skip
    before, after = (
        probe.fit(features, y, TASKS[kind], folds).left_out for y in (targets, changed)
    )
    assert before is not None and after is not None
    spread = before.std()
    # A path stops early; smoothing (knn) and the unit of numbers (svm) come from all the data.
    slack = 0.15 if name == "knn" else 0.06
    assert np.abs(before[mine] - after[mine]).max() < slack * spread
    assert np.abs(before[~mine] - after[~mine]).max() > 3 * slack * spread


def test_validation_of_ones_own_trains_no_fold(name: str, kind: str) -> None:
    features, targets = made(kind)
    probe = Probe(head=name, **QUICK)  # type: ignore[arg-type]
    fit = probe.fit(features, targets, TASKS[kind], dealt(apart=3))
    assert fit.left_out is not None and np.isfinite(fit.left_out).all()
    assert np.isfinite(fit.loss)


def test_too_little_to_fold_still_gives_a_head(name: str, kind: str) -> None:
    features, targets = made(kind, 6)
    targets[:2] = targets[:2] if kind == "regression" else 1 - (targets[:2] > 0)
    fit = Probe(head=name).fit(features, targets, TASKS[kind], None)
    assert np.isfinite(fit.head.outputs(features)).all()


def test_one_class_is_an_error(name: str) -> None:
    features, _ = made("classification")
    with pytest.raises(TooFewExamples, match=r"at least 2 classes; all 90 .* are 'b'"):
        Probe(head=name).fit(features, np.ones(COUNT, int), TASKS["classification"], dealt())


def test_a_label_that_nobody_has_is_no_error(name: str) -> None:
    features, targets = made("multi-label")
    targets[:, 1] = 0
    fit = Probe(head=name, **QUICK).fit(features, targets, TASKS["multi-label"], dealt())  # type: ignore[arg-type]
    assert (fit.head.outputs(features)[:, 1] < 0).all()


def test_no_examples_and_nan_features_are_errors(name: str, kind: str) -> None:
    features, targets = made(kind)
    with pytest.raises(TooFewExamples, match="there are none"):
        Probe(head=name).fit(features[:0], targets[:0], TASKS[kind], None)
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="Features of 1 of 90 examples are NaN"):
        Probe(head=name).fit(features, targets, TASKS[kind], dealt())


def test_sparse_features_are_taken_or_refused(name: str, kind: str) -> None:
    features, targets = made(kind)
    rows = sparse.csr_matrix(features)
    probe = Probe(head=name, **QUICK)  # type: ignore[arg-type]
    if name in {"rbf", "rbf-svm", "knn"}:
        with pytest.raises(UsageError, match=f"'{name}' takes dense features; sparse ones: log"):
            probe.fit(rows, targets, TASKS[kind], dealt())
    else:
        fit = probe.fit(rows, targets, TASKS[kind], dealt())
        dense = probe.fit(features, targets, TASKS[kind], dealt())
        ours, theirs = fit.head.outputs(rows), dense.head.outputs(features)
        assert np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1] > 0.95


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head": "forest"}, "no 'forest'; there are auto, logistic, ridge, svm, rbf, rbf-s"),
        ({"calibrate": "platt"}, "no 'platt'; there are temperature, isotonic, none"),
        ({"scalings": ("rows",)}, "no 'rows'"),
        ({"strengths": ()}, "strengths is empty"),
        ({"gammas": (0.0,)}, "gammas must be positive"),
        ({"neighbours": ("five",)}, "neighbours must be positive"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Probe(**settings)  # type: ignore[arg-type]


def test_true_and_false_still_calibrate_or_do_not() -> None:
    assert Probe(calibrate=True).calibration == Probe().calibration == "temperature"
    assert Probe(calibrate=False).calibration == "none"


def test_neighbours_keep_half_precision() -> None:
    fit, features, _ = fitted("knn", "classification")
    assert isinstance(fit.head, Neighbours)
    assert fit.head.stored.dtype == np.float16 and fit.head.stored.nbytes == features.nbytes / 2
