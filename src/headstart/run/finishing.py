"""The end of a run: predict the test part, judge once, write everything down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.compute.budget import Stopwatch
from headstart.compute.randomness import rng_for
from headstart.evaluate import Judgement, check_leak, check_unseen, judge
from headstart.evaluate.tables import hardest_rows
from headstart.records import Check, CrossValidation, Result, RunRecord
from headstart.report.card import model_card
from headstart.report.page import write_report
from headstart.run import crossing, curving, reseeding
from headstart.run.choosing import Entry, best
from headstart.run.curving import Drawn, curves_of
from headstart.run.folder import EXAMPLES, REPORT, RunFolder
from headstart.run.handing import HandOver, handed_over
from headstart.run.job import Job
from headstart.run.reseeding import Reseeded, spread_of
from headstart.run.scene import least_seconds
from headstart.run.showing import hardest, pictures, readable
from headstart.run.studies import Purse, Studies

OVERRUN = 1.1  # of the budget, above which a run says that it took longer


@dataclass(slots=True, eq=False)
class Asked:
    """All that was fitted and predicted before the test labels are opened."""

    scores: dict[str, np.ndarray]
    predicting: dict[str, float]
    folds: list[CrossValidation] = field(default_factory=list)
    seeds: list[Reseeded] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)


def finish(job: Job) -> RunRecord:
    """Predict the test part with every result, open its labels once, and write the RUN folder."""
    data, test = job.data, job.opened.splits.test
    baselines = [e for e in job.entries if e.role == "baseline"]
    candidates = [e for e in job.entries if e.role == "candidate"]
    favoured = job.guide.advice.favoured if job.guide else ""
    hand = handed_over(
        [*baselines, *candidates], data, rng=rng_for(job.recipe.seed, "hand over"),
        favoured=favoured, because=job.guide.advice.favoured_because if job.guide else "",
        prefer=job.recipe.prefer,
    )  # fmt: skip
    candidate, baseline = best(candidates, data, favoured), best(baselines, data)
    rivals = rivals_of(candidate, baselines, candidates)
    asked = _asked(job, candidate, rivals, candidates)
    judgement = judge(
        data.task.facts(), test.targets, asked.scores, candidate=candidate.name,
        baseline=baseline.name, rng=rng_for(job.recipe.seed, "bootstrap"), groups=test.groups,
        baselines=[e.name for e in rivals], ids=[str(i) for i in test.inputs.ids],
        seconds={e.name: sum(e.trained.seconds.values()) for e in job.entries},
    )  # fmt: skip
    job.notes.extend(judgement.notes)
    if job.budget.spent > OVERRUN * job.budget.seconds:
        took = f"{job.budget.spent:.3g} s of a budget of {job.budget.seconds:.3g} s"
        job.notes.append(
            f"The run took {took}: what has to be done takes its time, and a training gets "
            f"{least_seconds(job.budget.seconds):.3g} s at least."
        )
    hand.chosen.trained.adapted.save(job.folder.path / "model")
    if job.guide is not None:
        job.guide.asking = sum(asked.predicting.values())
    record = _record(job, hand, judgement, asked, rivals)
    _write(job, record, hand.chosen, asked.scores, judgement.truth)
    return record


def rivals_of(
    candidate: Entry, baselines: Sequence[Entry], candidates: Sequence[Entry]
) -> list[Entry]:
    """Return what the candidate is held against: baselines, and of what was trained its probe."""
    frozen = [
        e for e in candidates
        if candidate.method.trains and not e.method.trains and e.model == candidate.model
    ]  # fmt: skip
    return [*baselines, *frozen]


def _asked(
    job: Job, candidate: Entry, rivals: Sequence[Entry], candidates: Sequence[Entry]
) -> Asked:
    inputs, asked = job.opened.splits.test.inputs, Asked({}, {})
    for entry in job.entries:
        watch = Stopwatch()
        with watch.time("predict"):
            asked.scores[entry.name] = entry.trained.adapted.scores(inputs, progress=job.progress)
        asked.predicting[entry.name] = round(watch.seconds["predict"], 4)
    _study(job, asked, candidate, rivals, candidates)
    return asked


def _study(
    job: Job, asked: Asked, candidate: Entry, rivals: Sequence[Entry], candidates: Sequence[Entry]
) -> None:
    """Make what is asked for beyond the verdict, in what is left of the budget."""
    recipe, studies = job.recipe, Studies(job, asked.predicting)
    trained = [e for e in job.entries if e.method.trains and e is not candidate]
    without = [candidate, *_without(rivals)]

    def seeds(mine: Purse) -> None:
        asked.seeds = reseeding.reseed(studies, mine, [candidate, *trained], asked.scores)

    def folds(mine: Purse) -> None:
        asked.folds = crossing.cross_validate(studies, mine, candidate, rivals, candidates)

    def curves(mine: Purse) -> None:
        asked.drawn = curving.draw_labels(studies, mine, without, asked.scores)

    steps = [
        (recipe.seeds > 1, lambda: reseeding.least(studies, candidate), seeds),
        (recipe.cv > 0, lambda: crossing.least(studies, candidate, rivals, candidates), folds),
        (recipe.label_curve, lambda: curving.least(studies, candidate), curves),
    ]
    steps = [step for step in steps if step[0]]
    for at, (_, _, make) in enumerate(steps):
        make(studies.purse.first([need() for _, need, _ in steps[at:]]))


def _without(rivals: Sequence[Entry]) -> list[Entry]:
    """Return the way to do without pretraining: from scratch, else the simple model."""
    for name in ("from scratch", "simple"):
        found = [e for e in rivals if e.method.name == name]
        if found:
            return found[:1]
    return []


def _record(
    job: Job, hand: HandOver, judgement: Judgement, asked: Asked, rivals: Sequence[Entry]
) -> RunRecord:
    task, seed = job.data.task.facts(), job.recipe.seed
    spreads = [spread_of(task, judgement.truth, one) for one in asked.seeds]
    without = _without(rivals)
    record = job.record(
        "done",
        chosen=hand.chosen.name,
        chosen_because=hand.because,
        held_out=list(hand.comparisons),
        verdict=judgement.verdict,
        comparisons=list(judgement.comparisons),
        checks=_checks(job, judgement),
        cross_validation=asked.folds,
        seeds=[spread for spread in spreads if spread is not None],
        label_curves=curves_of(
            task, judgement.truth, asked.drawn, rival=without[0].name if without else "", seed=seed
        ),
        confusion={name: table.tolist() for name, table in judgement.confusion.items()},
        differences={name: d.model_dump() for name, d in judgement.differences.items()},
    )
    results = [_measured(job, result, judgement, asked) for result in record.results]
    return record.model_copy(update={"results": results})


def _measured(job: Job, result: Result, judgement: Judgement, asked: Asked) -> Result:
    ids, name = job.opened.splits.test.inputs.ids, result.name
    hard = hardest(job.data.task, judgement.truth, asked.scores[name], ids)
    return result.model_copy(
        update=judgement.evidence[name].fields()
        | {
            "metrics": judgement.metrics[name],
            "per_class": judgement.per_class[name],
            "seconds": result.seconds | {"predict": asked.predicting[name]},
            "hardest": hard,
        }
    )


def _checks(job: Job, judgement: Judgement) -> list[Check]:
    """Return what is odd about the test part, the gravest first."""
    test, data = job.opened.splits.test.inputs, job.data.inputs
    leak = check_leak(test.digests, data.digests, test_ids=test.ids, training_ids=data.ids)
    counts = job.opened.facts.class_counts
    asked = [label for label, n in counts.get("test", {}).items() for _ in range(n)]
    known = [
        label for part in ("train", "validation") for label, n in counts.get(part, {}).items() if n
    ]
    unseen = check_unseen(asked, known) if counts else []
    constant = [repr(e.name) for e in job.entries if e.method.name == "majority"]
    rest = [
        check for check in judgement.checks
        if check.name != "one answer" or not check.words.startswith(tuple(constant))
    ]  # fmt: skip
    weight = {"error": 0, "warning": 1, "note": 2}
    return sorted([*leak, *unseen, *rest], key=lambda check: weight[check.level])


def _write(
    job: Job, record: RunRecord, chosen: Entry, scores: dict[str, np.ndarray], truth: np.ndarray
) -> None:
    folder, test, task = job.folder, job.opened.splits.test, job.data.task
    folder.write("model/README.md", model_card(record))
    columns: dict[str, Any] = {
        "truth": readable(task, truth),
        "prediction": task.kind.answer(scores[chosen.name], task.labels),
    }
    if test.groups is not None:
        columns["group"] = [str(group) for group in test.groups]
    folder.write_predictions(test.inputs.ids, columns, scores)
    folder.write_record(record)
    rows = hardest_rows(task.facts(), truth, scores[chosen.name])
    shown = pictures(rows, test.inputs)
    folder.write(EXAMPLES, json.dumps(shown, ensure_ascii=False, indent=0) + "\n")
    write_report(record, folder.path / REPORT, pictures=shown)
    folder.log("done", chosen=record.chosen, seconds=record.seconds)
    _drop_candidates(folder)


def _drop_candidates(folder: RunFolder) -> None:
    shutil.rmtree(folder.candidates, ignore_errors=True)
