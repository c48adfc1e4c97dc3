"""Settings that no model of a run can take are refused before its folder is made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.adapt import Checks, Choosy, Context, Method
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.data.dataset import Dataset
from headstart.errors import HeadstartError, MissingExtra
from headstart.recipe import Recipe
from headstart.run.kept import slug


def refuse_unfit(
    recipe: Recipe, methods: Sequence[Method], sources: Sequence[BackboneFeaturiser], data: Dataset
) -> None:
    """Raise what a method that may be run says of its settings, in words for the person.

    Which of several models is trained is known later: one that can take the settings is enough.
    An automatic run asks about methods that were set, and that it would not leave out by itself.
    """
    able = [source for source in sources if source.backbone.trainable]
    rows = np.arange(len(data))
    for method in methods:
        if not isinstance(method, Checks) or not able:
            continue
        if recipe.method == "auto":
            unset = slug(method.name) not in recipe.methods
            if unset or (isinstance(method, Choosy) and method.unsuited(data, rows)):
                continue
        elif recipe.method != method.name:
            continue
        refusals = [found for one in able if (found := _refusal(method, one, recipe, data))]
        if len(refusals) == len(able):
            raise refusals[0]


def _refusal(
    method: Checks, source: BackboneFeaturiser, recipe: Recipe, data: Dataset
) -> HeadstartError | None:
    nothing = np.empty(0, dtype=np.int64)
    context = Context(
        data=data, folds=None, validation=nothing, seed=recipe.seed, seconds=0.0, source=source
    )
    try:
        method.check(context)
    except MissingExtra:
        raise
    except HeadstartError as error:
        return error
    return None
