"""What a run will take, from what was measured and what is planned; and what it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headstart.adapt.baselines import FromScratch
from headstart.adapt.fewshot import FewShot
from headstart.compute.footprint import Power, memory_most, memory_now
from headstart.compute.machine import machine
from headstart.features.pace import TIMED
from headstart.records import Advice, Cost, Estimate
from headstart.run.choosing import Entry
from headstart.run.scene import Forecasts, Scene, Sight, Sights

MB = 2.0**20
KEY = 16  # bytes of a digest beside its features
HEADS = ("simple", "probe")


@dataclass(frozen=True, slots=True)
class Planned:
    """Estimates of the parts, and of the whole."""

    parts: list[Estimate]
    cost: Cost


def planned(
    scene: Scene, sights: Sights, costs: Forecasts, methods: Sequence[str], power: Power,
    spent: Callable[[], float] = lambda: 0.0,
) -> Planned:  # fmt: skip
    """Return what a run that tries `methods` beside simple model and probes will cost.

    `spent`: tells the seconds that are gone by now; it is asked last, since timing takes some.
    """
    grown = len(scene.data) / max(1, len(sights.part))
    parts = [_simple(sights, grown)] if sights.simple is not None else []
    parts += [_probe(scene, one, grown) for one in sights.models]
    leader = sights.leader()
    if leader is not None and costs.whole is not None:
        parts += _trained(scene, leader, costs, methods)
        parts.append(_scratch(scene, leader, costs, parts))
        tuned = [one for one in parts if one.method not in HEADS]
        each = scene.test * leader.seconds / 1000.0
        times = "once" if len(tuned) == 1 else f"{len(tuned)} times"
        parts.append(Estimate(what=f"the test part, {times}", seconds=each * len(tuned)))
    gone = spent()
    if gone:
        what = "opening data and model, and looking at them"
        parts.insert(0, Estimate(what=what, seconds=gone, rests_on="the clock: it is done"))
    seconds = sum(part.seconds for part in parts)
    cost = Cost(
        seconds=seconds,
        memory=_memory(sights, costs, methods),
        disk=_disk(scene, sights, parts),
        grams=power.grams(seconds, machine().cores),
    )
    return Planned(parts, cost)


def _simple(sights: Sights, grown: float) -> Estimate:
    assert sights.simple is not None
    return Estimate(
        what="simple model", method="simple",
        seconds=grown * sum(sights.simple.seconds.values()),
        rests_on=f"the same on {len(sights.part)} examples",
    )  # fmt: skip


def _probe(scene: Scene, sight: Sight, grown: float) -> Estimate:
    examples = len(scene.data) + scene.test
    fit = 0.0 if sight.probe is None else grown * sight.probe.seconds.get("fit", 0.0)
    return Estimate(
        what=f"frozen features and heads of {sight.source.title}", method="probe",
        model=sight.model, seconds=examples * sight.seconds / 1000.0 + fit,
        rests_on=f"{min(TIMED, len(scene.data))} examples through the model, "
        f"the heads on {grown and round(len(scene.data) / grown)}",
    )  # fmt: skip


def _trained(
    scene: Scene, leader: Sight, costs: Forecasts, methods: Sequence[str]
) -> list[Estimate]:
    assert costs.whole is not None
    most, found = scene.training_seconds, list[Estimate]()
    wanted = {"finetune": costs.whole.total}
    tuning = FewShot()
    seen = tuning.passes * len(scene.data) * tuning.folds  # folds - 1 of the whole, and the whole
    wanted["few-shot"] = seen * costs.whole.step
    fixed = {"finetune": costs.whole.fixed, "few-shot": 0.0}
    for method in methods:
        if method in wanted:
            found.append(
                Estimate(
                    what=f"{method} of {leader.source.title}", method=method, model=leader.model,
                    seconds=fixed[method] + min(wanted[method], most),
                    rests_on="2 steps a phase on 8 examples; the budget is the bound",
                )
            )  # fmt: skip
    return found


def _scratch(scene: Scene, leader: Sight, costs: Forecasts, parts: Sequence[Estimate]) -> Estimate:
    assert costs.whole is not None
    mine = sum(part.seconds for part in parts if part.model == leader.model)
    whole = FromScratch().epochs * costs.whole.epoch
    bound = max(scene.least, min(mine, scene.seconds))
    seconds = costs.whole.fixed + min(bound, whole)
    return Estimate(
        what=f"{leader.source.title} from scratch", method="from scratch", model=leader.model,
        seconds=seconds, rests_on="as long as transfer with that model took, at most",
    )  # fmt: skip


def _memory(sights: Sights, costs: Forecasts, methods: Sequence[str]) -> float | None:
    now = memory_now()
    if now is None:
        return None
    more = [one.memory * machine().cores for one in sights.models if one.memory is not None]
    if costs.whole is not None:
        more.append(costs.whole.memory)
    return (now + max(more, default=0)) / MB


def _disk(scene: Scene, sights: Sights, parts: Sequence[Estimate]) -> float:
    """Return MB: every result's weights, and features: those of a tuned model of the test part."""
    total = 0.0
    sizes = {one.model: one.source.backbone for one in sights.models}
    for part in parts:
        if part.model in sizes:
            backbone = sizes[part.model]
            total += 4.0 * sum(p.numel() for p in backbone.module.parameters())
            rows = scene.test + (len(scene.data) if part.method == "probe" else 0)
            total += rows * (4.0 * backbone.width + KEY)
    return total / MB


def happened(
    advice: Advice, entries: Sequence[Entry], seconds: float, disk: float, power: Power
) -> Advice:
    """Return the advice with what came of its estimates."""
    parts = []
    for part in advice.estimates:
        mine = [
            sum(entry.trained.seconds.values()) for entry in entries
            if part.method and entry.trained.adapted.method == part.method
            and entry.model == part.model
        ]  # fmt: skip
        parts.append(part.model_copy(update={"happened": round(mine[0], 3)}) if mine else part)
    most = memory_most()
    cost = Cost(
        seconds=round(seconds, 3), memory=None if most is None else most / MB, disk=disk / MB,
        grams=power.grams(seconds, machine().cores),
    )  # fmt: skip
    return advice.model_copy(update={"estimates": parts, "happened": cost})
