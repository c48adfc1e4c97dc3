"""Studies against a clock that only their trainings move: they end in time, whatever these take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import headstart.compute.budget as budgets
import headstart.run.studies as room
from adapt_for_tests import dataset
from headstart.adapt import Trained
from headstart.compute.budget import Budget
from headstart.compute.progress import silent
from headstart.errors import TooFewExamples
from headstart.recipe import DataRecipe, Recipe
from headstart.run.choosing import Entry
from headstart.run.finishing import Asked, _study
from headstart.run.kept import kept_scores
from headstart.run.studies import ENDING, Again, Studies

FIT = {"majority": 0.0, "simple": 1.0, "probe": 2.0, "from scratch": 12.0, "finetune": 10.0}
ANSWER = 0.5  # seconds for the test part


@dataclass(frozen=True)
class Made:
    name: str
    trains: bool = False
    uses_model: bool = True


class Clock:
    """`now` moves by nothing but `refit` and answers: `slow` times what the run's own took.

    Beside that, `extra` seconds a training, however few its examples are.
    """

    def __init__(self, slow: float, extra: float) -> None:
        self.now, self.slow, self.extra = 0.0, slow, extra
        self.longest, self.made = 0.0, list[tuple[str, int, int]]()
        self.broken: tuple[str, int] | None = None

    def monotonic(self) -> float:
        return self.now

    def refit(self, job: Any, entry: Entry, data: Any, *, seed: int, own: bool = False) -> Any:
        if self.broken == (entry.name, len(data)):
            raise TooFewExamples("one class")
        fit = self.slow * FIT[entry.name] * len(data) / len(job.data) + self.extra
        self.now += fit
        self.made.append((entry.name, len(data), seed))

        def scores(asked: Any) -> np.ndarray:
            answer = self.slow * ANSWER * len(asked) / 90
            self.now += answer
            self.longest = max(self.longest, fit + answer)
            rng = np.random.default_rng([seed, len(data), len(asked), len(entry.name)])
            return rng.dirichlet(np.ones(3), len(asked))

        return SimpleNamespace(adapted=SimpleNamespace(scores=scores))


Begin = Callable[..., tuple[Any, Asked, Clock]]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """(seconds, slow, extra) to (job, what came of all three studies, clock)."""
    data, test = dataset("text", "classification", 120), dataset("text", "classification", 90)
    told: list[str] = []

    def entry(name: str) -> Entry:
        adapted: Any = SimpleNamespace(name=name)
        trains = name in ("finetune", "from scratch")
        outputs = 9.0 * np.eye(3)[data.targets]
        trained = Trained(adapted, np.arange(len(data)), outputs, {"fit": FIT[name]}, {}, {})
        role = "candidate" if name in ("probe", "finetune") else "baseline"
        return Entry(role, None, Made(name, trains), trained)

    entries = {name: entry(name) for name in FIT}

    def run(
        seconds: float,
        slow: float = 1.0,
        extra: float = 0.0,
        broken: Any = None,
        wanted: Any = None,
    ) -> tuple[Any, Asked, Clock]:
        clock = Clock(slow, extra)
        clock.broken = broken
        monkeypatch.setattr(budgets, "time", clock)
        monkeypatch.setattr(room, "refit", clock.refit)
        all_three = {"cv": 4, "cv_repeats": 3, "seeds": 3, "label_curve": True}
        recipe = Recipe(data=DataRecipe(source="x"), **(all_three | (wanted or {})))
        job: Any = SimpleNamespace(
            data=data, opened=SimpleNamespace(splits=SimpleNamespace(test=test)), recipe=recipe,
            entries=list(entries.values()), budget=Budget(seconds, 0.0), own_validation=None,
            folder=SimpleNamespace(candidates=tmp_path), progress=silent, say=told.append,
            notes=told,
        )  # fmt: skip
        scores = {name: np.full((len(test), 3), 1 / 3) for name in entries}
        asked = Asked(scores, dict.fromkeys(entries, ANSWER))
        rivals = [entries[name] for name in ("majority", "simple", "from scratch", "probe")]
        _study(job, asked, entries["finetune"], rivals, [entries["probe"], entries["finetune"]])
        return job, asked, clock

    return run


@pytest.mark.parametrize("seconds", [5, 60, 240, 600])
@pytest.mark.parametrize(("slow", "extra"), [(0.2, 0.0), (1.0, 0.0), (1.0, 4.0), (3.0, 0.0)])
def test_studies_end_in_time(begin: Begin, seconds: float, slow: float, extra: float) -> None:
    """Late by no more than the one training that showed how slow they are."""
    job, _, clock = begin(seconds, slow, extra)
    late = clock.longest if (slow, extra) not in ((0.2, 0.0), (1.0, 0.0)) else 0.0
    assert clock.now <= (1 - ENDING) * seconds + late
    if seconds == 5:
        told = " ".join(job.notes)
        for part in ("Cross-validation leaves 'finetune' out: 4 trainings need about",
                     "The label curve leaves 'from scratch' out", "with 1 of 3 seeds"):  # fmt: skip
            assert part in told


def test_with_time_enough_all_is_made_and_nothing_said(begin: Begin) -> None:
    job, asked, clock = begin(3000)
    assert job.notes == []
    assert [c.against for c in asked.folds] == ["majority", "simple", "from scratch", "probe"]
    assert {(c.candidate, c.repeats, c.folds) for c in asked.folds} == {("finetune", 3, 4)}
    assert {one.name: one.seeds for one in asked.seeds} == {
        "finetune": [0, 1, 2], "from scratch": [0, 1, 2]
    }  # fmt: skip
    assert [one.name for one in asked.drawn] == ["finetune", "from scratch"]
    assert {len(point) for one in asked.drawn for point in one.scores[:-1]} == {5}
    points = len(asked.drawn[0].counts) - 1
    assert len(clock.made) == 5 * 3 * 4 + 2 * 2 + 2 * 5 * points  # each one once


def test_no_study_takes_the_time_of_the_others(begin: Begin) -> None:
    """There is not time for all; and yet there is something of each."""
    _, asked, _ = begin(300)
    assert asked.seeds and asked.folds and asked.drawn


def test_a_solved_candidate_stands_in_for_one_that_takes_too_long(begin: Begin) -> None:
    job, asked, _ = begin(80)
    assert "Cross-validation leaves 'finetune' out" in " ".join(job.notes)
    found = {(c.candidate, c.against) for c in asked.folds}
    assert found == {("probe", "majority"), ("probe", "simple")}  # never with itself


def test_too_few_labels_for_a_curve_or_for_folds_are_said(begin: Begin) -> None:
    job, asked, _ = begin(3000)
    job.data, job.recipe = job.data.take(np.arange(20)), job.recipe.model_copy(update={"cv": 50})
    _study(job, asked, job.entries[0], job.entries[1:2], job.entries[:1])
    told = " ".join(job.notes)
    assert "No label curve: 20 labels are too few" in told
    assert "20 examples cannot make 50 folds" in told
    assert not asked.drawn and not asked.folds


def test_what_is_finished_is_not_made_again(begin: Begin) -> None:
    """A second walk over the same folder makes nothing, needs no time, and says the same."""
    _, first, _ = begin(3000)
    job, again, clock = begin(1)
    assert clock.made == [] and clock.now == 0 and job.notes == []
    assert again.folds == first.folds
    for one, other in zip(first.seeds + first.drawn, again.seeds + again.drawn, strict=True):
        assert one.name == other.name
        for left, right in zip(one.scores, other.scores, strict=True):
            np.testing.assert_array_equal(left, right)


def test_what_was_stopped_half_way_goes_on(begin: Begin) -> None:
    _, whole, clock = begin(3000)
    total = len(clock.made)
    job, _, clock = begin(3000)
    assert not clock.made
    files = sorted((job.folder.candidates / "studies").iterdir())
    assert len(files) == total
    for file in files[::3]:
        file.unlink()
    files[1].write_bytes(files[1].read_bytes()[:40])  # a damaged one counts as none
    _, again, clock = begin(3000)
    assert len(clock.made) == len(files[::3]) + 1
    assert again.folds == whole.folds


def test_a_training_that_cannot_be_is_a_gap(begin: Begin) -> None:
    _, asked, _ = begin(3000, broken=("from scratch", 90))  # 90 of 120: in every fold
    assert {c.against for c in asked.folds} == {"majority", "simple", "probe"}


def test_scores_are_kept_under_all_that_they_depend_on(begin: Begin, tmp_path: Path) -> None:
    job, _, _ = begin(3000)
    test, (entry, other, *_), rows = job.opened.splits.test.inputs, job.entries, np.arange(50)
    units = [
        Again("seeds", entry, None, test, 1),
        Again("seeds", entry, None, test, 2),
        Again("seeds", other, None, test, 1),
        Again("label curve", entry, None, test, 1),
        Again("seeds", entry, rows, test, 1),
        Again("seeds", entry, rows + 1, test, 1),
        Again("seeds", entry, None, test.take(rows), 1),
    ]
    assert len({unit.key(job.data) for unit in units}) == len(units)
    key = Again("seeds", job.entries[3], None, test, 1).key(job.data)
    assert kept_scores(key, tmp_path) is not None
    assert kept_scores(key + "x", tmp_path) is None


@pytest.mark.parametrize(
    ("needs", "first"),
    [
        ([10, 10, 10], 40),  # an equal part
        ([70, 40, 5], 70),  # what it needs, since the others have enough beside it
        ([90, 40, 5], 90),  # beside which only the last has a chance
        ([42, 94, 136], 120),  # the others have no chance
        ([42, 10, 136], 60),  # two of three have one
        ([0, 0], 60),  # nothing is needed for what is kept
        ([200, 10], 120),  # it has none, and will say so
        ([130], 120),
    ],
)
def test_one_leaves_the_others_what_they_need(
    needs: list[float], first: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(1.0, 0.0)
    monkeypatch.setattr(budgets, "time", clock)
    job: Any = SimpleNamespace(budget=Budget(200.0, 0.0))
    clock.now = 70.0  # 120 are left until the end is to come
    purse = Studies(job, {}).purse
    mine = purse.first(needs)
    assert purse.left == 120 and mine.left == pytest.approx(first)
    clock.now = 199.0
    assert purse.left == mine.left == purse.first(needs).left == 0


def test_seeds_go_to_the_candidate_first(begin: Begin) -> None:
    """There is time for one of the two; an equal part would be enough for neither."""
    job, asked, _ = begin(18, wanted={"cv": 0, "label_curve": False})
    assert [(one.name, one.seeds) for one in asked.seeds] == [("finetune", [0, 1])]
    assert "'from scratch' was trained with 1 of 3 seeds" in " ".join(job.notes)
