"""Rank pretrained models for one data set, from its training part alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from headstart.compute.progress import Progress, silent
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Dataset
from headstart.errors import DataError, HeadstartError, ModelError, TooFewExamples, UsageError
from headstart.plugins import registry
from headstart.ranking import BUILTIN, Score
from headstart.ranking.candidate import Candidate, Look, embedder
from headstart.ranking.ceiling import MARGIN, sharing
from headstart.ranking.checks import columns
from headstart.ranking.combine import TRUST, Combined, combine
from headstart.ranking.prior import Prior, static_prior
from headstart.ranking.ranked import Ranked, Ranking, Skipped
from headstart.ranking.resample import half_samples, sample
from headstart.ranking.similarity import MEANING, WORDS

EXAMPLES = 1000  # looked at, at most: more of them tell models apart little better
HALVES = 40
SURE = 0.9  # probability from which one model is said to be better than another


def rank(
    data: Dataset,
    models: Sequence[str],
    *,
    scores: Sequence[str] | None = None,
    examples: int = EXAMPLES,
    halves: int = HALVES,
    pooling: str = "own",
    seed: int = 0,
    allow_pickle: bool = False,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda sentence: None,
) -> Ranking:
    """Return `models` in order, best first, without training any of them.

    `data`: training examples (a Dataset holds no test labels), of which at most about `examples`
    are looked at, in equal shares of the classes. `scores`: names from BUILTIN, to combine; None
    shows all that serve the task, and combines the fair ones. `pooling`: "own", or "layers" for
    the mean over a text model's layers. A model that cannot be loaded or used is skipped and
    named; the others go on.

    Raises UsageError for unknown names, TooFewExamples for one class or fewer examples than
    classes, DataError for targets without spread, ModelError where no model is left.
    """
    start = time.perf_counter()
    check_options(scores, examples, pooling)
    chosen = _chosen(scores, data.task.name)
    _check(data)
    rows = sample(data.targets, examples, rng=rng_for(seed, "ranking sample"))
    part = data.take(rows)
    parts = half_samples(part.targets, count=halves, rng=rng_for(seed, "half-samples"))
    wordy = data.task.name != "regression" and data.inputs.modality != "text"
    embed = embedder() if wordy else None
    counted = frozenset(s.name for s in chosen if scores is not None or s.fair)
    look = Look(
        part, chosen, counted, parts, embed, pooling == "layers", allow_pickle, seed, progress
    )
    found, skipped = _looked_at(look, models, say)
    ranking = _ranking(look, found, skipped, seed)
    return replace(
        ranking, of=len(data), pooling=pooling, seconds=round(time.perf_counter() - start, 3)
    )


def check_options(scores: Sequence[str] | None, examples: int, pooling: str) -> None:
    """Raise UsageError for what no data can make right, so before any is read."""
    known = registry("ranking", BUILTIN)
    unknown = next((name for name in scores or () if name not in known), None)
    if unknown is not None:
        raise UsageError(f"Unknown score {unknown!r}; known: {', '.join(known)}.")
    if pooling not in ("own", "layers"):
        raise UsageError(f"--pooling {pooling!r} is unknown; known: own, layers.")
    if examples < 20:
        raise UsageError(f"--examples must be at least 20, got {examples}.")


def _chosen(names: Sequence[str] | None, kind: str) -> list[Score]:
    known = registry("ranking", BUILTIN)
    if names is None:
        return [score for score in known.values() if kind in score.kinds]
    found = []
    for name in dict.fromkeys(names):
        if kind not in known[name].kinds:
            serves = ", ".join(s.name for s in known.values() if kind in s.kinds)
            raise UsageError(f"The score {name} does not serve {kind}; these do: {serves}.")
        found.append(known[name])
    if not found:
        raise UsageError(f"No score was named; known: {', '.join(known)}.")
    return found


def _check(data: Dataset) -> None:
    """Say what is wrong with the targets before any model is loaded."""
    who = f"Ranking on {data.name!r}"
    if data.task.name == "classification" and len(data) < data.task.outputs:
        raise TooFewExamples(
            f"{who}: {len(data)} training examples of {data.task.outputs} classes, fewer examples "
            "than classes. Add examples, or merge rare classes."
        )
    columns(who, data.targets)


def _looked_at(
    look: Look, models: Sequence[str], say: Callable[[str], None]
) -> tuple[list[Candidate], list[Skipped]]:
    found: list[Candidate] = []
    skipped: list[Skipped] = []
    for model in dict.fromkeys(models):
        try:
            found.append(look.at(model))
        except TooFewExamples:
            raise  # of the data, and so of every model
        except (HeadstartError, MemoryError, OSError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            skipped.append(Skipped(model, reason))
            say(f"Skipped: {model}: {reason}")
    if not found:
        why = skipped[0].reason if skipped else "none was named"
        raise ModelError(f"None of {len(skipped)} models can be ranked: {why}")
    return found, skipped


def _ranking(look: Look, found: list[Candidate], skipped: list[Skipped], seed: int) -> Ranking:
    everywhere = [s.name for s in look.scores if all(s.name in one.scores for one in found)]
    names = [name for name in everywhere if name in look.counted]
    if not names:
        raise DataError(
            f"No score can be computed for every model: {', '.join(s.name for s in look.scores)} "
            "need a source head. Choose others with --scores."
        )
    scores = {name: np.array([one.scores[name] for one in found]) for name in names}
    again = {
        name: np.stack([one.resampled[name] for one in found], axis=1)
        for name in (names if look.halves else [])
    }
    prior = static_prior([one.card for one in found])
    shared = sharing([one.right for one in found], look.data.targets)
    combined = combine(
        scores, again, prior.values if prior.parts else None,
        trusted=TRUST[prior.kind], sharing=shared,
        rng=rng_for(seed, "combination"),
    )  # fmt: skip
    order = _order(found, combined, shared)
    first = [found[at].card.title for at in order if shared[at]]
    titles = [one.card.title for one in found]
    units = {score.name: score.unit for score in look.scores}
    units["task_similarity"] = MEANING if look.embed else WORDS
    return Ranking(
        data=look.data.name,
        task=look.data.task.name,
        examples=len(look.data),
        of=len(look.data),
        pooling="own",
        models=_in_order(look, found, order, len(first), combined, prior),
        skipped=skipped,
        combined=names,
        weight=round(combined.weight, 4),
        prior_parts=list(prior.parts),
        half_samples=len(look.halves),
        units=units,
        verdict=shared_verdict(first) if first else verdict(titles, combined, prior),
        seconds=0.0,
    )


def _in_order(
    look: Look, found: list[Candidate], order: list[int], shared: int, combined: Combined,
    prior: Prior,
) -> list[Ranked]:  # fmt: skip
    gaps = prior.values[None] - prior.values[:, None]
    places = 1 + (gaps > 1e-9).sum(axis=1)  # those that the list has level share one
    models = []
    for place, at in enumerate(order, 1):
        one, low = found[at], combined.low[at]
        models.append(
            Ranked(
                model=one.card.id,
                title=one.card.title,
                place=1 if place <= shared else place,
                combined=round(float(combined.values[at]), 4),
                low=None if np.isnan(low) else round(float(low), 4),
                high=None if np.isnan(low) else round(float(combined.high[at]), 4),
                best=round(float(combined.best[at]), 4),
                prior=round(float(prior.values[at]), 4) if prior.parts else None,
                prior_place=int(places[at]) if prior.parts else None,
                scores={s.name: one.scores.get(s.name) for s in look.scores},
                criteria=one.criteria,
            )
        )
    return models


def _order(found: Sequence[Candidate], combined: Combined, shared: np.ndarray) -> list[int]:
    """Return models best first; those that share the first place by size, unknown sizes last."""

    def key(at: int) -> tuple[bool, float, float]:
        size = float(found[at].card.parameters or np.inf) if shared[at] else 0.0
        return (not shared[at], size, -float(combined.alone[at]))

    return sorted(range(len(found)), key=key)


def shared_verdict(titles: Sequence[str]) -> str:
    """Say in one sentence that models share the first place, and why; `titles` smallest first."""
    return (
        f"{len(titles)} models share the first place, the smallest ({titles[0]}) at the top: with "
        f"the best of them a linear probe gets at most {MARGIN:.0%} wrong of the examples that it "
        "did not see, on average over the classes, and none is more than a point worse. An order "
        "among them would be chance."
    )


def verdict(titles: Sequence[str], combined: Combined, prior: Prior) -> str:
    """Say in one sentence how the ranking stands beside the static prior."""
    top = int(combined.values.argmax())
    if len(titles) == 1:
        return "One model alone: there is nothing to rank."
    if not prior.parts:
        return (
            f"{titles[top]} ranks first (probability of being best {combined.best[top]:.2f}). "
            "There is no static prior to hold it against: neither published accuracy nor size is "
            "known of every model."
        )
    listed, static = int(prior.values.argmax()), f"the static list ({' and '.join(prior.parts)})"
    level = np.flatnonzero(np.isclose(prior.values, prior.values[listed]))
    if top in level and len(level) > 1:
        return (
            f"{titles[top]} ranks first. {len(level)} models stand level at the top of {static}, "
            "this one among them: between those the scores alone decide."
        )
    if listed == top:
        return (
            f"{titles[top]} ranks first, as it does in {static}: the scores change nothing at the "
            "top."
        )
    sure = float(combined.over[top, listed])
    ends = (
        "the ranking beats the static list here"
        if sure >= SURE
        else "that is too little to say that the ranking beats the static list; --confirm 2 decides"
    )
    return (
        f"{titles[top]} ranks first, {titles[listed]} in {static}. Probability that the first is "
        f"the better one: {sure:.2f}; {ends}."
    )
