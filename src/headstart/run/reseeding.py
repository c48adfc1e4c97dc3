"""`--seeds n`: how much a result varies when nothing but the seed of its training changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import HeadstartError
from headstart.evaluate.intervals import quantile
from headstart.evaluate.metrics import metric
from headstart.evaluate.verdict import number, signed
from headstart.records import Interval, SeedSpread, TaskFacts
from headstart.run.choosing import Entry
from headstart.run.studies import MARGIN, Again, Purse, Studies


@dataclass(frozen=True, slots=True, eq=False)
class Reseeded:
    """A result, and its scores on the test part with each seed; the run's own seed first."""

    name: str
    seeds: list[int]
    scores: list[np.ndarray]


def least(studies: Studies, entry: Entry) -> float:
    """Return the seconds that there must be for one more seed."""
    unit = _unit(studies, entry, studies.job.recipe.seed + 1)
    return MARGIN * studies.cost([unit])


def _unit(studies: Studies, entry: Entry, seed: int) -> Again:
    return Again("seeds", entry, None, studies.job.opened.splits.test.inputs, seed)


def reseed(
    studies: Studies, purse: Purse, entries: Sequence[Entry], scores: dict[str, np.ndarray]
) -> list[Reseeded]:
    """Make each of `entries` again with further seeds, while `purse` has time for it."""
    job, made = studies.job, list[Reseeded]()
    seeds = job.recipe.seeds
    with job.progress("seeds", len(entries) * (seeds - 1)) as advance:
        for place, entry in enumerate(entries):
            one = Reseeded(entry.name, [job.recipe.seed], [scores[entry.name]])
            mine = purse.first([least(studies, other) for other in entries[place:]])
            for more in range(1, seeds):
                seed = job.recipe.seed + more
                found = studies.series([_unit(studies, entry, seed)], mine, advance)
                if found is None:
                    job.say(
                        f"{entry.name!r} was trained with {more} of {seeds} seeds: the budget has "
                        "no time for more. Raise --budget."
                    )
                    break
                if isinstance(found[0], HeadstartError):
                    job.say(f"{entry.name!r} with seed {seed}: {found[0]}")
                    break
                one.seeds.append(seed)
                one.scores.append(found[0])
            if len(one.seeds) > 1:
                made.append(one)
    return made


def spread_of(task: TaskFacts, truth: np.ndarray, one: Reseeded) -> SeedSpread | None:
    """Measure each seed's scores; None where the metric is not defined on this test part."""
    of = metric(task.primary)
    values = np.asarray([of.compute(truth, scores) for scores in one.scores])
    if not np.isfinite(values).all():
        return None
    mean, deviation, n = float(values.mean()), float(values.std(ddof=1)), len(values)
    half = quantile(n - 1) * deviation / np.sqrt(n)
    size = signed(of, deviation, unit=True).lstrip("+")
    words = (
        f"{one.name!r}: {of.title} {number(of, mean)} on average over {n} seeds, from "
        f"{number(of, values.min())} to {number(of, values.max())} (standard deviation {size})."
    )
    if all(np.array_equal(scores, one.scores[0]) for scores in one.scores):
        words += " Nothing in it depends on the seed."
    return SeedSpread(
        result=one.name, metric=of.name, seeds=one.seeds, values=values.tolist(),
        mean=Interval(value=mean).bounded(mean - half, mean + half), deviation=deviation,
        words=words,
    )  # fmt: skip
