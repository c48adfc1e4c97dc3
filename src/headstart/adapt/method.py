"""What every way to get a model is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from headstart.adapt.adapted import Adapted
from headstart.adapt.checkpoint import EVERY
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.folds import Folds
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Everything a method may use: training and validation data, never test data.

    `validation`: rows of `data` that gradient methods validate on and do not train on. `seconds`:
    how long a gradient method may train. `source`: frozen features of the backbone; None for
    methods that use no pretrained model. `keep`: a folder for checkpoints, from which a training
    that was killed goes on; `every`: seconds between them.
    """

    data: Dataset
    folds: Folds | None
    validation: np.ndarray
    seed: int
    seconds: float
    source: BackboneFeaturiser | None = None
    progress: Progress = silent
    say: Callable[[str], None] = field(default=lambda sentence: None)
    keep: Path | None = None
    every: float = EVERY

    @property
    def training(self) -> np.ndarray:
        """Rows that gradient methods train on."""
        return np.setdiff1d(np.arange(len(self.data)), self.validation)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """An adapted model with what it was chosen by.

    `outputs` (m, k): raw outputs on rows `rows` (m,) of the context's data, by a fit that did not
    train on them; empty where the data was too small for that.
    """

    adapted: Adapted
    rows: np.ndarray
    outputs: np.ndarray
    seconds: dict[str, float]
    parameters: dict[str, int]  # total and trained
    details: dict[str, Any]

    def held_scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores on `rows`, which must be among `self.rows`."""
        position = {int(row): at for at, row in enumerate(self.rows)}
        picked = np.asarray([position[int(row)] for row in rows], dtype=np.int64)
        return self.adapted.task.kind.activate(self.outputs[picked])


class Method(Protocol):
    """A frozen dataclass whose fields are its configuration.

    `uses_model`: whether it starts from a backbone. `trains`: whether it takes gradient steps (and
    so needs validation rows and time), rather than solving for a head. One that trains may say
    `holds_out = True`: it answers for every example by folds of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def uses_model(self) -> bool: ...

    @property
    def trains(self) -> bool: ...

    def adapt(self, context: Context) -> Trained:
        """Return the adapted model. Neither the context nor the method is changed."""


@runtime_checkable
class Choosy(Protocol):
    """A method that an automatic run leaves out where it does not pay."""

    def unsuited(self, data: Dataset, training: np.ndarray) -> str | None:
        """Return why not, in words that follow "is left out: "; None where it is worth a try.

        `training`: the rows of `data` that are left once validation is set apart.
        """


@runtime_checkable
class Checks(Protocol):
    """A method whose settings may not fit a model or a task, and that knows before it is run."""

    def check(self, context: Context) -> None:
        """Raise what `adapt` would at once. The context's backbone is there, and not changed."""
