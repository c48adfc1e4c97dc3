"""Validation while a model is trained: what is best so far, and how long nothing was better."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.boundary import Plain, Source
from headstart.adapt.method import Context
from headstart.adapt.objective import embedded
from headstart.adapt.probe import mean_loss
from headstart.adapt.targets import Targets
from headstart.adapt.technique import Blends, Follower
from headstart.compute.machine import torch_device
from headstart.compute.precision import Precision
from headstart.data.task import Task
from headstart.sources.backbone import Backbone

State = dict[str, Tensor]
BATCH = 64  # examples validated at once
TELLING = 60  # validation examples: none of them wrong means below 5 % of errors, at 95 %
FITTED = 256  # training examples that the final model is asked about


class Watch:
    """Validates, keeps the best states, and counts how long there was nothing better.

    `metric`: "error" (then loss), or "loss". `keep`: how many of the best states are kept.
    """

    def __init__(
        self, backbone: Backbone, precision: Precision, context: Context, targets: Targets,
        source: Source, *, metric: str = "error", keep: int = 1,
    ) -> None:  # fmt: skip
        self._backbone, self._precision = backbone, precision
        self._context, self._targets, self._metric, self._keep = context, targets, metric, keep
        self.source = source
        self.follower: Follower | None = None
        self.started = time.perf_counter()
        self.curve: list[dict[str, float]] = []
        self.best: list[tuple[tuple[float, ...], int, State]] = []  # key, step, state
        self.outputs = np.empty((0, context.data.task.outputs))
        self.waited = 0

    @property
    def best_step(self) -> int:
        return self.best[0][1]

    @property
    def flawless(self) -> bool:
        """Whether training has left no validation error: more steps could not be seen to help."""
        if self._metric != "error" or len(self._context.validation) < TELLING or not self.best:
            return False
        key, step, _ = self.best[0]
        return self._context.data.task.name == "classification" and step > 0 and key[0] == 0.0

    def clock(self) -> float:
        """Return the seconds since the examples were ready."""
        return round(time.perf_counter() - self.started, 3)

    def begin(self, model: nn.ModuleDict, frozen: np.ndarray | None) -> None:
        """Measure the model before its first step; on features (n, d) that are known already."""
        rows = self._context.validation
        if frozen is None or not len(rows):
            self.validate(model, 0, float("nan"))
            return
        features = torch.from_numpy(np.ascontiguousarray(frozen[rows], np.float32))
        with torch.inference_mode():
            outputs = model["head"](features.to(torch_device())).cpu().double().numpy()
        self._measure(model, 0, float("nan"), outputs * self._targets.scale + self._targets.centre)

    def validate(
        self, model: nn.ModuleDict, step: int, loss: float,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Measure the model as it is on validation rows; keep its state if it is the best.

        Where weights are followed, these are what is measured and kept, after `prepare`.
        """
        with self._averaged(model, prepare):
            self._measure(model, step, loss)

    def _measure(
        self, model: nn.ModuleDict, step: int, loss: float, outputs: np.ndarray | None = None
    ) -> None:
        rows = self._context.validation
        entry: dict[str, float] = {"step": float(step)} | ({} if np.isnan(loss) else {"loss": loss})
        if not len(rows):  # nothing to choose by: the last state is the best there is
            self.best = [((0.0,), step, _weights(model))]
            if step:
                self.curve.append(entry)
            return
        if outputs is None:
            outputs = self.predict(model, rows)
        key = held_key(outputs, self._context.data.targets[rows], self._context.data.task)
        entry |= {"validation": key[1], "seconds": self.clock()}
        if self._context.data.task.name == "classification":
            entry["accuracy"] = 1.0 - key[0]
        self.curve.append(entry)
        self._judge(key if self._metric == "error" else key[1:], step, model, outputs)

    def _judge(
        self, key: tuple[float, ...], step: int, model: nn.ModuleDict, outputs: np.ndarray
    ) -> None:
        better = not self.best or key < self.best[0][0]
        if better:
            self.outputs, self.waited = outputs, 0
        else:
            self.waited += 1
        if better or len(self.best) < self._keep or key < self.best[-1][0]:
            self.best.append((key, step, _weights(model)))
            self.best = sorted(self.best, key=lambda kept: (kept[0], kept[1]))[: self._keep]

    @contextmanager
    def _averaged(self, model: nn.ModuleDict, prepare: Callable[[], None]) -> Iterator[None]:
        """Put the followed weights into the model for a while."""
        if self.follower is None:
            yield
            return
        before = _weights(model)
        model.load_state_dict(self.follower.weights())
        try:
            prepare()
            yield
        finally:
            model.load_state_dict(before)

    def blended(self, model: nn.ModuleDict, blends: Sequence[Blends]) -> dict[str, Any]:
        """Leave in `model` what is handed over: the best state, or what `blends` make of some."""
        model.load_state_dict(self.best[0][2])
        rows = self._context.validation
        if not blends or not len(rows) or len(self.best) < 2:
            return {}
        outputs = self.outputs

        def key(state: State) -> tuple[float, ...]:
            nonlocal outputs
            model.load_state_dict(state)
            outputs = self.predict(model, rows)
            targets, task = self._context.data.targets[rows], self._context.data.task
            found = held_key(outputs, targets, task)
            return found if self._metric == "error" else found[1:]

        blended, taken = blends[0].blend([state for _, _, state in self.best], key)
        reached = key(blended)
        if len(taken) < 2 or reached > self.best[0][0]:
            model.load_state_dict(self.best[0][2])
            return {"blended": "no better than the best checkpoint"}
        self.outputs = outputs
        return {"blended": [self.best[at][1] for at in taken]}

    def train_accuracy(self, model: nn.ModuleDict, rows: np.ndarray) -> float | None:
        """Return the accuracy of what is handed over on some of the `rows` it was trained on.

        None for other tasks than classification.
        """
        if self._context.data.task.name != "classification":
            return None
        some = rows[:: max(1, len(rows) // FITTED)]
        self.source = Plain(self.source.feed)  # clean examples, whatever front was cached
        found = self.predict(model, some).argmax(axis=1)
        return round(float((found == self._context.data.targets[some]).mean()), 6)

    def predict(self, model: nn.ModuleDict, rows: np.ndarray) -> np.ndarray:
        """Return raw outputs (m, k) of the clean examples at `rows`, in the targets' units."""
        parts = []
        order = rows
        if self.source.feed.lengths is not None:
            order = rows[np.argsort(self.source.feed.length_of(rows), kind="stable")]
        with torch.inference_mode():
            for at in range(0, len(order), BATCH):
                batch = send_to_device(self.source.batch(order[at : at + BATCH]), torch_device())
                features = embedded(self._backbone, batch, self._precision)
                parts.append(model["head"](features).cpu().double().numpy())
        outputs = np.empty((len(rows), self._context.data.task.outputs))
        outputs[np.searchsorted(rows, order)] = np.concatenate(parts)
        return outputs * self._targets.scale + self._targets.centre


def _weights(model: nn.ModuleDict) -> State:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def held_key(outputs: np.ndarray, targets: np.ndarray, task: Task) -> tuple[float, float]:
    """What validation is judged by, smaller is better: (share of errors, loss)."""
    if task.name == "regression":
        loss = float(np.mean((outputs[:, 0] - targets) ** 2))
        return loss, loss
    if task.name == "classification":
        errors = float(np.mean(outputs.argmax(axis=1) != targets))
    else:
        errors = float(np.mean((outputs > 0) != (targets > 0)))
    return errors, mean_loss(outputs, targets, task)


Key = Callable[[State], tuple[float, ...]]
