"""Techniques for fine-tuning, one a file. A new one is a file here and a line in BUILTIN."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headstart.adapt.technique import Technique, parse, written
from headstart.adapt.techniques.balance import ClassWeights, LogitAdjustment
from headstart.adapt.techniques.dropout import Dropout, DropPath
from headstart.adapt.techniques.ema import Ema
from headstart.adapt.techniques.ia3 import Ia3
from headstart.adapt.techniques.lora import Lora
from headstart.adapt.techniques.mixing import CutMix, Mixup
from headstart.adapt.techniques.penalties import L1, L2SP
from headstart.adapt.techniques.prompts import Prefix, Prompt
from headstart.adapt.techniques.smoothing import Smoothing
from headstart.adapt.techniques.soup import Soup
from headstart.adapt.techniques.subset import BitFit, NormOnly

BUILTIN: tuple[type[Any], ...] = (
    BitFit, NormOnly, Lora, Ia3, Prompt, Prefix, Dropout, DropPath, L1, L2SP, Smoothing, Mixup,
    CutMix, ClassWeights, LogitAdjustment, Ema, Soup,
)  # fmt: skip


def techniques(specs: Iterable[str]) -> tuple[Technique, ...]:
    """Return the techniques of a recipe, in its order. Raises UsageError."""
    return parse(specs, BUILTIN)


__all__ = ["BUILTIN", "techniques", "written"]
