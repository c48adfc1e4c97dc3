"""The README.md of RUN/model: a model card with the metadata block that model hubs read."""

from __future__ import annotations

import json
import re
from typing import Any

from headstart.records import Interval, Result, RunRecord
from headstart.report import words
from headstart.report.ranked import best_first, chosen_result

PIPELINES = {
    "image": "image-classification",
    "text": "text-classification",
    "audio": "audio-classification",
}
# Our names to those of the hub's metric collection, where they differ.
HUB_METRICS = {"f1_macro": "f1", "precision_macro": "precision", "recall_macro": "recall"}


def escaped(text: str) -> str:
    """Return text from the data as plain Markdown: on one line, nothing in it acts as markup."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#&!])", r"\\\1", line)


def hub_id(model: str | None) -> str | None:
    """Return `org/name` where the model comes from the hub; None for local and starter models."""
    name = (model or "").removeprefix("hf:")
    return name if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) else None


def pipeline_tag(record: RunRecord) -> str | None:
    """Return the hub's name of the task; None where it has none (regression)."""
    if record.task not in ("classification", "multi-label"):
        return None
    return PIPELINES.get(record.data.modality)


def licence(record: RunRecord, best: Result | None) -> str:
    """Return the licence noted in the chosen result's details or the record; else "unknown"."""
    noted = best.details.get("licence") if best else None
    return str(noted or getattr(record, "licence", None) or "unknown")


def metadata(record: RunRecord, *, library: str = "headstart") -> dict[str, Any]:
    """Return the metadata block as plain values."""
    best = chosen_result(record)
    base, pipeline = hub_id(best.model if best else None), pipeline_tag(record)
    values: dict[str, Any] = {
        "library_name": library,
        "license": licence(record, best),
        "tags": ["headstart", "transfer-learning", record.data.modality, record.task],
    }
    if base:
        values["base_model"] = base
    if pipeline:
        values["pipeline_tag"] = pipeline
    if best and best.metrics:
        measured = [
            {
                "type": HUB_METRICS.get(name, name),
                "name": words.metric_title(name),
                "value": m.value,
            }
            for name, m in best.metrics.items()
        ]
        task = {"type": pipeline or record.task, "name": record.task}
        data = {"type": record.data.modality, "name": record.data.name, "split": "test"}
        values["metrics"] = [entry["type"] for entry in measured]
        values["model-index"] = [
            {
                "name": f"{record.data.name} ({best.name})",
                "results": [{"task": task, "dataset": data, "metrics": measured}],
            }
        ]
    return values


def yaml(value: Any, indent: int = 0) -> str:
    """Write plain values as block YAML; scalars as JSON, which YAML reads as they are."""
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join(
            f"{pad}{key}:\n{yaml(inner, indent + 1)}"
            if isinstance(inner, dict | list)
            else f"{pad}{key}: {json.dumps(inner)}\n"
            for key, inner in value.items()
        )
    lines = []
    for item in value:
        if isinstance(item, dict):
            lines.append(f"{pad}- {yaml(item, indent + 1).lstrip()}")
        else:
            lines.append(f"{pad}- {json.dumps(item)}\n")
    return "".join(lines)


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
    base = f"the pretrained model {escaped(best.model)}" if best.model else "no pretrained model"
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
    """Return the model card as Markdown with a YAML metadata block; texts from data are escaped."""
    best = chosen_result(record)
    parts = [f"---\n{yaml(metadata(record, library=library))}---", f"# {escaped(record.data.name)}"]
    parts += [what_it_is(record, best), "## Did transfer help?", "\n".join(verdict_lines(record))]
    if record.results:
        parts.append("\n".join(results_lines(record)))
    parts += ["## Intended use", intended_use(record), "## Limits", "\n".join(limits(record))]
    parts += ["## Licence", licence_words(record, best)]
    parts.append(
        f"Made by Headstart {record.headstart}, {record.created[:10]}, seed {record.seed}."
    )
    return "\n\n".join(parts) + "\n"


def intended_use(record: RunRecord) -> str:
    goal = "To predict " + (
        escaped(record.labels[0]) if record.task == "regression" and record.labels else "the labels"
    )
    known = ""
    if record.task != "regression" and record.labels:
        names = ", ".join(escaped(label) for label in record.labels[:20])
        more = f" and {len(record.labels) - 20} more" if len(record.labels) > 20 else ""
        known = f" ({names}{more})"
    return f"{goal}{known} of {record.data.modality} examples: `headstart predict RUN INPUT`."


def licence_words(record: RunRecord, best: Result | None) -> str:
    known = licence(record, best)
    if known != "unknown":
        return f"{escaped(known)}; look also at the terms of the training data."
    return (
        "Unknown: it follows from the terms of the pretrained model and of the training data, "
        "which the record does not hold."
    )
