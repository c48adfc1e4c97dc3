"""The static prior: what a list that knows nothing of the data would say of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headstart.ranking.standard import BOUND, standardised
from headstart.sources.backbone import BackboneCard
from headstart.sources.random import NOTE as RANDOM

PUBLISHED = "published "


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """One value a model (m,), higher is better, on the scale of `standardised`.

    `parts`: what it rests on, for a person; empty where nothing is known, and all values are 0.
    """

    values: np.ndarray
    parts: tuple[str, ...]

    @property
    def kind(self) -> Literal["accuracy", "size"]:
        """What it rests on mainly: "accuracy" where that was published of every model."""
        return "accuracy" if any(part.startswith(PUBLISHED) for part in self.parts) else "size"


def static_prior(cards: Sequence[BackboneCard]) -> Prior:
    """Return the mean of published accuracy and log10 of the parameters, each standardised.

    Accuracy counts where all trained models have a figure of one metric on one data set, size
    where all have a count: a figure of some models alone would only tell who published. A model
    with random weights stands at the lower end of both.
    """
    trained = [card for card in cards if card.note != RANDOM]
    found: dict[str, list[float]] = {}
    metric = _common(trained)
    if metric is not None:
        found[PUBLISHED + ", ".join(metric)] = [_figure(c, metric) or 0.0 for c in trained]
    if trained and all(card.parameters for card in trained):
        found["log10 parameters"] = [float(np.log10(card.parameters or 1)) for card in trained]
    if not found:
        return Prior(np.zeros(len(cards)), ())
    known = np.mean([standardised(np.array(values)) for values in found.values()], axis=0)
    values = np.full(len(cards), -BOUND)
    values[[card.note != RANDOM for card in cards]] = known
    return Prior(values, tuple(found))


def _common(cards: Sequence[BackboneCard]) -> tuple[str, str] | None:
    """Return the metric and data that every card has a figure of, the first card's first."""
    if not cards:
        return None
    every = [[(one.metric, one.data) for one in _published(card)] for card in cards]
    shared = [key for key in every[0] if all(key in keys for keys in every)]
    return shared[0] if shared else None


def _figure(card: BackboneCard, metric: tuple[str, str]) -> float | None:
    for one in _published(card):
        if (one.metric, one.data) == metric:
            return float(one.value)
    return None


def _published(card: BackboneCard) -> Sequence[Any]:
    """Return what was published of a model and seen there: what memory says is no evidence."""
    found: Sequence[Any] = getattr(card, "published", ())
    return [one for one in found if one.verified]
