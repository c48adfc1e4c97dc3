"""Kinds of input. A new one is a file here and a line in BUILTIN."""

from __future__ import annotations

from headstart.data.modality.audio import AUDIO
from headstart.data.modality.base import Decoded, InputSpec, Modality, SimpleFeatures
from headstart.data.modality.image import IMAGE
from headstart.data.modality.text import TEXT
from headstart.plugins import named

BUILTIN: tuple[Modality, ...] = (IMAGE, TEXT, AUDIO)


def modality(name: str) -> Modality:
    """Return the modality of that name. Raises UsageError that lists the names there are."""
    return named("modality", BUILTIN, name)


__all__ = ["BUILTIN", "Decoded", "InputSpec", "Modality", "SimpleFeatures", "modality"]
