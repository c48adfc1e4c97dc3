"""RUN folders as finished runs leave them, made at once: scores are drawn, nothing learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import records_for_tests as samples
from evidence_for_tests import scores_of, task
from headstart.data.task import Task
from headstart.evaluate import judge
from headstart.records import Result, RunRecord, Sealed
from headstart.run.folder import RunFolder
from headstart.run.showing import readable

SIZE = 120
RECIPE = """schema = 1
models = ["m"]
method = "{method}"
budget = 600.0
seed = {seed}

[data]
source = "photos"

[methods.finetune]
epochs = {epochs}
techniques = ["ema", "soup"]
"""


def truth_of(kind: str, size: int = SIZE) -> np.ndarray:
    rng = np.random.default_rng(11)
    if kind == "multi-label":
        return (rng.random((size, 3)) < 0.4).astype(np.int64)
    return rng.normal(10, 4, size) if kind == "regression" else np.arange(size) % 3


def write_run(
    folder: Path, kind: str = "classification", *, sharp: float = 2.0, seed: int = 0,
    rows: np.ndarray | None = None, truth: np.ndarray | None = None, method: str = "finetune",
    scores: np.ndarray | None = None, groups: list[str] | None = None, **changes: Any,
) -> Path:  # fmt: skip
    """Write a RUN folder whose chosen result knows the truth the better, the higher `sharp` is.

    rows: the test examples, in their order; all are the same for every seed.
    """
    facts, whole = task(kind), truth_of(kind) if truth is None else truth
    drawn = scores_of(kind, whole, sharp, np.random.default_rng(seed)) if scores is None else scores
    order = np.arange(len(whole)) if rows is None else rows
    real, said = whole[order], {f"{method}: m": drawn[order]}
    found = judge(
        facts, Sealed(real), said, candidate=f"{method}: m", baseline=f"{method}: m",
        rng=np.random.default_rng(0), resamples=100, detail=False,
    )  # fmt: skip
    result = Result(
        name=f"{method}: m", role="candidate", model="m", method=method,
        metrics=found.metrics[f"{method}: m"], per_class=found.per_class[f"{method}: m"],
        seconds={"fit": 3.0 + seed, "predict": 0.06}, parameters={"total": 1000 * (1 + seed)},
    )  # fmt: skip
    base = samples.classification(list(facts.labels))
    values: dict[str, Any] = {
        "task": kind, "labels": list(facts.labels), "primary_metric": facts.primary,
        "results": [result], "chosen": result.name, "verdict": found.verdict, "seed": seed,
    }  # fmt: skip
    record = RunRecord.model_validate(base.model_copy(update=values | changes).model_dump())
    made = RunFolder.create(folder)
    made.write_record(record)
    columns: dict[str, Any] = {"truth": readable(Task.of(kind, facts.labels), real)}
    if groups is not None:
        columns["group"] = [groups[i] for i in order]
    made.write_predictions([f"row {i}" for i in order], columns, said)
    made.write("recipe.toml", RECIPE.format(method=method, seed=seed, epochs=3 + seed))
    return folder


def three_runs(folder: Path, kind: str = "classification") -> list[Path]:
    """A good run, one that is even with it, and a bad one."""
    return [
        write_run(folder / name, kind, sharp=sharp, seed=seed)
        for seed, (name, sharp) in enumerate({"steady": 3.0, "twin": 3.0, "weak": 0.3}.items())
    ]
