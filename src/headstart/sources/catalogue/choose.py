"""The catalogue joined with what is here, filtered and sorted, as cards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from headstart.errors import UsageError
from headstart.sources.backbone import BackboneCard
from headstart.sources.catalogue.entry import TASKS, Entry
from headstart.sources.catalogue.read import entries

# Whether a model can be had here and now, from the most to the least ready.
STATES = {
    "here": "in the hub's cache, installed, or a folder that is there",
    "hub": "fetched from the hub when first used; whether it can be reached was not tried",
    "install": "comes with a package that is not installed",
    "offline": "on the hub, not in its cache, and offline mode is on (HF_HUB_OFFLINE)",
    "folder": "runs, once converted to a Hugging Face folder (--model PATH)",
    "absent": "its folder or file does not exist",
    "no": "cannot run in Headstart yet",
}
READY = ("here", "hub")
SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}
# What the class of a checkpoint says of its task, for models that the catalogue does not know.
HEADS = {
    "ForImageClassification": "classification",
    "ForAudioClassification": "classification",
    "ForSequenceClassification": "classification",
    "ForObjectDetection": "detection",
    "ForSemanticSegmentation": "segmentation",
    "ForMaskedLM": "masked-words",
    "ForCausalLM": "next-word",
    "ForCTC": "speech-recognition",
}


def known(files: Sequence[Path] = ()) -> list[BackboneCard]:
    """Return a card for every model of the catalogue and for every other one that is here.

    `files`: catalogues of one's own, besides those in $HEADSTART_CATALOGUE. Sorted by how ready
    a model is, then by size. Raises UsageError as `entries` does.
    """
    from headstart.sources import cards

    here = {card.id: card for card in cards()}
    found = []
    for entry in entries(files):
        ids = [id for id in (entry.id, *entry.also) if id in here]
        found.append(_joined(entry, here.pop(ids[0]) if ids else None))
    found += [
        replace(card, state="here" if card.available else "install", task=_task(card))
        for card in here.values()
    ]
    order = list(STATES)
    return sorted(found, key=lambda c: (order.index(c.state), c.parameters or 10**15, c.id))


def choose(
    cards: Iterable[BackboneCard],
    *,
    modality: str | None = None,
    task: str | None = None,
    source: str | None = None,
    max_parameters: str | None = None,
    available: bool = False,
) -> list[BackboneCard]:
    """Return the cards that pass every filter, in the same order.

    `max_parameters`: a count, or one like 25M, 1.5B, 300k; a model of unknown size does not pass.
    `available`: only what can be had here and now (`READY`). Raises UsageError for a value that
    no card has and none could have, listing those there are.
    """
    found = list(cards)
    most = None if max_parameters is None else _count(max_parameters)
    fields: dict[str, tuple[str | None, Callable[[BackboneCard], str]]] = {
        "modality": (modality, lambda card: card.modality),
        "task": (task, lambda card: card.task),
        "source": (source, lambda card: card.source),
    }
    for name, (wanted, value) in fields.items():
        there = sorted({value(card) for card in found} - {""})
        if wanted is not None and wanted not in {*there, *_possible(name)}:
            raise UsageError(f"Unknown --{name} {wanted!r}; there are: {', '.join(there)}.")
    return [
        card
        for card in found
        if all(wanted in (None, value(card)) for wanted, value in fields.values())
        and (most is None or (card.parameters is not None and card.parameters <= most))
        and (not available or card.state in READY)
    ]


def described(cards: Iterable[BackboneCard], files: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return the cards as JSON has them, with what their entries alone say.

    That is `whole_parameters` (head or decoder included) and `unknown` (figures that are left out,
    each with its reason). Labels of a set that has a name are left to `label_set`.
    """
    by_id = {id: entry for entry in entries(files) for id in (entry.id, *entry.also)}
    found = []
    for card in cards:
        entry = by_id.get(card.id)
        plain = asdict(card) | ({"labels": []} if card.label_set else {})
        plain["whole_parameters"] = entry.whole_parameters if entry else None
        plain["unknown"] = entry.unknown if entry else {}
        found.append(plain)
    return found


def _possible(field: str) -> Iterable[str]:
    """Return values that a card may have one day, though none has now: a plug-in's, `local` …"""
    from headstart.data.modality import BUILTIN as MODALITIES
    from headstart.plugins import registry
    from headstart.sources import BUILTIN

    if field == "task":
        return TASKS
    if field == "modality":
        return registry("modality", MODALITIES)
    return registry("sources", BUILTIN)


def _joined(entry: Entry, here: BackboneCard | None) -> BackboneCard:
    """Return the card of an entry; what the files of a model that is here say is kept."""
    state, note = _state(entry, here)
    return BackboneCard(
        id=here.id if here else entry.id,
        source=here.source if here else entry.source,
        modality=entry.modality,
        architecture=here.architecture if here else entry.build.whole if entry.build else "",
        parameters=entry.parameters,
        width=entry.width,
        pretrained_on=entry.pretrained_on,
        labels=(here.labels if here else ()) or entry.label_names,
        licence=entry.licence,
        available=state in READY,
        note=note or entry.note,
        family=entry.family,
        task=entry.task,
        operations=entry.operations,
        example=str(entry.example),
        label_set=entry.labels,
        published=entry.published,
        use=f"{entry.use} ({entry.use_date})" if entry.use else "",
        state=state,
        runs=entry.runs,
        why=entry.why,
    )


def _state(entry: Entry, here: BackboneCard | None) -> tuple[str, str]:
    """Return how ready the model is, and a note where there is something to do about it."""
    from headstart.sources.transformers import is_offline

    if not entry.runs:
        return "no", ""
    if here is not None:
        return ("here", "") if here.available else ("install", here.note)
    if entry.source == "local":
        folder = Path(entry.id.removeprefix("local:"))
        there = (folder / "config.json").is_file()
        return ("here", "") if there else ("absent", f"{folder} has no config.json")
    if entry.source == "onnx":
        return _graph_state(entry.id)
    if entry.source == "hf":
        return ("offline", "") if is_offline() else ("hub", "")
    return "folder", ""


def _graph_state(id: str) -> tuple[str, str]:
    from headstart.errors import MissingExtra
    from headstart.sources.graphs.read import need_packages
    from headstart.sources.onnx import split_id

    place, _ = split_id(id)
    if not place.exists():
        return "absent", f"there is no {place}"
    try:
        need_packages()
    except MissingExtra as error:
        return "install", str(error)
    return "here", ""


def _task(card: BackboneCard) -> str:
    return next((task for end, task in HEADS.items() if card.architecture.endswith(end)), "")


def _count(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([kmbg]?)", text.strip().lower())
    if match is None:
        raise UsageError(f"--max-parameters {text!r} is no count; write it like 25M or 1.5B.")
    return float(match[1]) * SCALES[match[2]]
