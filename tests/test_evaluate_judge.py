"""The judge: one opening, paired comparison, honest words."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from headstart.errors import AlreadyOpened, UsageError
from headstart.evaluate import Judgement, judge
from headstart.evaluate.verdict import mcnemar
from headstart.records import Sealed, TaskFacts

TASK = TaskFacts("classification", ("a", "b", "c"), ("accuracy", "f1_macro", "roc_auc", "log_loss"))
NUMBER = TaskFacts("regression", ("y",), ("rmse", "mae", "r2"))


def scores_of(right: np.ndarray, truth: np.ndarray, k: int = 3) -> np.ndarray:
    """Probabilities that answer rightly where `right` is true."""
    said = np.where(right, truth, (truth + 1) % k)
    return np.where(np.eye(k)[said] > 0, 0.8, 0.2 / (k - 1))


def decide(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, task: TaskFacts = TASK, **more: object
) -> Judgement:
    return judge(
        task,
        Sealed(truth),
        {"probe": first, "simple: pixels": second},
        candidate="probe",
        baseline="simple: pixels",
        rng=np.random.default_rng(0),
        resamples=500,
        **more,  # type: ignore[arg-type]
    )


def pair(n: int, won: int, lost: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and scores of two models that differ on won + lost examples, spread over classes."""
    truth = np.arange(n) % 3
    place = np.arange(n)
    first, second = place >= lost, (place < lost) | (place >= lost + won)
    return truth, scores_of(first, truth), scores_of(second, truth)


def test_clear_help_in_numbers_and_words() -> None:
    found = decide(*pair(450, 30, 11))
    verdict = found.verdict
    assert verdict.answer == "helps"
    assert verdict.difference.value == pytest.approx(19 / 450)
    # Bonett-Price by hand: (b + c + 2 - d²/(n + 2)) / (n + 2)², nearly.
    half = 1.965 * np.sqrt(41 + 2 - 19**2 / 452) / 452
    assert verdict.difference.low == pytest.approx(19 / 450 - half, abs=0.003)
    assert verdict.words.startswith(
        "Transfer helps: accuracy 0.976 against 0.933 for 'simple: pixels' on 450 test examples, "
        "+4.2 points (95 % interval +1."
    )
    assert verdict.words.endswith(").")
    assert (verdict.metric, verdict.against, verdict.candidate) == (
        "accuracy", "simple: pixels", "probe",
    )  # fmt: skip
    assert found.differences["probe"] == verdict.difference
    assert found.differences["simple: pixels"].value == 0
    assert set(found.metrics["probe"]) == set(TASK.metrics)
    assert found.confusion["probe"].sum() == 450
    assert found.per_class["probe"]["a"]["support"] == 150


def test_hurts_mirrors_helps() -> None:
    found = decide(*pair(450, 11, 30)).verdict
    assert found.answer == "hurts"
    assert found.difference.high is not None and found.difference.high < 0
    assert "-4.2 points" in found.words


@pytest.mark.parametrize("won", range(1, 12))
def test_accuracy_claims_only_what_exact_mcnemar_carries(won: int) -> None:
    found = decide(*pair(300, won, 0)).verdict
    p = binomtest(won, won).pvalue
    assert (found.answer == "helps") <= (p < 0.05)
    if found.answer != "helps":
        assert found.difference.low is not None and found.difference.low <= 0
    if won >= 8:
        assert found.answer == "helps"


def test_exact_mcnemar_holds_back_a_claim_that_the_interval_alone_would_make() -> None:
    assert binomtest(16, 22).pvalue > 0.05
    found = decide(*pair(300, 16, 6)).verdict
    assert found.difference.low == 0  # touches 0: without the guard it would be above
    assert found.answer == "no clear difference"


def test_mcnemar_against_the_binomial() -> None:
    first = np.array([True] * 9 + [False] * 3 + [True] * 5)
    second = np.array([False] * 9 + [True] * 3 + [True] * 5)
    assert mcnemar(first, second) == pytest.approx(binomtest(9, 12).pvalue)
    assert mcnemar(first, first) == 1


def test_identical_predictions_are_not_certainty() -> None:
    truth, first, _ = pair(60, 5, 5)
    found = decide(truth, first, first).verdict
    assert found.answer == "no clear difference"
    assert found.difference.value == 0
    assert found.difference.low is not None and found.difference.low < -0.02
    assert "+0.0 points" in found.words


def test_few_examples_say_how_little_is_known() -> None:
    found = decide(*pair(12, 2, 0)).verdict
    assert found.answer == "no clear difference"
    assert "on 12 test examples" in found.words
    assert "So few examples tell little" in found.words


def test_the_candidate_may_be_the_baseline() -> None:
    truth, first, _ = pair(60, 5, 0)
    found = judge(
        TASK, Sealed(truth), {"simple": first}, candidate="simple", baseline="simple",
        rng=np.random.default_rng(0), resamples=50,
    ).verdict  # fmt: skip
    assert found.answer == "no clear difference"
    assert "is the baseline itself" in found.words


def test_smaller_is_better_is_turned_round_and_agrees_with_a_paired_test() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=400)
    shared = rng.normal(size=400)
    first = truth + 0.5 * shared + 0.1 * rng.normal(size=400)
    second = truth + 0.6 * shared + 0.1 * rng.normal(size=400)
    task = TaskFacts("regression", ("y",), ("mae",))
    found = decide(truth, first, second, task)
    expected = ttest_rel(np.abs(second - truth), np.abs(first - truth)).confidence_interval(0.95)
    assert found.verdict.answer == "helps"
    assert found.verdict.difference.low == pytest.approx(expected.low, rel=0.1)
    assert found.verdict.difference.high == pytest.approx(expected.high, rel=0.1)
    assert "(positive is better)" in found.verdict.words
    assert found.confusion == {}


def test_undefined_metrics_are_left_out_and_said() -> None:
    truth = np.zeros(40, dtype=int)
    scores = scores_of(np.arange(40) > 3, truth)
    found = decide(truth, scores, scores)
    assert "roc_auc" not in found.metrics["probe"]
    assert any("roc_auc" in note for note in found.notes)
    assert any("2 of 3 classes have no test example: b, c" in note for note in found.notes)
    constant = decide(
        np.full(20, 3.0),
        np.arange(20.0),
        np.arange(20.0) + 1,
        TaskFacts("regression", ("y",), ("r2",)),
    )
    assert constant.metrics["probe"] == {}
    assert constant.verdict.answer == "no clear difference"
    assert "not defined" in constant.verdict.words
    assert "NaN" not in constant.verdict.model_dump_json()
    assert json.loads(constant.verdict.model_dump_json())["difference"]["value"] == 0


def test_mistakes_are_named_and_leave_the_seal_unbroken() -> None:
    truth, first, second = pair(30, 3, 1)
    sealed = Sealed(truth)
    rng = np.random.default_rng(0)
    broken = first.copy()
    broken[7] = np.nan
    wrong: list[tuple[dict[str, np.ndarray], str, str]] = [
        ({"probe": broken, "simple": second}, "probe", "'probe' on the test part.*example 7"),
        ({"probe": first, "simple": second[:-1]}, "probe", r"'simple'.*\(30, 3\).*\(29, 3\)"),
        ({"probe": first, "simple": second}, "tuned", "'tuned'; there are: 'probe', 'simple'"),
        ({}, "probe", "there are: none"),
    ]
    for scores, candidate, message in wrong:
        with pytest.raises(UsageError, match=message):
            judge(TASK, sealed, scores, candidate=candidate, baseline="simple", rng=rng)
    good = {"probe": first, "simple": second}
    with pytest.raises(UsageError, match="30 test examples, got 2"):
        judge(
            TASK, sealed, good, candidate="probe", baseline="simple", rng=rng,
            groups=np.array([1, 2]),
        )  # fmt: skip
    judge(TASK, sealed, good, candidate="probe", baseline="simple", rng=rng, resamples=20)
    with pytest.raises(AlreadyOpened):
        judge(TASK, sealed, good, candidate="probe", baseline="simple", rng=rng)
    with pytest.raises(UsageError, match="no example"):
        decide(truth[:0], first[:0], second[:0])


def test_groups_widen_the_difference() -> None:
    truth, first, second = (np.repeat(x, 10, axis=0) for x in pair(45, 4, 1))
    groups = np.repeat(np.arange(45), 10).astype(object)
    assert decide(truth, first, second).verdict.answer == "helps"
    found = decide(truth, first, second, groups=groups).verdict
    assert found.answer == "no clear difference"
    assert "on 450 test examples in 45 groups" in found.words


def test_multi_label_is_judged() -> None:
    rng = np.random.default_rng(2)
    truth = (rng.random((300, 3)) < 0.4).astype(np.int8)
    noise = rng.normal(size=(300, 3))
    task = TaskFacts("multi-label", ("x", "y", "z"), ("f1_micro", "f1_macro", "roc_auc"))

    def scores(lift: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(noise + lift * (2.0 * truth - 1))))

    found = decide(truth, scores(2.0), scores(1.0), task)
    assert found.verdict.answer == "helps"
    assert found.confusion["probe"].shape == (3, 2, 2)


@pytest.mark.parametrize("n", [200, 1000])
def test_equal_models_are_seldom_told_apart(n: int) -> None:
    """Two models of one ability: at most 5 % of trials may claim a difference (7 % with luck)."""
    rng = np.random.default_rng(3)
    task = TaskFacts("classification", TASK.labels, ("accuracy",))
    claims = 0
    for _ in range(250):
        truth = rng.integers(0, 3, n)
        hard = rng.normal(size=n)
        first, second = (scores_of(hard + rng.normal(size=n) < 1.2, truth) for _ in range(2))
        found = judge(
            task, Sealed(truth), {"p": first, "b": second}, candidate="p", baseline="b",
            rng=rng, resamples=200, detail=False,
        )  # fmt: skip
        claims += found.verdict.answer != "no clear difference"
    assert claims / 250 <= 0.07


def among(truth: np.ndarray, right: dict[str, np.ndarray]) -> Judgement:
    """Judge "probe" against the others of `right`; the verdict is about the first of them."""
    others = [name for name in right if name != "probe"]
    return judge(
        TASK, Sealed(truth), {name: scores_of(r, truth) for name, r in right.items()},
        candidate="probe", baseline=others[0], rng=np.random.default_rng(0), resamples=300,
        baselines=others, detail=False,
    )  # fmt: skip


def test_a_verdict_names_comparisons_that_say_less() -> None:
    truth, at = np.arange(450) % 3, np.arange(450)
    right = {"probe": at >= 10, "from scratch": at >= 60, "simple": at >= 14}
    found = among(truth, right)  # clearly better than one of them, even with the other
    assert [c.answer for c in found.comparisons] == ["helps", "no clear difference"]
    assert (found.verdict.answer, found.verdict.against) == ("helps", "from scratch")
    assert "But 'probe' is not clearly better than 'simple' (+0.9 points, " in found.verdict.words
    assert "But" not in among(truth, right | {"simple": at >= 50}).verdict.words
    found = among(truth, right | {"simple": at >= 0, "probe": at >= 40})
    assert (found.verdict.answer, found.verdict.against) == ("helps", "from scratch")
    assert "But 'probe' is clearly worse than 'simple' (-8.9 points, " in found.verdict.words
    found = among(truth, {name: right[name] for name in ("probe", "simple", "from scratch")})
    assert (found.verdict.answer, found.verdict.against) == ("no clear difference", "simple")
    assert "But" not in found.verdict.words  # that it beats a weaker one is nothing against it


def test_a_verdict_that_does_not_survive_correction_says_so() -> None:
    truth, at = np.arange(450) % 3, np.arange(450)
    right = {"probe": at >= 6, "simple": at >= 12, "one": at >= 11, "two": at >= 10}
    found = among(truth, right)  # 6 won, none lost: p = 0.031, and 0.094 among three
    assert found.verdict.answer == "helps" and found.comparisons[0].p == pytest.approx(2 / 2**6)
    assert "Corrected for 3 comparisons, that is no longer clear." in found.verdict.words
    assert "not clearly better than 'one'" in found.verdict.words
