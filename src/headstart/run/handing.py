"""What is handed over: the simplest result that nothing beats clearly on held-out examples.

The test part has no say in it: what it chooses it can no longer judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import Dataset
from headstart.evaluate import bootstrap, compare
from headstart.evaluate.comparisons import hand_over
from headstart.records import Comparison, TaskFacts
from headstart.run.choosing import Entry, best

CONSTANT, SIMPLE, AS_IT_CAME, SOLVED, TRAINED = range(5)
RESAMPLES = 500
HELD_OUT = "held-out training example"


@dataclass(frozen=True, slots=True, eq=False)
class HandOver:
    """`chosen`, why, and how the best on held-out examples does against simpler ones there."""

    chosen: Entry
    because: str
    comparisons: tuple[Comparison, ...] = ()


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
    simplest result over that nothing beats clearly (5 %, corrected for their number); "best" the
    best on held-out examples, however small its lead. A constant answer counts as a model only
    where nothing does better.
    """
    leader = best(entries, data, favoured)
    simpler = [e for e in entries if complexity(e) < complexity(leader)]
    found = {c.against: c for c in _against(leader, simpler, data, rng)}
    told = tuple(found.values())
    if not len(leader.trained.rows):
        words = "there are too few examples to hold any out: nothing could be compared before"
        return HandOver(leader, f"{words} the test part was opened.")
    adapted = [e for e in entries if e.role == "candidate"]
    if complexity(leader) in (SIMPLE, AS_IT_CAME) and adapted:
        rival = _against(best(adapted, data), [leader], data, rng)
        words = "no adapted pretrained model does better on held-out examples."
        return HandOver(leader, " ".join([words, *(c.words for c in rival)]), tuple(rival))
    if favoured and leader.method.name == favoured:
        words = "the advice favours it and held-out examples are not clearly against it"
        return HandOver(leader, f"{words}: {because}.", told)
    if prefer == "best":
        words = "it is the best on held-out examples, and --prefer best asks for that"
        return HandOver(leader, f"{words}.", told)
    even = [
        e for e in simpler if complexity(e) > CONSTANT and e.name in found
        and found[e.name].answer == "no clear difference"
    ]  # fmt: skip
    even = [e for e in even if not _beaten(e, [o for o in even if o is not e], data, rng)]
    if not even:
        return HandOver(leader, _best_words(leader, told, simpler), told)
    least = min(map(complexity, even))
    chosen = best([e for e in even if complexity(e) == least], data)
    _, words = hand_over([found[chosen.name]], [chosen.name, leader.name])
    return HandOver(chosen, words + _price(found[chosen.name]), told)


def _best_words(leader: Entry, told: Sequence[Comparison], simpler: Sequence[Entry]) -> str:
    if not simpler or not told:
        return "it is the best on held-out examples, and nothing simpler is left to compare."
    rivals = [c for c in told if c.answer == "helps"] or list(told)
    closest = min(rivals, key=lambda c: c.difference.value)
    every = all(c.answer == "helps" for c in told)
    opening = "it is clearly better than every simpler result" if every else (
        "it is the best on held-out examples"
    )  # fmt: skip
    return f"{opening}. {closest.words}"


def _price(found: Comparison) -> str:
    """Say what may be lost by taking the simpler one."""
    high = found.difference.high
    if high is None or high <= 0 or found.difference.value <= 0:
        return ""
    from headstart.evaluate.metrics import metric
    from headstart.evaluate.verdict import signed

    most = signed(metric(found.metric), high, unit=True).lstrip("+")
    return f" At most about {most} may be lost so; --prefer best hands {found.candidate!r} over."


def _beaten(entry: Entry, others: Sequence[Entry], data: Dataset, rng: np.random.Generator) -> bool:
    return any(c.answer == "hurts" for c in _against(entry, others, data, rng))


def _against(
    leader: Entry, others: Sequence[Entry], data: Dataset, rng: np.random.Generator
) -> list[Comparison]:
    """Compare on the examples that all were asked about unseen; trained ones had fewer of them."""
    made: list[Comparison] = []
    for trains in (False, True):
        family = [e for e in others if e.method.trains == trains]
        rows = leader.trained.rows
        for entry in family:
            rows = np.intersect1d(rows, entry.trained.rows)
        if family and len(rows):
            made += _on(rows, leader, family, data, rng)
    return made


def _on(
    rows: np.ndarray, leader: Entry, family: Sequence[Entry], data: Dataset,
    rng: np.random.Generator,
) -> list[Comparison]:  # fmt: skip
    facts = data.task.facts()
    task = TaskFacts(facts.kind, facts.labels, (facts.primary,))
    truth = data.targets[rows]
    scores = {e.name: e.trained.held_scores(rows) for e in (leader, *family)}
    groups = data.groups[rows] if data.groups is not None else None
    boot = bootstrap(task, truth, scores, rng=rng, groups=groups, resamples=RESAMPLES)
    names = [e.name for e in family]
    return compare(
        task, truth, scores, boot, candidate=leader.name, baselines=names, examples=HELD_OUT
    )
