"""One candidate against every baseline: how much, how sure, at what cost.

All pairs share the test examples and the resamples. Accuracy is tested by exact McNemar, which
assumes nothing but that examples are independent; other metrics, and grouped examples, by a Student
test with the paired bootstrap's standard error. Holm's correction keeps the chance of any false
claim among all comparisons at 5 % (Holm, Scand. J. Statist. 6, 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from headstart.evaluate.intervals import Bootstrap
from headstart.evaluate.metrics import Metric, metric
from headstart.evaluate.verdict import (
    ALPHA,
    answer_of,
    difference,
    mcnemar,
    number,
    paired,
    signed,
    touch_zero,
)
from headstart.records import Answer, Comparison, TaskFacts

OPENINGS = {
    "helps": "Helps",
    "hurts": "Negative transfer",
    "no clear difference": "No clear difference",
}
SURENESS = ((0.001, "very strong evidence"), (0.01, "strong evidence"), (ALPHA, "evidence"))
WORTH = {"hurts": 0, "no clear difference": 1, "helps": 2}


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's method, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda at: p[at])
    corrected, largest = [0.0] * len(p), 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[at]))
        corrected[at] = largest
    return corrected


def student_p(value: float, error: float, freedom: int) -> float | None:
    """Return the two-sided p-value of value / error by Student's t; None without an error."""
    from scipy.special import stdtr

    if freedom < 1 or not np.isfinite(error) or error <= 0:
        return None
    return float(2 * stdtr(freedom, -abs(value) / error))


def answer_by(value: float, p: float | None) -> Answer:
    """Read the answer off a difference and its (corrected) p-value."""
    if p is None or p >= ALPHA or value == 0:
        return "no clear difference"
    return "helps" if value > 0 else "hurts"


def compare(
    task: TaskFacts,
    truth: np.ndarray,
    scores: Mapping[str, np.ndarray],
    boot: Bootstrap,
    *,
    candidate: str,
    baselines: Sequence[str],
    name: str | None = None,
    mid: bool = False,
    seconds: Mapping[str, float] | None = None,
    examples: str = "test example",
) -> list[Comparison]:
    """Return a Comparison of `candidate` with each of `baselines`, in their order.

    truth, scores: as in `measure`, checked. boot: from `intervals.bootstrap` over the same scores.
    name: a metric of the task, else its primary one. mid: McNemar's mid-p. seconds: wall time that
    each result took. examples: what the words call one. A baseline that is the candidate itself is
    left out.
    """
    pairs = [(candidate, other) for other in baselines if other != candidate]
    return _compared(
        metric(name or task.primary), truth, scores, boot, pairs, mid, seconds or {}, examples, {}
    )


def compare_pairs(
    task: TaskFacts,
    truth: np.ndarray,
    scores: Mapping[str, np.ndarray],
    boot: Bootstrap,
    *,
    pairs: Sequence[tuple[str, str]],
    name: str | None = None,
    seconds: Mapping[str, float] | None = None,
) -> list[Comparison]:
    """Return a Comparison of each pair of results, corrected for the number of all pairs.

    As `compare`, where neither of two is a baseline of the other: the words speak of better and
    worse. In each pair name the one first whose value is better.
    """
    openings = {
        pair: {
            "helps": f"{pair[0]!r} is clearly better",
            "hurts": f"{pair[0]!r} is clearly worse",
            "no clear difference": f"{pair[0]!r} is not clearly better",
        }
        for pair in pairs
    }
    return _compared(
        metric(name or task.primary), truth, scores, boot, pairs, False, seconds or {},
        "test example", openings,
    )  # fmt: skip


def _compared(
    of: Metric, truth: np.ndarray, scores: Mapping[str, np.ndarray], boot: Bootstrap,
    pairs: Sequence[tuple[str, str]], mid: bool, seconds: Mapping[str, float], examples: str,
    openings: Mapping[tuple[str, str], Mapping[str, str]],
) -> list[Comparison]:  # fmt: skip
    found = [_one(of, truth, scores, boot, pair, mid, seconds) for pair in pairs]
    known = [c.p for c in found if c.p is not None]
    corrected = iter(holm(known))
    clusters = boot.units if boot.units < boot.n else None
    made = []
    for pair, one in zip(pairs, found, strict=True):
        p = next(corrected) if one.p is not None else None
        answer = answer_by(one.difference.value, p)
        if answer != answer_of(one.difference):
            answer = "no clear difference"  # nothing is claimed that the interval does not show
        updated = one.model_copy(update={"p_holm": p, "answer": answer})
        values = (of.compute(truth, scores[pair[0]]), of.compute(truth, scores[pair[1]]))
        tests = _counted(boot.n, examples, clusters)
        words = _words(of, updated, values, tests, len(known), openings.get(pair, OPENINGS))
        made.append(updated.model_copy(update={"words": words}))
    return made


def _one(
    of: Metric, truth: np.ndarray, scores: Mapping[str, np.ndarray], boot: Bootstrap,
    names: tuple[str, str], mid: bool, seconds: Mapping[str, float],
) -> Comparison:  # fmt: skip
    values = (of.compute(truth, scores[names[0]]), of.compute(truth, scores[names[1]]))
    found = difference(of, truth, boot, values, names)
    p = student_p(*paired(of, truth, boot, values, names), boot.freedom)
    test, won, lost = "paired bootstrap, Student's t", None, None
    if of.name == "accuracy":
        first, second = (scores[name].argmax(axis=1) == truth for name in names)
        won, lost = int((first & ~second).sum()), int((second & ~first).sum())
        if boot.units == boot.n:
            test = "McNemar, mid-p" if mid else "McNemar, exact"
            p = mcnemar(first, second, mid=mid)
            found = touch_zero(found) if p >= ALPHA else found
    return Comparison(
        candidate=names[0], against=names[1], metric=of.name, answer="no clear difference",
        difference=found, test=test, p=p, won=won, lost=lost,
        seconds={name: float(seconds[name]) for name in names if name in seconds},
    )  # fmt: skip


def _words(
    of: Metric,
    found: Comparison,
    values: tuple[float, float],
    tests: str,
    comparisons: int,
    openings: Mapping[str, str],
) -> str:
    if not np.isfinite(values).all():
        return f"Nothing can be said: {of.title} is not defined on these {tests}."
    first, second = (number(of, value) for value in values)
    text = (
        f"{openings[found.answer]}: {of.title} {first} against {second} for {found.against!r} on "
        f"{tests}"
    )
    size = found.difference
    if size.low is not None and size.high is not None:
        text += (
            f", {signed(of, size.value, unit=True)} (95 % interval {signed(of, size.low)} to "
            f"{signed(of, size.high)})"
        )
    return f"{text}; {_sureness(found, comparisons)}{_cost(found)}."


def _counted(n: int, what: str, groups: int | None) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}" + (f" in {groups} groups" if groups else "")


def _sureness(found: Comparison, comparisons: int) -> str:
    p = found.p_holm
    if p is None:
        return "these examples tell too little to test it"
    weight = next((words for bound, words in SURENESS if p < bound), "no evidence of a difference")
    corrected = f" after correction for {comparisons} comparisons" if comparisons > 1 else ""
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    return f"{weight} ({shown}{corrected})"


def _cost(found: Comparison) -> str:
    if len(found.seconds) < 2:
        return ""
    ours, theirs = found.seconds[found.candidate], found.seconds[found.against]
    return f"; it took {ours:.3g} s against {theirs:.3g} s"


def dissent(answer: Answer, against: str, comparisons: Sequence[Comparison]) -> str:
    """Name the comparisons that say less for their candidate than the verdict does; "" for none.

    answer, against: the verdict's, and the baseline it is about, which validation data chose. Where
    the correction for several comparisons leaves nothing of it, that is said too.
    """
    told, faded = [], ""
    for one in (c for c in comparisons if WORTH[c.answer] < WORTH[answer]):
        if one.against == against:
            many = sum(c.p is not None for c in comparisons)
            faded = f"Corrected for {many} comparisons, that is no longer clear."
            continue
        how = "clearly worse than" if one.answer == "hurts" else "not clearly better than"
        size, of = one.difference, metric(one.metric)
        text = f"{how} {one.against!r} ({signed(of, size.value, unit=True)}"
        if size.low is not None and size.high is not None:
            text += f", {signed(of, size.low)} to {signed(of, size.high)}"
        told.append(f"{text})")
    others = f"But {comparisons[0].candidate!r} is {', and '.join(told)}." if told else ""
    return " ".join(part for part in (faded, others) if part)
