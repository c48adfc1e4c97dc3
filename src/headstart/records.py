"""Plain frozen values that rooms exchange and that a RUN folder keeps.

Nothing here knows of torch, models or data sets. What goes to disk is a pydantic model, so that
`record.schema.json` is made from it and a broken file is named by field; what stays in memory is
a dataclass over numpy arrays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.errors import AlreadyOpened, RunError

SCHEMA = 1

Answer = Literal["helps", "no clear difference", "hurts"]
Role = Literal["candidate", "baseline"]
Status = Literal["running", "interrupted", "done"]


class Sealed:
    """Test targets that can be opened once, by the judge; a second opening raises AlreadyOpened.

    The array lives in a closure: no attribute of this object holds it.
    """

    __slots__ = ("__dict__", "_size", "_take")

    def __init__(self, targets: np.ndarray) -> None:
        store: list[np.ndarray] = [targets]
        self._size = len(targets)
        self._take: Callable[[], np.ndarray | None] = lambda: store.pop() if store else None

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"Sealed({self._size} test targets)"

    def open(self) -> np.ndarray:
        """Return the targets, and never again."""
        targets = self._take()
        if targets is None:
            raise AlreadyOpened(
                "The test labels were opened already. They serve one judgement of all candidates "
                "together; opening them again would let them steer a choice."
            )
        return targets


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What judge and report must know of a task, without its torch parts."""

    kind: str  # "classification", "multi-label", "regression"
    labels: tuple[str, ...]  # class names in the order of score columns; one name for regression
    metrics: tuple[str, ...]  # names in evaluate.METRICS, the primary one first

    @property
    def primary(self) -> str:
        return self.metrics[0]


class Frozen(BaseModel):
    """Base of everything that goes to disk; unknown fields of a newer minor version are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Interval(Frozen):
    """A measured value with its 95 % interval (low and high are None where none exists)."""

    value: float
    low: float | None = None
    high: float | None = None


class Result(Frozen):
    """One candidate or baseline, measured on the sealed test part."""

    name: str
    role: Role
    model: str | None = Field(description="Model id, or null where no pretrained model is used.")
    method: str = Field(description="How it was adapted: probe, finetune, simple, majority, …")
    metrics: dict[str, Interval] = Field(
        default_factory=dict, description="On the sealed test part; empty until it is opened."
    )
    validation: dict[str, float] = Field(
        default_factory=dict, description="On validation data: what the choice was made by."
    )
    seconds: dict[str, float] = Field(default_factory=dict)
    parameters: dict[str, int] = Field(
        default_factory=dict, description="Counts: total and trained."
    )
    per_class: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Class name to precision, recall, f1 and support."
    )
    details: dict[str, Any] = Field(
        default_factory=dict, description="Choices that the method made: strength, steps, curve."
    )


class Verdict(Frozen):
    """Did transfer help? From paired predictions on the sealed test part."""

    answer: Answer
    against: str = Field(description="Name of the best baseline, chosen on validation data.")
    candidate: str = Field(description="Name of the best candidate, chosen on validation data.")
    metric: str
    difference: Interval = Field(description="Candidate minus baseline; positive is better.")
    words: str = Field(description="The verdict in one or two plain sentences.")


class DataFacts(Frozen):
    """What was found in the data set, and what was decided about it."""

    name: str
    source: str = Field(description="Where it came from: a path, or 'python objects'.")
    modality: str
    fingerprint: str
    counts: dict[str, int] = Field(description="Examples in train, validation and test.")
    class_counts: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="Split to class name to number of examples."
    )
    quarantined: int = 0
    unlabelled: int = 0
    said: list[str] = Field(
        default_factory=list, description="Every inference that was said aloud, in order."
    )


class RunRecord(Frozen):
    """Everything the report needs. Kept as `record.json`."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    headstart: str = Field(description="Version that wrote this record.")
    status: Status = "running"
    created: str = Field(description="UTC, ISO 8601.")
    seconds: float = Field(default=0.0, description="Wall time of the whole run.")
    seed: int = 0
    task: str
    labels: list[str] = Field(default_factory=list)
    primary_metric: str = ""
    data: DataFacts
    chosen: str | None = Field(default=None, description="Name of a result; null until chosen.")
    verdict: Verdict | None = None
    results: list[Result] = Field(default_factory=list)
    machine: dict[str, Any] = Field(
        default_factory=dict, description="Cores, precision, allocator: what was applied."
    )
    notes: list[str] = Field(default_factory=list, description="Things a person should know.")

    def result(self, name: str) -> Result:
        """Return the result called `name`. Raises KeyError."""
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(name)

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


# Reader of schema k -> dict of schema k + 1. Readers accept older schemas for ever: never delete.
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def read_record(path: Path) -> RunRecord:
    """Read `record.json`, of this schema or any older one.

    Raises RunError when the file is absent, broken, or newer than this version can read.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} does not exist; is {path.parent} a RUN folder?") from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise RunError(f"{path} cannot be read as JSON: {error}.") from None
    version = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version < 1:
        raise RunError(f"{path} has no 'schema' number; it is no Headstart record.")
    if version > SCHEMA:
        raise RunError(
            f"{path} has schema {version}; this version reads up to {SCHEMA}. Upgrade headstart."
        )
    while version < SCHEMA:
        raw = UPGRADES[version](raw)
        version += 1
    try:
        return RunRecord.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: field {where!r}: {first['msg']}.") from None
