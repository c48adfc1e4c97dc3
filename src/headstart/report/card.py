"""The README.md of RUN/model and of exports: a model card, as model hubs have them."""

from __future__ import annotations

import re

from headstart.records import Interval, Result, RunRecord
from headstart.report import words
from headstart.report.card_metadata import (
    base_name,
    hub_id,
    licence,
    machine_words,
    metadata,
    pipeline_tag,
    yaml,
)
from headstart.report.ranked import best_first, chosen_result

SHOWN = 20  # classes whose numbers are listed
USE = {
    "headstart": "    headstart predict FOLDER INPUT...\n\nFOLDER is the one that this card "
    "lies in; of a RUN folder, the RUN itself.",
    "transformers": "With plain transformers, by their pipeline of the task; or with Headstart:\n\n"
    "    headstart predict FOLDER INPUT...\n\nFOLDER is the one that this card lies in.",
    "onnx": "With any ONNX runtime: model.onnx gives {outputs}; what comes before it stands in "
    "export.json and beside it. Or with Headstart:\n\n    headstart predict FOLDER INPUT..."
    "\n\nFOLDER is the one that this card lies in.",
}


def escaped(text: str) -> str:
    """Return text from the data as plain Markdown: on one line, nothing in it acts as markup."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#&!])", r"\\\1", line)


def results_lines(record: RunRecord) -> list[str]:
    metric = record.primary_metric
    lines = [f"| Result | Role | {words.metric_title(metric)} (95 % interval) |", "|---|---|---|"]
    for row in best_first(record, metric):
        score: Interval | None = row.metrics.get(metric)
        text = words.interval_text(metric, score) if score else words.ABSENT
        mark = " (this model)" if row.chosen else ""
        lines.append(f"| {escaped(row.result.name)}{mark} | {row.result.role} | {text} |")
    return lines


def what_it_is(record: RunRecord, best: Result | None) -> str:
    data = escaped(record.data.name)
    if best is None:
        return f"A model for the data set {data}; the run that makes it is not done."
    base = (
        f"the pretrained model {escaped(base_name(best.model))}"
        if best.model
        else "no pretrained model"
    )
    return (
        f"A {record.task} model for {record.data.modality} input, made from {base} "
        f"(method: {escaped(best.method)}) and the data set {data}."
    )


def limits(record: RunRecord) -> list[str]:
    """Return what a user must know before relying on the model, one sentence a line."""
    tested = record.data.counts.get("test")
    lines = [
        "- The numbers hold for data like that of the test part; on data from elsewhere, measure "
        "again with `headstart evaluate RUN DATA`.",
    ]
    if tested is not None:
        lines.append(f"- They were measured on {words.counted(tested, 'test example')}, once.")
    if record.task == "classification" and record.labels:
        lines.append("- It always answers with one of its classes, also for input that is none.")
    if record.data.quarantined:
        count = words.counted(record.data.quarantined, "example")
        lines.append(f"- {count} could not be read and took no part.")
    return lines + [f"- {escaped(note)}" for note in record.notes]


def verdict_lines(record: RunRecord) -> list[str]:
    if record.status != "done" or record.verdict is None:
        return [words.state_words(record) or "The record holds no comparison with a baseline."]
    size, between = words.difference_text(record.verdict.metric, record.verdict.difference)
    headline = words.headline(record)
    about = f"{words.metric_title(record.verdict.metric)} {size}"
    about += f", 95 % interval {between}" if between else ""
    return [
        f"**{headline}.** {escaped(words.without_headline(record.verdict.words, headline))}",
        "",
        f"{escaped(record.verdict.candidate)} minus {escaped(record.verdict.against)}: {about}.",
    ]


def model_card(record: RunRecord, *, library: str = "headstart") -> str:
    """Return the model card as Markdown with a YAML metadata block; texts from data are escaped.

    `library`: what reads the model: "headstart", "transformers" or "onnx".
    """
    best = chosen_result(record)
    parts = [f"---\n{yaml(metadata(record, library=library))}---", f"# {escaped(record.data.name)}"]
    parts += [what_it_is(record, best), "## Did transfer help?", "\n".join(verdict_lines(record))]
    if record.results:
        parts += ["## Evaluation", evaluation(record, best), "\n".join(results_lines(record))]
    parts += ["## Intended use", intended_use(record), "## How to use", how_to_use(record, library)]
    parts += ["## Limits", "\n".join(limits(record))]
    parts += ["## Training data", "\n".join(training_data(record))]
    parts += ["## Cost", "\n".join(cost(record, best))]
    parts += ["## Licence", licence_words(record, best)]
    parts.append(
        f"Made by Headstart {record.headstart}, {record.created[:10]}, seed {record.seed}."
    )
    return "\n\n".join(parts) + "\n"


def evaluation(record: RunRecord, best: Result | None) -> str:
    """Return what was measured of this model on the test part, with intervals."""
    if best is None or not best.metrics:
        return "Held-out training data only: the test part was not opened."
    tested = record.data.counts.get("test")
    where = f" {words.counted(tested, 'example')} of" if tested is not None else ""
    lines = [f"On{where} the test part, which took no part in training or choosing:", ""]
    lines += ["| Metric | Value (95 % interval) |", "|---|---|"]
    for name, found in best.metrics.items():
        lines.append(f"| {words.metric_title(name)} | {words.interval_text(name, found)} |")
    return "\n".join([*lines, "", "Beside the others of the same run:"])


def how_to_use(record: RunRecord, library: str) -> str:
    outputs = "`prediction`" if record.task == "regression" else "`logits` and `probabilities`"
    return USE[library].format(outputs=outputs)


def training_data(record: RunRecord) -> list[str]:
    """Return how many examples there were of what, one sentence a line."""
    counts = ", ".join(
        f"{words.counted(n, 'example')} for {part}" for part, n in record.data.counts.items()
    )
    lines = [f"- {escaped(record.data.name)} ({record.data.modality}): {counts or 'not counted'}."]
    classes = record.data.class_counts.get("train", {})
    if classes:
        shown = [f"{escaped(name)} {count:,}" for name, count in list(classes.items())[:SHOWN]]
        more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
        lines.append(f"- Of each class, to train on: {', '.join(shown)}{more}.")
    if record.data.unlabelled:
        lines.append(f"- {words.counted(record.data.unlabelled, 'example')} had no label.")
    return [*lines, f"- Fingerprint of the content: `{record.data.fingerprint}`."]


def cost(record: RunRecord, best: Result | None) -> list[str]:
    """Return what the run and this model cost, one sentence a line."""
    machine = machine_words(record)
    lines = [
        f"- The whole run: {words.duration(record.seconds)}{f' ({machine})' if machine else ''}."
    ]
    if best and best.seconds:
        lines.append(f"- This model alone: {words.duration(words.making(best.seconds))}.")
    if best and best.parameters.get("total"):
        total, trained = best.parameters["total"], best.parameters.get("trained", 0)
        lines.append(f"- {words.counted(total, 'parameter')}, of which {trained:,} were trained.")
    happened = record.advice.happened if record.advice else None
    if record.advice and happened and happened.grams is not None:
        about = escaped(record.advice.assumption)
        lines.append(f"- About {happened.grams:.2g} g of CO2 (estimated: {about}).")
    return lines


def intended_use(record: RunRecord) -> str:
    goal = "To predict " + (
        escaped(record.labels[0]) if record.task == "regression" and record.labels else "the labels"
    )
    known = ""
    if record.task != "regression" and record.labels:
        names = ", ".join(escaped(label) for label in record.labels[:20])
        more = f" and {len(record.labels) - 20} more" if len(record.labels) > 20 else ""
        known = f" ({names}{more})"
    return f"{goal}{known} of {record.data.modality} examples."


def licence_words(record: RunRecord, best: Result | None) -> str:
    known = licence(record, best)
    if known != "unknown":
        return f"{escaped(known)}; look also at the terms of the training data."
    return (
        "Unknown: it follows from the terms of the pretrained model and of the training data, "
        "which the record does not hold."
    )


__all__ = ["hub_id", "licence", "metadata", "model_card", "pipeline_tag", "yaml"]
