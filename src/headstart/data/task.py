"""What is to be predicted: a `Task` says how raw targets become arrays and outputs become answers.

A new task is one `TaskKind` in TASKS. torch is imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, softmax

from headstart.plugins import named
from headstart.records import TaskFacts

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TaskKind:
    """A kind of task, without the labels of one data set.

    `losses` takes raw outputs (n, k) and targets as `Dataset.targets` holds them (regression:
    standardised, (n,)) and gives the loss of each example (n,). `activate` turns raw outputs
    (n, k) float into scores: probabilities (n, k), or predictions (n,). `answer` turns scores into
    what a person reads, one entry an example.
    """

    name: str
    metrics: tuple[str, ...]  # names in evaluate.METRICS; the first one is primary
    losses: Callable[[Tensor, Tensor], Tensor]
    activate: Callable[[np.ndarray], np.ndarray]
    answer: Callable[[np.ndarray, tuple[str, ...]], list[Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of task together with the labels of one data set.

    `labels`: class names in the order of the score columns; for regression the target's name.
    """

    kind: TaskKind
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def outputs(self) -> int:
        """Number of raw outputs that a head must have."""
        return len(self.labels)

    def facts(self) -> TaskFacts:
        return TaskFacts(self.kind.name, self.labels, self.kind.metrics)

    @classmethod
    def of(cls, kind: str, labels: tuple[str, ...]) -> Task:
        """Return the task of that kind and those labels. Raises UsageError for an unknown kind."""
        return cls(named("task", TASKS, kind), labels)


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    from torch.nn.functional import cross_entropy

    return cross_entropy(outputs, targets, reduction="none")


def _binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    each = binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction="none")
    return each.mean(dim=1)


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    from torch.nn.functional import mse_loss

    return mse_loss(outputs[:, 0], targets.to(outputs.dtype), reduction="none")


def _softmax(outputs: np.ndarray) -> np.ndarray:
    found: np.ndarray = softmax(outputs, axis=1)
    return found


def _first(outputs: np.ndarray) -> np.ndarray:
    return outputs[:, 0]


def _likeliest(scores: np.ndarray, labels: tuple[str, ...]) -> list[Any]:
    return [labels[i] for i in scores.argmax(axis=1)]


def _likely(scores: np.ndarray, labels: tuple[str, ...]) -> list[Any]:
    return [
        [label for label, score in zip(labels, row, strict=True) if score >= 0.5] for row in scores
    ]


def _numbers(scores: np.ndarray, labels: tuple[str, ...]) -> list[Any]:
    return [float(score) for score in scores]


CLASSIFICATION = TaskKind(
    name="classification",
    metrics=(
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_weighted",
        "precision_macro",
        "recall_macro",
        "precision_weighted",
        "recall_weighted",
        "matthews",
        "roc_auc",
        "average_precision",
        "log_loss",
    ),
    losses=_cross_entropy,
    activate=_softmax,
    answer=_likeliest,
)

MULTI_LABEL = TaskKind(
    name="multi-label",
    metrics=(
        "f1_micro",
        "f1_macro",
        "f1_samples",
        "precision_macro",
        "recall_macro",
        "roc_auc",
        "average_precision",
        "subset_accuracy",
        "log_loss",
    ),
    losses=_binary_cross_entropy,
    activate=expit,
    answer=_likely,
)

REGRESSION = TaskKind(
    name="regression",
    metrics=("r2", "mae", "rmse"),
    losses=_squared_error,
    activate=_first,
    answer=_numbers,
)

TASKS: tuple[TaskKind, ...] = (CLASSIFICATION, MULTI_LABEL, REGRESSION)
