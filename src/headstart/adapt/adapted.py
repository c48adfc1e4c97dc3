"""An adapted model: features and a head. Every candidate and every baseline is one."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from headstart.adapt.adapter import Adapter
from headstart.adapt.featurisers import BackboneFeaturiser, Featuriser, featuriser_from
from headstart.adapt.heads import Head, head_from
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.task import Task
from headstart.errors import RunError

FORMAT = 2  # 1: no adapter that the model needs


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """A model that answers: `scores` are probabilities (n, k), or predictions (n,).

    `adapter`: kept beside the model. One that could be merged is there for the base model's other
    users; one that could not is part of the model.
    """

    name: str
    method: str
    modality: str
    task: Task
    featuriser: Featuriser
    head: Head
    adapter: Adapter | None = None

    def outputs(self, inputs: Unlabelled, *, progress: Progress = silent) -> np.ndarray:
        """Return raw outputs (n, k) float64."""
        return self.head.outputs(self.featuriser.features(inputs, progress=progress))

    def scores(self, inputs: Unlabelled, *, progress: Progress = silent) -> np.ndarray:
        """Return what `Task.kind.activate` makes of the outputs."""
        return self.task.kind.activate(self.outputs(inputs, progress=progress))

    def save(self, folder: Path) -> None:
        """Write model.json, head.safetensors and the features' files; whole, or not at all.

        Raises RunError when the disk is full or the folder cannot be written.
        """
        partial = folder.with_name(f".{folder.name}.partial")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            settings = self.featuriser.save(partial)
            arrays = {name: np.ascontiguousarray(a) for name, a in self.head.arrays().items()}
            save_file(arrays, partial / "head.safetensors")
            if self.adapter is not None:
                self.adapter.save(partial / "adapter")
            about = self._about(settings)
            (partial / "model.json").write_text(
                json.dumps(about, indent=2, ensure_ascii=False), "utf-8"
            )
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        except (OSError, SafetensorError) as error:  # safetensors wraps what the disk says
            shutil.rmtree(partial, ignore_errors=True)
            reason = getattr(error, "strerror", None) or error
            raise RunError(
                f"The model {self.name!r} cannot be written to {folder}: {reason}. "
                "Free some space, or name another folder with --out."
            ) from error

    def _about(self, settings: dict[str, Any]) -> dict[str, Any]:
        needed = self.adapter is not None and not self.adapter.merged
        about: dict[str, Any] = {
            "format": FORMAT if needed else 1,  # what older versions read rightly, they may read
            "name": self.name,
            "method": self.method,
            "modality": self.modality,
            "task": self.task.name,
            "labels": list(self.task.labels),
            "features": {"kind": self.featuriser.kind, **settings},
            "head": {"kind": self.head.kind},
        }
        if self.adapter is not None:
            about["adapter"] = {"kind": self.adapter.kind, "merged": self.adapter.merged}
        return about


def load_adapted(folder: Path) -> Adapted:
    """Load a saved model; no training data and no pickle is needed.

    Raises RunError when the folder is no model, is broken, or of a newer format.
    """
    try:
        about = json.loads((folder / "model.json").read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{folder} has no model.json; name a RUN folder whose run was finished."
        ) from None
    except (ValueError, OSError) as error:
        raise RunError(f"{folder / 'model.json'} cannot be read: {error}.") from None
    if about.get("format", 0) > FORMAT:
        raise RunError(f"{folder} has model format {about['format']}; upgrade headstart.")
    try:
        head = head_from(about["head"]["kind"], load_file(folder / "head.safetensors"))
        features = about["features"]
        featuriser = featuriser_from(features["kind"], folder, features)
        task = Task.of(about["task"], tuple(about["labels"]))
        adapter = None
        if "adapter" in about:
            adapter = Adapter.load(folder / "adapter", merged=bool(about["adapter"]["merged"]))
            if not adapter.merged and isinstance(featuriser, BackboneFeaturiser):
                featuriser = replace(featuriser, backbone=adapter.onto(featuriser.backbone))
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise RunError(f"The model in {folder} is damaged: {error}.") from error
    return Adapted(
        about["name"], about["method"], about["modality"], task, featuriser, head, adapter
    )
