"""Agreement of orders, the common scale, the prior, half-samples and the combination."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import weightedtau

from headstart.errors import DataError, TooFewExamples
from headstart.ranking.agreement import regret, weighted_tau
from headstart.ranking.ceiling import left_out_right, sharing
from headstart.ranking.combine import combine, mean_score
from headstart.ranking.prior import static_prior
from headstart.ranking.reference import Reference, find_reference, frechet
from headstart.ranking.resample import half_samples, sample, scaled
from headstart.ranking.similarity import task_similarity
from headstart.ranking.standard import Scale, standardised
from headstart.sources.backbone import BackboneCard


def slow_tau(scores: np.ndarray, truth: np.ndarray) -> float:
    """Every pair by a loop; ranks by each side in turn."""
    found = []
    for first, second in ((scores, truth), (truth, scores)):
        order = sorted(range(len(scores)), key=lambda i: (first[i], second[i]), reverse=True)
        place = {model: rank for rank, model in enumerate(order)}
        total = ours = theirs = 0.0
        for i in range(len(scores)):
            for j in range(i):
                weight = 1 / (1 + place[i]) + 1 / (1 + place[j])
                one, other = np.sign(scores[i] - scores[j]), np.sign(truth[i] - truth[j])
                total += weight * one * other
                ours += weight * one**2
                theirs += weight * other**2
        found.append(total / np.sqrt(ours * theirs))
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(8))
def test_weighted_tau_is_scipys_and_the_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.normal(size=9), rng.normal(size=9)
    if seed % 2:  # with ties, but no pair that is equal on both sides
        scores = np.round(scores)
    assert weighted_tau(scores, truth) == pytest.approx(weightedtau(scores, truth).statistic)
    assert weighted_tau(scores, truth) == pytest.approx(slow_tau(scores, truth))


def test_weighted_tau_minds_the_top_and_refuses_nonsense() -> None:
    truth = np.array([5.0, 4, 3, 2, 1])
    top, bottom = np.array([4.0, 5, 3, 2, 1]), np.array([5.0, 4, 3, 1, 2])
    assert weighted_tau(top, truth) < weighted_tau(bottom, truth) < 1
    assert weighted_tau(-truth, truth) == pytest.approx(-1)
    assert np.isnan(weighted_tau(np.ones(3), truth[:3]))
    with pytest.raises(DataError, match="two or more"):
        weighted_tau(truth[:1], truth[:1])
    with pytest.raises(DataError, match="NaN"):
        weighted_tau(np.array([1.0, np.nan]), truth[:2])


def test_regret() -> None:
    assert regret(np.array([1.0, 5.0]), np.array([0.9, 0.7])) == pytest.approx(0.2)
    assert regret(np.array([5.0, 1.0]), np.array([0.9, 0.7])) == 0.0


def test_one_odd_model_does_not_squash_the_others() -> None:
    plain, odd = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 4, -1000])
    assert np.ptp(standardised(odd)[:4]) > 0.6 * np.ptp(standardised(plain))
    assert standardised(odd)[4] == -2.5
    assert (standardised(np.full(4, 7.0)) == 0).all()
    assert standardised(np.array([1.0, 1, 1, 1, 2]))[4] > 1  # most agree: the mean deviation
    normal = np.random.default_rng(0).normal(3, 2, 20001)
    assert Scale.of(normal).spread == pytest.approx(2, rel=0.03)


def card(name: str, size: int | None, note: str = "") -> BackboneCard:
    return BackboneCard(id=name, source="local", modality="image", parameters=size, note=note)


def test_prior_rests_on_what_is_known_of_every_model() -> None:
    known = static_prior([card("a", 10), card("b", 1000), card("c", 100)])
    assert known.parts == ("log10 parameters",)
    assert known.values.argsort().tolist() == [0, 2, 1]
    assert static_prior([card("a", 10), card("b", None)]).parts == ()


def test_prior_puts_random_weights_last_whatever_their_size() -> None:
    found = static_prior([card("a", 10), card("r", 10**9, "random weights"), card("b", 1000)])
    assert found.values.argmin() == 1


def test_half_samples_have_no_copies_and_every_class() -> None:
    labels = np.array([0] * 50 + [1] * 30 + [2] * 3 + [3])
    rng = np.random.default_rng(0)
    halves = half_samples(labels, count=20, rng=rng)
    assert len(halves) == 20
    for rows in halves:
        assert len(set(rows.tolist())) == len(rows) <= len(labels) // 2 + 2
        assert set(labels[rows]) == {0, 1, 2, 3}
        assert (np.bincount(labels[rows]) >= [2, 2, 2, 1]).all()
    assert half_samples(labels[:7], count=20, rng=rng) == []
    assert half_samples(np.arange(60) // 2, count=20, rng=rng) == []  # nothing to leave out


def test_scaled_half_samples_vary_like_the_mean_of_all_examples() -> None:
    """Their standard deviation is s / sqrt(n), for halves and for smaller parts alike."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 600)
    expected = values.std() / np.sqrt(600)
    for size in (300, 100):
        means = np.array([values[rng.choice(600, size, replace=False)].mean() for _ in range(4000)])
        found = scaled(means[:, None], np.array([values.mean()]), size, 600)
        assert found.std() == pytest.approx(expected, rel=0.05)
        assert found.mean() == pytest.approx(values.mean())


def test_sample_keeps_the_shares_of_the_classes() -> None:
    labels = np.repeat([0, 1, 2], [700, 290, 10])
    rng = np.random.default_rng(0)
    rows = sample(labels, 100, rng=rng)
    assert np.bincount(labels[rows]).tolist() == [70, 29, 5]
    assert (np.diff(rows) > 0).all()
    assert len(sample(labels, 2000, rng=rng)) == 1000
    assert len(sample(labels.astype(float), 100, rng=rng)) == 100


def resampled(scores: np.ndarray, noise: float) -> np.ndarray:
    return scores + np.random.default_rng(0).normal(0, noise, (40, len(scores)))


def test_a_sure_difference_wins_and_an_unsure_one_is_said_to_be_unsure() -> None:
    rng = np.random.default_rng(1)
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    sure = combine({"a": scores}, {"a": resampled(scores, 0.01)}, None, rng=rng)
    unsure = combine({"a": scores}, {"a": resampled(scores, 0.3)}, None, rng=rng)
    assert sure.values.argsort().tolist() == [3, 2, 1, 0]
    assert (sure.low <= sure.values).all() and (sure.values <= sure.high).all()
    assert (unsure.high - unsure.low).mean() > 2 * (sure.high - sure.low).mean()
    assert sure.best.sum() == pytest.approx(1) and unsure.best[0] < sure.best[0]
    assert sure.over[0, 3] > 0.9 and sure.over[0, 3] == pytest.approx(1 - sure.over[3, 0], abs=0.01)


def test_uncertain_scores_leave_more_to_the_prior() -> None:
    rng = np.random.default_rng(1)
    scores, prior = np.array([0.9, 0.8, 0.7]), np.array([-1.0, 0.0, 1.0])
    sure = combine({"a": scores}, {"a": resampled(scores, 0.001)}, prior, rng=rng)
    unsure = combine({"a": scores}, {"a": resampled(scores, 0.4)}, prior, rng=rng)
    assert unsure.weight < sure.weight
    assert unsure.values.argmax() == 2


def test_what_lifts_all_models_alike_is_no_uncertainty() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.5])
    lifted = scores + np.linspace(-1, 1, 40)[:, None]
    found = combine({"a": scores}, {"a": lifted}, None, rng=np.random.default_rng(0))
    assert found.low == pytest.approx(found.values) and found.high == pytest.approx(found.values)


def test_without_half_samples_there_is_no_interval() -> None:
    scores = {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 3.0])}
    found = combine(scores, {}, None, rng=np.random.default_rng(0))
    assert np.isnan(found.low).all() and found.best[1] > 0.5
    assert mean_score(scores).tolist() == pytest.approx([-0.6745, 0.6745], abs=1e-3)


def test_models_that_share_the_first_place_count_alike() -> None:
    rng = np.random.default_rng(1)
    scores, shared = np.array([0.999, 0.997, 0.98, 0.5]), np.array([True, True, False, False])
    prior, again = np.array([-1.0, 0.0, 2.0, 0.0]), {"a": resampled(scores, 0.01)}
    found = combine({"a": scores}, again, prior, sharing=shared, rng=rng)
    free = combine({"a": scores}, again, prior, rng=rng)
    assert found.values[0] == found.values[1] == free.values.max()
    assert (found.low[0], found.high[0]) == (found.low[1], found.high[1])
    assert found.best[0] == pytest.approx(found.best[1], abs=0.02)
    assert found.values[2:].tolist() == free.values[2:].tolist()
    assert found.alone.tolist() == free.values.tolist()


def test_the_first_place_is_shared_at_the_ceiling_alone() -> None:
    labels = np.repeat([0, 1], 200)

    def wrong(*rows: int) -> np.ndarray:
        return ~np.isin(np.arange(400), rows)

    best, near, worse = wrong(0), wrong(*range(1, 6)), wrong(*range(6))
    assert sharing([best, near, worse], labels).tolist() == [True, True, False]
    assert sharing([near, worse], labels).tolist() == [False, False], "over a point is left"
    assert sharing([best, worse], labels).tolist() == [False, False], "nobody shares alone"
    assert sharing([best, None], labels).tolist() == [False, False], "not all were asked"
    few = np.arange(101, 301)
    assert not sharing([best[few], near[few]], labels[few]).any(), "200 cannot show a point"


def test_the_ceiling_counts_every_class_alike() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [396, 4])
    blind = left_out_right(rng.normal(0, 1, (400, 2)), labels)
    assert blind is not None and blind.mean() == 0.99, "the common class alone"
    assert not sharing([blind, blind], labels).any()
    apart = left_out_right(labels[:, None] * 8.0 + rng.normal(0, 0.3, (400, 2)), labels)
    assert sharing([apart, apart], labels).all()
    assert left_out_right(rng.normal(0, 1, (9, 2)), np.linspace(0, 1, 9)) is None, "values"


@pytest.mark.parametrize(("rare", "shares"), [(5, True), (6, False)])
def test_who_misses_a_rare_class_does_not_share(rare: int, shares: bool) -> None:
    """5 missed, to none, are within chance (p = 0.06); as many of a common class are no matter."""
    labels = np.repeat([0, 1, 2], [500, 500 - rare, rare])
    best, blind = np.ones(1000, bool), labels != 2
    assert sharing([best, blind, best], labels).tolist() == [True, shares, True]
    assert sharing([best, blind[::-1]], labels).all()


def test_one_model_alone_is_the_best_for_sure() -> None:
    found = combine({"a": np.array([0.3])}, {}, np.zeros(1), rng=np.random.default_rng(0))
    assert found.best.tolist() == [1.0] and found.values.tolist() == [0.0]


def test_task_similarity_by_words_and_by_meaning() -> None:
    source = ["ant, emmet", "bee", "tennis ball"]
    assert task_similarity(["ants", "bees"], source, None) == pytest.approx(0.75)
    assert task_similarity(["0", "1"], source, None) is None
    assert task_similarity(["ants"], (), None) is None
    vectors = {"cat": [1, 0], "lion": [0.8, 0.6], "car": [0, 1]}
    found = task_similarity(["cat"], ["lion", "car"], lambda t: np.array([vectors[w] for w in t]))
    assert found == pytest.approx(0.8)


def normal(count: int, mean: float, spread: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, spread, (count, 40)).astype(np.float32)


def test_frechet_distance_of_normal_distributions_by_hand() -> None:
    """N(m, s² I) from N(0, I): m² + (s - 1)² an axis."""
    white = np.random.default_rng(0).normal(0.5, 2.0, (40000, 3))
    assert frechet(white) == pytest.approx(np.sqrt(0.25 + 1.0), rel=0.02)


def test_reference_statistics_are_kept_and_found(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    reference = Reference.of(normal(400, 1.0, 2.0), "normal numbers", rng=rng)
    reference.save(tmp_path / "references" / "abc.safetensors")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    found = find_reference("abc")
    assert found is not None and found.data == "normal numbers" and found.count == 400
    same, other = normal(300, 1.0, 2.0, 1), normal(300, 3.0, 2.0, 2)
    assert found.distance(same) < 2 * found.floor < found.distance(other)
    assert found.distance(other) == pytest.approx(reference.distance(other), rel=0.01)
    low, high = found.interval(other, rng=rng)
    assert low < found.distance(other) < high < low + 0.5
    assert find_reference("none of that name") is None
    (tmp_path / "references" / "bad.safetensors").write_bytes(b"rubbish")
    assert find_reference("bad") is None
    with pytest.raises(TooFewExamples, match="source examples"):
        Reference.of(normal(30, 0, 1), "few", rng=rng)
