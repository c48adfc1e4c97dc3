"""The end of a run: predict the test part, judge once, write everything down."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from headstart.compute.budget import Stopwatch
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Unlabelled
from headstart.data.modality import modality
from headstart.evaluate import judge
from headstart.records import RunRecord
from headstart.report.card import model_card
from headstart.report.page import write_report
from headstart.run.choosing import Entry, best
from headstart.run.folder import REPORT, RunFolder
from headstart.run.job import Job

PICTURES = 6  # misread test examples that the report shows


def finish(job: Job) -> RunRecord:
    """Predict the test part with every result, open its labels once, and write the RUN folder."""
    data = job.data
    order = [e for e in job.entries if e.role == "baseline"] + [
        e for e in job.entries if e.role == "candidate"
    ]
    favoured = job.guide.advice.favoured if job.guide else ""
    chosen = best(order, data, favoured)
    candidate = best([e for e in order if e.role == "candidate"], data, favoured)
    baseline = best([e for e in order if e.role == "baseline"], data)
    test = job.opened.splits.test
    scores: dict[str, np.ndarray] = {}
    predicting: dict[str, float] = {}
    for entry in job.entries:
        watch = Stopwatch()
        with watch.time("predict"):
            scores[entry.name] = entry.trained.adapted.scores(test.inputs, progress=job.progress)
        predicting[entry.name] = round(watch.seconds["predict"], 4)
    judgement = judge(
        data.task.facts(), test.targets, scores, candidate=candidate.name, baseline=baseline.name,
        rng=rng_for(job.recipe.seed, "bootstrap"), groups=test.groups,
    )  # fmt: skip
    job.notes.extend(judgement.notes)
    record = job.record(
        "done",
        chosen=chosen.name,
        verdict=judgement.verdict,
        confusion={name: table.tolist() for name, table in judgement.confusion.items()},
        differences={name: d.model_dump() for name, d in judgement.differences.items()},
    )
    results = [
        result.model_copy(
            update={
                "metrics": judgement.metrics[result.name],
                "per_class": judgement.per_class[result.name],
                "seconds": result.seconds | {"predict": predicting[result.name]},
            }
        )
        for result in record.results
    ]
    record = record.model_copy(update={"results": results})
    _write(job, record, chosen, scores, judgement.truth)
    return record


def _write(
    job: Job, record: RunRecord, chosen: Entry, scores: dict[str, np.ndarray], truth: np.ndarray
) -> None:
    folder, test = job.folder, job.opened.splits.test
    task = job.opened.splits.train.task
    adapted = chosen.trained.adapted
    adapted.save(folder.path / "model")
    folder.write("model/README.md", model_card(record))
    columns = {
        "truth": _readable(task.kind.name, truth, task.labels),
        "prediction": task.kind.answer(scores[chosen.name], task.labels),
    }
    folder.write_predictions(test.inputs.ids, columns, scores)
    folder.write_record(record)
    pictures = _misread(task.kind.name, truth, scores[chosen.name], task.labels, test.inputs)
    write_report(record, folder.path / REPORT, pictures=pictures)
    folder.log("done", chosen=record.chosen, seconds=record.seconds)
    _drop_candidates(folder)


def _readable(kind: str, truth: np.ndarray, labels: tuple[str, ...]) -> list[Any]:
    if kind == "classification":
        return [labels[int(t)] for t in truth]
    if kind == "multi-label":
        return [[label for label, on in zip(labels, row, strict=True) if on] for row in truth]
    return [float(t) for t in truth]


def _misread(
    kind: str, truth: np.ndarray, scores: np.ndarray, labels: tuple[str, ...], inputs: Unlabelled
) -> dict[str, str]:
    """Show the test examples that the chosen model got wrong with the most confidence."""
    if kind != "classification":
        return {}
    said = scores.argmax(axis=1)
    sure = np.where(said != truth, scores.max(axis=1), -1.0)
    shown = {}
    for row in np.argsort(-sure, kind="stable")[:PICTURES]:
        if sure[row] < 0:
            break
        caption = f"{inputs.ids[row]}: is {labels[truth[row]]}, read as {labels[said[row]]}"
        shown[f"{caption} ({sure[row]:.2f})"] = modality(inputs.modality).show(inputs.items[row])
    return shown


def _drop_candidates(folder: RunFolder) -> None:
    shutil.rmtree(folder.candidates, ignore_errors=True)
