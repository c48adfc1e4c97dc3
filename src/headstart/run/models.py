"""The models of a run: those that were named, or the starter of the modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.data.dataset import Unlabelled
from headstart.errors import HeadstartError, ModelError, UsageError
from headstart.sources import default_for, load
from headstart.sources.backbone import Backbone

FEW = 4  # examples that a model among several is tried on
Given = TypeVar("Given")
Made = TypeVar("Made")


def opened(
    ids: Sequence[str], modality: str, *, allow_pickle: bool, say: Callable[[str], None]
) -> list[Backbone]:
    """Load models by id, each once; [] where none is named and the package has none.

    Of several, one that cannot be loaded or is of another modality is skipped and named. Raises
    UsageError for a model of another modality, ModelError for one that cannot be loaded, where
    none is left.
    """
    if not ids:
        starter = default_for(modality)
        if starter is None:
            return []
        say(f"Model: {starter}, the starter for {modality}; name others with --model.")
        ids = [starter]
    return _those_that_work(
        list(dict.fromkeys(ids)), lambda id: _one(id, modality, allow_pickle), say
    )


def answering(
    sources: list[BackboneFeaturiser], inputs: Unlabelled, say: Callable[[str], None]
) -> list[BackboneFeaturiser]:
    """Return the models that give features of the first examples; what fails is skipped, said.

    One model alone is not tried: whoever runs it says what is wrong. Raises ModelError where
    none is left.
    """
    if len(sources) < 2:
        return sources

    def tried(source: BackboneFeaturiser) -> BackboneFeaturiser:
        source.extractor.try_out(inputs, FEW)
        return source

    return _those_that_work(sources, tried, say)


def _one(id: str, modality: str, allow_pickle: bool) -> Backbone:
    backbone = load(id, allow_pickle=allow_pickle)
    if backbone.card.modality != modality:
        raise UsageError(
            f"{backbone.card.id} takes {backbone.card.modality}, the data is {modality}. "
            f"Name a model for {modality} with --model."
        )
    return backbone


def _those_that_work(
    given: list[Given], make: Callable[[Given], Made], say: Callable[[str], None]
) -> list[Made]:
    """Make each; of several, one that fails is skipped and named. The first error if all fail."""
    made, errors = list[Made](), list[HeadstartError]()
    for one in given:
        try:
            made.append(make(one))
        except (ModelError, UsageError) as error:
            errors.append(error)
    if errors and not made:
        raise errors[0]
    for failed in errors:
        say(f"Skipped: {' '.join(str(failed).split())}")
    return made
