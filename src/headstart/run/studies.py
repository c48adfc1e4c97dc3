"""What is asked of a run beyond its verdict: the same results made again on other rows or seeds.

Everything is fitted and predicted before the test labels are opened; only measuring comes after.
What is finished is kept in RUN, so that a run that was stopped does not make it again; and nothing
is begun that what is left of the budget has no time for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np

from headstart.adapt import Context, Trained, held_out
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.compute.budget import Budget
from headstart.data.dataset import Dataset, Unlabelled
from headstart.errors import HeadstartError
from headstart.run.choosing import Entry
from headstart.run.job import Job
from headstart.run.kept import keep_scores, kept_scores

LEAST = 1.0  # seconds that a training gets
ENDING = 0.05  # of the budget is left for the judge and the report
MARGIN = 1.25  # times what it should take there must be, for anything to be begun


@dataclass(frozen=True, slots=True)
class Purse:
    """A part of the budget: what is left until `until`, in seconds since the run began."""

    budget: Budget
    until: float

    @property
    def left(self) -> float:
        return max(0.0, self.until - self.budget.spent)

    def first(self, needs: Sequence[float]) -> Purse:
        """Return what the first of several may spend. `needs`: seconds that each must have.

        An equal part of what is left, or its need if that is more; what later ones need is kept for
        them, as far as there is enough for that. One with too little gets all: it will say so.
        """
        left, fits = self.left, list[float]()
        for need in needs:
            if sum(fits) + need <= left:
                fits.append(need)
        if not fits or needs[0] > left:
            return self
        mine = min(left - sum(fits[1:]), max(needs[0], left / len(fits)))
        return replace(self, until=self.budget.spent + mine)


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """One result to be made again. `rows` of the run's data to learn from, None for all of them.

    `study` and `seed` tell it from others; `asked`: the examples that it then answers.
    """

    study: str
    entry: Entry
    rows: np.ndarray | None
    asked: Unlabelled
    seed: int

    def key(self, data: Dataset) -> str:
        """Return what its scores are kept under: all that they depend on, the method's settings
        apart, which are the run's own."""
        rows = np.arange(len(data)) if self.rows is None else self.rows
        told = blake2b(data.inputs.digests[rows].tobytes(), digest_size=12)
        told.update(np.asarray(rows, np.int64).tobytes())
        told.update(self.asked.digests.tobytes())
        return f"{self.study}, {self.entry.name}, seed {self.seed}, {told.hexdigest()}"


@dataclass(slots=True, eq=False)
class Studies:
    """Makes results again. `predicting`: seconds that each took to answer the test part.

    Learned on the way: `extra`, the most seconds that a training of a result took beyond its share
    of the data; `slowest`, the most that it took to answer one example. The run's own answers may
    have come from features that were in the store already.
    """

    job: Job
    predicting: Mapping[str, float]
    extra: dict[str, float] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)

    @property
    def purse(self) -> Purse:
        budget = self.job.budget
        return Purse(budget, (1 - ENDING) * budget.seconds)

    def cost(self, units: Sequence[Again]) -> float:
        """Return the seconds that these will take; what is kept takes none."""
        return sum(self._expected(unit) for unit in units if self._kept(unit) is None)

    def series(
        self, units: Sequence[Again], purse: Purse, advance: Callable[[int], None]
    ) -> list[np.ndarray | HeadstartError] | None:
        """Return the scores of all `units`, or why one cannot be made; None if there is no time."""
        if MARGIN * self.cost(units) > purse.left:
            return None
        made = list[np.ndarray | HeadstartError]()
        for at, unit in enumerate(units):
            if self.cost(units[at:]) > purse.left:  # slower than it looked; what is made is kept
                return None
            try:
                made.append(self.scores(unit))
            except HeadstartError as error:  # a part of the rows may hold one class, for instance
                made.append(error)
            advance(1)
        return made

    def scores(self, unit: Again) -> np.ndarray:
        """Return what the result says of the examples asked, from RUN or made now."""
        found, job = self._kept(unit), self.job
        if found is not None:
            return found
        data = job.data if unit.rows is None else job.data.take(unit.rows)
        name, begun = unit.entry.name, job.budget.spent
        trained = refit(job, unit.entry, data, seed=unit.seed, own=unit.rows is None)
        fitted = job.budget.spent
        found = trained.adapted.scores(unit.asked)
        late = fitted - begun - self._share(unit) * took(unit.entry)
        self.extra[name] = max(late, self.extra.get(name, 0.0))
        each = (job.budget.spent - fitted) / max(1, len(unit.asked))
        self.slowest[name] = max(each, self.slowest.get(name, 0.0))
        keep_scores(found, unit.key(job.data), job.folder.candidates)
        return found

    def _kept(self, unit: Again) -> np.ndarray | None:
        found = kept_scores(unit.key(self.job.data), self.job.folder.candidates)
        return found if found is not None and len(found) == len(unit.asked) else None

    def _expected(self, unit: Again) -> float:
        """Return seconds: to train by the share of the data, to answer by the number asked."""
        name, test = unit.entry.name, len(self.job.opened.splits.test)
        each = max(self.predicting.get(name, 0.0) / max(1, test), self.slowest.get(name, 0.0))
        fit = self._share(unit) * took(unit.entry) + self.extra.get(name, 0.0)
        return fit + each * len(unit.asked)

    def _share(self, unit: Again) -> float:
        return 1.0 if unit.rows is None else len(unit.rows) / len(self.job.data)


def took(entry: Entry) -> float:
    """Return the seconds that a result took to fit, features not counted: they are kept."""
    return sum(s for name, s in entry.trained.seconds.items() if name != "extract")


def source_of(job: Job, entry: Entry) -> BackboneFeaturiser | None:
    """Return the frozen backbone that a result starts from; None where it uses none."""
    return next((f for f in job.backbones if f.backbone.card.id == entry.model), None)


def refit(job: Job, entry: Entry, data: Dataset, *, seed: int, own: bool = False) -> Trained:
    """Make a result again on `data`, from nothing but its method and its backbone.

    Whatever the method tunes, it tunes inside `data`. `own`: `data` are all the run's, and the
    person's own validation part stays validation. Raises what the method raises.
    """
    folds, validation = held_out(data, job.own_validation if own else None, job.recipe.seed)
    return entry.method.adapt(
        Context(
            data=data,
            folds=folds,
            validation=validation,
            seed=seed,
            # A trained one gets the time that it had in the run, by its share of the data.
            seconds=max(LEAST, took(entry) * len(data) / len(job.data)),
            source=source_of(job, entry),
        )
    )
