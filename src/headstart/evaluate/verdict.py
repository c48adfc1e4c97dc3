"""Did it help? The paired difference of two models on identical test examples, in words."""

from __future__ import annotations

import numpy as np

from headstart.evaluate.intervals import Bootstrap, quantile, rests_on, standard_error
from headstart.evaluate.metrics import Metric
from headstart.records import Answer, Interval, Verdict

ALPHA = 0.05
FEW = 30  # test examples below which the words say how little is known


def paired(
    of: Metric,
    truth: np.ndarray,
    boot: Bootstrap,
    values: tuple[float, float],
    names: tuple[str, str],
) -> tuple[float, float]:
    """Return (first minus second of `names`, its standard error); positive is better.

    values: the metric of both on all examples. The standard error is that over resamples that both
    share. Shares and quotients get the variance of one more pair won and one more pair lost, so
    that few differing examples, or none, do not look like certainty (Bonett and Price, J. Educ.
    Behav. Stat. 37, 2012). It is nan where nothing is known.
    """
    sign = 1.0 if of.larger_is_better else -1.0
    value = sign * (values[0] - values[1]) + 0.0  # + 0.0 turns -0.0 into 0.0
    if not np.isfinite(value):
        return 0.0, float("nan")
    first, second = (boot.values[name][of.name] for name in names)
    error = standard_error(first - second)
    counted = of.scale in ("share", "quotient") or (of.scale == "area" and error == 0)
    if counted:
        error = float(np.sqrt(error**2 + 2 / (rests_on(of, truth, boot) + 2) ** 2))
    known = boot.freedom >= 1 and error > 0
    return value, error if known else float("nan")


def difference(
    of: Metric,
    truth: np.ndarray,
    boot: Bootstrap,
    values: tuple[float, float],
    names: tuple[str, str],
) -> Interval:
    """Return the difference of `paired` with its 95 % interval, Student's; None for no bounds."""
    value, error = paired(of, truth, boot, values, names)
    half = quantile(boot.freedom) * error if np.isfinite(error) else float("nan")
    low, high = value - half, value + half
    if of.scale in ("share", "quotient", "area"):
        low, high = max(-1.0, low), min(1.0, high)
    return Interval(value=value).bounded(low, high)


def mcnemar(first: np.ndarray, second: np.ndarray, *, mid: bool = False) -> float:
    """Return the exact two-sided p-value that two models are right equally often.

    first, second: bool (n,), whether each is right on the same example. Source: McNemar 1947, in
    its exact binomial form, which errs on the safe side. `mid`: count half of the probability of
    what was seen, which is nearer to 5 % false claims and may exceed it by a little (Fagerland,
    Lydersen and Laake, BMC Med. Res. Methodol. 13, 2013). 1.0 where they never differ.

    >>> mcnemar(np.array([True] * 6), np.array([False] * 6))
    0.03125
    """
    from scipy.stats import binom, binomtest

    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    if not won + lost:
        return 1.0
    exact = float(binomtest(won, won + lost).pvalue)
    if not mid:
        return exact
    same = float(binom.pmf(won, won + lost, 0.5))
    return 1.0 - same / 2 if won == lost else exact - same


def touch_zero(found: Interval) -> Interval:
    """Widen an interval that leaves out 0 until it touches 0."""
    if found.low is None or found.high is None:
        return found
    return Interval(value=found.value, low=min(found.low, 0.0), high=max(found.high, 0.0))


def answer_of(found: Interval) -> Answer:
    """Read the answer off the interval of a difference."""
    if found.low is not None and found.low > 0:
        return "helps"
    if found.high is not None and found.high < 0:
        return "hurts"
    return "no clear difference"


def verdict(
    of: Metric,
    found: Interval,
    values: tuple[float, float],
    names: tuple[str, str],
    n: int,
    groups: int | None = None,
) -> Verdict:
    """Put a difference into a Verdict. names: candidate and baseline; groups: their number."""
    answer = "no clear difference" if names[0] == names[1] else answer_of(found)
    words = _words(of, answer, found, values, names, n, groups)
    return Verdict(
        answer=answer,
        against=names[1],
        candidate=names[0],
        metric=of.name,
        difference=found,
        words=words,
    )


def _words(
    of: Metric,
    answer: Answer,
    found: Interval,
    values: tuple[float, float],
    names: tuple[str, str],
    n: int,
    groups: int | None,
) -> str:
    tests = f"{n} test example{'s' if n != 1 else ''}" + (f" in {groups} groups" if groups else "")
    opening = {
        "helps": "Transfer helps",
        "hurts": "Transfer hurts (negative transfer)",
        "no clear difference": "No clear difference",
    }[answer]
    if not np.isfinite(values).all():
        return f"Nothing can be said: {of.title} is not defined on these {tests}."
    if names[0] == names[1]:
        value = number(of, values[0])
        return (
            f"No difference to tell: {names[0]!r} is the baseline itself, with {of.title} {value} "
            f"on {tests}."
        )
    first, second = (number(of, value) for value in values)
    head = f"{opening}: {of.title} {first} against {second} for {names[1]!r} on {tests}"
    if found.low is None or found.high is None:
        return f"{head}; they tell too little to put an interval on the difference."
    better = "" if of.larger_is_better else " (positive is better)"
    text = (
        f"{head}, {signed(of, found.value, unit=True)}{better} "
        f"(95 % interval {signed(of, found.low)} to {signed(of, found.high)})."
    )
    if n < FEW:
        half = signed(of, (found.high - found.low) / 2, unit=True).lstrip("+")
        text += f" So few examples tell little: a difference under {half} cannot be seen."
    return text


def number(of: Metric, value: float) -> str:
    return f"{value:.3f}" if of.scale in ("share", "quotient", "area") else f"{value:.4g}"


def signed(of: Metric, value: float, *, unit: bool = False) -> str:
    """A difference with its sign: percentage points in [0, 1], else the metric's own unit."""
    if of.scale in ("share", "quotient", "area"):
        return f"{100 * value + 0.0:+.1f}" + (" points" if unit else "")
    return f"{value:+.3g}"
