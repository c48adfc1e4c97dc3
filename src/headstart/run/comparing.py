"""Several finished runs on one test part, held against each other on identical examples."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart import __version__
from headstart.data.task import Task
from headstart.errors import RunError, UsageError
from headstart.records import RunRecord, TaskFacts
from headstart.report.contest import Contest, Entrant, Setting
from headstart.run.folder import RECIPE
from headstart.run.use import Run

PREDICTIONS = "predictions.parquet"
LUCK = (
    "Whoever is chosen by these numbers looks a little better in them than it is: the more runs, "
    "the more so. State how good the winner is on fresh data (headstart evaluate)."
)


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """What one run said of its test part: rows in the order of `ids`.

    truth: int (n,), 0-1 (n, k) or float (n,). scores: (n, k) or (n,), of what was handed over.
    groups: object (n,), None where the run kept none.
    """

    name: str
    ids: tuple[str, ...]
    truth: np.ndarray
    scores: np.ndarray
    groups: np.ndarray | None

    def rows(self, order: np.ndarray) -> Tested:
        groups = None if self.groups is None else self.groups[order]
        ids = tuple(self.ids[i] for i in order)
        return Tested(self.name, ids, self.truth[order], self.scores[order], groups)


def compare_runs(paths: Sequence[str | Path], *, metric: str | None = None) -> Contest:
    """Hold what several finished runs handed over against each other, every pair of them.

    metric: of the task, that runs are ordered and compared by; else its primary one. Raises
    UsageError for fewer than two runs, another task or another test part, saying what differs, and
    for an unknown metric; RunError for a folder that is no finished run.
    """
    from headstart.compute.randomness import rng_for
    from headstart.evaluate import bootstrap, compare_pairs
    from headstart.report.words import lower_is_better

    runs = dict(zip(names_of(paths), map(finished, paths), strict=True))
    task = common_task({name: run.record for name, run in runs.items()})
    metric = metric or task.primary
    if metric not in task.metrics:
        raise UsageError(f"--metric {metric}: {task.kind} has {', '.join(task.metrics)}.")
    tested = same_part([tested_by(name, run, task) for name, run in runs.items()])
    entrants = [entrant(name, run, metric) for name, run in runs.items()]
    sign = 1 if lower_is_better(metric) else -1
    entrants.sort(key=lambda one: sign * one.metrics[metric].value)
    scores = {one.name: one.scores for one in tested}
    truth, groups = tested[0].truth, tested[0].groups
    boot = bootstrap(task, truth, scores, rng=rng_for(0, "compare"), groups=groups)
    comparisons = compare_pairs(
        task, truth, scores, boot, name=metric,
        pairs=list(itertools.combinations([one.name for one in entrants], 2)),
        seconds={one.name: one.making for one in entrants},
    )  # fmt: skip
    differing, same = differences(entrants)
    return Contest(
        metric, len(truth), tuple(entrants), tuple(comparisons), differing, same,
        tuple(notes_of(entrants, groups)), __version__,
    )  # fmt: skip


def names_of(paths: Sequence[str | Path]) -> list[str]:
    """Return a short name for each folder: its own, with as many parents as tell them apart.

    Raises UsageError for fewer than two folders, or one that is named twice.
    """
    places = [Path(path).expanduser().resolve() for path in paths]
    if len(places) < 2:
        raise UsageError(
            f"compare needs two RUN folders or more, got {len(places)}; `headstart report RUN` "
            "shows one."
        )
    twice = next((p for p in places if places.count(p) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is named twice; name each RUN folder once.")
    for depth in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join(place.parts[-depth:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def finished(path: str | Path) -> Run:
    """Open a run that is done. Raises RunError for any other folder."""
    run = Run.open(path)
    if run.record.status != "done" or not run.record.chosen:
        raise RunError(
            f"{run.path} was not finished ({run.record.status}); continue it with: "
            f"headstart transfer --resume {run.path}"
        )
    return run


def common_task(records: dict[str, RunRecord]) -> TaskFacts:
    """Return the task of all records. Raises UsageError that says where two differ."""
    (first, one), *others = records.items()
    for name, record in others:
        if record.task != one.task:
            raise UsageError(
                f"{first} is {one.task}, {name} is {record.task}: runs of one task are compared."
            )
        odd = sorted(set(one.labels) ^ set(record.labels))
        if odd:
            owner = first if odd[0] in one.labels else name
            raise UsageError(
                f"{first} and {name} have other labels: only {owner} has {odd[0]!r}"
                f"{f', and {len(odd) - 1} more differ' if len(odd) > 1 else ''}. "
                "Give both the same training data, or at least all classes."
            )
    return Task.of(one.task, tuple(one.labels)).facts()


def tested_by(name: str, run: Run, task: TaskFacts) -> Tested:
    """Read predictions.parquet; columns of scores in the order of the task's labels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, column = run.path / PREDICTIONS, f"scores: {run.record.chosen}"
    try:
        table = pq.read_table(path)
        columns = {c: table.column(c).to_pylist() for c in ("id", "truth", column)}
        groups = table.column("group").to_pylist() if "group" in table.column_names else None
    except (OSError, KeyError, pa.ArrowException) as error:
        said = " ".join(str(error).split())[:200]
        raise RunError(f"{path} cannot be read: {said}. Make the run again.") from None
    try:
        truth = targets_of(task, columns["truth"])
        scores = np.asarray(columns[column], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} does not fit its record: {error!r}. Make the run again.") from None
    if task.kind != "regression":
        scores = scores[:, [run.record.labels.index(label) for label in task.labels]]
    return Tested(
        name, tuple(map(str, columns["id"])), truth, scores,
        None if groups is None else np.array(groups, dtype=object),
    )  # fmt: skip


def targets_of(task: TaskFacts, truth: Sequence[Any]) -> np.ndarray:
    """Return targets as metrics take them, from what a person reads."""
    place = {label: at for at, label in enumerate(task.labels)}
    if task.kind == "classification":
        return np.array([place[label] for label in truth], dtype=np.int64)
    if task.kind == "multi-label":
        rows = np.zeros((len(truth), len(place)), dtype=np.int64)
        for row, labels in zip(rows, truth, strict=True):
            row[[place[label] for label in labels]] = 1
        return rows
    return np.asarray(truth, dtype=np.float64)


def same_part(tested: Sequence[Tested]) -> list[Tested]:
    """Return all in the row order of the first. Raises UsageError where test parts differ."""
    first = tested[0]
    return [first, *(_like(first, other) for other in tested[1:])]


def _like(first: Tested, other: Tested) -> Tested:
    hint = "Runs share a test part where they have the same data and --seed, or the same --test."
    missing, more = set(first.ids) - set(other.ids), set(other.ids) - set(first.ids)
    if missing or more or len(first.ids) != len(other.ids):
        odd = min(missing or more, default="")
        raise UsageError(
            f"{other.name} was tested on other examples than {first.name}: {len(other.ids)} and "
            f"{len(first.ids)} of them, {len(set(first.ids) & set(other.ids))} in common"
            f"{f' ({odd!r} is not)' if odd else ''}. {hint}"
        )
    if other.ids != first.ids:
        place = {id: at for at, id in enumerate(other.ids)}
        if len(place) < len(other.ids):
            raise UsageError(
                f"{other.name} has test examples of one id in another order than {first.name}; "
                f"they cannot be matched. {hint}"
            )
        other = other.rows(np.array([place[id] for id in first.ids]))
    unlike = (first.truth != other.truth).reshape(len(first.ids), -1).any(axis=1)
    if unlike.any():
        at = int(np.flatnonzero(unlike)[0])
        raise UsageError(
            f"{other.name} and {first.name} do not agree on the truth of {int(unlike.sum())} of "
            f"{len(first.ids)} test examples (first: {first.ids[at]!r}): the data are not the same."
        )
    return other


def entrant(name: str, run: Run, metric: str) -> Entrant:
    """Return what is known of one run. Raises UsageError where the metric is not defined."""
    result = run.record.result(run.record.chosen or "")
    if metric not in result.metrics:
        raise UsageError(f"{name} has no {metric}: it is not defined on this test part.")
    return Entrant(name, str(run.path), run.record, dict(result.metrics), settings_of(run))


def settings_of(run: Run) -> dict[str, str]:
    """Return the recipe by dotted names, and the circumstances of the run."""
    record = run.record
    try:
        recipe = tomllib.loads((run.path / RECIPE).read_text("utf-8"))
    except (OSError, ValueError):
        recipe = {}
    found = dict(_flat(recipe))
    found.pop("schema", None)
    around = {
        "handed over": record.chosen,
        "headstart": record.headstart,
        "training examples": record.data.counts.get("train"),
        "data fingerprint": record.data.fingerprint,
        "cores": record.machine.get("cores"),
        "device": record.machine.get("device"),
    }
    return found | {name: str(value) for name, value in around.items() if value is not None}


def _flat(values: dict[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        full = f"{before}{name}".removeprefix("methods.")
        if isinstance(value, dict):
            yield from _flat(value, f"{full}.")
        else:
            yield full, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def differences(entrants: Sequence[Entrant]) -> tuple[tuple[Setting, ...], int]:
    """Return the settings in which entrants differ, and how many they share."""
    names = dict.fromkeys(name for one in entrants for name in one.settings)
    every = [Setting(n, tuple(one.settings.get(n, "") for one in entrants)) for n in names]
    differing = tuple(setting for setting in every if len(set(setting.values)) > 1)
    return differing, len(every) - len(differing)


def notes_of(entrants: Sequence[Entrant], groups: np.ndarray | None) -> list[str]:
    """Say what a person must know before believing the comparison."""
    notes = [LUCK]
    if len({one.record.data.fingerprint for one in entrants}) > 1:
        notes.append("The runs did not learn from the same data; their test examples are the same.")
    grouped = [one.name for one in entrants if one.record.result(one.chosen).groups]
    if grouped and groups is None:
        notes.append(
            "The test examples come in groups, which these RUN folders do not name one by one: "
            "differences between runs are less sure than is said here."
        )
    bare = [one.name for one in entrants if "budget" not in one.settings]
    if bare:
        notes.append(f"Without a readable {RECIPE}: {', '.join(bare)}; settings are not known.")
    return notes
