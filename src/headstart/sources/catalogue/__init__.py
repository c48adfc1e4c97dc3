"""The catalogue of well-known pretrained models: data in TOML, one file a modality.

A new entry is a few lines in `image.toml`, `text.toml` or `audio.toml`, or in a person's own file.
`recipes/catalogue.py` counts its figures. Neither torch nor the network is needed to read it.
"""

from __future__ import annotations

from headstart.sources.catalogue.choose import STATES, choose, described, known
from headstart.sources.catalogue.entry import TASKS, Entry
from headstart.sources.catalogue.read import entries, find, label_set

__all__ = [
    "STATES",
    "TASKS",
    "Entry",
    "choose",
    "described",
    "entries",
    "find",
    "known",
    "label_set",
]
