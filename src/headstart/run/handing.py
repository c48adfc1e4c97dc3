"""What is handed over: the simplest result that nothing beats clearly on held-out examples.

The test part has no say in it: what it chooses it can no longer judge. Two rules decide whether the
best must give way to a simpler one. Between a pretrained model that was adapted and a result that
owes nothing to pretraining (or the model as it came): unless the best is clearly better, at 5 %.
Where the examples are so few that they would miss even a lead of 5 points, "not clearly better"
says nothing, and the best stays if it is ahead at all: that pretrained features help where labels
are few is what experience says. Nor does accuracy speak of rare classes: a result that finds one
clearly less often is no simpler way to the same.
Between adapted pretrained models, which cost the same to serve: only if it is ahead by no more than
one standard error (Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984,
section 3.4.3), that of the paired difference. Held-out examples are few, and significance there
would throw real gains away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import Dataset
from headstart.evaluate import bootstrap, compare
from headstart.evaluate.metrics import metric
from headstart.evaluate.verdict import number, paired, signed
from headstart.records import Comparison, TaskFacts
from headstart.run.choosing import Entry, best
from headstart.run.rare import rare_class_won

CONSTANT, SIMPLE, AS_IT_CAME, SOLVED, TRAINED = range(5)
RESAMPLES = 500
HELD_OUT = "held-out training example"
LEAD = 0.05  # of a share, or of a loss: what anyone would want to know of; a convention
POWER = 1.96 + 0.84  # standard errors that a 5 % test finds in 80 % of cases


@dataclass(frozen=True, slots=True, eq=False)
class HandOver:
    """`chosen`, why, and how the best on held-out examples does against simpler ones there."""

    chosen: Entry
    because: str
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """The leader against one other on held-out examples.

    error: standard error of the paired difference, in the metric's unit; nan where nothing is known
    of it. adapted: both are adapted pretrained models. words: both values and their difference.
    telling: a lead of LEAD would have been found, or nothing pretrained is in the lead. rare: the
    rare class that the leader finds clearly more often, in words.
    """

    comparison: Comparison
    error: float
    adapted: bool
    words: str
    telling: bool = True
    rare: str = ""

    @property
    def tested(self) -> bool:
        """Say whether a test decides."""
        return not self.adapted and (self.telling or self.comparison.answer == "helps")

    @property
    def even(self) -> bool:
        """Say whether the leader must give way to the other, if that one is simpler."""
        if self.rare:
            return False
        if self.tested:
            return self.comparison.answer != "helps"
        return not self.comparison.difference.value > (self.error if self.adapted else 0.0)


def complexity(entry: Entry) -> int:
    """Return how much there is to a result: a constant, a simple model, …, a trained network."""
    tiers = {"majority": CONSTANT, "simple": SIMPLE, "unadapted": AS_IT_CAME}
    return tiers.get(entry.method.name, TRAINED if entry.method.trains else SOLVED)


def handed_over(
    entries: Sequence[Entry], data: Dataset, *, rng: np.random.Generator, favoured: str = "",
    because: str = "", prefer: str = "simpler",
) -> HandOver:  # fmt: skip
    """Choose what is handed over. `entries`: as for `best`, the simpler first.

    `favoured`, `because`: a method that the advice prefers, and why. `prefer`: "simpler" hands the
    simplest result over that the best does not leave behind (see the top of this file), if no other
    beats it clearly; "best" the best on held-out examples, however small its lead. A constant
    answer counts as a model only where nothing does better.
    """
    leader = best(entries, data, favoured)
    simpler = [e for e in entries if complexity(e) < complexity(leader)]
    found = _against(leader, simpler, data, rng)
    told = tuple(held.comparison for held in found.values())
    if not len(leader.trained.rows):
        words = "there are too few examples to hold any out: nothing could be compared before"
        return HandOver(leader, f"{words} the test part was opened.")
    adapted = [e for e in entries if e.role == "candidate"]
    if complexity(leader) in (SIMPLE, AS_IT_CAME) and adapted:
        rival = [h.comparison for h in _against(best(adapted, data), [leader], data, rng).values()]
        words = "no adapted pretrained model does better on held-out examples."
        return HandOver(leader, " ".join([words, *(c.words for c in rival)]), tuple(rival))
    if favoured and leader.method.name == favoured:
        words = "the advice favours it and held-out examples are not against it"
        return HandOver(leader, f"{words}: {because}.", told)
    if prefer == "best":
        words = "it is the best on held-out examples, and --prefer best asks for that"
        return HandOver(leader, f"{words}.", told)
    models = [e for e in entries if complexity(e) > CONSTANT and e is not leader]
    near = [e for e in models if e.name in found and found[e.name].even]
    beaten = {e.name: _beaten(e, [o for o in models if o is not e], data, rng) for e in near}
    even = [e for e in near if beaten[e.name] is None]
    if not even:
        rivals = [found[e.name] for e in models if e.name in found] or list(found.values())
        return HandOver(leader, _best_words(rivals, beaten), told)
    least = min(map(complexity, even))
    chosen = best([e for e in even if complexity(e) == least], data)
    return HandOver(chosen, _simpler_words(leader, found[chosen.name]), told)


def _simpler_words(leader: Entry, held: Held) -> str:
    found = held.comparison
    if held.adapted:
        words = (
            f"{leader.name!r} is ahead of it by no more than one standard error, which is what "
            f"decides between adapted pretrained models, and it is simpler: {held.words}."
        )
    elif not held.tested:
        words = f"{leader.name!r} is not ahead of it, and it is simpler: {held.words}."
    else:
        words = f"{leader.name!r} is not clearly better than it, and it is simpler. {found.words}"
    return words + _price(found)


def _best_words(held: Sequence[Held], beaten: Mapping[str, Comparison | None]) -> str:
    if not held:
        return "it is the best on held-out examples, and nothing simpler is left to compare."
    found = [h.comparison for h in held if h.tested] or [h.comparison for h in held]
    rivals = [c for c in found if c.answer == "helps"] or found
    closest = min(rivals, key=lambda c: c.difference.value)
    if all(h.comparison.answer == "helps" for h in held):
        return f"it is clearly better than every simpler result. {closest.words}"
    ahead = [h for h in held if not h.tested and not h.even and not h.rare]
    words = ["it is the best on held-out examples."]
    if any(h.tested for h in held):
        words.append(closest.words)
    words += [_beaten_words(one) for one in beaten.values() if one is not None]
    words += [
        f"{h.comparison.against!r} is simpler, and yet no choice: it misses {h.rare}."
        for h in held if h.rare and h.comparison.answer != "helps"
    ]  # fmt: skip
    if ahead:
        near = min(ahead, key=lambda h: h.comparison.difference.value)
        rule = (
            "by more than one standard error, which is what decides between adapted pretrained "
            "models" if near.adapted else
            "which is enough where so few examples would miss a lead of 5 points"
        )  # fmt: skip
        words.append(
            f"It is ahead of {near.comparison.against!r}, which is simpler, {rule}: {near.words}."
        )
    return " ".join(words)


def _beaten_words(one: Comparison) -> str:
    size = signed(metric(one.metric), -one.difference.value, unit=True)
    return (
        f"{one.candidate!r} is simpler, and yet no choice: {one.against!r} is clearly better than "
        f"it ({size} on held-out examples)."
    )


def _price(found: Comparison) -> str:
    """Say what may be lost by taking the simpler one."""
    high = found.difference.high
    if high is None or high <= 0 or found.difference.value <= 0:
        return ""
    most = signed(metric(found.metric), high, unit=True).lstrip("+")
    return f" At most about {most} may be lost so; --prefer best hands {found.candidate!r} over."


def _beaten(
    entry: Entry, others: Sequence[Entry], data: Dataset, rng: np.random.Generator
) -> Comparison | None:
    """Return the comparison in which another one is clearly better, by the most."""
    lost = [
        held.comparison for held in _against(entry, others, data, rng).values()
        if held.comparison.answer == "hurts"
    ]  # fmt: skip
    return min(lost, key=lambda c: c.difference.value, default=None)


def _against(
    leader: Entry, others: Sequence[Entry], data: Dataset, rng: np.random.Generator
) -> dict[str, Held]:
    """Compare on the examples that all were asked about unseen; trained ones had fewer of them.

    Adapted models and the rest are corrected for their number apart: only the rest are tested.
    """
    made: dict[str, Held] = {}
    for trains in (False, True):
        rows, asked = leader.trained.rows, [e for e in others if e.method.trains == trains]
        for entry in asked:
            rows = np.intersect1d(rows, entry.trained.rows)
        for role in ("baseline", "candidate"):
            family = [e for e in asked if e.role == role]
            if family and len(rows):
                made |= _on(rows, leader, family, data, rng)
    return made


def _on(
    rows: np.ndarray, leader: Entry, family: Sequence[Entry], data: Dataset,
    rng: np.random.Generator,
) -> dict[str, Held]:  # fmt: skip
    facts = data.task.facts()
    task, of = TaskFacts(facts.kind, facts.labels, (facts.primary,)), metric(facts.primary)
    truth = data.targets[rows]
    scores = {e.name: e.trained.held_scores(rows) for e in (leader, *family)}
    groups = data.groups[rows] if data.groups is not None else None
    boot = bootstrap(task, truth, scores, rng=rng, groups=groups, resamples=RESAMPLES)
    names = [e.name for e in family]
    found = compare(
        task, truth, scores, boot, candidate=leader.name, baselines=names, examples=HELD_OUT
    )
    made = {}
    for entry, one in zip(family, found, strict=True):
        pair = (leader.name, entry.name)
        values = (of.compute(truth, scores[pair[0]]), of.compute(truth, scores[pair[1]]))
        value, error = paired(of, truth, boot, values, pair)
        known = signed(of, error, unit=True).lstrip("+") if np.isfinite(error) else "nobody knows"
        words = (
            f"{of.title} {number(of, values[0])} against {number(of, values[1])} on {len(rows)} "
            f"{HELD_OUT}{'s' if len(rows) != 1 else ''}, {signed(of, value, unit=True)} with a "
            f"standard error of {known}"
        )
        adapted = leader.role == entry.role == "candidate"
        unit = abs(values[1]) if of.scale == "loss" else 1.0
        telling = leader.role != "candidate" or not POWER * error > LEAD * unit
        rare = rare_class_won(leader, entry, data, rows)
        made[entry.name] = Held(one, error, adapted, words, telling, rare)
    return made
