"""Heads over fixed features: chosen, held out, calibrated, saved; against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.special import log_softmax, softmax
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.svm import SVC

from headstart.adapt.adapted import Adapted, load_adapted
from headstart.adapt.featurisers import Nothing
from headstart.adapt.folds import Folds
from headstart.adapt.heads import Constant, Kernel, Linear, gaussian, head_from
from headstart.adapt.probe import KernelProbe, Probe, mean_loss, temperature
from headstart.data.task import Task
from headstart.errors import RunError

THREE = Task.of("classification", ("a", "b", "c"))
MANY = Task.of("multi-label", ("x", "y"))
NUMBER = Task.of("regression", ("y",))


def clouds(
    count: int = 120, width: int = 10, seed: int = 0, apart: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    features = rng.normal(0, apart, (3, width))[labels] + rng.normal(0, 1, (count, width))
    return features.astype(np.float32), labels


def rings(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three rings around one centre: no line parts them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = 1.0 + labels + rng.normal(0, 0.15, count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points.astype(np.float32), labels


def dealt(count: int, folds: int = 5, apart: int | None = None) -> Folds:
    return Folds(np.random.default_rng(9).permutation(count) % folds, apart)


def test_probe_is_as_good_as_scikit_learns_cross_validated_model() -> None:
    features, labels = clouds(300, 20)
    train, test = np.arange(150), np.arange(150, 300)
    fit = Probe().fit(features[train], labels[train], THREE, dealt(150))
    theirs = LogisticRegressionCV(
        Cs=20,
        cv=5,
        max_iter=2000,
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        l1_ratios=(0,),
    ).fit(features[train], labels[train])
    ours = softmax(fit.head.outputs(features[test]), axis=1)
    assert np.mean(ours.argmax(axis=1) == labels[test]) >= theirs.score(
        features[test], labels[test]
    ) - 0.02  # fmt: skip
    expected = log_loss(labels[test], theirs.predict_proba(features[test]))
    assert log_loss(labels[test], ours) == pytest.approx(expected, abs=0.03)


def test_left_out_outputs_come_from_fits_without_the_fold() -> None:
    features, labels = clouds(60, 90)  # wide: a fit that saw an example gets it right
    folds = dealt(60, 3)
    fit = Probe(strengths=(0.05,), calibrate=False).fit(features, labels, THREE, folds)
    assert fit.left_out is not None
    scaling = fit.details["scaling"]
    scale = features.std(axis=0) if scaling == "column" else np.sqrt(features.var(axis=0).mean())
    standard = (features - features.mean(axis=0)) / scale
    for fold in range(3):
        train, asked = folds.of != fold, folds.of == fold
        model = LogisticRegression(C=1 / (0.05 * train.sum()), tol=1e-7, max_iter=5000)
        expected = model.fit(standard[train], labels[train]).predict_proba(standard[asked])
        # The choice of a strength stops its solver earlier than the final fit.
        far = np.abs(softmax(fit.left_out[asked], axis=1) - expected)
        assert far.mean() < 0.02 and far.max() < 0.15
    seen = softmax(fit.head.outputs(features), axis=1)[np.arange(60), labels]
    unseen = softmax(fit.left_out, axis=1)[np.arange(60), labels]
    assert seen.mean() > unseen.mean() + 0.1


def test_labels_of_a_fold_do_not_touch_its_own_left_out_outputs() -> None:
    features, labels = clouds(60)
    folds = dealt(60, 4)
    probe = Probe(strengths=(0.1,), scalings=("global",), calibrate=False)
    changed = labels.copy()
    changed[folds.of == 2] = (changed[folds.of == 2] + 1) % 3
    before, after = (probe.fit(features, y, THREE, folds).left_out
                     for y in (labels, changed))  # fmt: skip
    assert before is not None and after is not None
    asked = folds.of == 2
    np.testing.assert_allclose(before[asked], after[asked], atol=0.02)
    assert np.abs(before[~asked] - after[~asked]).max() > 0.2


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_sparse_and_dense_features_agree(task: str) -> None:
    rng = np.random.default_rng(2)
    raw = (rng.random((80, 30)) * (rng.random((80, 30)) < 0.3)).astype(np.float32)
    if task == "regression":
        targets, kind = raw @ rng.normal(0, 2, 30) + rng.normal(0, 0.1, 80), NUMBER
    else:
        targets, kind = (raw[:, :2] + rng.normal(0, 0.1, (80, 2)) > 0.2).astype(np.int8), MANY
    one = Probe().fit(raw, targets, kind, dealt(80))
    two = Probe().fit(sparse.csr_matrix(raw), targets, kind, dealt(80))
    ours, theirs = one.head.outputs(raw), two.head.outputs(sparse.csr_matrix(raw))
    assert np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1] > 0.95


@pytest.mark.parametrize("task", [THREE, NUMBER], ids=["classes", "number"])
def test_own_validation_beside_training_data_too_small_to_fold(task: Task) -> None:
    features, labels = clouds(63)
    targets = labels if task is THREE else features[:, 0].astype(float) * 3 + 10
    folds = Folds(np.repeat([1, 0], [3, 60]), apart=0)  # what plan makes of it
    fit = Probe(calibrate=False).fit(features, targets, task, folds)
    assert fit.left_out is not None
    assert np.isfinite(fit.head.outputs(features)).all()
    # Only three rows trained the model that the other sixty are asked of.
    errors = (fit.left_out[3:].argmax(axis=1) != labels[3:]).mean() if task is THREE else np.mean(
        (fit.left_out[3:, 0] - targets[3:]) ** 2
    )  # fmt: skip
    assert errors > 0.1
    assert fit.details["out_of_fold_loss"] > 0.1


def test_no_error_held_out_does_not_make_it_certain() -> None:
    features, labels = clouds(300, 20, seed=3, apart=1.0)
    fit = Probe().fit(features[:150], labels[:150], THREE, dealt(150))
    assert fit.left_out is not None
    assert (fit.left_out.argmax(axis=1) == labels[:150]).all()
    ours = softmax(fit.head.outputs(features[150:]), axis=1)
    assert (ours.argmax(axis=1) != labels[150:]).any()
    assert log_loss(labels[150:], ours) < 0.1


def test_without_folds_there_is_a_head_and_nothing_held_out() -> None:
    features, labels = clouds(3)
    fit = Probe().fit(features, labels, THREE, None)
    assert fit.left_out is None
    assert np.isfinite(fit.head.outputs(features)).all()


def test_kernel_probe_bends_where_a_line_cannot() -> None:
    points, labels = rings(400)
    train, test = slice(0, 200), slice(200, 400)
    fit = KernelProbe().fit(points[train], labels[train], THREE, dealt(200))
    ours = np.mean(fit.head.outputs(points[test]).argmax(axis=1) == labels[test])
    theirs = SVC(C=10).fit(points[train], labels[train]).score(points[test], labels[test])
    line = Probe().fit(points[train], labels[train], THREE, dealt(200))
    assert ours >= theirs - 0.03
    assert np.mean(line.head.outputs(points[test]).argmax(axis=1) == labels[test]) < 0.7


def test_kernel_regression_follows_kernel_ridge() -> None:
    rng = np.random.default_rng(5)
    points = rng.uniform(-3, 3, (300, 1)).astype(np.float32)
    targets = np.sin(points[:, 0]) * 10 + 100 + rng.normal(0, 0.5, 300)
    train, test = slice(0, 150), slice(150, 300)
    fit = KernelProbe().fit(points[train], targets[train], NUMBER, dealt(150))
    model = KernelRidge(kernel="rbf", gamma=1.0, alpha=0.05)
    theirs = model.fit(points[train], targets[train] - 100).predict(points[test]) + 100
    truth = np.sin(points[test][:, 0]) * 10 + 100
    ours_rmse = np.sqrt(np.mean((fit.head.outputs(points[test])[:, 0] - truth) ** 2))
    assert ours_rmse < max(0.4, 1.5 * np.sqrt(np.mean((theirs - truth) ** 2)))


def test_gaussian_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(0, 1, (4, 3)), rng.normal(0, 1, (5, 3))
    slow = [[np.exp(-0.7 * sum((a - b) ** 2)) for b in two] for a in one]
    np.testing.assert_allclose(gaussian(one, two, 0.7), slow, rtol=1e-10)


@pytest.mark.parametrize("kind", ["linear", "kernel", "constant"])
def test_a_head_saved_and_loaded_answers_the_same(kind: str, tmp_path: Path) -> None:
    features, labels = clouds(40)
    head: Linear | Kernel | Constant = Constant(np.array([0.5, -1.0, 2.0], np.float32))
    if kind != "constant":
        solver = Probe() if kind == "linear" else KernelProbe(landmarks=15)
        head = solver.fit(features, labels, THREE, dealt(40, 3)).head  # type: ignore[assignment]
    Adapted("n", "m", "image", THREE, Nothing(), head).save(tmp_path / "model")
    again = load_adapted(tmp_path / "model")
    assert again.task == THREE and again.head.kind == kind
    np.testing.assert_array_equal(again.head.outputs(features), head.outputs(features))


def test_a_head_of_the_future_is_named() -> None:
    with pytest.raises(RunError, match=r"'spline'.*Upgrade"):
        head_from("spline", {})


@pytest.mark.parametrize("harm", ["absent", "no json", "no head", "newer", "another task"])
def test_a_damaged_model_is_refused_in_one_line(harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    Adapted("n", "m", "image", THREE, Nothing(), Constant(np.zeros(3, np.float32))).save(folder)
    about = folder / "model.json"
    if harm == "absent":
        about.unlink()
    elif harm == "no json":
        about.write_text("{")
    elif harm == "no head":
        (folder / "head.safetensors").write_bytes(b"garbage")
    elif harm == "newer":
        about.write_text(about.read_text().replace('"format": 1', '"format": 99'))
    else:
        about.write_text(about.read_text().replace('"labels"', '"lables"'))
    with pytest.raises(RunError) as caught:
        load_adapted(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0])
def test_temperature_equals_brute_force(truth: float) -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 2, (500, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
    found = temperature(logits * truth, labels, THREE)
    grid = np.exp(np.linspace(-3, 3, 1001))
    smooth = np.eye(3)[labels] * 500 / 501 + 1 / 501 / 3
    losses = [-(smooth * log_softmax(logits * truth / t, axis=1)).sum() for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)
    assert found == pytest.approx(truth, rel=0.2)


def test_mean_loss_equals_scikit_learn() -> None:
    features, labels = clouds(50, 3)
    assert mean_loss(features, labels, THREE) == pytest.approx(
        log_loss(labels, softmax(features.astype(float), axis=1)), rel=1e-6
    )
    truth = (features[:, :2] > 0.3).astype(np.int8)
    shares = 1 / (1 + np.exp(-features[:, :2].astype(float)))
    slow = -(truth * np.log(shares) + (1 - truth) * np.log(1 - shares)).sum(axis=1).mean()
    assert mean_loss(features[:, :2], truth, MANY) == pytest.approx(slow, rel=1e-6)
