"""Whether the settings of fine-tuning can be: alone, and with the model that is to be tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.adapt.depth import UNFREEZE
from headstart.adapt.loop import NORMS
from headstart.adapt.rates import SHAPES
from headstart.adapt.technique import Mixes, Technique
from headstart.adapt.techniques import techniques
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone

POSITIVE = ("epochs", "batch", "accumulate", "head_rate", "adapter_rate", "decay")
NOT_NEGATIVE = ("views", "patience", "weight_decay", "clip")
SHARES = {"last": (0.0, 1.0), "first": (0.0, 1.0), "warm_up": (0.0, 1.0)}
HABITUAL = ("epochs", "unfreeze", "decay")  # None takes what is usual for the network
WHOLE = ("epochs", "batch", "accumulate", "views", "patience")


def check_settings(method: Any) -> None:
    """Raise UsageError for settings of FineTune that cannot be."""
    for name in (*POSITIVE, *NOT_NEGATIVE):
        value, positive = getattr(method, name), name in POSITIVE
        if value is None and name in HABITUAL:
            continue
        kinds = (int,) if name in WHOLE else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            what = "a whole number" if name in WHOLE else "a number"
            raise UsageError(f"FineTune.{name} must be {what}, got {value!r}.")
        if not (value > 0 if positive else value >= 0):
            raise UsageError(f"FineTune.{name} must be {'>' if positive else '>='} 0, got {value}.")
    for name, (low, high) in SHARES.items():
        if not low <= getattr(method, name) <= high:
            raise UsageError(
                f"FineTune.{name} must be in [{low:g}, {high:g}], got {getattr(method, name)!r}."
            )
    choices = {
        "shape": SHAPES, "metric": ("error", "loss"), "norm": NORMS, "unfreeze": UNFREEZE,
    }  # fmt: skip
    for name, known in choices.items():
        given = getattr(method, name)
        if given not in known and not (given is None and name in HABITUAL):
            raise UsageError(f"FineTune.{name} must be one of {', '.join(known)}, got {given!r}.")
    _check_rate(method.rate)
    techniques(method.techniques)


def _check_rate(rate: object) -> None:
    if rate is None or rate == "test":
        return
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
        raise UsageError(f'FineTune.rate must be a number > 0 or "test", got {rate!r}.')


def check_augment(augment: str, modality: str) -> None:
    """Raise UsageError for an augmentation that there is not, or that is for another modality."""
    if augment:
        from headstart.data.augment import parse

        parse(augment, modality)


def check_suits(chosen: Sequence[Technique], backbone: Backbone) -> None:
    """Raise UsageError for a technique of another modality."""
    for technique in chosen:
        if isinstance(technique, Mixes) and backbone.card.modality not in technique.modalities:
            raise UsageError(
                f"The technique {technique.name!r} is for {' and '.join(technique.modalities)}; "
                f"{backbone.card.id} is a model of {backbone.card.modality}. Leave it out."
            )
    mixing = [technique.name for technique in chosen if isinstance(technique, Mixes)]
    if len(mixing) > 1:
        raise UsageError(f"Only one technique may mix examples; got {' and '.join(mixing)}.")
