"""Two answers of label curves: how many labels transfer saves, and what one more point costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.evaluate.labelcurve import REACH, PowerLaw

SAMPLES = 4000


@dataclass(frozen=True, slots=True)
class LabelAnswer:
    """A number of labels with its 95 % interval, and a sentence.

    labels: None where nothing is supported. low, high: high is None where it may be any number.
    """

    labels: float | None
    low: float | None
    high: float | None
    words: str


Laws = tuple[np.ndarray, ...]  # floors, scales, rates and shifts of sampled laws, each (s,)


def errors_at(laws: Laws, n: float) -> np.ndarray:
    """Return the error of each law at `n` labels."""
    floors, scales, rates, shifts = laws
    found: np.ndarray = floors + scales * (n + shifts) ** -rates
    return found


def reached(laws: Laws, goals: np.ndarray) -> np.ndarray:
    """Return the labels at which each law reaches its goal (s,): inf where its floor is above."""
    floors, scales, rates, shifts = laws
    margin = goals - floors
    with np.errstate(divide="ignore", over="ignore"):
        n = (scales / np.maximum(margin, 1e-300)) ** (1 / rates) - shifts
    found: np.ndarray = np.where(margin > 0, np.maximum(n, 0.0), np.inf)
    return found


def _read(labels: np.ndarray, most: float) -> tuple[float | None, float | None, float | None]:
    """Return (median, low, high) of sampled counts; None where beyond REACH times `most`."""
    low, middle, high = (float(np.quantile(labels, q, method="lower")) for q in (0.025, 0.5, 0.975))
    limit = REACH * most
    return (
        middle if middle <= limit else None,
        low if low <= limit else None,
        high if high <= limit else None,
    )


def labels_for_gain(law: PowerLaw, gain: float = 0.01, *, rng: np.random.Generator) -> LabelAnswer:
    """Say how many more labels would lower the error by `gain` (0.01 is a point).

    Nothing but a bound is said where most laws that fit need more than REACH times the labels.
    """
    now, points = law.most, f"{100 * gain:g} point{'s' if round(100 * gain, 6) != 1 else ''}"
    laws = law.sample(SAMPLES, rng)
    # Each law is asked for a gain on its own error: noise of the last count is no gain.
    reach = reached(laws, errors_at(laws, now) - gain)
    middle, low, high = _read(reach, now)
    if middle is None:
        least = (
            f"the curve supports no number within {REACH:g} times the {now:.0f} labels there are"
        )
        return LabelAnswer(
            None, None if low is None else low - now, None,
            f"{points} more: {least}; other labels, models or features may do more.",
        )  # fmt: skip
    more = [None if x is None else max(0.0, x - now) for x in (middle, low, high)]
    return LabelAnswer(
        more[0], more[1], more[2],
        f"{points} more would take about {_count(more[0])} more labels "
        f"({_range(more[1], more[2])}).",
    )  # fmt: skip


def labels_saved(transfer: PowerLaw, scratch: PowerLaw, *, rng: np.random.Generator) -> LabelAnswer:
    """Say how many labels transfer saves against from scratch, at the most labels that both saw.

    That is: from-scratch's labels minus those with which transfer reaches the same error, within
    what was seen. Where transfer is better with its fewest labels already, that bounds the answer
    from below; where it is never as good, nothing is saved.
    """
    most = min(transfer.most, scratch.most)
    fewest = float(transfer.counts.min())
    goals = errors_at(scratch.sample(SAMPLES, rng), most)
    n = reached(transfer.sample(SAMPLES, rng), goals)
    saved = most - np.maximum(n, fewest)
    low, middle, high = (float(np.quantile(saved, q, method="lower")) for q in (0.025, 0.5, 0.975))
    if middle <= 0:
        words = (
            f"Transfer saves no labels: at {most:.0f} labels from scratch is as good or better"
            + (f" (at most {_count(high)} saved)." if high > 0 else ".")
        )
        return LabelAnswer(0.0, None, max(0.0, high), words)
    least = middle >= most - fewest - 0.5
    low = max(0.0, low)
    words = (
        f"Transfer saves {'at least' if least else 'about'} {_count(middle)} of {most:.0f} labels "
        f"({_range(low, None if least else high)}): with {_count(most - middle)} it is as good as "
        f"from scratch with {most:.0f}."
    )
    return LabelAnswer(middle, low, None if least else high, words)


def _count(n: float | None) -> str:
    if n is None:
        return "no number of"
    digits = 2 if n >= 100 else 1
    rounded = round(n, -max(0, len(str(int(n))) - digits)) if n >= 10 else round(n)
    return f"{int(rounded):,}"


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"95 % interval {_count(low or 0)} or more"
    return f"95 % interval {_count(low or 0)} to {_count(high)}"
