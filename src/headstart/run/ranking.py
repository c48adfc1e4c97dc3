"""`headstart rank`: open the data, rank models on its training part, confirm the first ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.compute.budget import Budget, seconds_of
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Dataset, joined
from headstart.data.load import open_dataset
from headstart.errors import HeadstartError, UsageError
from headstart.ranking.rank import EXAMPLES
from headstart.ranking.rank import rank as rank_models
from headstart.ranking.ranked import Confirmed, Ranked, Ranking
from headstart.sources import cards, source_of


def rank(
    data: Any,
    models: str | Sequence[str] | None = None,
    *,
    scores: Sequence[str] | None = None,
    confirm: int = 0,
    budget: str | float = "10m",
    examples: int = EXAMPLES,
    pooling: str = "own",
    input: str | None = None,
    target: Any = None,
    group: Any = None,
    task: str | None = None,
    modality: str | None = None,
    encoding: str = "utf-8",
    root: Any = None,
    seed: int = 0,
    allow_pickle: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Ranking:
    """Rank pretrained models for `data`, best first, on its training part alone.

    `data`: as `transfer` takes it. `models`: ids, several or one; None takes those that are here
    for the modality. `scores`: names of transferability scores; None takes all that serve the
    task. `confirm`: how many of the first are fine-tuned for real at the end, within `budget`, and
    measured on validation examples. `examples`: of training, looked at. `pooling`: "own", or
    "layers" for the mean over all layers of text models. Test labels stay sealed.

    Raises a HeadstartError that says what is wrong; a model that fails is skipped and named.
    """
    say, watching = say or (lambda sentence: None), progress or silent
    if confirm < 0:
        raise UsageError(f"--confirm must be 0 or more, got {confirm}.")
    seconds = seconds_of(budget)
    named = [models] if isinstance(models, str) else list(models or [])
    for model in named:
        _known(model)
    opened = open_dataset(
        data, input=input, target=target, group=group, task=task, modality=modality,
        encoding=encoding, root=root, seed=seed, progress=watching,
    )  # fmt: skip
    for sentence in opened.facts.said:
        say(sentence)
    train = opened.splits.train
    named = named or _here(train.inputs.modality, say)
    ranking = rank_models(
        train, named, scores=scores, examples=examples, pooling=pooling, seed=seed,
        allow_pickle=allow_pickle, progress=watching, say=say,
    )  # fmt: skip
    if not confirm:
        return ranking
    return confirmed(
        ranking, train, opened.splits.validation, confirm, seconds, seed=seed,
        allow_pickle=allow_pickle, progress=watching, say=say,
    )  # fmt: skip


def _known(model: str) -> None:
    """Refuse an empty id early; one that is not there is skipped and named like any that fails."""
    if not model.strip():
        raise UsageError("--models holds an empty name; write A,B,C.")


def _here(modality: str, say: Callable[[str], None]) -> list[str]:
    found = [card.id for card in cards() if card.modality == modality and card.available]
    if not found:
        raise UsageError(f"No model for {modality} is here; name some with --models.")
    say(f"Models: {', '.join(found)}, all that are here for {modality}; name others with --models.")
    return found


def confirmed(
    ranking: Ranking,
    train: Dataset,
    validation: Dataset | None,
    count: int,
    seconds: float,
    *,
    seed: int,
    allow_pickle: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> Ranking:
    """Fine-tune the first `count` models, each for its share of `seconds`, and note how well.

    All are measured on the same validation examples: the person's own, or a fifth of training.
    """
    from headstart.adapt import validation_rows

    data = train if validation is None else joined(train, validation)
    own = None if validation is None else np.arange(len(train), len(data))
    rows = validation_rows(data, own, seed)
    if not len(rows):
        return replace(
            ranking, notes=[*ranking.notes, "Not confirmed: too little data to validate."]
        )
    budget = Budget(seconds)
    done: list[Ranked] = []
    for place, one in enumerate(ranking.models):
        left = min(count, len(ranking.models)) - place
        if left > 0:
            result = _fine_tuned(
                one, data, rows, budget.left / left, seed, allow_pickle, progress, say
            )
            one = replace(one, confirmed=result)
        done.append(one)
    return replace(ranking, models=done, notes=[*ranking.notes, _conclusion(done, len(rows))])


def _fine_tuned(
    one: Ranked, data: Dataset, rows: np.ndarray, seconds: float, seed: int, allow_pickle: bool,
    progress: Progress, say: Callable[[str], None],
) -> Confirmed:  # fmt: skip
    from headstart.adapt import Context, FineTune, plan
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.randomness import rng_for
    from headstart.evaluate import measure
    from headstart.sources import load

    facts = data.task.facts()
    budget = Budget(seconds)
    try:
        source = BackboneFeaturiser(load(one.model, allow_pickle=allow_pickle))
        if not source.backbone.stages:
            return Confirmed(facts.primary, None, 0.0, "stays frozen: it cannot be trained")
        folds = plan(data, rows, rng=rng_for(seed, "folds"))
        context = Context(
            data=data, folds=folds, validation=rows, seed=seed, seconds=max(1.0, budget.left),
            source=source, progress=progress, say=say,
        )  # fmt: skip
        trained = FineTune().adapt(context)
    except HeadstartError as error:
        return Confirmed(facts.primary, None, budget.spent, " ".join(str(error).split()))
    found = measure(facts, data.targets[rows], trained.held_scores(rows))
    return Confirmed(facts.primary, float(found[facts.primary]), round(budget.spent, 1))


def _conclusion(models: Sequence[Ranked], count: int) -> str:
    tried = [(one, one.confirmed) for one in models if one.confirmed]
    made = [(m, c) for m, c in tried if c.value is not None]
    if not made:
        return "Not confirmed: none of the first models could be fine-tuned."
    best, result = max(made, key=lambda pair: pair[1].value or 0.0)
    others = "" if len(made) > 1 else " (the only one that was fine-tuned)"
    first = "as ranked" if best is models[0] else f"and not {models[0].title}"
    return (
        f"Confirmed: of {len(made)} fine-tuned, {best.title} is best{others}, {first}: "
        f"{result.metric} {result.value:.3f} on {count} validation examples."
    )


__all__ = ["confirmed", "rank", "source_of"]
