"""Augmentation: examples changed at random, so that a model does not learn them by heart.

A new one is a frozen dataclass in a file here and a line in BUILTIN, or the entry point
`headstart.augmentation` of another package.
"""

from __future__ import annotations

from headstart.data.augment.audio_waves import Gain, Noise, Pitch, Shift, Stretch
from headstart.data.augment.base import Augmentation
from headstart.data.augment.image_colour import Blur, Colour, Erase
from headstart.data.augment.image_geometry import Crop, Flip, FlipVertical, Rotate, Scale
from headstart.data.augment.image_policies import RandAugment, TrivialAugment
from headstart.data.augment.spec import AUTO, Chain, kind_of, parse, spec_of
from headstart.data.augment.spec_augment import SpecAugment
from headstart.data.augment.text_models import BackTranslate, Masked
from headstart.data.augment.text_words import Delete, Swap, Synonyms
from headstart.plugins import registry

BUILTIN: tuple[type[Augmentation], ...] = (
    *(Crop, Flip, FlipVertical, Rotate, Scale, Colour, Blur, Erase, RandAugment, TrivialAugment),
    *(Delete, Swap, Synonyms, Masked, BackTranslate),
    *(Gain, Noise, Shift, Stretch, Pitch, SpecAugment),
)


def registered() -> dict[str, type[Augmentation]]:
    """Return every augmentation by name, plug-ins included."""
    return registry("augmentation", BUILTIN)


def named(name: str, modality: str) -> type[Augmentation]:
    """Return the augmentation called `name`, a class to be made with its settings.

    Raises UsageError where there is none (listing those there are), or it is for another modality.
    """
    return kind_of(name, modality)


__all__ = [
    "AUTO",
    "BUILTIN",
    "Augmentation",
    "Chain",
    "named",
    "parse",
    "registered",
    "spec_of",
]
