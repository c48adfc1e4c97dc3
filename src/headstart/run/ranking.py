"""`headstart rank`: open the data, rank models on its training part, confirm the first ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.compute.budget import Budget, seconds_of
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Dataset, joined
from headstart.data.load import open_dataset
from headstart.errors import HeadstartError, UsageError
from headstart.ranking.rank import EXAMPLES, check_options
from headstart.ranking.rank import rank as rank_models
from headstart.ranking.ranked import Confirmed, Ranked, Ranking
from headstart.run.following import transfer_command
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
    check_options(scores, examples, pooling)
    opened = open_dataset(
        data, input=input, target=target, group=group, task=task, modality=modality,
        encoding=encoding, root=root, seed=seed, progress=watching,
    )  # fmt: skip
    for sentence in opened.facts.said:
        say(sentence)
    train = opened.splits.train
    if pooling == "layers" and train.inputs.modality != "text":
        raise UsageError(
            f"--pooling layers is for texts, the data is {train.inputs.modality}. Leave it out."
        )
    named = named or _here(train.inputs.modality, say)
    ranking = rank_models(
        train, named, scores=scores, examples=examples, pooling=pooling, seed=seed,
        allow_pickle=allow_pickle, progress=watching, say=say,
    )  # fmt: skip
    if confirm:
        ranking = confirmed(
            ranking, train, opened.splits.validation, confirm, seconds, seed=seed,
            allow_pickle=allow_pickle, progress=watching, say=say,
        )  # fmt: skip
    asked = {
        "input": input, "target": target, "group": group, "task": task, "modality": modality,
        "encoding": encoding, "root": root, "seed": seed, "allow_pickle": allow_pickle,
    }  # fmt: skip
    return replace(ranking, next=transfer_command(data, to_take(ranking.models), asked))


def to_take(models: Sequence[Ranked]) -> list[str]:
    """Return the model to go on with: of those that were fine-tuned the best, else the first.

    Both, where the first could not be fine-tuned: it was not measured, and so is not worse.
    """
    tuned = [one for one in models if one.confirmed and one.confirmed.value is not None]
    top = models[0].model
    if not tuned:
        return [top]
    found = best_confirmed(tuned).model
    return [found] if models[0] in tuned else [top, found]


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
    right: dict[str, np.ndarray] = {}
    for place, one in enumerate(ranking.models):
        left = min(count, len(ranking.models)) - place
        if left > 0:
            result, answers = _fine_tuned(
                one, data, rows, budget.left / left, seed, allow_pickle, progress, say
            )
            one = replace(one, confirmed=result)
            if answers is not None:
                right[one.model] = answers
        done.append(one)
    groups = None if data.groups is None else data.groups[rows]
    return replace(ranking, models=done, notes=[*ranking.notes, conclusion(done, right, groups)])


def _fine_tuned(
    one: Ranked, data: Dataset, rows: np.ndarray, seconds: float, seed: int, allow_pickle: bool,
    progress: Progress, say: Callable[[str], None],
) -> tuple[Confirmed, np.ndarray | None]:  # fmt: skip
    """Return how well the model does, and how right each answer is; None where it has none."""
    from headstart.adapt import Context, FineTune, plan
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.randomness import rng_for
    from headstart.evaluate import measure
    from headstart.run.scene import each_right
    from headstart.sources import load

    facts = data.task.facts()
    budget = Budget(seconds)
    try:
        source = BackboneFeaturiser(load(one.model, allow_pickle=allow_pickle))
        if not source.backbone.stages:
            return Confirmed(facts.primary, None, 0.0, "stays frozen: it cannot be trained"), None
        folds = plan(data, rows, rng=rng_for(seed, "folds"))
        context = Context(
            data=data, folds=folds, validation=rows, seed=seed, seconds=max(1.0, budget.left),
            source=source, progress=progress, say=say,
        )  # fmt: skip
        trained = FineTune().adapt(context)
    except HeadstartError as error:
        reason = " ".join(str(error).split())
        return Confirmed(facts.primary, None, budget.spent, reason), None
    found = measure(facts, data.targets[rows], trained.held_scores(rows))
    confirmed = Confirmed(facts.primary, float(found[facts.primary]), round(budget.spent, 1))
    return confirmed, each_right(trained, data, rows)


def conclusion(
    models: Sequence[Ranked], right: Mapping[str, np.ndarray], groups: np.ndarray | None = None
) -> str:
    """Say which of the fine-tuned models is best, and whether the examples can tell.

    `right`: by model, how right its answer to each validation example is (m,). `groups`: theirs.
    """
    made = [one for one in models if one.model in right]
    if not made:
        return "Not confirmed: none of the first models could be fine-tuned."
    top = best_confirmed(made)
    result, count = top.confirmed, len(right[top.model])
    assert result is not None and result.value is not None
    found = f"{result.metric} {result.value:.3f} on {count} validation examples"
    if len(made) == 1:
        return f"Confirmed: {top.title}, the only one that was fine-tuned, has {found}."
    even = [
        one.title for one in made
        if one is not top and _even(right[top.model] - right[one.model], groups)
    ]  # fmt: skip
    first = "as ranked" if top is models[0] else f"and not {models[0].title}"
    if not even:
        return f"Confirmed: of {len(made)} fine-tuned, {top.title} is best, {first}: {found}."
    return (
        f"Not decided: of {len(made)} fine-tuned, {top.title} is first ({found}), but these "
        f"examples cannot tell it from {', '.join(even)}: the 95 % interval of the difference "
        "has 0 in it. More examples or a longer --budget may."
    )


def best_confirmed(models: Sequence[Ranked]) -> Ranked:
    """Return the model with the largest value, of equal ones the first ranked."""

    def value(one: Ranked) -> float:
        found = one.confirmed.value if one.confirmed else None
        return -np.inf if found is None else found

    return max(models, key=value)


def _even(gap: np.ndarray, groups: np.ndarray | None) -> bool:
    """Return whether the 95 % interval of the mean of `gap`, one over another, has 0 in it."""
    from headstart.evaluate.intervals import margin

    if not gap.any():
        return True
    return bool(gap.mean() <= margin(gap, groups))


__all__ = ["confirmed", "rank", "source_of"]
