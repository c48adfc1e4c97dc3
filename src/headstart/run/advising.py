"""Advice for one data set: look at it, walk through the tree, say what it will cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.compute.budget import Budget, seconds_of
from headstart.compute.footprint import GRID, WATTS, Power, size_of
from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Dataset, Unlabelled, joined
from headstart.data.inputs import open_inputs, open_lines
from headstart.data.load import open_dataset
from headstart.errors import HeadstartError, UsageError
from headstart.features.store import cache_folder
from headstart.ranking.advise import advise as walked
from headstart.ranking.rank import rank
from headstart.ranking.tree import Fact
from headstart.records import Advice, Estimate
from headstart.run.choosing import Entry, best, mistakes
from headstart.run.domains import domain_accuracy
from headstart.run.estimate import happened, planned, solved
from headstart.run.following import transfer_command
from headstart.run.models import answering, opened
from headstart.run.rare import rare_classes
from headstart.run.scene import (
    Forecasts,
    Scene,
    Sights,
    facts_of,
    lead,
    least_seconds,
    look,
)

PROBED = 3  # models whose probes are made on all the data; of more, the first of a ranking


@dataclass(slots=True, eq=False)
class Guide:
    """Advises one run: before anything is trained, and again once the frozen features are known."""

    scene: Scene
    power: Power = field(default_factory=Power)
    more: dict[str, Fact] = field(default_factory=dict)  # facts that a person gave
    clock: Budget | None = None  # that of the run; None: it begins here
    before: Advice | None = None  # what a run that goes on had decided: times may differ now
    sights: Sights = field(init=False)
    costs: Forecasts = field(init=False)
    advice: Advice = field(init=False)
    _of: str | None = field(init=False, default=None)  # the model that `costs` are of
    asking: float | None = field(init=False, default=None)  # seconds that the test part took
    _clock: Budget = field(init=False)
    _solved: list[Estimate] = field(init=False)
    _disk: int = field(init=False, default=0)
    _most: int = field(init=False, default=0)  # bytes on disk

    def __post_init__(self) -> None:
        self._clock = self.clock or Budget(self.scene.seconds)
        self._disk = size_of(cache_folder() / "features")
        self.sights = look(self.scene)
        self._solved = solved(self.scene, self.sights)
        # Training gets what these leave, and the tree is asked again when they are done.
        left = self._clock.left - sum(part.seconds for part in self._solved)
        self.scene = replace(self.scene, seconds=max(0.0, left))
        leader = self.sights.leader()
        source = leader.source if leader else None
        self._foresee(source)
        ahead = lead(leader.probe if leader else None, self.sights.simple, self.sights.part)
        self.advice = self._estimated(self._walked(source, ahead))

    def decide(
        self, entries: Sequence[Entry], source: BackboneFeaturiser | None, seconds: float
    ) -> Advice:
        """Return the advice now that simple model and probes of all the data are in `entries`.

        Estimates stay those that were made before anything ran.
        """
        if self.before is not None and self.before.decided:
            self.advice = self._with_estimates(self.before)
            return self.advice
        model = source.backbone.card.id if source else None
        if model != self._of:
            self._foresee(source)
        simple = next((e.trained for e in entries if e.method.name == "simple"), None)
        probe = next(
            (e.trained for e in entries if e.method.name == "probe" and e.model == model), None
        )
        self.scene = replace(self.scene, seconds=seconds)
        self.more = self.more | {"mistakes": self._mistakes(entries)}
        found = self._walked(source, lead(probe, simple, self.scene.data))
        self.advice = self._with_estimates(found.model_copy(update={"decided": True}))
        return self.advice

    def _mistakes(self, entries: Sequence[Entry]) -> int | None:
        """Return the validation examples that the best so far gets wrong."""
        solved = [entry for entry in entries if not entry.method.trains]
        if not solved:
            return None
        data, rows = self.scene.data, self.scene.context(None).validation
        return mistakes(best(solved, data), data, rows)

    def _with_estimates(self, found: Advice) -> Advice:
        kept = ("estimates", "estimated", "assumption", "notes")
        return found.model_copy(update={name: getattr(self.advice, name) for name in kept})

    def weigh(self, folder: Path) -> None:
        """Look at how much lies on disk now; the most counts."""
        disk = size_of(folder) + max(0, size_of(cache_folder() / "features") - self._disk)
        self._most = max(self._most, disk)

    def told(self, entries: Sequence[Entry], folder: Path) -> Advice:
        """Return the advice with what happened so far."""
        self.weigh(folder)
        return happened(
            self.advice, entries, self._clock, float(self._most), self.power, self.asking
        )

    def _foresee(self, source: BackboneFeaturiser | None) -> None:
        self._of = source.backbone.card.id if source else None
        self.costs = Forecasts(self.scene, source)

    def _walked(self, source: BackboneFeaturiser | None, ahead: float | None) -> Advice:
        facts = facts_of(self.scene, source, ahead, self.costs, self.more)
        return walked(facts).model_copy(update={"model": self._of})

    def _estimated(self, advice: Advice) -> Advice:
        plan = planned(
            self.scene, self.sights, self.costs, advice, self.power, self._clock, self._solved
        )
        notes = rare_classes(self.scene.data)
        notes += [f"Training could not be timed: {self.costs.why}"] if self.costs.why else []
        update = {
            "estimates": plan.parts, "estimated": plan.cost, "notes": notes,
            "assumption": self.power.words(self._clock.busy, machine().cores),
        }  # fmt: skip
        return advice.model_copy(update=update)


def shortlist(
    data: Dataset, backbones: list[BackboneFeaturiser], *, seed: int, allow_pickle: bool,
    progress: Progress, say: Callable[[str], None],
) -> list[BackboneFeaturiser]:  # fmt: skip
    """Return the models worth a probe on all the data: of more than PROBED, the first ranked."""
    if len(backbones) <= PROBED:
        return backbones
    ids = {one.backbone.card.id: one for one in backbones}
    try:
        found = rank(
            data, list(ids), seed=seed, allow_pickle=allow_pickle, progress=progress, say=say
        )
    except HeadstartError as error:
        say(f"The models could not be ranked: {' '.join(str(error).split())} All are probed.")
        return backbones
    order = [one.model for one in found.models]
    say(
        f"{len(order)} models ranked on {found.examples} training examples: "
        f"{', '.join(one.title for one in found.models)}. The first {PROBED} are probed on all."
    )
    return [ids[model] for model in order[:PROBED]]


def advise(
    data: Any, *, model: str | Sequence[str] | None = None, budget: str | float = "10m",
    target_domain: Any = None, other_tasks: int | None = None, watts: float = WATTS,
    grid: float = GRID, input: str | None = None, target: Any = None, test: Any = None,
    group: Any = None, task: str | None = None, modality: str | None = None,
    encoding: str = "utf-8", root: Any = None, seed: int = 0, allow_pickle: bool = False,
    progress: Progress | None = None, say: Callable[[str], None] | None = None,
) -> Advice:  # fmt: skip
    """Say how to transfer to `data`, why, and what it will cost, before anything is trained.

    `data` and most options: as `transfer` takes them. `target_domain`: unlabelled examples of where
    the model will be used. `other_tasks`: how many other labelled tasks on such inputs there are.
    `watts` a core and `grid`, grams of CO2 a kWh, are what grams rest on. Reads training data
    alone; test labels stay sealed. Raises a HeadstartError that says what is wrong.
    """
    say, watching = say or (lambda sentence: None), progress or silent
    power = _power(watts, grid)
    if other_tasks is not None and other_tasks < 0:
        raise UsageError(f"--other-tasks must be 0 or more, got {other_tasks}.")
    clock = Budget(seconds_of(budget))
    machine()
    opened = open_dataset(
        data, input=input, target=target, test=test, group=group, task=task, modality=modality,
        encoding=encoding, root=root, seed=seed, progress=watching,
    )  # fmt: skip
    for sentence in opened.facts.said:
        say(sentence)
    splits = opened.splits
    train, own = splits.train, None
    if splits.validation is not None:
        own = np.arange(len(train), len(train) + len(splits.validation))
        train = joined(splits.train, splits.validation)
    found = _models(model, train.inputs.modality, allow_pickle, say)
    found = answering(found, train.inputs, say)
    found = shortlist(
        train, found, seed=seed, allow_pickle=allow_pickle, progress=watching, say=say
    )
    scene = Scene(
        train, own, len(splits.test), found, clock.left, seed, watching, say,
        least_seconds(clock.seconds),
    )  # fmt: skip
    more: dict[str, Fact] = {} if other_tasks is None else {"other_tasks": other_tasks}
    if target_domain is not None:
        if not found:
            raise UsageError(
                "--target-domain needs a model to compare with; name one with --model."
            )
        others = _unlabelled(target_domain, train.inputs.modality, input, encoding, root, watching)
        more["domain_accuracy"] = domain_accuracy(found[0], train.inputs, others, seed=seed)
    advice = Guide(scene, power, more, clock).advice
    asked = {
        "budget": budget, "input": input, "target": target, "test": test, "group": group,
        "task": task, "modality": modality, "encoding": encoding, "root": root, "seed": seed,
        "allow_pickle": allow_pickle,
    }  # fmt: skip
    named = [one.backbone.card.id for one in found] if model else []
    follows = transfer_command(data, named, asked)
    if not found:  # transfer needs one
        follows = f"headstart models --modality {train.inputs.modality}"
    return advice.model_copy(update={"next": follows})


def _unlabelled(
    place: Any, modality: str, column: str | None, encoding: str, root: Any, progress: Progress
) -> Unlabelled:
    """Open the target domain; a text file has an example a line."""
    if modality == "text" and isinstance(place, (str, Path)) and str(place).endswith(".txt"):
        return open_lines(Path(place), encoding=encoding, progress=progress)
    found, _ = open_inputs(
        place, modality=modality, column=column, encoding=encoding, root=root, progress=progress
    )
    return found


def _power(watts: float, grid: float) -> Power:
    for name, value in (("--watts", watts), ("--grid", grid)):
        if not (0 <= value < float("inf")):
            raise UsageError(f"{name} must be a number of 0 or more, got {value!r}.")
    return Power(watts, grid)


def _models(
    named: str | Sequence[str] | None, modality: str, allow_pickle: bool,
    say: Callable[[str], None],
) -> list[BackboneFeaturiser]:  # fmt: skip
    """Load the models, or the starter; [] where there is none, which is an answer too."""
    ids = [named] if isinstance(named, str) else list(named or [])
    found = opened(ids, modality, allow_pickle=allow_pickle, say=say)
    if not found:
        say(f"No model for {modality} is in the package; name one with --model.")
    return [BackboneFeaturiser(backbone) for backbone in found]
