"""The metadata block of a model card, as the Hugging Face hub reads it.

Fields: the documentation of the Hugging Face hub, "Model card metadata". Only what the
record knows is said; an id of the hub is named only where the model came from there.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

from headstart.records import Result, RunRecord
from headstart.report import words
from headstart.report.ranked import chosen_result

PIPELINES = {
    "image": "image-classification",
    "text": "text-classification",
    "audio": "audio-classification",
}
# Our names to those of the hub's metric collection, where they differ.
HUB_METRICS = {"matthews": "matthews_correlation", "r2": "r_squared"}
AVERAGED = ("f1", "precision", "recall")  # there, the average is an argument
ORIGINS = {"starter:minilm": "sentence-transformers/all-MiniLM-L6-v2"}  # the same weights
# The hub's names of licences; another one is "other", with its name.
LICENCES = frozenset({
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause",
    "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5",
    "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2",
    "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc",
    "ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail++", "osl-3.0", "postgresql", "ofl-1.1",
    "ncsa", "unlicense", "zlib", "pddl", "wtfpl", "llama2", "llama3", "llama3.1", "llama3.2",
    "gemma", "unknown", "other",
})  # fmt: skip


def metadata(record: RunRecord, *, library: str = "headstart") -> dict[str, Any]:
    """Return the metadata block as plain values."""
    best = chosen_result(record)
    base, pipeline = hub_id(best.model if best else None), pipeline_tag(record)
    values: dict[str, Any] = {"library_name": library, **licence_fields(licence(record, best))}
    spoken = languages(best)
    if spoken:
        values["language"] = spoken
    values["tags"] = ["headstart", "transfer-learning", record.data.modality, record.task]
    if base:
        values["base_model"] = base
    if pipeline:
        values["pipeline_tag"] = pipeline
    if plain_id(record.data.name):
        values["datasets"] = [plain_id(record.data.name)]
    if best and best.metrics:
        values |= measured(record, best, pipeline)
    happened = record.advice.happened if record.advice else None
    if happened and happened.grams is not None:
        values["co2_eq_emissions"] = emissions(record, happened.grams)
    return values


def measured(record: RunRecord, best: Result, pipeline: str | None) -> dict[str, Any]:
    """Return `metrics` and `model-index`: what was measured on the test part."""
    found = [
        hub_metric(name) | {"name": words.metric_title(name), "value": m.value}
        for name, m in best.metrics.items()
    ]
    task = {"type": pipeline or record.task, "name": record.task}
    data = {
        "type": plain_id(record.data.name) or record.data.modality,
        "name": record.data.name,
        "split": "test",
    }
    index = {
        "name": f"{record.data.name} ({best.name})",
        "results": [{"task": task, "dataset": data, "metrics": found}],
    }
    return {
        "metrics": list(dict.fromkeys(entry["type"] for entry in found)),
        "model-index": [index],
    }


def hub_metric(name: str) -> dict[str, Any]:
    """Return the hub's type of a metric, with its average as an argument.

    >>> hub_metric("f1_macro")
    {'type': 'f1', 'args': {'average': 'macro'}}
    """
    stem, _, average = name.rpartition("_")
    if stem in AVERAGED:
        return {"type": stem, "args": {"average": average}}
    return {"type": HUB_METRICS.get(name, name)}


def hub_id(model: str | None) -> str | None:
    """Return `org/name` where the model comes from the hub; None for local and starter models."""
    name = ORIGINS.get(model or "", (model or "").removeprefix("hf:"))
    return name if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) else None


def base_name(model: str) -> str:
    """Return a model's id as strangers may see it: of a path, its last part alone.

    >>> base_name("/home/me/models/vit"), base_name("hf:org/vit"), base_name("starter:glyphs")
    ('vit', 'org/vit', 'starter:glyphs')
    """
    known = hub_id(model)
    if known:
        return known
    return PurePath(model).name if re.search(r"[/\\]", model) else model


def plain_id(name: str) -> str:
    """Return a name as the hub allows one of a data set; "" where nothing is left of it."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return re.sub(r"([-.])[-.]+", r"\1", kept).strip("-._")[:96]


def pipeline_tag(record: RunRecord) -> str | None:
    """Return the hub's name of the task; None where it has none (regression)."""
    if record.task not in ("classification", "multi-label"):
        return None
    return PIPELINES.get(record.data.modality)


def licence(record: RunRecord, best: Result | None) -> str:
    """Return the licence noted in the chosen result's details or the record; else "unknown"."""
    noted = best.details.get("licence") if best else None
    return str(noted or getattr(record, "licence", None) or "unknown")


def licence_fields(name: str) -> dict[str, str]:
    """Return the licence as the hub wants it: one of its own names, or "other" and the name."""
    known = name.strip().strip("\"'").lower()
    if known in LICENCES:
        return {"license": known}
    return {"license": "other", "license_name": plain_id(name).lower() or "unnamed"}


def languages(best: Result | None) -> list[str]:
    """Return the codes of languages that the pretrained model's own card states."""
    stated = str(best.details.get("language") or "") if best else ""
    codes = [part.strip(" []\"'") for part in stated.split(",")]
    return [code for code in codes if re.fullmatch(r"[a-z]{2,3}|multilingual", code)]


def emissions(record: RunRecord, grams: float) -> dict[str, Any]:
    """Return the carbon field: grams of CO2, where they come from and on what machine."""
    return {
        "emissions": round(grams, 4),
        "source": f"estimated by Headstart: {record.advice.assumption}" if record.advice else "",
        "training_type": "fine-tuning",
        "hardware_used": machine_words(record),
    }


def machine_words(record: RunRecord) -> str:
    """Return the machine in a few words: "cpu, 2 cores"."""
    cores = record.machine.get("cores")
    device = str(record.machine.get("device") or "")
    return ", ".join(filter(None, (device, words.counted(cores, "core") if cores else "")))


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
