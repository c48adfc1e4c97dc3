"""Where features come from: a backbone, hand-made rules, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse

from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.modality import InputSpec, SimpleFeatures, modality
from headstart.errors import RunError
from headstart.features.extract import Extractor
from headstart.sources import reopen
from headstart.sources.backbone import Backbone

CHUNK = 256  # examples decoded at once for hand-made features
FIT_SAMPLE = 512  # images or clips that hand-made features are fitted on


class Featuriser(Protocol):
    """Unlabelled examples to features (n, d): a float32 array, or CSR."""

    kind: ClassVar[str]

    def features(self, inputs: Unlabelled, *, progress: Progress = silent) -> Any:
        """Return features, one row an example."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write what `load` needs into `folder`; returns JSON-able settings."""


@dataclass(frozen=True, slots=True, eq=False)
class BackboneFeaturiser:
    """Embeddings of a frozen backbone, through the store."""

    backbone: Backbone
    unchanged: bool = True  # the weights are those of the origin: its files may be copied
    engine: str | None = None
    title: str = ""  # what results of this backbone are called
    extractor: Extractor = field(init=False)
    kind: ClassVar[str] = "backbone"

    def __post_init__(self) -> None:
        extractor = Extractor(self.backbone, engine=self.engine)
        object.__setattr__(self, "extractor", extractor)
        object.__setattr__(self, "title", self.title or self.backbone.card.title)

    def features(self, inputs: Unlabelled, *, progress: Progress = silent) -> np.ndarray:
        return self.extractor.table(inputs, progress=progress).features

    def save(self, folder: Path) -> dict[str, Any]:
        self.backbone.save(folder / "backbone", unchanged=self.unchanged)
        card = self.backbone.card
        return {"model": card.id, "engine": self.extractor.engine, "width": self.backbone.width}

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> BackboneFeaturiser:
        backbone = reopen(folder / "backbone", id=settings["model"])
        return cls(backbone, engine=settings.get("engine"))

    def facts(self) -> dict[str, Any]:
        """Return what the record says of how features were made; {} before the first were."""
        found: dict[str, Any] = {}
        if self.extractor.engine and self.extractor.agreement is not None:
            found = {"engine": self.extractor.engine, "agreement": self.extractor.agreement}
        if self.extractor.refused:
            found["engines_refused"] = self.extractor.refused
        if self.extractor.measured:
            found["engines_milliseconds"] = self.extractor.measured
        return found


@dataclass(frozen=True, slots=True, eq=False)
class SimpleFeaturiser:
    """Hand-made features of a modality."""

    modality: str
    fitted: SimpleFeatures
    kind: ClassVar[str] = "simple"

    @classmethod
    def fit(cls, inputs: Unlabelled, *, rng: np.random.Generator) -> SimpleFeaturiser:
        """Fit on training examples: all texts, or a sample of images and clips."""
        rows = np.arange(len(inputs))
        if inputs.modality != "text" and len(rows) > FIT_SAMPLE:
            rows = np.sort(rng.choice(rows, FIT_SAMPLE, replace=False))
        kind = modality(inputs.modality)
        decoded = [kind.decode(inputs.items[int(row)], InputSpec()) for row in rows]
        return cls(inputs.modality, kind.fit_simple(decoded))

    def features(self, inputs: Unlabelled, *, progress: Progress = silent) -> Any:
        decode = modality(self.modality).decode

        def chunk(start: int) -> Any:
            items = [inputs.items[row] for row in range(start, min(start + CHUNK, len(inputs)))]
            return self.fitted.transform([decode(item, InputSpec()) for item in items])

        parts: list[Any] = []
        starts = range(0, len(inputs), CHUNK)
        with (
            ThreadPoolExecutor(max(1, machine().cores)) as pool,
            progress(f"hand-made features ({self.fitted.name})", len(inputs)) as advance,
        ):
            for part in pool.map(chunk, starts):
                parts.append(part)
                advance(part.shape[0])
        return _stacked(parts)

    def save(self, folder: Path) -> dict[str, Any]:
        settings, arrays = self.fitted.state()
        if arrays:
            save_file(
                {name: np.ascontiguousarray(a) for name, a in arrays.items()},
                folder / "features.safetensors",
            )
        (folder / "features.json").write_text(json.dumps(settings, ensure_ascii=False), "utf-8")
        return {"modality": self.modality}

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> SimpleFeaturiser:
        arrays_file = folder / "features.safetensors"
        arrays = load_file(arrays_file) if arrays_file.exists() else {}
        state = json.loads((folder / "features.json").read_text("utf-8"))
        kind = modality(settings["modality"])
        return cls(settings["modality"], kind.simple_from_state(state, arrays))


@dataclass(frozen=True, slots=True, eq=False)
class Nothing:
    """No features: for heads that give every example the same answer."""

    kind: ClassVar[str] = "nothing"

    def features(self, inputs: Unlabelled, *, progress: Progress = silent) -> np.ndarray:
        return np.zeros((len(inputs), 0), np.float32)

    def save(self, folder: Path) -> dict[str, Any]:
        return {}

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> Nothing:
        return cls()


BUILTIN = (BackboneFeaturiser, SimpleFeaturiser, Nothing)


def featuriser_from(kind: str, folder: Path, settings: dict[str, Any]) -> Featuriser:
    """Rebuild a featuriser that was saved in `folder`. Raises RunError for an unknown kind."""
    for known in BUILTIN:
        if known.kind == kind:
            return known.load(folder, settings)
    raise RunError(f"{folder} has features of kind {kind!r}; this version does not know them.")


def _stacked(parts: Sequence[Any]) -> Any:
    if sparse.issparse(parts[0]):
        return sparse.vstack(parts, format="csr")
    return np.concatenate(parts)
