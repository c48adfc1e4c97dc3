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

    def bounded(self, low: float, high: float) -> Interval:
        """Return the value with these bounds, which then hold it; without any if one is none."""
        if not np.isfinite([low, high]).all():
            return Interval(value=self.value)
        return Interval(value=self.value, low=min(low, self.value), high=max(high, self.value))


class Comparison(Frozen):
    """One candidate held against one baseline on identical test examples."""

    candidate: str
    against: str
    metric: str
    answer: Answer = Field(description="After the correction for many comparisons.")
    difference: Interval = Field(description="Candidate minus baseline; positive is better.")
    test: str = Field(default="", description="Where the p-value comes from.")
    p: float | None = Field(default=None, description="Two-sided p-value of this one comparison.")
    p_holm: float | None = Field(default=None, description="The same, corrected by Holm's method.")
    won: int | None = Field(default=None, description="Examples that only the candidate got right.")
    lost: int | None = Field(default=None, description="Examples that only the baseline got right.")
    seconds: dict[str, float] = Field(
        default_factory=dict, description="What each of the two cost, by its name."
    )
    words: str = ""


class ConfidenceBin(Frozen):
    """One bar of a reliability diagram: how often predictions of such confidence were right."""

    low: float
    high: float
    confidence: float = Field(description="Mean confidence of the predictions in it.")
    accuracy: Interval
    count: int


class Calibration(Frozen):
    """Whether confidence can be believed."""

    error: Interval = Field(description="Expected calibration error, debiased, in [0, 1].")
    brier: Interval = Field(description="Brier score: 0 is perfect, at most 2.")
    bins: list[ConfidenceBin] = Field(default_factory=list)
    method: str = Field(default="", description="Bins, and how the bias was taken out.")


class CoveragePoint(Frozen):
    """The share of examples that are answered, and how many of those answers are right."""

    coverage: float
    threshold: float = Field(description="Least confidence that is answered.")
    accuracy: Interval


class Abstention(Frozen):
    """What is gained when the least sure answers go to a person instead."""

    area: Interval = Field(description="Area under risk against coverage; 0 is perfect.")
    points: list[CoveragePoint] = Field(default_factory=list)


class GroupRow(Frozen):
    """A result on the test examples of one group."""

    group: str
    count: int
    metrics: dict[str, Interval] = Field(default_factory=dict)


class PrecisionRecall(Frozen):
    """Precision against recall of one class or label, over all thresholds."""

    average_precision: Interval
    positives: int
    recall: list[float] = Field(default_factory=list)
    precision: list[float] = Field(default_factory=list)
    threshold: list[float] = Field(default_factory=list)


class Residuals(Frozen):
    """Prediction minus truth, in the target's unit."""

    bias: Interval = Field(description="Mean of prediction minus truth.")
    quantiles: dict[str, float] = Field(default_factory=dict, description="Share to residual.")
    points: list[tuple[float, float]] = Field(
        default_factory=list, description="(truth, prediction) of examples spread over the truth."
    )


class HardExample(Frozen):
    """A test example on which the loss is among the highest."""

    id: str
    truth: str = Field(default="", description="What it is, as a person reads it.")
    answer: str = Field(default="", description="What the model said, with how sure it was.")
    loss: float = Field(description="Nats; for regression the absolute error.")


class Diagnosis(Frozen):
    """What a fit suffers from, by what it shows, and what to do."""

    name: str = Field(description="good, underfit, overfit, label noise suspected, diverged, …")
    evidence: str
    remedy: str


class Check(Frozen):
    """Something about the data that a person should know before believing the numbers."""

    name: str
    level: Literal["note", "warning", "error"]
    words: str
    examples: list[list[str]] = Field(
        default_factory=list, description="Ids that it is about, a list each: of a pair, both."
    )


class CrossValidation(Frozen):
    """One comparison over the folds of a repeated cross-validation."""

    candidate: str
    against: str
    metric: str
    folds: int
    repeats: int
    difference: Interval = Field(description="Mean over folds; corrected for their overlap.")
    p: float | None = None
    answer: Answer = "no clear difference"
    words: str = ""
    scores: dict[str, list[list[float]]] = Field(
        default_factory=dict, description="Result to the metric, a list a repeat, a number a fold."
    )


class SeedSpread(Frozen):
    """How much one result varies with the seed of its training, all else being equal."""

    result: str
    metric: str
    seeds: list[int]
    values: list[float] = Field(description="The metric on the test part, one a seed.")
    mean: Interval = Field(description="Over seeds, Student's.")
    deviation: float = Field(description="Standard deviation over seeds.")
    words: str = ""


class LabelCurve(Frozen):
    """Error against the number of labels: error = floor + scale * (n + shift) ** -rate."""

    result: str
    counts: list[int]
    errors: list[list[float]] = Field(description="One list a count, one error a draw.")
    floor: float | None = Field(default=None, description="The error that no labels would remove.")
    scale: float | None = None
    rate: float | None = None
    shift: float | None = None
    predicted: dict[str, Interval] = Field(
        default_factory=dict, description="Number of labels to the error expected there."
    )
    words: list[str] = Field(
        default_factory=list, description="The answers, and what they rest on."
    )


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
    class_intervals: dict[str, dict[str, Interval]] = Field(
        default_factory=dict, description="per_class with 95 % intervals."
    )
    groups: list[GroupRow] = Field(default_factory=list, description="Worst first.")
    calibration: Calibration | None = None
    abstention: Abstention | None = None
    pr_curves: dict[str, PrecisionRecall] = Field(
        default_factory=dict, description="Class or label name to its curve."
    )
    residuals: Residuals | None = None
    hardest: list[HardExample] = Field(default_factory=list, description="Highest loss first.")
    diagnosis: list[Diagnosis] = Field(default_factory=list, description="The main one first.")


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


class AdviceNode(Frozen):
    """A question of the advice's tree with what follows each answer; or a leaf."""

    id: str
    text: str = Field(description="The question, or the advice of a leaf.")
    answer: str = Field(default="", description="The answer that leads here: yes, no, not known.")
    taken: bool = False
    branches: list[AdviceNode] = Field(default_factory=list)


class AdviceTurn(Frozen):
    """One question on the way through the tree, and why it was answered so."""

    question: str
    answer: Literal["yes", "no", "not known"]
    took: str = Field(description="The branch: the answer, or what is assumed where it is unknown.")
    values: list[str] = Field(default_factory=list, description="What was compared with what.")
    reason: str = Field(description="Why the question is asked there, and its threshold.")


class Cost(Frozen):
    """What a run costs. None where it could not be estimated or measured."""

    seconds: float | None = None
    memory: float | None = Field(default=None, description="Largest use of memory, MB.")
    disk: float | None = Field(default=None, description="Most that lay there at once, MB.")
    grams: float | None = Field(default=None, description="Grams of CO2.")


class Estimate(Frozen):
    """How long one part of a run was expected to take, and took."""

    what: str
    method: str = Field(default="", description="Of the result that it makes; else empty.")
    model: str | None = None
    seconds: float
    rests_on: str = Field(default="", description="What was measured for it.")
    happened: float | None = Field(default=None, description="Seconds that it took.")


class Advice(Frozen):
    """Which way to transfer is advised, why, and what it was expected to cost."""

    leaf: str
    decided: bool = Field(
        default=False, description="Whether frozen features of all training data were known."
    )
    title: str
    words: str
    methods: list[str] = Field(description="Trained methods to try, beside the frozen features.")
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    favoured: str = Field(
        default="", description="Method handed over unless held-out examples are against it."
    )
    favoured_because: str = ""
    model: str | None = Field(default=None, description="The model that estimates are for.")
    not_built: list[str] = Field(
        default_factory=list, description="Advised before that, but not built yet."
    )
    turns: list[AdviceTurn] = Field(default_factory=list)
    unanswered: list[str] = Field(default_factory=list)
    tree: AdviceNode
    facts: dict[str, float | str | bool | None] = Field(default_factory=dict)
    estimates: list[Estimate] = Field(default_factory=list)
    estimated: Cost = Field(default_factory=Cost)
    happened: Cost | None = None
    assumption: str = Field(default="", description="What grams of CO2 rest on.")
    notes: list[str] = Field(default_factory=list)
    next: str = Field(default="", description="The command that follows it; empty in a run.")


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
    chosen_because: str = Field(default="", description="Why that one was handed over.")
    comparisons: list[Comparison] = Field(
        default_factory=list, description="The best candidate against every baseline."
    )
    held_out: list[Comparison] = Field(
        default_factory=list,
        description="The best on held-out training examples against simpler ones, there.",
    )
    checks: list[Check] = Field(
        default_factory=list, description="What was found in the test part."
    )
    cross_validation: list[CrossValidation] = Field(default_factory=list)
    seeds: list[SeedSpread] = Field(default_factory=list)
    label_curves: list[LabelCurve] = Field(default_factory=list)
    results: list[Result] = Field(default_factory=list)
    advice: Advice | None = Field(
        default=None, description="Of an automatic run: why these methods were tried, and the cost."
    )
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
