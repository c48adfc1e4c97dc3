"""Comparison with every baseline: exact tests, Holm, words, and what is handed over."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, ttest_rel

from headstart.evaluate import bootstrap, compare, judge
from headstart.evaluate.comparisons import holm
from headstart.evaluate.verdict import mcnemar
from headstart.records import Comparison, Sealed, TaskFacts

TASK = TaskFacts("classification", ("a", "b", "c"), ("accuracy", "log_loss"))


def models(n: int = 600) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A candidate and baselines of other abilities, with shared difficulty."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 3
    hard = rng.random(n)
    made = {}
    for name, share in (("majority", 0.4), ("simple", 0.82), ("probe", 0.85), ("scratch", 0.93)):
        right = hard + 0.1 * rng.random(n) < share
        said = np.where(right, truth, (truth + 1) % 3)
        made[name] = np.where(np.eye(3)[said] > 0, 0.8, 0.1)
    return truth, made


def found(n: int = 600, **options: object) -> list[Comparison]:
    truth, scores = models(n)
    boot = bootstrap(TASK, truth, scores, rng=np.random.default_rng(1), resamples=500)
    names = ["majority", "simple", "scratch", "probe"]
    return compare(TASK, truth, scores, boot, candidate="probe", baselines=names, **options)  # type: ignore[arg-type]


def test_mid_p_has_the_published_values() -> None:
    """Fagerland, Lydersen and Laake 2013, tables 1 and 2: (1, 7) and (6, 16) discordant pairs."""
    for won, lost, exact, mid in ((1, 7, 0.070, 0.039), (6, 16, 0.052, 0.035)):
        first = np.array([True] * won + [False] * lost)
        assert mcnemar(first, ~first) == pytest.approx(exact, abs=6e-4)
        assert mcnemar(first, ~first, mid=True) == pytest.approx(mid, abs=6e-4)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (3, 3), (0, 9), (12, 5), (1, 2)])
def test_mcnemar_against_a_sum_by_hand(won: int, lost: int) -> None:
    first = np.array([True] * won + [False] * lost + [True] * 4)
    second = np.array([False] * won + [True] * lost + [True] * 4)
    n = won + lost
    chances = [binom.pmf(k, n, 0.5) for k in range(n + 1)]
    exact = min(1.0, 2 * sum(chances[: min(won, lost) + 1])) if n else 1.0
    assert mcnemar(first, second) == pytest.approx(exact)
    mid = 2 * sum(chances[: min(won, lost)]) + chances[min(won, lost)] if n else 1.0
    mid = 1 - chances[won] / 2 if n and won == lost else mid  # what is seen lies on both sides
    assert mcnemar(first, second, mid=True) == pytest.approx(mid)


def test_holm_against_a_slow_loop() -> None:
    p = np.random.default_rng(3).random(9) ** 3
    slow = np.empty(9)
    for at in range(9):
        # Rejected at level q as soon as every smaller one is, each at q by how many are left.
        steps = [(9 - (p < q).sum()) * q for q in p if q <= p[at]]
        slow[at] = min(1.0, max(steps))
    assert holm(list(p)) == pytest.approx(list(slow))
    assert holm([]) == []


def test_every_baseline_gets_an_answer_in_words() -> None:
    majority, simple, scratch = found(seconds={"probe": 12.0, "majority": 0.01, "scratch": 80})
    assert [c.answer for c in (majority, scratch)] == ["helps", "hurts"]
    assert majority.won is not None and majority.lost is not None
    assert majority.difference.value == pytest.approx((majority.won - majority.lost) / 600)
    assert majority.p_holm is not None and majority.p is not None and scratch.p is not None
    assert majority.p_holm == pytest.approx(3 * min(majority.p, scratch.p), rel=1e-9, abs=1e-12)
    assert majority.words.startswith("Helps: accuracy 0.782 against")
    assert "very strong evidence (p < 0.001 after correction for 3" in majority.words
    assert majority.words.endswith("it took 12 s against 0.01 s.")
    assert scratch.words.startswith("Negative transfer: accuracy")
    assert simple.test == "McNemar, exact" and "it took" not in simple.words


def test_correction_takes_back_a_claim() -> None:
    truth = np.arange(200) % 3
    right = np.ones(200, dtype=bool)
    scores = {"probe": np.where(np.eye(3)[truth] > 0, 0.8, 0.1)}
    for at in range(3):
        less = right.copy()
        less[10 * at : 10 * at + 7] = False  # won 7 to 0: p = 0.016, corrected 0.047, for 4: 0.06
        said = np.where(less, truth, (truth + 1) % 3)
        scores[f"b{at}"] = np.where(np.eye(3)[said] > 0, 0.8, 0.1)
    scores["b3"] = scores["b2"]
    boot = bootstrap(TASK, truth, scores, rng=np.random.default_rng(1), resamples=200)
    for names, answer in ((["b0"], "helps"), (["b0", "b1", "b2", "b3"], "no clear difference")):
        made = compare(TASK, truth, scores, boot, candidate="probe", baselines=names)
        assert {c.answer for c in made} == {answer}


def test_other_metrics_agree_with_the_paired_t_test() -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=500)
    scores = {"a": truth + rng.normal(size=500), "b": truth + 1.1 * rng.normal(size=500)}
    task = TaskFacts("regression", ("y",), ("mae",))
    boot = bootstrap(task, truth, scores, rng=rng, resamples=4000)
    (one,) = compare(task, truth, scores, boot, candidate="a", baselines=["b"])
    gap = np.abs(scores["b"] - truth), np.abs(scores["a"] - truth)
    assert one.p == pytest.approx(ttest_rel(*gap).pvalue, rel=0.15)
    assert one.test.startswith("paired bootstrap") and one.won is None


def test_the_judge_fills_all_that_predictions_and_truth_can_tell() -> None:
    truth, scores = models(300)
    groups = np.array([f"g{i % 50}" for i in range(300)], dtype=object)
    made = judge(
        TASK, Sealed(truth), scores, candidate="probe", baseline="simple", groups=groups,
        baselines=("majority", "simple", "scratch"), rng=np.random.default_rng(0), resamples=200,
        ids=[f"file{i}" for i in range(300)],
    )  # fmt: skip
    assert [c.against for c in made.comparisons] == ["majority", "simple", "scratch"]
    assert all(c.test.startswith("paired bootstrap") for c in made.comparisons)
    evidence = made.evidence["probe"].fields()
    assert evidence["calibration"] is not None and evidence["abstention"] is not None
    assert len(evidence["groups"]) == 50 and set(evidence["pr_curves"]) == {"a", "b", "c"}
    assert evidence["hardest"][0].id.startswith("file")
    assert made.checks == ()
    one = judge(
        TASK, Sealed(truth[truth == 0]), {"m": scores["probe"][truth == 0]}, candidate="m",
        baseline="m", rng=np.random.default_rng(0), resamples=50,
    )  # fmt: skip
    assert [c.name for c in one.checks] == ["one class"] and one.comparisons == ()


@pytest.mark.parametrize(("won", "lost"), [(6, 0), (9, 1), (16, 6), (18, 6), (40, 22), (3, 14)])
def test_one_comparison_says_what_the_verdict_says(won: int, lost: int) -> None:
    truth = np.arange(300) % 3
    place = np.arange(300)
    scores = {}
    for name, right in (
        ("probe", place >= lost),
        ("simple", (place < lost) | (place >= lost + won)),
    ):
        said = np.where(right, truth, (truth + 1) % 3)
        scores[name] = np.where(np.eye(3)[said] > 0, 0.8, 0.1)
    made = judge(
        TASK, Sealed(truth), scores, candidate="probe", baseline="simple",
        rng=np.random.default_rng(0), resamples=300,
    )  # fmt: skip
    (one,) = made.comparisons
    assert one.answer == made.verdict.answer and one.difference == made.verdict.difference
