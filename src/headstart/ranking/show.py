"""A ranking in a terminal: the order and what it rests on, then the five criteria."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from headstart.ranking import BUILTIN
from headstart.ranking.ranked import Ranked, Ranking

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN = "unknown"


def shown(ranking: Ranking) -> list[Any]:
    """Return what a rich console prints: three tables, each followed by what its columns mean."""
    parts: list[Any] = ["Best first", _order(ranking), _words(ranking)]
    parts += ["", "Transferability scores, higher is better", _scores(ranking)]
    parts += [*_score_words(ranking), "", "Five criteria", _criteria(ranking)]
    parts += [_criteria_words(ranking), ""]
    parts += [f"Skipped: {one.model}: {one.reason}" for one in ranking.skipped]
    parts += [ranking.verdict, *ranking.notes]
    return [*parts, f"Next: {ranking.next}"] if ranking.next else parts


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _order(ranking: Ranking) -> Table:
    confirmed = [one for one in ranking.models if one.confirmed]
    more = ["fine-tuned"] if confirmed else []
    places = Counter(one.place for one in ranking.models)
    columns = ("place", "combined", "95 % interval", "P(best)", "static prior")
    table = _table(*columns, *more)
    for one in ranking.models:
        prior = UNKNOWN if one.prior is None else f"{one.prior:+.2f} (no. {one.prior_place})"
        interval = UNKNOWN if one.low is None else f"{one.low:+.2f} to {one.high:+.2f}"
        place = f"{one.place}" + ("=" if places[one.place] > 1 else "")
        cells = [_title(one), place, f"{one.combined:+.2f}", interval, f"{one.best:.2f}", prior]
        table.add_row(*cells, *([_confirmed(one)] if confirmed else []))
    return table


def _words(ranking: Ranking) -> str:
    known = " and ".join(ranking.prior_parts)
    rest = f"the rest the static prior ({known})" if known else "as no static prior is known"
    confirmed = next((one.confirmed for one in ranking.models if one.confirmed), None)
    more = f" fine-tuned: {confirmed.metric} on validation examples." if confirmed else ""
    looked = f"{ranking.examples} of {ranking.of} training examples"
    halves = f"Interval: {ranking.half_samples} half-samples of {looked}."
    if not ranking.half_samples:
        every = " with 2 of every class" if ranking.task == "classification" else ""
        halves = f"Interval: unknown, {looked} are too few to halve{every}."
    return (
        f"combined: {ranking.weight:.0%} the mean of {', '.join(ranking.combined)}, {rest}; in "
        f"standard deviations over these models. {halves} P(best): probability of being the "
        f"best of these once fine-tuned.{more}"
    )


def _scores(ranking: Ranking) -> Table:
    titles = {score.name: score.title for score in BUILTIN}
    names = list(ranking.models[0].scores)
    marks = ["" if name in ranking.combined else "*" for name in names]
    heads = [titles.get(name, name) + mark for name, mark in zip(names, marks, strict=True)]
    table = _table(*heads)
    for one in ranking.models:
        values = [one.scores[name] for name in names]
        table.add_row(_title(one), *("none" if v is None else f"{v:.3f}" for v in values))
    return table


def _score_words(ranking: Ranking) -> list[str]:
    names = list(ranking.models[0].scores)
    units = {
        score.title: _unit(ranking.units[score.name], ranking.task)
        for score in BUILTIN if score.name in names
    }  # fmt: skip
    lines = ["; ".join(f"{title}: {unit}" for title, unit in units.items() if unit) + "."]
    if set(names) - set(ranking.combined):
        lines.append(
            "* not in the combination: fitted on the examples it judges, or missing for some model."
        )
    return lines


def _unit(unit: str, task: str) -> str:
    """Of a unit that depends on the task, return the one that is meant.

    >>> _unit("share right, or R²", "regression"), _unit("nats/example", "regression")
    ('R²', 'nats/example')
    """
    right, _, other = unit.partition(", or ")
    return other if other and task != "classification" else right


def _criteria(ranking: Ranking) -> Table:
    columns = ("task", "data", "size", "s/1,000", "memory", "licence, use", "here")
    table = _table(*columns)
    for one in ranking.models:
        of = one.criteria
        distance = UNKNOWN
        if of.data_distance is not None:
            distance = f"{of.data_distance:.2f} [{of.data_low:.2f}, {of.data_high:.2f}]"
        table.add_row(
            _title(one),
            UNKNOWN if of.task_similarity is None else f"{of.task_similarity:.2f}",
            distance,
            UNKNOWN if of.parameters is None else f"{of.parameters / 1e6:.2f} M",
            f"{of.seconds:.2f}",
            UNKNOWN if of.memory is None else f"{of.memory:.0f} MB",
            ", ".join(filter(None, (of.licence, of.use))) or UNKNOWN,
            "yes" if of.available else "no",
        )
    return table


def _criteria_words(ranking: Ranking) -> str:
    floors = {one.criteria.data_floor for one in ranking.models} - {None}
    near = f" (the source's own halves: {max(floors):.2f} or less)" if floors else ""  # type: ignore[type-var]
    return (
        f"task: similarity of label names to those it was trained on "
        f"({ranking.units['task_similarity']}, 1 is equal). data: distance from its source data in "
        f"standard deviations of the source, 95 % interval{near}. size: parameters. s/1,000: "
        "seconds for 1,000 examples on this machine. memory: weights and one batch of 32. "
        "use: downloads. here: can be had now."
    )


def _title(one: Ranked) -> str:
    """The title, of a path behind `random:` the name alone."""
    prefix, _, rest = one.title.rpartition(":")
    name = rest.rstrip("/").rpartition("/")[2] if prefix == "random" and "/" in rest else rest
    return f"{prefix}:{name}" if prefix else name


def _confirmed(one: Ranked) -> str:
    if one.confirmed is None:
        return ""
    if one.confirmed.value is None:
        return one.confirmed.reason
    return f"{one.confirmed.value:.3f} ({one.confirmed.seconds:.0f} s)"
