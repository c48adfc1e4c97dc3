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
from headstart.run.job import Job
from headstart.run.studies import refit, took


@dataclass(frozen=True, slots=True, eq=False)
class Reseeded:
    """A result, and its scores on the test part with each seed; the run's own seed first."""

    name: str
    seeds: list[int]
    scores: list[np.ndarray]


def reseed(job: Job, entries: Sequence[Entry], scores: dict[str, np.ndarray]) -> list[Reseeded]:
    """Make each of `entries` again with further seeds, while the budget has time for it."""
    inputs = job.opened.splits.test.inputs
    made = []
    with job.progress("seeds", len(entries) * (job.recipe.seeds - 1)) as advance:
        for place, entry in enumerate(entries):
            one = Reseeded(entry.name, [job.recipe.seed], [scores[entry.name]])
            share = job.budget.left / (len(entries) - place)
            spent = job.budget.spent
            for more in range(1, job.recipe.seeds):
                if entry.method.trains and job.budget.spent - spent + took(entry) > share:
                    job.say(
                        f"{entry.name!r} was trained with {more} of {job.recipe.seeds} seeds: the "
                        "budget has no time for more. Raise --budget."
                    )
                    break
                seed = job.recipe.seed + more
                try:
                    trained = refit(job, entry, job.data, seed=seed, own=True)
                except HeadstartError as error:
                    job.say(f"{entry.name!r} with seed {seed}: {error}")
                    break
                one.seeds.append(seed)
                one.scores.append(trained.adapted.scores(inputs))
                advance(1)
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
    if deviation == 0:
        words += " Nothing in it depends on the seed."
    return SeedSpread(
        result=one.name, metric=of.name, seeds=one.seeds, values=values.tolist(),
        mean=Interval(value=mean).bounded(mean - half, mean + half), deviation=deviation,
        words=words,
    )  # fmt: skip
