"""Transferability scores: slow references by hand, published values, bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import linalg
from sklearn.covariance import LedoitWolf

from headstart.errors import DataError, TooFewExamples
from headstart.ranking import BUILTIN, h_score, leep, logme, nce, neighbours, probe, sfda

SHAPES = [(40, 6), (40, 40), (30, 75)]  # more examples than dimensions, as many, fewer
SCORES = [h_score, logme, neighbours, probe, sfda]


def clouds(count: int, width: int, seed: int = 0, apart: float = 0.8) -> tuple:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 3)
    centres = rng.normal(0, apart, (3, width))
    return rng.normal(0, 1, (count, width)) + centres[labels] + 0.3, labels


def slow_logme(features: np.ndarray, targets: np.ndarray) -> float:
    """MacKay's fixed point on full matrices, run to its end, and the formula of the paper."""
    count, width = features.shape
    total = 0.0
    for y in targets.T:
        a, b = 1.0, 1.0
        gram = features.T @ features
        for _ in range(3000):
            inverse = np.linalg.inv(a * np.eye(width) + b * gram)
            m = b * inverse @ features.T @ y
            gamma = width - a * np.trace(inverse)
            before = a / b
            a, b = gamma / (m @ m), (count - gamma) / ((features @ m - y) ** 2).sum()
            if abs(a / b / before - 1) < 1e-10:
                break
        whole = a * np.eye(width) + b * gram
        m = b * np.linalg.solve(whole, features.T @ y)
        total += (
            count / 2 * np.log(b) + width / 2 * np.log(a) - count / 2 * np.log(2 * np.pi)
            - b / 2 * ((features @ m - y) ** 2).sum() - a / 2 * m @ m
            - np.linalg.slogdet(whole)[1] / 2
        )  # fmt: skip
    return total / targets.shape[1] / count


@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_papers_formula_at_its_maximum(shape: tuple[int, int]) -> None:
    features, labels = clouds(*shape)
    wanted = np.eye(3)[labels]
    assert logme(features, labels) == pytest.approx(slow_logme(features, wanted), abs=1e-6)


def test_logme_does_not_grow_with_empty_dimensions() -> None:
    """The published code did: its determinant leaves the directions without data out."""
    features, labels = clouds(200, 64)
    padded = np.hstack([features, np.zeros((200, 2000))])
    assert logme(padded, labels) == pytest.approx(logme(features, labels), abs=1e-9)


def published_code(features: np.ndarray, labels: np.ndarray) -> float:
    """The fixed point of thuml/LogME as it stands, written out; wrong where n < d (issue 23)."""
    count, width = features.shape
    left, s, _ = np.linalg.svd(features, full_matrices=False)
    squared, found = s**2, []
    for y in np.eye(labels.max() + 1)[labels].T:
        x2 = (left.T @ y) ** 2
        rest = (y**2).sum() - x2.sum()
        a, b = 1.0, 1.0
        for _ in range(11):
            t = a / b
            gamma = (squared / (squared + t)).sum()
            m2 = (squared * x2 / (t + squared) ** 2).sum()
            res2 = (x2 / (1 + squared / t) ** 2).sum() + rest
            a, b = gamma / (m2 + 1e-5), (count - gamma) / (res2 + 1e-5)
            if abs(a / b - t) / t <= 1e-3:
                break
        found.append(
            width / 2 * np.log(a) + count / 2 * np.log(b) - np.log(a + b * squared).sum() / 2
            - b / 2 * res2 - a / 2 * m2 - count / 2 * np.log(2 * np.pi)
        )  # fmt: skip
    return float(np.mean(found) / count)


def test_logme_agrees_with_the_published_code_only_where_that_is_right() -> None:
    """Like the set of issue 23: N = 200; there 3.2, 11.8 and 45.0 instead of -0.48 to -0.31."""
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 10
    for width in (32, 128):
        features = rng.normal(0, 1, (200, width)) + rng.normal(0, 0.5, (10, width))[labels]
        assert logme(features, labels) == pytest.approx(published_code(features, labels), abs=2e-3)
    ours, theirs = [], []
    for width in (384, 768, 2048):
        features = rng.normal(0, 1, (200, width)) + rng.normal(0, 0.1, (10, width))[labels]
        ours.append(logme(features, labels))
        theirs.append(published_code(features, labels))
    assert max(map(abs, ours)) < 0.6
    assert theirs[0] > ours[0] + 0.5 and theirs[2] > theirs[1] > theirs[0]
    # Noise alone has the evidence -(log(2 pi y'y / n) + 1) / 2: what weak features come near to.
    assert ours[2] == pytest.approx(-(np.log(2 * np.pi / 10) + 1) / 2, abs=0.1)


def test_logme_of_values_is_free_of_their_unit() -> None:
    features, _ = clouds(50, 5)
    values = features @ np.arange(5.0) + np.random.default_rng(0).normal(0, 1, 50)
    standard = ((values - values.mean()) / values.std())[:, None]
    assert logme(features, values) == pytest.approx(slow_logme(features, standard), abs=1e-6)
    assert logme(features, values * 1000 + 7) == pytest.approx(logme(features, values), abs=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_h_score_with_scikit_learns_ledoit_wolf(shape: tuple[int, int]) -> None:
    features, labels = clouds(*shape)
    fitted = LedoitWolf().fit(features)
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    between = np.cov(means, rowvar=False, bias=True)
    expected = (1 - fitted.shrinkage_) * np.trace(np.linalg.inv(fitted.covariance_) @ between)
    assert h_score(features, labels) == pytest.approx(expected, rel=1e-6)


def test_h_score_of_one_dimension_by_hand() -> None:
    """One dimension needs no shrinkage: the share of variance between classes, 1 / 1.25."""
    features = np.array([[-1.5], [-0.5], [0.5], [1.5]])
    assert h_score(features, np.array([0, 0, 1, 1])) == pytest.approx(1.0 / 1.25)


@pytest.mark.parametrize("shape", SHAPES)
def test_neighbours_by_loops(shape: tuple[int, int]) -> None:
    features, labels = clouds(*shape)
    centred = features - features.mean(axis=0)
    right = 0
    for i, one in enumerate(centred):
        cosines = [
            (-np.inf if i == j else one @ other / np.linalg.norm(one) / np.linalg.norm(other), j)
            for j, other in enumerate(centred)
        ]
        near = sorted(cosines, key=lambda pair: -pair[0])[:5]
        votes = [(sum(labels[j] == c for _, j in near), c) for c in range(3)]
        most = max(votes)[0]
        tied = [c for count, c in votes if count == most]
        similar = {c: sum(s for s, j in near if labels[j] == c) for c in tied}
        right += max(similar, key=similar.__getitem__) == labels[i]
    assert neighbours(features, labels) == pytest.approx(right / len(labels))


def test_neighbours_of_pairs_are_not_outvoted_by_strangers() -> None:
    """Thirty classes of two examples, twins beside each other on a ring: the nearest is right."""
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False).repeat(2) + np.tile([0.0, 0.02], 30)
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert neighbours(features, np.arange(60) // 2) == 1.0
    # A class of its own size among many of two: the median decides, not the largest.
    labels = np.concatenate([np.arange(40) // 2, np.full(20, 20)])
    assert neighbours(features, labels) == 1.0


def test_neighbours_of_values_by_loops() -> None:
    features, _ = clouds(30, 3)
    values = features[:, 0] ** 2 + features[:, 1]
    centred = features - features.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    missed = plain = 0.0
    for i in range(30):
        others = np.delete(np.arange(30), i)
        near = others[np.argsort(-(unit[others] @ unit[i]))[:5]]
        missed += (values[i] - values[near].mean()) ** 2
        plain += (values[i] - values[others].mean()) ** 2
    assert neighbours(features, values) == pytest.approx(1 - missed / plain)


@pytest.mark.parametrize("shape", SHAPES)
def test_probe_by_refitting_without_each_example(shape: tuple[int, int]) -> None:
    features, labels = clouds(*shape, apart=0.4)
    wanted = np.eye(3)[labels]
    centred = features - features.mean(axis=0)
    top = np.linalg.svd(centred, compute_uv=False)[0] ** 2
    best: tuple[float, float] = (np.inf, 0.0)
    for strength in np.logspace(-6, 1, 15) * top:
        outputs = np.empty_like(wanted)
        for i in range(len(wanted)):
            others = np.delete(np.arange(len(wanted)), i)
            mean, centre = features[others].mean(axis=0), wanted[others].mean(axis=0)
            own = features[others] - mean
            weights = np.linalg.solve(
                own.T @ own + strength * np.eye(own.shape[1]), own.T @ (wanted[others] - centre)
            )
            outputs[i] = centre + (features[i] - mean) @ weights
        errors = float(((wanted - outputs) ** 2).sum())
        best = min(best, (errors, float((outputs.argmax(1) == labels).mean())))
    assert probe(features, labels) == pytest.approx(best[1])


def test_probe_of_values_is_r_squared_of_left_out_predictions() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (60, 4))
    values = features @ np.array([1.0, 2.0, 0.0, -1.0])
    assert probe(features, values) == pytest.approx(1.0, abs=1e-6)
    assert probe(features, rng.normal(0, 1, 60)) < 0.1


def test_probe_takes_several_labels_at_once() -> None:
    features, labels = clouds(60, 6, apart=2.0)
    several = np.stack([labels == 0, labels > 0], axis=1).astype(np.int8)
    assert 0.3 < probe(features, several) < 1
    assert np.isfinite(logme(features, several))


def source(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    logits = rng.normal(0, 1, (count, 7)) + 2 * np.eye(7)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def test_leep_by_loops() -> None:
    table, labels = source()
    count, width = table.shape
    joint = np.zeros((3, width))
    for i in range(count):
        for z in range(width):
            joint[labels[i], z] += table[i, z] / count
    total = 0.0
    for i in range(count):
        total += np.log(
            sum(joint[labels[i], z] / joint[:, z].sum() * table[i, z] for z in range(width))
        )
    assert leep(table, labels) == pytest.approx(total / count)


def test_leep_and_nce_by_hand() -> None:
    """Two source classes; the first holds labels 0, 0, 1, the second 1: -(3/4) H(1/3)."""
    table, labels = np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 1, 1])
    expected = (2 * np.log(2 / 3) + np.log(1 / 3)) / 4
    assert nce(table, labels) == pytest.approx(expected)
    assert leep(table, labels) == pytest.approx(expected)  # equal for sure answers
    assert nce(source()[0], source()[1]) < 0


def test_nce_by_loops() -> None:
    table, labels = source()
    said = [int(row.argmax()) for row in table]
    total = 0.0
    for y in range(3):
        for z in range(7):
            both = sum(a == z and b == y for a, b in zip(said, labels, strict=True)) / 40
            if both:
                total += both * np.log(both / (said.count(z) / 40))
    assert nce(table, labels) == pytest.approx(total)


def slow_sfda(features: np.ndarray, labels: np.ndarray, weight: float) -> float:
    """As in the paper's code: generalised eigenvectors of the scatters, then mixing, then again."""

    def posterior(x: np.ndarray) -> np.ndarray:
        means = np.stack([x[labels == c].mean(axis=0) for c in range(3)])
        prior = np.bincount(labels) / len(labels)
        within = sum(p * np.cov(x[labels == c].T, bias=True) for c, p in enumerate(prior))
        level = np.trace(within) / x.shape[1]
        within = (1 - weight) * within + weight * level * np.eye(x.shape[1])
        _, vectors = linalg.eigh(np.cov(x.T, bias=True), within)
        weights = means @ vectors @ vectors.T
        logits = x @ weights.T - 0.5 * np.diag(means @ weights.T) + np.log(prior)
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

    first = np.exp(posterior(features))
    first /= first.sum(axis=1, keepdims=True)
    means = np.stack([features[labels == c].mean(axis=0) for c in range(3)])
    mixed = features.copy()
    for i, label in enumerate(labels):
        other = (means.sum(axis=0) - means[label]) / 2
        mixed[i] = first[i, label] * features[i] + (1 - first[i, label]) * other
    return float(np.log(posterior(mixed)[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", [0.05, 0.5, 1.0])
def test_sfda_as_the_paper_computes_it(shape: tuple[int, int], weight: float) -> None:
    features, labels = clouds(*shape)
    expected = slow_sfda(features, labels, weight)
    assert sfda(features, labels, weight) == pytest.approx(expected, rel=1e-6)


def test_sfda_shrinks_the_scatter_within_classes_as_ledoit_and_wolf() -> None:
    features, labels = clouds(30, 75)
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    weight = LedoitWolf(assume_centered=True).fit(features - means).shrinkage_
    assert sfda(features, labels) == pytest.approx(sfda(features, labels, weight), rel=1e-9)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("shape", SHAPES)
def test_better_features_score_higher(score: Callable, shape: tuple[int, int]) -> None:
    found = [np.mean([score(*clouds(*shape, seed=s, apart=a)) for s in range(5)])
             for a in (0.0, 0.5, 3.0)]  # fmt: skip
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("score", SCORES)
def test_rotation_and_order_change_nothing(score: Callable) -> None:
    features, labels = clouds(40, 12)
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))
    order = np.random.default_rng(4).permutation(40)
    expected = pytest.approx(score(features, labels), rel=1e-6)
    assert score(features @ turn, labels) == expected
    assert score(features[order], labels[order]) == expected


@pytest.mark.parametrize("score", BUILTIN, ids=lambda score: score.name)
def test_bad_input_is_refused_by_name(score) -> None:
    features, labels = source()
    with pytest.raises(TooFewExamples, match="2 classes"):
        score.function(features, np.zeros(40, np.int64))
    with pytest.raises(TooFewExamples, match="fewer examples than classes"):
        score.function(features[:5], np.array([0, 1, 2, 3, 9]))
    with pytest.raises(TooFewExamples, match="one example of every class"):
        score.function(features[:3], np.arange(3))
    with pytest.raises(TooFewExamples, match="2 examples"):
        score.function(features[:1], labels[:1])
    broken = features.copy()
    broken[7, 1] = np.nan
    with pytest.raises(DataError, match="example 7 are NaN"):
        score.function(broken, labels)
    values = np.linspace(0, 1, 40)
    if "regression" in score.kinds:
        assert np.isfinite(score.function(features, values))
        with pytest.raises(DataError, match="all 40 targets are equal"):
            score.function(features, np.full(40, 3.5))
    else:
        with pytest.raises(DataError, match="is for classification"):
            score.function(features, values)
    if score.uses == "source":
        with pytest.raises(DataError, match="probabilities"):
            score.function(features * 2, labels)


@pytest.mark.parametrize("score", SCORES)
def test_features_that_are_all_the_same_give_a_finite_score(score: Callable) -> None:
    assert np.isfinite(score(np.ones((20, 4)), np.arange(20) % 2))
    assert np.isfinite(score(np.zeros((20, 4)), np.arange(20) % 2))


def test_fair_scores_gain_nothing_from_dimensions_alone() -> None:
    """Noise of 20 and of 400 dimensions, 100 examples: only scores that judge what they were
    fitted on prefer the wide one by much."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    for score in (one for one in BUILTIN if one.uses == "features"):
        thin, wide = (
            np.mean([score.function(rng.normal(0, 1, (100, d)), labels) for _ in range(8)])
            for d in (20, 400)
        )
        if score.fair:
            assert wide < thin + 0.08, score.name
    assert {one.name for one in BUILTIN if one.fair} == {"logme", "knn", "probe"}
