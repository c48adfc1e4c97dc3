"""One training on its way: steps, validations, checkpoints, and where it goes on after a kill."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.boundary import Plain, Source, source_for
from headstart.adapt.checkpoint import Checkpoints, Saved
from headstart.adapt.feed import Feed
from headstart.adapt.loop import Diverged, Loss, Phase, Start, Step, train
from headstart.adapt.method import Context
from headstart.adapt.parts import Parts
from headstart.adapt.recalibrate import recalibrate
from headstart.adapt.targets import Targets
from headstart.adapt.technique import Mixes
from headstart.adapt.watch import Watch
from headstart.compute.machine import torch_device
from headstart.compute.randomness import rng_for, seed_for

if TYPE_CHECKING:
    from headstart.adapt.gradient import Training


POINTS = 40  # of the training curve in the record


class Progressing:
    """Runs a plan step by step. Where the context names a folder, a killed run goes on there."""

    def __init__(
        self, training: Training, context: Context, model: nn.ModuleDict, parts: Parts, feed: Feed,
        targets: Targets, watch: Watch,
    ) -> None:  # fmt: skip
        self._training, self._context, self._model = training, context, model
        self._parts, self._feed, self._targets, self._watch = parts, feed, targets, watch
        self._rows = context.training
        self._an_epoch = feed.steps(len(self._rows), training.batch)
        self._checkpoints: Checkpoints | None = None
        self._saved: Saved | None = None
        self._phases: tuple[Phase, ...] = ()
        self._plan: dict[str, Any] = {}
        self._boundaries: dict[str, Any] = {}
        self._made: tuple[int, Source] | None = None  # number of the latest phase, its source
        self._recent: list[float] = []
        self._spent = 0.0  # seconds of training before a kill
        self._moving = 0
        self._losses: list[list[float]] = []  # [step, loss]

    @contextmanager
    def checkpoints(self) -> Iterator[dict[str, Any] | None]:
        """Look for a checkpoint; gives the plan that was made then, None where there is none."""
        if self._context.keep is not None:
            self._checkpoints = Checkpoints(
                self._context.keep, self._key(), self._context.say, self._context.every
            )
            self._saved = self._checkpoints.load()
        yield self._saved.facts["plan"] if self._saved else None

    def _key(self) -> str:
        """Say what is trained, on what and how: only such a checkpoint is taken up."""
        data, training = self._context.data, self._training
        mixed = hashlib.blake2b(digest_size=16)
        for part in (training.name, training.settings, training.backbone.fingerprint):
            mixed.update(f"{part}\0".encode())
        mixed.update(f"{self._context.seed}\0{training.precision}\0".encode())
        for array in (data.inputs.digests, data.targets, self._context.validation):
            mixed.update(np.ascontiguousarray(array).tobytes())
        return mixed.hexdigest()

    def run(
        self, plan: dict[str, Any], phases: tuple[Phase, ...], loss: Loss, spent: float = 0.0
    ) -> str:
        """Train; returns how it ended. `plan` is kept for a resume; `spent` seconds are gone."""
        training, context, watch = self._training, self._context, self._watch
        self._plan, self._spent = plan, spent
        self._phases = tuple(replace(p, loss=loss) for p in phases)
        start = self._resumed()
        total = sum(phase.steps for phase in self._phases)
        if start is None:
            watch.source = self._source(0)  # what is kept for training serves to validate, too
            watch.begin(self._model, training.frozen)
        begun = time.perf_counter() - self._spent  # measuring the pace is no time it had
        seed = seed_for(context.seed, f"dropout/{training.name}")
        number = start.number if start else 0
        with context.progress(training.name, total) as advance:
            advance(number)
            try:
                for step in train(
                    self._model, self._parts, self._phases, self._batches, seed=seed, start=start
                ):
                    advance(1)
                    self._after(step, total)
                    if watch.flawless:
                        return "no validation error left"
                    if watch.waited > training.patience:
                        return "patience"
                    if time.perf_counter() - begun > context.seconds:
                        self._validate(step)
                        return "time"
                    if self._checkpoints and self._checkpoints.due():
                        self._save(step, time.perf_counter() - begun)
            except Diverged as error:
                context.say(f"{training.name} diverged at {error}; the best state before is kept.")
                return f"diverged at {error}"
        return "all steps"

    def _after(self, step: Step, total: int) -> None:
        self._recent.append(step.loss)
        self._losses.append([step.number, step.loss])
        if self._watch.follower is not None:
            self._watch.follower.after(step.number)
        an_epoch = max(1, self._an_epoch // self._accumulate(step))
        if step.number % an_epoch == 0 or step.number == total:
            self._validate(step)

    def _accumulate(self, step: Step) -> int:
        return next(p.accumulate for p in self._phases if p.name == step.phase)

    def _validate(self, step: Step) -> None:
        phase = next(p for p in self._phases if p.name == step.phase)

        def prepare() -> None:
            if phase.norm == "recalibrated":
                recalibrate(
                    self._model, self._parts, phase, self._watch.source,
                    self._feed.seen(self._rows, 0), self._training.batch, self._training.backbone,
                    self._training.precision,
                )  # fmt: skip

        prepare()  # for the weights that go on; once more for their average, if that is kept
        loss = float(np.mean(self._recent or [np.nan]))
        self._watch.validate(self._model, step.number, loss, prepare)
        self._recent = []

    def _batches(self, at: int, used: int) -> Iterator[tuple[Any, Tensor]]:
        """Return batches of phase `at`, from the one after `used`; each epoch has its own order.

        The order is a function of seed, phase and epoch alone, so that it can be taken up anywhere.
        """
        phase = self._phases[at]
        self._moving = self._moved(at)
        self._watch.source = source = self._source(at)
        return self._endless(phase, source, *divmod(used, self._an_epoch))

    def _endless(
        self, phase: Phase, source: Source, epoch: int, skipped: int
    ) -> Iterator[tuple[Any, Tensor]]:
        name = f"batches/{self._training.name}/{phase.name}"
        while True:
            rng = rng_for(self._context.seed, f"{name}/{epoch}")
            seen = self._feed.seen(self._rows, epoch)
            chosen = self._feed.epoch(seen, self._training.batch, rng=rng)
            for batch in islice(chosen, skipped, None):
                own = torch.from_numpy(batch % len(self._context.data))
                pair = source.batch(batch), self._targets.values[own]
                yield send_to_device(pair, torch_device())
            epoch, skipped = epoch + 1, 0

    def _moved(self, at: int) -> int:
        """Return how many parameters have moved up to phase `at`, itself included."""
        names = {
            name for phase in self._phases[: at + 1] for part in phase.rates
            for name in self._parts.parameters(part)
        }  # fmt: skip
        sizes = dict(self._model.named_parameters())
        return sum(sizes[name].numel() for name in names)

    def _source(self, at: int) -> Source:
        """Return where batches of phase `at` come from; the one of the latest phase is kept."""
        if self._made is None or self._made[0] != at:
            self._made = None  # its memory is free before the next one is made
            self._made = (at, self._source_of(self._phases[at]))
        return self._made[1]

    def _source_of(self, phase: Phase) -> Source:
        """Return batches from the first block that moves on, where that goes."""
        feed, seen = self._feed, self._feed.every_view(self._rows)
        if any(t.whole for t in self._training.techniques if isinstance(t, Mixes)):
            return Plain(feed)
        moving = self._parts.in_backbone(phase.rates)
        rows = np.concatenate([seen, self._context.validation]) if len(seen) else seen
        source, about = source_for(
            feed, self._training.backbone, moving, rows,
            lambda stage: self._context.progress(f"frozen part before {stage}", len(rows)),
        )  # fmt: skip
        self._boundaries.update({phase.name: about} if about else {})
        return source

    def _save(self, step: Step, spent: float) -> None:
        assert self._checkpoints is not None
        at = next(i for i, phase in enumerate(self._phases) if phase.name == step.phase)
        watch = self._watch
        facts = {
            "plan": self._plan, "phase": at, "index": step.index + 1, "number": step.number,
            "recent": self._recent, "curve": watch.curve, "waited": watch.waited, "spent": spent,
            "best": [(key, number) for key, number, _ in watch.best],
            "boundaries": self._boundaries, "losses": self._losses,
        }  # fmt: skip
        groups = {
            "model": self._model.state_dict(),
            "optimiser": _flat(step.optimiser.state_dict()),
            "outputs": {"outputs": torch.from_numpy(watch.outputs)},
        }
        groups |= {f"best@{number}": state for _, number, state in watch.best}
        if watch.follower is not None:
            groups["follower"] = watch.follower.state()
        self._checkpoints.save(step.number, facts, groups)

    def _resumed(self) -> Start | None:
        """Put everything back as it was; None where the training begins."""
        saved, watch = self._saved, self._watch
        if saved is None:
            return None
        facts, groups = saved.facts, saved.groups
        self._model.load_state_dict(groups["model"])
        self._recent, self._spent = facts["recent"], facts["spent"]
        self._boundaries, self._losses = facts["boundaries"], facts["losses"]
        watch.curve, watch.waited = facts["curve"], facts["waited"]
        watch.outputs = groups["outputs"]["outputs"].numpy()
        watch.best = [
            (tuple(key), number, groups[f"best@{number}"]) for key, number in facts["best"]
        ]
        watch.started -= self._spent
        if watch.follower is not None:
            watch.follower.resume(groups["follower"])
        self._context.say(
            f"{self._training.name} goes on after step {facts['number']}, from its checkpoint."
        )
        return Start(facts["phase"], facts["index"], facts["number"], groups.get("optimiser", {}))

    def facts(self, ended: str, threads: int) -> dict[str, Any]:
        """Return what the record says of the training."""
        watch, training = self._watch, self._training
        total = sum(phase.steps for phase in self._phases)
        return {
            "steps": int(watch.curve[-1]["step"]) if watch.curve else 0,
            "steps_planned": total,
            "steps_an_epoch": self._an_epoch,
            "threads": threads,
            "precision": str(training.precision),
            "batch": training.batch,
            "ended": ended,
            "phases": [{"name": p.name, "steps": p.steps, "rates": p.rates} for p in self._phases],
            "schedule": [_written(phase, total) for phase in self._phases],
            "boundaries": self._boundaries,
            "curve": watch.curve,
            "losses": _means(self._losses),
            "train_accuracy": watch.train_accuracy(self._model, self._rows),
            "best_step": watch.best_step,
            "moving": self._moving,
        }


def _written(phase: Phase, total: int) -> dict[str, Any]:
    """Return a phase as a recipe has it: its share of the steps in place of their number."""
    return {
        "name": phase.name, "share": round(phase.steps / total, 6), "rates": dict(phase.rates),
        "shape": phase.shape, "warm_up": phase.warm_up, "norm": phase.norm,
    }  # fmt: skip


def _means(losses: list[list[float]]) -> list[dict[str, float]]:
    """Return at most POINTS means of neighbouring losses, each at its last step."""
    width = max(1, -(-len(losses) // POINTS))
    parts = [losses[at : at + width] for at in range(0, len(losses), width)]
    return [
        {"step": part[-1][0], "loss": round(float(np.mean([one[1] for one in part])), 6)}
        for part in parts
    ]


def _flat(state: dict[str, Any]) -> dict[str, Tensor]:
    """Return an optimiser's moments and counts as named tensors."""
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, entry in state["state"].items()
        for name, value in entry.items()
    }
