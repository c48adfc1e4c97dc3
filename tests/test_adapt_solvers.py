"""The solvers of the heads, against scikit-learn and against loops by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.adapt.folds import Folds
from headstart.adapt.solvers.design import Design, design
from headstart.adapt.solvers.links import SIGMOID, SOFTMAX, Link
from headstart.adapt.solvers.path import Path, even_weights, held_out
from headstart.adapt.solvers.ridge import ridge, ridge_by_folds

STRENGTHS = (1.0, 0.1, 0.01, 0.001)


def classes(count: int, width: int, kinds: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds with columns of very different scale and mean."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % kinds
    centres = rng.normal(0, 1, (kinds, width))
    raw = centres[labels] + rng.normal(0, 1.5, (count, width))
    return (raw * np.linspace(0.2, 3.0, width) + 2.0).astype(np.float32), labels


def by_sklearn(
    features: np.ndarray, targets: np.ndarray, strength: float, *, binary: bool = False
) -> LogisticRegression:
    """The same objective in scikit-learn's terms; a binary model there has one vector, not two."""
    c = (2.0 if binary else 1.0) / (len(targets) * strength)
    return LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(features, targets)


def walked(prepared: Design, truth: np.ndarray, link: Link, inside: np.ndarray) -> Path:
    weights = even_weights(torch.from_numpy(inside))
    return Path(prepared, torch.from_numpy(truth.astype(np.float32)), weights, link)


@pytest.mark.parametrize(("count", "width"), [(120, 12), (30, 80)], ids=["n>d", "n<d"])
@pytest.mark.parametrize("scaling", ["column", "global", "none"])
def test_softmax_equals_scikit_learn(count: int, width: int, scaling: str) -> None:
    features, labels = classes(count, width)
    prepared = design(features, scaling=scaling)  # type: ignore[arg-type]
    mean, scale = features.mean(axis=0), np.ones(width)
    if scaling == "column":
        scale = features.std(axis=0)
    elif scaling == "global":
        scale = np.full(width, np.sqrt(features.var(axis=0).mean()))
    path = walked(prepared, np.eye(3)[labels], SOFTMAX, np.ones((count, 1), bool))
    for strength in STRENGTHS:
        path.solve(strength, tolerance=1e-9, most=500)
        weights, bias = prepared.weights(path.solution[:, 0])
        ours = softmax(features @ weights + bias, axis=1)
        theirs = by_sklearn((features - mean) / scale, labels, strength)
        np.testing.assert_allclose(
            ours, theirs.predict_proba((features - mean) / scale), atol=2e-3, err_msg=f"{strength}"
        )
        np.testing.assert_allclose(  # the path's own outputs are those of the weights it gives
            softmax(path.outputs[:, 0].numpy(), axis=1), ours, atol=1e-4
        )


def test_two_classes_equal_scikit_learns_binary_model() -> None:
    features, labels = classes(80, 6, kinds=2)
    prepared = design(features, scaling="none")
    path = walked(prepared, np.eye(2)[labels], SOFTMAX, np.ones((80, 1), bool))
    path.solve(0.05, tolerance=1e-9, most=500)
    weights, bias = prepared.weights(path.solution[:, 0])
    centred = features - features.mean(axis=0)
    theirs = by_sklearn(centred, labels, 0.05, binary=True).predict_proba(centred)
    np.testing.assert_allclose(softmax(features @ weights + bias, axis=1), theirs, atol=1e-3)


def test_sigmoid_equals_one_model_a_label() -> None:
    features, _ = classes(150, 10)
    rng = np.random.default_rng(3)
    truth = (features @ rng.normal(0, 0.3, (10, 4)) + rng.normal(0, 1, (150, 4)) > 0).astype(int)
    prepared = design(features, scaling="none")
    path = walked(prepared, truth, SIGMOID, np.ones((150, 1), bool))
    centred = features - features.mean(axis=0)
    for strength in STRENGTHS:
        path.solve(strength, tolerance=1e-9, most=500)
        weights, bias = prepared.weights(path.solution[:, 0])
        for label in range(4):
            theirs = by_sklearn(centred, truth[:, label], strength).predict_proba(centred)[:, 1]
            ours = expit(features @ weights[:, label] + bias[label])
            np.testing.assert_allclose(ours, theirs, atol=2e-3, err_msg=f"{strength}, {label}")


def test_sparse_features_equal_scikit_learn_and_stay_sparse() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    raw = rng.random((90, 200)) * (rng.random((90, 200)) < 0.05)
    raw[np.arange(90), labels] += 0.7
    features = sparse.csr_matrix(raw.astype(np.float32))
    prepared = design(features)
    assert prepared.forward.layout == torch.sparse_csr
    path = walked(prepared, np.eye(3)[labels], SOFTMAX, np.ones((90, 1), bool))
    for strength in (0.1, 0.01):
        path.solve(strength, tolerance=1e-9, most=1000)
        weights, bias = prepared.weights(path.solution[:, 0])
        theirs = by_sklearn(features, labels, strength).predict_proba(features)
        np.testing.assert_allclose(softmax(features @ weights + bias, axis=1), theirs, atol=2e-3)


@pytest.mark.parametrize("width", [8, 60])
def test_every_fold_is_held_out_of_its_own_fit(width: int) -> None:
    features, labels = classes(60, width)
    of = np.random.default_rng(1).permutation(60) % 4
    folds = Folds(of)
    inside = np.stack([folds.inside(fold) for fold in range(4)], axis=1)
    path = walked(design(features, scaling="none"), np.eye(3)[labels], SOFTMAX, inside)
    centred = features - features.mean(axis=0)
    for strength in (0.3, 0.03):
        path.solve(strength, tolerance=1e-9, most=500)
        ours = softmax(held_out(path.outputs, torch.from_numpy(of)).numpy(), axis=1)
        for fold in range(4):
            train, asked = of != fold, of == fold
            model = by_sklearn(centred[train], labels[train], strength)
            theirs = model.predict_proba(centred[asked])
            np.testing.assert_allclose(ours[asked], theirs, atol=3e-3, err_msg=f"fold {fold}")


def test_rows_that_stand_apart_train_no_fold() -> None:
    folds = Folds(np.array([0, 1, 2, 2, 1, 0]), apart=2)
    assert folds.inside(0).tolist() == [False, True, False, False, True, False]
    assert folds.inside(1).tolist() == [True, False, False, False, False, True]
    # The model of the fold that stands apart trains on everything else.
    assert folds.inside(2).tolist() == [True, True, False, False, True, True]


def test_a_constant_column_and_duplicates_do_no_harm() -> None:
    features, labels = classes(40, 6)
    features = np.concatenate([features, np.full((40, 1), 7.0), features[:, :2]], axis=1)
    prepared = design(features.astype(np.float32), scaling="column")
    path = walked(prepared, np.eye(3)[labels], SOFTMAX, np.ones((40, 1), bool))
    path.solve(0.1, tolerance=1e-9, most=500)
    weights, bias = prepared.weights(path.solution[:, 0])
    assert np.isfinite(weights).all() and np.isfinite(bias).all()
    assert not weights[6].any()
    np.testing.assert_allclose(weights[0], weights[7], atol=1e-5)  # twins share their weight


def numbers(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    features = (rng.normal(0, 1, (count, width)) * np.linspace(0.5, 2, width) + 3).astype(
        np.float32
    )
    targets = features @ rng.normal(0, 1, (width, 2)) + rng.normal(0, 1, (count, 2)) + 50.0
    return features, targets


@pytest.mark.parametrize(("count", "width"), [(40, 6), (25, 60)], ids=["n>d", "n<d"])
def test_ridge_leaves_each_one_out_like_a_loop(count: int, width: int) -> None:
    features, targets = numbers(count, width)
    prepared = design(features, scaling="none")
    for strength in (1.0, 0.01):
        fit = ridge(prepared, targets, [strength])
        expected = np.empty((count, 2))
        for row in range(count):
            rest = np.arange(count) != row
            # The penalty is a share of the mean error over all n examples.
            model = Ridge(alpha=count * strength).fit(features[rest], targets[rest])
            expected[row] = model.predict(features[[row]])[0]
        np.testing.assert_allclose(fit.left_out, expected, rtol=1e-3, atol=2e-3)
        assert fit.errors[0] == pytest.approx(np.mean((expected - targets) ** 2), rel=1e-3)
        model = Ridge(alpha=count * strength).fit(features, targets)
        ours = features @ fit.weights + fit.bias
        np.testing.assert_allclose(ours, model.predict(features), rtol=1e-4, atol=2e-3)


def test_ridge_takes_the_strength_with_the_least_error() -> None:
    features, targets = numbers(30, 40)
    strengths = [100.0, 1.0, 0.1, 0.001]
    fit = ridge(design(features, scaling="none"), targets, strengths)
    assert fit.strength == strengths[int(fit.errors.argmin())]
    alone = ridge(design(features, scaling="none"), targets, [fit.strength])
    np.testing.assert_array_equal(fit.weights, alone.weights)


@pytest.mark.parametrize(("count", "width"), [(40, 6), (25, 60)], ids=["n>d", "n<d"])
@pytest.mark.parametrize("apart", [None, 3])
def test_ridge_by_folds_equals_a_loop(count: int, width: int, apart: int | None) -> None:
    features, targets = numbers(count, width)
    folds = Folds(np.random.default_rng(2).permutation(count) % 4, apart)
    strengths = [1.0, 0.01]
    fit = ridge_by_folds(design(features, scaling="none"), targets, strengths, folds)
    errors = []
    for strength in strengths:
        expected = np.empty((count, 2))
        for fold in range(4):
            inside, asked = folds.inside(fold), folds.of == fold
            model = Ridge(alpha=inside.sum() * strength).fit(features[inside], targets[inside])
            expected[asked] = model.predict(features[asked])
        errors.append(np.mean((expected - targets) ** 2))
        if strength == fit.strength:
            np.testing.assert_allclose(fit.left_out, expected, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(fit.errors, errors, rtol=2e-3)


def test_shapes_are_checked_under_test() -> None:
    """jaxtyping and beartype watch the mathematics here (see addopts in pyproject.toml)."""
    from headstart.adapt.heads import gaussian

    with pytest.raises(Exception, match=r"(?i)type-check"):
        gaussian(np.zeros((3, 2)), np.zeros((3, 4)), 1.0)
