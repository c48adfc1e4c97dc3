"""What the catalogue knows of a model that was opened, put on its card.

A model is known by its id (`hf:…`, `starter:…`; a path that a person's own catalogue names), or,
where it is a folder, by everything that can be compared without a copy of the original: the class
of the checkpoint, every setting of its config, and every label name in order. Weights are not
compared, and the figure's source says so.
A fine-tuned model has other labels or another class, and so stands for itself. Without label names
(BERT, DINOv2) a folder could hold any further training of the same architecture: it stays unknown.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.sources.backbone import BackboneCard, Published
from headstart.sources.local import LOCAL
from headstart.sources.onnx import ONNX

if TYPE_CHECKING:
    from headstart.sources.catalogue.entry import Entry

ALIKE = "same architecture, settings and labels (weights not compared): "
# Fields of a config that say nothing of what the network computes.
ASIDE = frozenset(
    ("id2label", "label2id", "architectures", "dtype", "torch_dtype", "transformers_version",
     "_name_or_path", "problem_type", "num_labels", "classifier_dropout_prob",
     "initializer_range")
)  # fmt: skip
BACKGROUND = "background"  # a first class of some networks that came from TensorFlow


def informed(card: BackboneCard, config: Any) -> BackboneCard:
    """Return the card with what the catalogue says; as it is where the model is not known.

    `config`: transformers' config of the opened folder; None of an ONNX file. What the model's own
    files state (licence, what it was pretrained on, label names) is kept. Raises UsageError for a
    malformed catalogue.
    """
    from headstart.sources.catalogue.read import VARIABLE, entries, find

    if card.source == "run":  # trained further, under the id of where it came from
        return card
    files = card.source in (LOCAL.name, ONNX.name)
    if files and not card.labels and not os.environ.get(VARIABLE):
        return card  # unknown: reading the catalogue takes a while
    entry = find(_id_of_files(card) if files else card.id)
    if entry is not None:
        return _joined(card, entry, entry.published, entry.licence)
    if card.source != LOCAL.name or not card.labels:
        return card
    for entry in entries():
        if entry.modality == card.modality and _same(entry, card.labels, config):
            said = tuple(replace(one, source=ALIKE + one.source) for one in entry.published)
            return _joined(card, entry, said, "")
    return card


def _id_of_files(card: BackboneCard) -> str:
    """Return the id as a catalogue has it: with its source and the whole path."""
    from headstart.sources.catalogue.read import placed

    return placed(f"{card.source}:{card.id.removeprefix(f'{card.source}:')}", Path())


def blank(card: BackboneCard) -> BackboneCard:
    """Return the card without anything that its pretraining earned: for random weights."""
    return replace(card, pretrained_on="", labels=(), label_set="", published=(), use="")


def _joined(
    card: BackboneCard, entry: Entry, published: tuple[Published, ...], licence: str
) -> BackboneCard:
    return replace(
        card,
        pretrained_on=card.pretrained_on or entry.pretrained_on,
        labels=card.labels or entry.label_names,
        licence=card.licence or licence,
        family=entry.family,
        task=entry.task,
        operations=entry.operations,
        example=str(entry.example),
        label_set=entry.labels,
        published=published,
        use=f"{entry.use} ({entry.use_date})" if entry.use else "",
    )


def _same(entry: Entry, labels: tuple[str, ...], config: Any) -> bool:
    """Whether the folder's config says everything that the entry's does."""
    build = entry.build
    if build is None or not entry.label_names or build.type != config.model_type:
        return False
    if list(config.architectures or []) != [build.whole]:
        return False
    if build.settings.get("num_labels", len(labels)) != len(labels):
        return False
    plain = labels[1:] if labels[0].lower() == BACKGROUND else labels
    # ImageNet has two classes "crane" and two "maillot"; some folders number the second.
    if tuple(re.sub(r" \(\d\)$", "", name) for name in plain) != entry.label_names:
        return False
    from transformers import AutoConfig

    wanted = AutoConfig.for_model(build.type, **build.settings).to_dict()
    found = config.to_dict()
    return all(found.get(key) == value for key, value in wanted.items() if key not in ASIDE)
