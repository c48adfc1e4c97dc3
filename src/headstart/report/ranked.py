"""Results in the order a person wants to see them, measured where the record measured them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headstart.records import Interval, Result, RunRecord
from headstart.report import words
from headstart.report.words import lower_is_better, test_opened


@dataclass(frozen=True, slots=True)
class Ranked:
    """One result with its metrics, from the test part or, before it is opened, from validation."""

    result: Result
    metrics: dict[str, Interval]
    chosen: bool


def measured(record: RunRecord, result: Result) -> dict[str, Interval]:
    """Return test metrics once the test part was opened; before that, validation values."""
    if test_opened(record):
        return dict(result.metrics)
    return {name: Interval(value=value) for name, value in result.validation.items()}


def metric_names(record: RunRecord) -> tuple[str, ...]:
    """Return every metric that any result has, the primary one first."""
    seen = dict.fromkeys(name for result in record.results for name in measured(record, result))
    first = [record.primary_metric] if record.primary_metric in seen else []
    return (*first, *(name for name in seen if name not in first))


def best_first(record: RunRecord, metric: str) -> tuple[Ranked, ...]:
    """Return all results, best by `metric` first; those without it come last, in record order."""
    sign = 1 if lower_is_better(metric) else -1

    def key(row: Ranked) -> float:
        interval = row.metrics.get(metric)
        usable = interval is not None and math.isfinite(interval.value)
        return sign * interval.value if usable and interval else math.inf

    rows = (Ranked(r, measured(record, r), r.name == record.chosen) for r in record.results)
    return tuple(sorted(rows, key=key))


def chosen_result(record: RunRecord) -> Result | None:
    """Return the chosen result; None before the choice, or where the record lost it."""
    return next((r for r in record.results if r.name == record.chosen), None)


def handed_over(record: RunRecord) -> str:
    """Return why that result was handed over, and what the test part says of the choice since.

    Held-out training examples choose, the test part judges; now and then they differ.
    """
    because = words.sentence(record.chosen_because)
    verdict = record.verdict
    chosen = chosen_result(record)
    if not because or verdict is None or chosen is None:
        return because
    if verdict.answer == "helps" and chosen.role == "baseline":
        return (
            f"{because} The test part, opened afterwards, tells more: there {verdict.candidate!r} "
            "is clearly better. Test examples choose nothing, so the choice stays; to have that "
            "one, run again with --prefer best."
        )
    if verdict.answer == "hurts" and chosen.role == "candidate":
        return (
            f"{because} The test part, opened afterwards, says the contrary. Test examples choose "
            f"nothing, so the choice stays; look at {verdict.against!r} before using it."
        )
    return because
