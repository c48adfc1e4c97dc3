"""The judge: opens the sealed test labels, once, and measures everybody on them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.errors import UsageError
from headstart.evaluate import intervals
from headstart.evaluate.checks import check_groups, check_predictions, check_truth_part
from headstart.evaluate.comparisons import compare, dissent
from headstart.evaluate.evidence import Evidence, evidence_of
from headstart.evaluate.measure import check_scores, check_truth, confusion, measure, per_class
from headstart.evaluate.metrics import metric
from headstart.evaluate.verdict import ALPHA, difference, mcnemar, touch_zero, verdict
from headstart.records import Check, Comparison, Interval, Sealed, TaskFacts, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What the sealed test part says of every result.

    truth: the opened targets. metrics: result to metric to interval, undefined metrics left out
    (`notes` says so). per_class: result to class to precision, recall, f1, support; empty inside
    for regression. confusion: result to counts as `measure.confusion` gives, empty for regression.
    differences: each result minus the baseline by the primary metric, positive is better.
    comparisons: the candidate against every baseline, corrected for their number. evidence: result
    to calibration, groups, curves and more. checks: what is odd about the test part or predictions.
    """

    truth: np.ndarray
    metrics: dict[str, dict[str, Interval]]
    per_class: dict[str, dict[str, dict[str, float]]]
    confusion: dict[str, np.ndarray]
    verdict: Verdict
    differences: dict[str, Interval] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    evidence: dict[str, Evidence] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


def judge(
    task: TaskFacts,
    sealed: Sealed,
    scores: Mapping[str, np.ndarray],
    *,
    candidate: str,
    baseline: str,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = intervals.RESAMPLES,
    baselines: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
    ids: Sequence[str] | None = None,
    detail: bool = True,
) -> Judgement:
    """Open the seal and judge every result of `scores` on the same test examples and resamples.

    scores: name to probabilities (n, k) or predictions (n,). candidate, baseline: names of the
    best of either, chosen on validation data. groups: object (n,); then whole groups are resampled,
    and there is a table of them. baselines: all that the candidate is compared with; else
    `baseline` alone. seconds: what each result took. ids: of the test examples. detail: whether
    `evidence` is measured too, which takes most of the time. The verdict is against `baseline`,
    and its words name other comparisons that say less for the candidate.
    Raises UsageError, before the seal is broken, for an unknown name, no examples, groups of
    another length, or scores that are not finite or of the wrong shape; AlreadyOpened for a second
    judgement; DataError where the targets are none of the task.
    """
    named = {"candidate": candidate, "baseline": baseline}
    for name in baselines:
        named[f"baseline {name!r}"] = name
    _check(task, len(sealed), scores, named, groups)
    truth = sealed.open()
    check_truth(task, truth)
    boot = intervals.bootstrap(task, truth, scores, rng=rng, groups=groups, resamples=resamples)
    points = {name: measure(task, truth, s) for name, s in scores.items()}
    comparisons = compare(
        task, truth, scores, boot, candidate=candidate, baselines=list(baselines) or [baseline],
        seconds=seconds,
    )  # fmt: skip
    differences = {
        name: _difference(task, truth, boot, points, scores, (name, baseline)) for name in scores
    }
    primary = metric(task.primary)
    pair = (points[candidate][task.primary], points[baseline][task.primary])
    clusters = boot.units if boot.units < boot.n else None
    told = verdict(
        primary, differences[candidate], pair, (candidate, baseline), len(truth), clusters
    )
    words = f"{told.words} {dissent(told.answer, baseline, comparisons)}".strip()
    return Judgement(
        truth=truth,
        metrics={name: _intervals(values, truth, boot, name) for name, values in points.items()},
        per_class={name: per_class(task, truth, s) for name, s in scores.items()},
        confusion={name: confusion(task, truth, s) for name, s in scores.items()}
        if task.kind != "regression"
        else {},
        verdict=told.model_copy(update={"words": words}),
        differences=differences,
        notes=_notes(task, truth, points),
        comparisons=tuple(comparisons),
        evidence={
            name: evidence_of(task, truth, s, rng=rng, groups=groups, ids=ids, resamples=resamples)
            for name, s in (scores.items() if detail else ())
        },
        checks=tuple(
            check_truth_part(task, truth)
            + check_groups(groups)
            + [made for name, s in scores.items() for made in check_predictions(task, name, s)]
        ),
    )  # fmt: skip


def _check(
    task: TaskFacts,
    n: int,
    scores: Mapping[str, np.ndarray],
    named: Mapping[str, str],
    groups: np.ndarray | None,
) -> None:
    for role, name in named.items():
        if name not in scores:
            known = ", ".join(repr(known) for known in scores) or "none"
            raise UsageError(f"judge: no scores for the {role} {name!r}; there are: {known}.")
    for name, values in scores.items():
        check_scores(task, values, n, f"{name!r} on the test part")
    if groups is not None and len(groups) != n:
        raise UsageError(
            f"judge: expected a group for each of {n} test examples, got {len(groups)}."
        )


def _difference(
    task: TaskFacts,
    truth: np.ndarray,
    boot: intervals.Bootstrap,
    points: Mapping[str, Mapping[str, float]],
    scores: Mapping[str, np.ndarray],
    names: tuple[str, str],
) -> Interval:
    """Difference of two results; that of a result to itself is 0, with no interval."""
    if names[0] == names[1]:
        return Interval(value=0.0)
    values = (points[names[0]][task.primary], points[names[1]][task.primary])
    found = difference(metric(task.primary), truth, boot, values, names)
    if task.primary == "accuracy" and boot.units == boot.n:
        first, second = (scores[name].argmax(axis=1) == truth for name in names)
        if mcnemar(first, second) >= ALPHA:
            return touch_zero(found)  # no claim that the exact test does not carry
    return found


def _intervals(
    values: Mapping[str, float], truth: np.ndarray, boot: intervals.Bootstrap, name: str
) -> dict[str, Interval]:
    return {
        key: intervals.interval(metric(key), value, boot.values[name][key], truth, boot)
        for key, value in values.items()
        if np.isfinite(value)
    }


def _notes(
    task: TaskFacts, truth: np.ndarray, points: Mapping[str, Mapping[str, float]]
) -> tuple[str, ...]:
    """Say what could not be measured, and why."""
    notes = []
    undefined = [
        key for key in task.metrics if any(not np.isfinite(of[key]) for of in points.values())
    ]
    if undefined:
        notes.append(
            f"Not defined on this test part and left out: {', '.join(undefined)} (its targets vary "
            "too little, or nothing was there to count)."
        )
    if task.kind == "classification":
        absent = [task.labels[c] for c in range(len(task.labels)) if not (truth == c).any()]
        if absent:
            shown = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
            notes.append(
                f"{len(absent)} of {len(task.labels)} classes have no test example: {shown}."
            )
    return tuple(notes)
