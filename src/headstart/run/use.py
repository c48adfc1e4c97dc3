"""A finished run: predict with it, evaluate it on other data, write its report again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from headstart.errors import DataError, RunError
from headstart.records import Interval, RunRecord, Sealed
from headstart.run.folder import EXAMPLES, EXPORTED, RECORD, REPORT

if TYPE_CHECKING:
    from headstart.adapt import Adapted
    from headstart.compute.progress import Progress
    from headstart.data.dataset import Unlabelled
    from headstart.data.load import Quarantined
    from headstart.data.task import Task


@dataclass(frozen=True)
class Prediction:
    """What the model says of one example.

    `answer`: class name, list of label names, or number. `scores`: probability by class or label
    name; empty for regression.
    """

    id: str
    answer: Any
    scores: dict[str, float]


class Answers(Protocol):
    """What predictions need of a model: of a RUN, or of an export."""

    @property
    def modality(self) -> str: ...

    @property
    def task(self) -> Task: ...

    def scores(self, inputs: Unlabelled, *, progress: Progress) -> np.ndarray: ...


@dataclass(frozen=True)
class Run:
    """A RUN folder. `record` is what record.json says; the model is loaded when first needed."""

    path: Path
    record: RunRecord

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a RUN folder. Raises RunError when it is none."""
        from headstart.records import read_record

        folder = Path(path).expanduser()
        if (folder / EXPORTED).is_file() and not (folder / RECORD).exists():
            raise RunError(
                f"{folder} is an export, which can predict and no more. Name the RUN folder that "
                "it was made from."
            )
        return cls(folder, read_record(folder / RECORD))

    @cached_property
    def model(self) -> Adapted:
        """The model that was chosen. Raises RunError when the run was not finished."""
        from headstart.adapt import load_adapted
        from headstart.compute.machine import machine

        if self.record.status != "done":
            raise RunError(
                f"{self.path} was not finished ({self.record.status}); continue it with: "
                f"headstart transfer --resume {self.path}"
            )
        machine()
        return load_adapted(self.path / "model")

    def predict(self, inputs: Any, **options: Any) -> list[Prediction]:
        """Return a prediction for every readable input; `predicted` gives the others too."""
        return self.predicted(inputs, **options)[0]

    def predicted(self, inputs: Any, **options: Any) -> tuple[list[Prediction], list[Quarantined]]:
        """Return (predictions, inputs that cannot be read); `options` as for `predict_with`."""
        return predict_with(self.model, inputs, **options)

    def evaluate(self, data: Any, **options: Any) -> Evaluation:
        """Measure the model on other labelled data, with 95 % intervals.

        `options` as for `transfer`: input, target, group, encoding, root. Raises DataError for
        labels that the model does not know.
        """
        from headstart.compute.progress import silent
        from headstart.compute.randomness import rng_for
        from headstart.data.load import open_labelled
        from headstart.evaluate import judge

        model = self.model
        progress = options.pop("progress", None) or silent
        data_set, bad, said = open_labelled(
            data, model.task, model.modality, progress=progress, **options
        )
        scores = model.scores(data_set.inputs, progress=progress)
        judgement = judge(
            model.task.facts(), Sealed(data_set.targets), {model.name: scores},
            candidate=model.name, baseline=model.name, rng=rng_for(0, "evaluate"),
            groups=data_set.groups, detail=False,
        )  # fmt: skip
        return Evaluation(
            result=model.name,
            count=len(data_set),
            metrics=judgement.metrics[model.name],
            per_class=judgement.per_class[model.name],
            quarantined=len(bad),
            notes=[*said, *judgement.notes, *(check.words for check in judgement.checks)],
        )

    def report(self) -> Path:
        """Write report.html again from the record; returns its path. Loads no torch."""
        from headstart.report.page import write_report
        from headstart.report.safe import read_examples

        target = self.path / REPORT
        write_report(self.record, target, pictures=read_examples(self.path / EXAMPLES))
        return target


def predict_with(
    model: Answers, inputs: Any, *, column: str | None = None, encoding: str = "utf-8",
    root: str | Path | None = None, progress: Progress | None = None,
) -> tuple[list[Prediction], list[Quarantined]]:  # fmt: skip
    """Return (predictions, inputs that cannot be read with the reason).

    `inputs`: one or several of files, folders, tables (`column` names the input), texts,
    arrays. Raises DataError where nothing can be read.
    """
    from headstart.compute.progress import silent
    from headstart.data.load import open_inputs

    many = inputs if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    if isinstance(inputs, np.ndarray) and _is_stack(inputs, model.modality):
        many = list(inputs)
    found, bad = open_inputs(
        many, modality=model.modality, column=column, encoding=encoding, root=root,
        progress=progress,
    )  # fmt: skip
    if not len(found):
        reason = f": {bad[0].id}: {bad[0].reason}" if bad else ""
        raise DataError(f"None of the inputs can be read{reason}.")
    scores = model.scores(found, progress=progress or silent)
    answers = model.task.kind.answer(scores, model.task.labels)
    named: list[dict[str, float]] = [{} for _ in answers]
    if scores.ndim == 2:
        named = [dict(zip(model.task.labels, map(float, row), strict=True)) for row in scores]
    rows = zip(found.ids, answers, named, strict=True)
    return [Prediction(str(id), answer, by_name) for id, answer, by_name in rows], bad


def _is_stack(array: np.ndarray, modality: str) -> bool:
    """Tell a stack of images (n, h, w[, c]) from one image (h, w[, c])."""
    one = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    return modality == "image" and not one


@dataclass(frozen=True)
class Evaluation:
    """A finished model on other labelled data."""

    result: str
    count: int
    metrics: dict[str, Interval]
    per_class: dict[str, dict[str, float]]
    quarantined: int
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "result": self.result,
            "examples": self.count,
            "metrics": {name: m.model_dump() for name, m in self.metrics.items()},
            "per_class": self.per_class,
            "quarantined": self.quarantined,
            "notes": self.notes,
        }


def table_of(predictions: Sequence[Prediction], bad: Sequence[Quarantined]) -> list[dict[str, Any]]:
    """Return rows for a CSV file: id, prediction, a probability a class, and why not, if not."""
    labels = list(predictions[0].scores) if predictions else []
    rows: list[dict[str, Any]] = []
    for one in predictions:
        answer = "|".join(one.answer) if isinstance(one.answer, list) else one.answer
        shares = {f"p({label})": round(float(np.float64(one.scores[label])), 6) for label in labels}
        rows.append({"id": one.id, "prediction": answer, **shares, "problem": ""})
    empty = dict.fromkeys((f"p({label})" for label in labels), "")
    rows.extend({"id": item.id, "prediction": "", **empty, "problem": item.reason} for item in bad)
    return rows


def write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows to a CSV file, whole or not at all. Raises RunError where it cannot be written."""
    import csv

    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            out = csv.DictWriter(file, fieldnames=list(rows[0]))
            out.writeheader()
            out.writerows(rows)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written: {error.strerror or error}.") from error
