"""Cards made from the files of a model folder alone: neither torch nor transformers is imported."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from headstart.errors import ModelError
from headstart.sources.backbone import BackboneCard
from headstart.sources.safety import find_weights, read_config, read_header, read_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
)
# Words in licence files, most telling first.
LICENCES = (
    ("Apache License", "apache-2.0"),
    ("MIT License", "mit"),
    ("Permission is hereby granted, free of charge", "mit"),
    ("BSD 3-Clause", "bsd-3-clause"),
    ("Redistribution and use in source and binary forms", "bsd"),
    ("GNU GENERAL PUBLIC LICENSE", "gpl"),
    ("Creative Commons Attribution 4.0", "cc-by-4.0"),
)


def read_card(folder: Path, *, id: str, source: str) -> BackboneCard:
    """Return what the files of `folder` tell. Raises ModelError for a broken config.json."""
    config = read_config(folder)
    architectures = config.get("architectures") or [config.get("model_type", "")]
    note, parameters = "", None
    try:
        paths, pickled = find_weights(folder)
        parameters = None if pickled else sum(map(_parameters, paths))
    except ModelError as error:
        note = str(error)
    facts: dict[str, Any] = read_card_facts(folder)
    return BackboneCard(
        id=id,
        source=source,
        modality=guess_modality(folder, config),
        architecture=str(architectures[0]),
        parameters=parameters,
        width=_width(config),
        labels=read_labels(config),
        available=not note,
        note=note,
        **facts,
    )


def guess_modality(folder: Path, config: dict[str, Any]) -> str:
    """Return "image", "audio", "text" or "" from the kinds of files there are."""
    settings: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            settings |= read_json(folder / name)
    if "feature_extractor_type" in settings or "sampling_rate" in settings:
        return "audio"
    if settings.keys() & {"image_processor_type", "image_processor", "image_mean", "crop_size"}:
        return "image"
    if "feature_extractor" in settings:
        return "audio"
    if any((folder / name).is_file() for name in TOKENIZER_FILES) or "vocab_size" in config:
        return "text"
    return ""


def read_labels(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the label names of the source task, in order; () for none or for LABEL_0 …"""
    labels = config.get("id2label")
    if not isinstance(labels, dict):
        return ()
    try:
        names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    except (TypeError, ValueError):
        return ()
    return () if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def _parameters(path: Path) -> int:
    return sum(math.prod(tensor["shape"]) for tensor in read_header(path).values())


def _width(config: dict[str, Any]) -> int | None:
    for key in ("hidden_size", "d_model", "dim", "n_embd"):
        if isinstance(config.get(key), int):
            return int(config[key])
    sizes = config.get("hidden_sizes")
    return int(sizes[-1]) if isinstance(sizes, list) and sizes else None


def read_card_facts(folder: Path) -> dict[str, str]:
    """Return what README and licence of a folder state, "" where they do not."""
    return {
        "pretrained_on": _front_matter(folder, "datasets"), "licence": _licence(folder),
        "language": _front_matter(folder, "language"),
    }  # fmt: skip


def _licence(folder: Path) -> str:
    stated = _front_matter(folder, "license")
    if stated:
        return stated
    for path in sorted(folder.glob("LICEN[CS]E*")):
        if path.is_file():
            text = " ".join(path.read_text(encoding="utf-8", errors="replace")[:4000].split())
            return next((name for words, name in LICENCES if words in text), "see LICENSE")
    return ""


def _front_matter(folder: Path, key: str) -> str:
    """Return the value of `key` in README.md's YAML head: a scalar, or list items joined."""
    readme = folder / "README.md"
    if not readme.is_file():
        return ""
    text = readme.read_text(encoding="utf-8", errors="replace")
    head = re.match(r"---\n(.*?)\n---", text, flags=re.DOTALL)
    if head is None:
        return ""
    found = re.search(rf"^{key}:[ ]*(.*)\n?((?:[ ]*-[ ].*\n?)*)", head[1], flags=re.MULTILINE)
    if found is None:
        return ""
    items = [line.strip().removeprefix("- ").strip() for line in found[2].splitlines()]
    return found[1].strip() or ", ".join(items[:4])
