"""What ails a fit, read off its training curve and the gap between training and validation.

A curve is what `details["curve"]` holds: dicts with `step`, and where known `loss` (training, mean
since the entry before), `validation` (loss), `accuracy` (validation), `train_accuracy`. Each
symptom is a function from `Seen` to a Diagnosis or None; `diagnose` returns what was found, the
gravest first, or "good" alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.records import Diagnosis

RISE = 0.1  # validation loss above its lowest, as a share of what was gained, that counts as a rise
SLOPE = 0.08  # of all that was gained, won in the last third: still learning
JUMP = 0.25  # mean relative zigzag of the training loss that is no longer noise of small batches
SOLVED = 0.1  # of the loss of always saying the class frequencies: below it nothing ails
GAP = 0.1  # of accuracy, between training and validation
DOUBTED = 0.08  # of training labels contradicted, above which noise is suspected
ENTRIES = 4  # of a curve, below which only divergence can be told


@dataclass(frozen=True, slots=True)
class Seen:
    """A curve as arrays, entries where the value is absent being nan; all (m,)."""

    step: np.ndarray
    loss: np.ndarray
    held: np.ndarray
    accuracy: np.ndarray
    train_accuracy: np.ndarray
    ended: str
    chance: float | None  # validation loss of always saying the class frequencies
    noise: float | None  # share of training labels that the caller has reason to doubt

    @property
    def losses(self) -> np.ndarray:
        kept: np.ndarray = self.loss[np.isfinite(self.loss)]
        return kept

    @property
    def validation(self) -> np.ndarray:
        kept: np.ndarray = self.held[np.isfinite(self.held)]
        return kept


def diagnose(
    curve: Sequence[Mapping[str, float]],
    *,
    ended: str = "",
    chance: float | None = None,
    train_accuracy: float | None = None,
    noise: float | None = None,
) -> list[Diagnosis]:
    """Return what the fit suffers from, the gravest first; "good" where nothing is seen.

    ended: `details["ended"]`. chance: validation loss without any learning (entropy of the classes,
    or the variance of the target). train_accuracy: of the final model on its training rows, where
    the curve has none. noise: share of training labels that out-of-fold predictions contradict
    confidently. An empty curve gives an empty list.
    """
    if not curve:
        return []
    columns = [
        np.asarray([float(entry.get(name, np.nan)) for entry in curve])
        for name in ("step", "loss", "validation", "accuracy", "train_accuracy")
    ]
    if train_accuracy is not None:
        columns[4][-1] = train_accuracy
    step, loss, held, accuracy, fitted = columns
    seen = Seen(step, loss, held, accuracy, fitted, ended=ended, chance=chance, noise=noise)
    if gone := _diverged(seen, curve):
        return [gone]
    if max(len(seen.losses), len(seen.validation)) < ENTRIES:
        words = f"The curve has {len(curve)} entries, too few to tell anything but divergence"
        return [Diagnosis(name="too short to tell", evidence=words + ".", remedy=_LONGER)]
    if too_high := _rate_too_high(seen):
        return [too_high]  # what else such a curve seems to show is its doing
    found = [made for symptom in SYMPTOMS if (made := symptom(seen)) is not None]
    return found or [_good(seen)]


_LONGER = "Give it more time or steps (a larger --budget)."


def _diverged(seen: Seen, curve: Sequence[Mapping[str, float]]) -> Diagnosis | None:
    bad = [
        entry for entry in curve
        if any(k in entry and not np.isfinite(entry[k]) for k in ("loss", "validation"))
    ]  # fmt: skip
    told = seen.ended.startswith("diverged")
    losses = seen.losses
    burst = len(losses) >= 3 and losses[-1] > 3 * max(losses[0], 1e-9) and losses[-1] > 1
    if not (bad or told or burst):
        return None
    if told:
        words = f"Training {seen.ended}."
    elif bad:
        words = f"The loss is no number at step {bad[0].get('step', 0):.0f}."
    else:
        words = f"The training loss went from {losses[0]:.3g} to {losses[-1]:.3g}."
    return Diagnosis(
        name="diverged",
        evidence=words,
        remedy="Divide the learning rate by 10, or lengthen the warm-up; look for broken examples.",
    )


def _rate_too_high(seen: Seen) -> Diagnosis | None:
    """Loss that jumps up and down, or climbs before it falls, instead of falling."""
    losses = seen.losses
    if len(losses) < ENTRIES:
        return None
    zigzag, highest = zigzag_of(losses), float(losses[1:].max())
    if seen.chance is not None and highest < SOLVED * seen.chance:
        return None  # fine-tuning often begins at a loss near 0, of which any loss is a multiple
    late = float(np.median(losses[-max(2, len(losses) // 3) :]))
    climbed = highest > 1.5 * losses[0] or late > 1.2 * losses[0]
    jumps = zigzag > JUMP and late > 0.5 * losses[0]
    if not (climbed or jumps):
        return None
    words = f"The training loss jumps by {zigzag:.0%} from entry to entry beside its trend"
    if climbed:
        words = f"The training loss climbed from {losses[0]:.3g} to {highest:.3g}"
    return Diagnosis(
        name="rate too high",
        evidence=f"{words}; it is {late:.3g} in the last third.",
        remedy="Divide the learning rate by 3 to 10, lengthen the warm-up, or use larger batches.",
    )


def zigzag_of(losses: np.ndarray) -> float:
    """Return how far entries lie from the middle of their neighbours, relative to the median."""
    if len(losses) < 3:
        return 0.0
    second = np.abs(losses[1:-1] - (losses[:-2] + losses[2:]) / 2)
    return float(np.mean(second) / max(float(np.median(losses)), 1e-9))


def _rate_too_low(seen: Seen) -> Diagnosis | None:
    """Loss that falls evenly and has hardly begun."""
    values = seen.validation if len(seen.validation) >= ENTRIES else seen.losses
    if len(values) < ENTRIES or seen.ended == "patience":
        return None
    fallen, half = float(values[0] - values[-1]), float(values[0] - values[len(values) // 2])
    steady = half < 0.85 * fallen and zigzag_of(values) < 0.05 and values[-1] <= values.min() + 1e-9
    if not steady or fallen > 0.15 * values[0] or fallen < 1e-4 * values[0]:
        return None
    return Diagnosis(
        name="rate too low",
        evidence=f"The loss fell evenly, and by {fallen / values[0]:.1%} only.",
        remedy="Multiply the learning rate by 3 to 10, or train much longer.",
    )


def last_fall(values: np.ndarray) -> float:
    """Return how far a line through the last third of `values` falls, by all that they fell."""
    if len(values) < ENTRIES:
        return 0.0
    late = values[-max(4, len(values) // 3) :]
    at = np.arange(len(late)) - (len(late) - 1) / 2
    slope = float((at * late).sum() / (at**2).sum())
    fallen = float(values.max() - values.min())
    return -slope * (len(late) - 1) / fallen if fallen > 0 else 0.0


def _noisy(seen: Seen) -> Diagnosis | None:
    """Late learning of what does not help: examples that only memory can fit.

    Networks fit clean examples first and wrong labels late (Arpit et al., ICML 2017): validation
    accuracy peaks early and falls while training goes on to fit.
    """
    doubted = seen.noise is not None and seen.noise > DOUBTED
    accuracy = seen.accuracy[np.isfinite(seen.accuracy)]
    peaked = False
    if len(accuracy) >= ENTRIES and len(seen.losses) >= ENTRIES:
        late = float(np.mean(accuracy[-max(2, len(accuracy) // 5) :]))
        fitted = seen.losses[-1] < 0.5 * float(seen.losses[:2].mean())
        early = int(accuracy.argmax()) < 0.6 * len(accuracy)
        peaked = accuracy.max() - late > 0.04 and early and bool(fitted)
    if not (doubted or peaked):
        return None
    words = []
    if peaked:
        words.append(
            f"Validation accuracy peaked at {accuracy.max():.3f} and fell to {accuracy[-1]:.3f} "
            "while the training loss went on falling"
        )
    if doubted:
        words.append(f"out-of-fold predictions doubt {seen.noise:.0%} of the training labels")
    return Diagnosis(
        name="label noise suspected",
        evidence="; ".join(words).capitalize() + ".",
        remedy="Look through the training examples of highest held-out loss and mend their labels; "
        "stop early; smooth the labels.",
    )


def _overfit(seen: Seen) -> Diagnosis | None:
    """Validation loss that rises while training loss falls, or a wide gap of accuracy."""
    held, losses = seen.validation, seen.losses
    words = []
    if len(held) >= ENTRIES and len(losses) >= 2:
        lowest = int(held.argmin())
        gained = max(float(held[0] - held[lowest]), 0.05 * float(held[0]))
        late = float(np.mean(held[-max(1, len(held) // 5) :]))
        if (
            lowest < len(held) - 2
            and late - held[lowest] > RISE * gained
            and losses[-1] < losses[0]
        ):
            words.append(
                f"validation loss rose from {held[lowest]:.3g} to {held[-1]:.3g} after its lowest "
                "while the training loss fell"
            )
    gap = _gap(seen)
    if gap is not None and gap[0] - gap[1] > GAP:
        words.append(f"accuracy is {gap[0]:.3f} in training and {gap[1]:.3f} in validation")
    if not words:
        return None
    text = "; ".join(words)
    return Diagnosis(
        name="overfit",
        evidence=text[:1].upper() + text[1:] + ".",
        remedy="Stop where validation was best, train fewer parts, regularise more, augment, or "
        "collect more labels.",
    )


def _gap(seen: Seen) -> tuple[float, float] | None:
    """Return the last accuracies of (training, validation), where both are known."""
    train = seen.train_accuracy[np.isfinite(seen.train_accuracy)]
    held = seen.accuracy[np.isfinite(seen.accuracy)]
    return (float(train[-1]), float(held[-1])) if len(train) and len(held) else None


def _underfit(seen: Seen) -> Diagnosis | None:
    """Still learning when it stopped, or no better than chance even on the training examples."""
    losses, held = seen.losses, seen.validation
    if len(losses) < ENTRIES or seen.ended == "patience":
        return None
    falls = [last_fall(values) for values in (losses, held) if len(values) >= ENTRIES]
    if min(falls) > SLOPE:
        return Diagnosis(
            name="underfit",
            evidence=f"The losses were still falling at the end: {min(falls):.0%} of all that they "
            "fell came in the last third.",
            remedy=_LONGER,
        )
    if seen.chance is not None and float(losses[-1]) > 0.9 * seen.chance:
        return Diagnosis(
            name="underfit",
            evidence=f"The training loss ends at {losses[-1]:.3g}, hardly below {seen.chance:.3g}, "
            "what knowing nothing costs.",
            remedy="Let more parts of the model move, regularise less, raise the learning rate, or "
            "take a model that knows this kind of data.",
        )
    return None


def _good(seen: Seen) -> Diagnosis:
    held = seen.validation
    words = "The losses fell and levelled off"
    if len(held):
        words = f"Validation loss fell from {held[0]:.3g} to {held.min():.3g} and stayed there"
    gap = _gap(seen)
    if gap is not None:
        words += f"; accuracy {gap[0]:.3f} in training, {gap[1]:.3f} in validation"
    return Diagnosis(name="good", evidence=words + ".", remedy="Nothing to mend.")


def doubted(truth: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Return the training rows whose label out-of-fold probabilities contradict confidently.

    truth int (n,); held_out (n, k): probabilities by fits that did not see the row. A row is
    doubted where another class reaches the mean confidence that rows of that class have in it,
    and is the likeliest of those that do (confident learning; Northcutt, Jiang and Chuang, JAIR 70,
    2021). Classes that look alike are doubted too, so read the share beside the error rate.
    """
    k = held_out.shape[1]
    sizes = np.bincount(truth, minlength=k)
    own = np.bincount(truth, held_out[np.arange(len(truth)), truth], minlength=k)
    bars = np.where(sizes > 0, own / np.maximum(sizes, 1), np.inf)
    reached = np.where(held_out >= bars, held_out, -1.0)
    found: np.ndarray = np.flatnonzero(
        (reached.max(axis=1) > 0) & (reached.argmax(axis=1) != truth)
    )
    return found


Symptom = Callable[[Seen], Diagnosis | None]
SYMPTOMS: tuple[Symptom, ...] = (_rate_too_low, _noisy, _overfit, _underfit)
