"""Support vector machines, neighbours, curves and held-out ridge against independent references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import normalize
from sklearn.svm import SVC, LinearSVC, LinearSVR

from headstart.adapt.folds import Folds
from headstart.adapt.heads import Isotonic, Kernel, Neighbours, gaussian
from headstart.adapt.probe import Fit, Probe, mean_loss
from headstart.adapt.probe.auto import simplest_of_the_best
from headstart.adapt.probe.calibrate import best_factor
from headstart.adapt.probe.choose import settled
from headstart.adapt.probe.given import Given
from headstart.adapt.probe.isotonic import rising
from headstart.adapt.solvers.design import design
from headstart.adapt.solvers.links import SIGMOID, SOFTMAX, SQUARED_HINGE, Link, squared_tube
from headstart.adapt.solvers.path import Path, even_weights
from headstart.adapt.solvers.ridge import ridge_by_folds
from headstart.data.task import Task
from test_adapt_heads import TASKS, dealt, made
from test_adapt_probe import rings

THREE = TASKS["classification"]


def svm_objective(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, bias: np.ndarray, strength: float
) -> np.ndarray:
    """The primal objective of each class against the rest, by hand."""
    side = np.where(np.arange(weights.shape[1]) == labels[:, None], 1.0, -1.0)
    missing = np.maximum(0.0, 1.0 - side * (features @ weights + bias))
    found: np.ndarray = (missing**2).mean(axis=0) + strength / 2 * (weights**2).sum(axis=0)
    return found


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
def test_linear_svm_has_the_objective_of_liblinear(strength: float) -> None:
    features, labels = made("classification")
    features = features - features.mean(axis=0)
    truth = torch.from_numpy(np.eye(3, dtype=np.float32)[labels])
    weights, bias = settled(design(features, scaling="none"), truth, SQUARED_HINGE, strength, None)
    # LIBLINEAR shrinks the intercept as well: a large one for 1 makes that nothing.
    theirs = LinearSVC(
        C=1 / (len(labels) * strength), dual=False, tol=1e-8, intercept_scaling=1000,
        max_iter=100_000,
    ).fit(features, labels)  # fmt: skip
    ours = svm_objective(features, labels, weights, bias, strength)
    expected = svm_objective(features, labels, theirs.coef_.T, theirs.intercept_, strength)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    np.testing.assert_allclose(weights, theirs.coef_.T, atol=5e-3)


def test_linear_svr_equals_liblinear() -> None:
    features, numbers = made("regression")
    features = features - features.mean(axis=0)
    targets = (numbers - numbers.mean()) / numbers.std()
    truth = torch.from_numpy(targets.astype(np.float32))[:, None]
    for strength in (0.3, 0.01):
        weights, bias = settled(
            design(features, scaling="none"), truth, squared_tube(0.1), strength, None
        )
        theirs = LinearSVR(
            C=1 / (len(targets) * strength), epsilon=0.1, tol=1e-8, intercept_scaling=1000,
            loss="squared_epsilon_insensitive", dual=False, max_iter=100_000,
        ).fit(features, targets)  # fmt: skip
        np.testing.assert_allclose(weights[:, 0], theirs.coef_, atol=2e-3)
        np.testing.assert_allclose(bias[0], theirs.intercept_[0], atol=2e-3)


def test_the_svm_of_a_probe_is_as_good_as_liblinear() -> None:
    features, labels = made("classification", 400)
    train, test = slice(0, 150), slice(150, 400)
    fit = Probe(head="svm").fit(features[train], labels[train], THREE, dealt(150))
    ours = (fit.head.outputs(features[test]).argmax(axis=1) == labels[test]).mean()
    theirs = LinearSVC(C=1.0).fit(features[train], labels[train])
    assert ours >= theirs.score(features[test], labels[test]) - 0.02


@pytest.mark.parametrize("strength", [0.1, 0.003])
def test_rbf_svm_has_the_objective_of_a_slow_minimiser(strength: float) -> None:
    points, labels = rings(60)
    probe = Probe(
        head="rbf-svm", gammas=(1.0,), kernel_strengths=(strength,), calibrate="none"
    )  # fmt: skip
    head = probe.fit(points, labels, THREE, dealt(60)).head
    assert isinstance(head, Kernel)
    standard = (points - head.mean) / head.scale
    kernel = gaussian(standard, standard, float(head.gamma[0]))

    def objective(beta: np.ndarray, bias: float, side: np.ndarray) -> float:
        missing = np.maximum(0.0, 1.0 - side * (kernel @ beta + bias))
        return float((missing**2).mean() + strength / 2 * beta @ kernel @ beta)

    for label in range(3):
        side = np.where(labels == label, 1.0, -1.0)

        def both(x: np.ndarray, side: np.ndarray = side) -> tuple[float, np.ndarray]:
            beta, bias = x[:-1], x[-1]
            missing = np.maximum(0.0, 1.0 - side * (kernel @ beta + bias))
            pull = -2.0 * side * missing / len(side)
            slope = np.append(kernel @ pull + strength * (kernel @ beta), pull.sum())
            return objective(beta, bias, side), slope

        slow = minimize(
            both, np.zeros(len(points) + 1), jac=True, method="L-BFGS-B",
            options={"maxiter": 20_000, "maxfun": 20_000, "ftol": 1e-14, "gtol": 1e-9},
        )  # fmt: skip
        beta = np.asarray(head.weights[:, label], np.float64)
        ours = objective(beta, float(head.bias[label]), side)
        assert ours == pytest.approx(slow.fun, rel=2e-3, abs=1e-5)


def test_rbf_svm_agrees_with_libsvm() -> None:
    points, labels = rings(500)
    train, test = slice(0, 200), slice(200, 500)
    fit = Probe(head="rbf-svm").fit(points[train], labels[train], THREE, dealt(200))
    ours = fit.head.outputs(points[test]).argmax(axis=1)
    theirs = SVC(C=10).fit(points[train], labels[train]).predict(points[test])
    assert (ours == theirs).mean() > 0.94
    assert (ours == labels[test]).mean() >= (theirs == labels[test]).mean() - 0.02


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("count", [1, 5])
def test_neighbours_equal_scikit_learns(metric: str, count: int) -> None:
    features, labels = made("classification", 200)
    train, test = np.arange(120), np.arange(120, 200)
    head = _neighbours(features[train], np.eye(3)[labels[train]], metric, count)
    found = head.outputs(features[test])
    # What it stores is rounded to float16: so is what they are given.
    theirs = KNeighborsClassifier(count, weights="distance").fit(
        head.placed(features[train]), labels[train]
    )
    expected = theirs.predict_proba(head.placed(features[test]))
    smooth = (count * expected + 1 / 3) / (count + 1)
    np.testing.assert_allclose(np.exp(found), smooth, atol=2e-3)
    if metric == "cosine":
        plain = KNeighborsClassifier(count, metric="cosine").fit(features[train], labels[train])
        near = plain.kneighbors(features[test], return_distance=False)
        mine = theirs.kneighbors(head.placed(features[test]), return_distance=False)
        assert (np.sort(near) == np.sort(mine)).mean() > 0.97
        np.testing.assert_allclose(head.stored, normalize(features[train]), atol=1e-3)


def _neighbours(features: np.ndarray, answers: np.ndarray, metric: str, count: int) -> Neighbours:
    head = Neighbours(
        stored=np.empty((0, 0), np.float16), answers=answers.astype(np.int8),
        mean=features.mean(axis=0), scale=np.ones(1, np.float32),
        unit=np.asarray([metric == "cosine"]).astype(int), count=np.asarray([count]),
        prior=np.full(3, 1 / 3), meaning=np.asarray([1]), gain=np.asarray([1.0, 0.0]),
    )  # fmt: skip
    from dataclasses import replace

    return replace(head, stored=head.placed(features))


def test_neighbours_of_numbers_and_of_other_folds_equal_a_loop() -> None:
    features, numbers = made("regression")
    folds = dealt(apart=3)
    fit = Probe(head="knn", neighbours=(4,)).fit(features, numbers, TASKS["regression"], folds)
    assert fit.left_out is not None and isinstance(fit.head, Neighbours)
    placed = fit.head.placed(features).astype(np.float64)
    for fold in range(4):
        inside, asked = folds.inside(fold), folds.of == fold
        model = KNeighborsRegressor(4, weights="distance").fit(placed[inside], numbers[inside])
        np.testing.assert_allclose(fit.left_out[asked, 0], model.predict(placed[asked]), rtol=1e-3)
    everything = KNeighborsRegressor(4, weights="distance").fit(placed, numbers)
    fresh = made("regression", 40, seed=5)[0]
    expected = everything.predict(fit.head.placed(fresh).astype(np.float64))
    np.testing.assert_allclose(fit.head.outputs(fresh)[:, 0], expected, rtol=1e-3)


def test_copies_do_not_outvote_all_others() -> None:
    features = np.asarray([[0.0, 1.0], [0.01, 1.0], [0.02, 1.0], [5.0, 1.0]], np.float32)
    head = _neighbours(features, np.eye(3)[[0, 1, 1, 2]], "euclidean", 4)
    said = np.exp(head.outputs(features[:1]))[0]
    assert np.isfinite(said).all() and said.argmax() == 0 and said[1] > 0.1


def test_rising_curves_equal_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(300), 2)  # with ties
    truth = (rng.random(300) < scores**2).astype(float)
    before, after = rising(scores, truth)
    model = IsotonicRegression(out_of_bounds="clip").fit(scores, truth)
    asked = np.linspace(-0.1, 1.1, 500)
    base = (truth.sum() + 1) / 302
    expected = (300 * model.predict(asked) + base) / 301
    np.testing.assert_allclose(np.interp(asked, before, after), expected, atol=1e-9)
    assert len(before) < 60 and (after > 0).all() and (after < 1).all()


@pytest.mark.parametrize("kind", ["classification", "multi-label"])
def test_isotonic_probabilities_are_those_of_a_loop_over_classes(kind: str) -> None:
    features, targets = made(kind, 400)
    task = TASKS[kind]
    plain = Probe(strengths=(0.1, 0.01)).fit(features, targets, task, dealt(400))
    fit = Probe(strengths=(0.1, 0.01), calibrate="isotonic").fit(
        features, targets, task, dealt(400)
    )
    assert isinstance(fit.head, Isotonic) and plain.left_out is not None
    shares = task.kind.activate(plain.left_out)
    asked = task.kind.activate(plain.head.outputs(features))
    truth = np.eye(3)[targets] if kind == "classification" else targets.astype(float)
    columns = []
    for c in range(task.outputs):
        model = IsotonicRegression(out_of_bounds="clip").fit(shares[:, c], truth[:, c])
        base = (truth[:, c].sum() + 1) / 402
        columns.append((400 * model.predict(asked[:, c]) + base) / 401)
    expected = np.stack(columns, axis=1)
    if kind == "classification":
        expected /= expected.sum(axis=1, keepdims=True)
    found = task.kind.activate(fit.head.outputs(features))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_isotonic_mends_what_no_temperature_can() -> None:
    """Overlapping clouds whose outputs were cubed: right in order, wrong in size."""
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 1.5, 4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-scores))).astype(int)
    bent = np.stack([np.zeros(4000), np.sign(scores) * np.abs(scores) ** 0.2], axis=1)
    task = Task.of("classification", ("no", "yes"))
    half = np.arange(4000) < 2000
    given = Given(bent[half], labels[half], task, dealt(2000))
    from headstart.adapt.heads import Linear
    from headstart.adapt.probe.isotonic import curves

    inner = Linear(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    head = curves(inner, bent[half], labels[half], given)
    scaled = SOFTMAX, torch.from_numpy(bent[half]), torch.eye(2)[labels[half]].double()
    factor, _ = best_factor(*scaled)
    ours = mean_loss(head.outputs(bent[~half]), labels[~half], task)
    theirs = mean_loss(bent[~half] * factor, labels[~half], task)
    best = log_loss(labels[~half], 1 / (1 + np.exp(-scores[~half])))
    assert ours < theirs - 0.01 and ours < best + 0.02


@pytest.mark.parametrize("link", [SOFTMAX, SIGMOID, SQUARED_HINGE, squared_tube(0.3)])
def test_links_give_their_own_derivative_within_their_bound(link: Link) -> None:
    rng = np.random.default_rng(1)
    outputs = torch.from_numpy(rng.normal(0, 1, (4, 2, 30)))
    truth = torch.from_numpy(np.eye(4)[rng.integers(0, 4, 30)].T.copy())[:, None]
    _, residual = link.both(outputs, truth)
    for place in np.ndindex(outputs.shape):
        step = torch.zeros_like(outputs)
        step[place] = 1e-5
        change = link.both(outputs + step, truth)[0] - link.both(outputs - step, truth)[0]
        assert float(change.sum()) / 2e-5 == pytest.approx(float(residual[place]), abs=1e-4)
    for _ in range(20):  # a curvature above the bound would show along some direction
        way = torch.from_numpy(rng.normal(0, 1, outputs.shape))
        bend = ((link.both(outputs + 1e-4 * way, truth)[1] - residual) * way).sum(dim=0) / 1e-4
        assert (bend <= link.bound * way.square().sum(dim=0) * 1.001).all()


def test_a_path_ends_where_a_fresh_start_does() -> None:
    """Extrapolation along the strengths is a better start, and nothing more."""
    features, labels = made("classification", 300)
    truth = torch.from_numpy(np.eye(3, dtype=np.float32)[labels])
    weights = even_weights(torch.ones(300, 2, dtype=torch.bool))
    for link in (SOFTMAX, SQUARED_HINGE):
        path = Path(design(features), truth, weights, link)
        for strength in np.logspace(0, -3, 13):
            path.solve(float(strength), tolerance=1e-8, most=300)
        fresh = Path(design(features), truth, weights, link)
        fresh.solve(1e-3, tolerance=1e-9, most=1000)
        torch.testing.assert_close(path.outputs, fresh.outputs, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("width", [6, 200])
def test_a_fold_taken_out_of_the_one_decomposition_equals_a_loop(width: int) -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(0, 1, (60, width)) * np.linspace(0.5, 2, width) + 3).astype(np.float32)
    targets = features @ rng.normal(0, 1, (width, 2)) / width + rng.normal(0, 1, (60, 2)) + 5.0
    folds = Folds(rng.permutation(60) % 6)  # ten rows, beside a rank of 6 or of 59
    for strength in (1.0, 0.1):
        fit = ridge_by_folds(design(features, scaling="none"), targets, [strength], folds)
        for fold in range(6):
            inside, asked = folds.inside(fold), folds.of == fold
            model = Ridge(alpha=inside.sum() * strength).fit(features[inside], targets[inside])
            np.testing.assert_allclose(
                fit.left_out[asked], model.predict(features[asked]), rtol=1e-3, atol=1e-3
            )


def test_auto_takes_the_simplest_within_a_standard_error() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(0, 1, 400)
    given = Given(np.zeros((400, 1)), targets, TASKS["regression"], dealt(400))

    def fit(noise: float, seed: int) -> Fit:
        off = np.random.default_rng(seed).normal(0, noise, 400)
        return Fit(Neighbours(*[np.zeros(1)] * 9), (targets + off)[:, None], {}, 1)

    same, worse, best = fit(1.001, 1), fit(2.0, 2), fit(1.0, 1)
    assert simplest_of_the_best([same, worse, best], given) is not worse
    assert simplest_of_the_best([worse, best, same], given) is best
    near = fit(1.02, 4)
    errors = np.square(near.left_out[:, 0] - targets) - np.square(best.left_out[:, 0] - targets)  # type: ignore[index]
    close = errors.mean() <= errors.std() / 20
    assert (simplest_of_the_best([near, best], given) is near) == close


def test_auto_bends_on_rings_and_stays_straight_on_clouds() -> None:
    points, labels = rings(300)
    bent = Probe(head="auto").fit(points, labels, THREE, dealt(300))
    assert bent.details["kind"] in {"rbf", "rbf-svm", "knn"}
    assert set(bent.details["tried"]) == {"logistic", "ridge", "svm", "rbf", "rbf-svm", "knn"}
    features, classes = made("classification", 150)
    straight = Probe(head="auto").fit(features, classes, THREE, dealt(150))
    assert straight.details["kind"] == "logistic"
