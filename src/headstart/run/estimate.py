"""What a run will take, from what was measured and what is planned; and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.adapt.checkpoint import EVERY, KEPT
from headstart.adapt.featurisers import Featuriser
from headstart.adapt.fewshot import FORWARD, FewShot
from headstart.adapt.forecast import Forecast
from headstart.adapt.pace import STEPS as PACED
from headstart.adapt.probe.given import Given
from headstart.adapt.probe.growth import EVERY_HEAD, expected
from headstart.compute.budget import Budget
from headstart.compute.footprint import Power, memory_most, memory_now
from headstart.compute.machine import machine
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Dataset
from headstart.features.pace import TIMED
from headstart.records import Advice, Cost, Estimate
from headstart.run.choosing import Entry
from headstart.run.scene import TRAINING_SHARE, Forecasts, Scene, Sight, Sights

MB = 2.0**20
KEY = 16  # bytes of a digest beside its features
SIMPLE_HEADS = ("logistic", "rbf")  # the second on dense features alone
OPENING = "opening data and model, and looking at them"
ASKING = "answers of all results for the test part"


@dataclass(frozen=True, slots=True)
class Planned:
    """Estimates of the parts, and of the whole."""

    parts: list[Estimate]
    cost: Cost


def solved(scene: Scene, sights: Sights) -> list[Estimate]:
    """Return what comes before anything is trained: simple model and probes."""
    parts = [_simple(scene, sights)] if sights.simple is not None else []
    return parts + [_probe(scene, one, sights.part) for one in sights.models]


def planned(
    scene: Scene, sights: Sights, costs: Forecasts, advice: Advice, power: Power, clock: Budget,
    before: Sequence[Estimate],
) -> Planned:  # fmt: skip
    """Return what a run that follows `advice`, after what is `solved` before it, will cost.

    What is left of the budget for training goes by what comes before it. `clock`: what is gone;
    it is asked when everything was timed.
    """
    leader = sights.leader()
    able = leader is not None and costs.whole is not None and costs.scratch is not None
    gone, left = clock.spent, clock.left - sum(part.seconds for part in before)
    trained = list[Estimate]()
    if able:
        assert leader is not None
        trained = _trained(leader, costs, advice, left)
        trained.append(_scratch(leader, costs, [*before, *trained], left))
    asking = _asking(scene, sights, len(trained))
    begun = Estimate(
        what=OPENING, seconds=gone, rests_on="the clock: it is done", happened=round(gone, 3)
    )
    parts = [begun, *before, *trained, asking]
    seconds = sum(part.seconds for part in parts)
    cost = Cost(
        seconds=seconds,
        memory=_memory(sights, costs if able else None, advice),
        disk=_disk(scene, sights, costs, advice, parts),
        grams=power.grams(seconds, clock.busy),
    )
    return Planned(parts, cost)


def _simple(scene: Scene, sights: Sights) -> Estimate:
    assert sights.simple is not None
    part, took = sights.part, sights.simple.seconds
    seconds = took.get("extract", 0.0) * len(scene.data) / len(part)
    seconds += _heads(scene, part, sights.simple.adapted.featuriser, SIMPLE_HEADS)
    return Estimate(
        what="simple model", method="simple", seconds=seconds,
        rests_on=f"the same on {len(part)} examples",
    )  # fmt: skip


def _probe(scene: Scene, sight: Sight, part: Dataset) -> Estimate:
    lacking = sight.source.extractor.lacking(scene.data.inputs)
    heads = 0.0 if sight.probe is None else _heads(scene, part, sight.source)
    return Estimate(
        what=f"frozen features and heads of {sight.source.title}", method="probe",
        model=sight.model, seconds=lacking * sight.seconds / 1000.0 + heads,
        rests_on=f"{min(TIMED, len(scene.data))} examples through the model, for {lacking} that "
        f"have no features yet; heads on {len(part)}",
    )  # fmt: skip


def _heads(
    scene: Scene, part: Dataset, source: Featuriser, heads: Sequence[str] = EVERY_HEAD
) -> float:
    """Return the seconds of fitting heads on all the data."""
    folds = scene.context(None, part).folds
    few = Given(source.features(part.inputs), part.targets, part.task, folds)
    return expected(few, len(scene.data), heads=heads, rng=rng_for(scene.seed, "heads"))


def _tuning(costs: Forecasts, advice: Advice) -> Forecast:
    """Return what fine-tuning costs as the advice sets it: in whole, or its last part."""
    part = "depth" in advice.settings.get("finetune", {})
    found = (costs.part if part else None) or costs.whole
    assert found is not None
    return found


def _trained(leader: Sight, costs: Forecasts, advice: Advice, left: float) -> list[Estimate]:
    """Return an estimate a method: each gets its share of what is left of the budget."""
    found = list[Estimate]()
    for method in advice.methods:
        if method not in ("finetune", "few-shot"):
            continue
        most = max(costs.scene.least, TRAINING_SHARE * (left - sum(one.seconds for one in found)))
        seconds = _tuning(costs, advice).within(most) if method == "finetune" else _few(costs, most)
        found.append(
            Estimate(
                what=f"{method} of {leader.source.title}", method=method, model=leader.model,
                seconds=seconds,
                rests_on=f"2 steps a phase on 8 examples; the budget bounds it by {most:.0f} s",
            )
        )  # fmt: skip
    return found


def _few(costs: Forecasts, most: float) -> float:
    """Return seconds of few-shot tuning: of all folds but one each, and of the whole."""
    assert costs.whole is not None
    tuning, step = FewShot(), costs.whole.step
    examples = len(costs.scene.data)
    asked = (tuning.folds + 1) * examples * step / FORWARD
    steps = tuning.passes * tuning.folds * examples * step
    return PACED * min(tuning.batch, examples) * step + min(steps + asked, most)


def _scratch(leader: Sight, costs: Forecasts, parts: Sequence[Estimate], left: float) -> Estimate:
    assert costs.scratch is not None
    mine = [part for part in parts if part.model == leader.model]
    trained = sum(part.seconds for part in mine if part.method != "probe")
    bound = max(costs.scene.least, min(sum(part.seconds for part in mine), left - trained))
    return Estimate(
        what=f"{leader.source.title} from scratch", method="from scratch", model=leader.model,
        seconds=costs.scratch.within(bound),
        rests_on=f"2 steps on 8 examples; bound by {bound:.0f} s, those of transfer",
    )  # fmt: skip


def _asking(scene: Scene, sights: Sights, trained: int) -> Estimate:
    """Return the estimate of predicting the test part with every result."""
    each = sum(one.seconds for one in sights.models) / 1000.0
    leader = sights.leader()
    each += 0.0 if leader is None else trained * leader.seconds / 1000.0
    if sights.simple is not None:
        each += sights.simple.seconds.get("extract", 0.0) / max(1, len(sights.part))
    return Estimate(
        what=ASKING, seconds=scene.test * each,
        rests_on=f"{scene.test} examples at the same pace, through every model",
    )  # fmt: skip


def _memory(sights: Sights, costs: Forecasts | None, advice: Advice) -> float | None:
    now = memory_now()
    if now is None:
        return None
    # A worker a core is what `working_memory` is of one.
    more = [one.memory * machine().cores for one in sights.models if one.memory is not None]
    if costs is not None and costs.scratch is not None:
        more.append(costs.scratch.memory)
        if advice.methods:
            more.append(_tuning(costs, advice).memory)
    return (now + max(more, default=0)) / MB


def _disk(
    scene: Scene, sights: Sights, costs: Forecasts, advice: Advice, parts: Sequence[Estimate]
) -> float:
    """Return the most MB at once: features, every result's weights, and one more thing.

    That is the model that is handed over, or checkpoints of one training: every EVERY seconds one
    is written, the last KEPT stay until it is done, with the best weights beside them.
    """
    total, once = 0.0, 0.0
    sizes = {one.model: one.source.backbone for one in sights.models}
    for part in parts:
        if part.model not in sizes:
            continue
        backbone = sizes[part.model]
        weights = 4.0 * sum(p.numel() for p in backbone.module.parameters())
        rows = scene.test + (len(scene.data) if part.method == "probe" else 0)
        total += weights + rows * (4.0 * backbone.width + KEY)
        once = max(once, weights)
        cost = _forecast(part, costs, advice)
        if cost is not None:
            count = min(KEPT, max(0.0, part.seconds - cost.fixed) // EVERY)
            once = max(once, count * cost.checkpoint + weights * bool(count))
    return (total + once) / MB


def _forecast(part: Estimate, costs: Forecasts, advice: Advice) -> Forecast | None:
    """Return the forecast of what writes checkpoints; None for the rest."""
    if part.method == "from scratch":
        return costs.scratch
    return _tuning(costs, advice) if part.method == "finetune" else None


def happened(
    advice: Advice, entries: Sequence[Entry], clock: Budget, disk: float, power: Power,
    asking: float | None = None,
) -> Advice:  # fmt: skip
    """Return the advice with what came of its estimates.

    `disk`: bytes, at most. `asking`: seconds that answers for the test part took; None: not yet.
    """
    parts = []
    for part in advice.estimates:
        mine = [
            sum(entry.trained.seconds.values()) for entry in entries
            if part.method and entry.trained.adapted.method == part.method
            and entry.model == part.model
        ]  # fmt: skip
        took = mine[0] if mine else asking if part.what == ASKING else None
        if took is not None:
            part = part.model_copy(update={"happened": round(took, 3)})
        parts.append(part)
    most = memory_most()
    cost = Cost(
        seconds=round(clock.spent, 3), memory=None if most is None else most / MB, disk=disk / MB,
        grams=power.grams(clock.spent, clock.busy),
    )  # fmt: skip
    return advice.model_copy(update={"estimates": parts, "happened": cost})
