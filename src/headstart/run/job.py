"""One run on its way, and the record of what there is so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import headstart
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.compute.budget import Budget
from headstart.compute.machine import machine
from headstart.compute.progress import Progress
from headstart.data.dataset import Dataset, joined
from headstart.data.load import Opened
from headstart.recipe import Recipe
from headstart.records import Result, RunRecord, Status
from headstart.run.advising import Guide
from headstart.run.choosing import Entry, validation_of
from headstart.run.folder import RunFolder
from headstart.run.remedy import diagnosis_of


@dataclass(slots=True)
class Job:
    """One run on its way; `walk` takes it through the stages."""

    recipe: Recipe
    folder: RunFolder
    opened: Opened
    backbones: list[BackboneFeaturiser]
    progress: Progress
    tell: Callable[[str], None]
    budget: Budget
    created: str
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    guide: Guide | None = None  # of an automatic run
    data: Dataset = field(init=False)  # all that may be learned from
    own_validation: np.ndarray | None = field(init=False, default=None)  # its rows in `data`

    def __post_init__(self) -> None:
        splits = self.opened.splits
        self.data = splits.train
        if splits.validation is not None:
            first = len(splits.train)
            self.own_validation = np.arange(first, first + len(splits.validation))
            self.data = joined(splits.train, splits.validation)

    def say(self, sentence: str) -> None:
        """Tell the person, and note it in the record."""
        self.mention(sentence)
        self.notes.append(sentence)

    def mention(self, sentence: str) -> None:
        """Tell the person what stands in the record elsewhere, and so need not be noted there."""
        self.tell(sentence)
        self.folder.log("note", text=sentence)

    def record(self, status: Status, **more: Any) -> RunRecord:
        """Return the record of what there is now."""
        task = self.opened.splits.train.task
        facts: dict[str, Any] = {
            "headstart": headstart.__version__,
            "status": status,
            "created": self.created,
            "seconds": round(self.budget.spent, 3),
            "seed": self.recipe.seed,
            "task": task.name,
            "labels": list(task.labels),
            "primary_metric": task.kind.metrics[0],
            "data": self.opened.facts,
            "results": [self._result(entry) for entry in self.entries],
            "machine": machine().facts() | {"engines": self._engines()},
            "notes": self.notes,
            "advice": self.guide.told(self.entries, self.folder.path) if self.guide else None,
        }
        return RunRecord(**(facts | more))

    def _engines(self) -> dict[str, Any]:
        return {
            f.backbone.card.id: {"engine": f.extractor.engine, "agreement": f.extractor.agreement}
            for f in self.backbones
            if f.extractor.engine
        }

    def _origin(self, model: str | None) -> dict[str, str]:
        """Return what the model card must say of the pretrained model, where it is known."""
        cards = (featuriser.backbone.card for featuriser in self.backbones)
        for card in cards:
            if card.id == model:
                facts = {"licence": card.licence, "language": card.language,
                         "pretrained_on": card.pretrained_on}  # fmt: skip
                return {name: value for name, value in facts.items() if value}
        return {}

    def _result(self, entry: Entry) -> Result:
        trained = entry.trained
        featuriser = trained.adapted.featuriser
        # Known once it predicted, of a result that was taken from disk too.
        made = featuriser.facts() if isinstance(featuriser, BackboneFeaturiser) else {}
        if entry.role == "candidate":
            made |= self._origin(entry.model)
        return Result(
            name=entry.name,
            role="candidate" if entry.role == "candidate" else "baseline",
            model=entry.model,
            method=trained.adapted.method,
            validation=validation_of(entry, self.data),
            seconds={name: round(s, 4) for name, s in trained.seconds.items()},
            parameters=trained.parameters,
            details={k: v for k, v in trained.details.items() if k != "losses"} | made,
            diagnosis=diagnosis_of(trained, self.data),
        )
