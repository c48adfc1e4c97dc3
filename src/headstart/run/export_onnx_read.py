"""An exported ONNX graph that answers: ONNX Runtime on the CPU, and its preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.task import Task
from headstart.errors import RunError
from headstart.run.export_answers import answered
from headstart.sources.oneline import one_line

if TYPE_CHECKING:
    from headstart.run.export_onnx_grown import GrownModel

FILE = "model.onnx"
RAW = {"regression": "prediction"}  # name of the raw outputs, where they are not logits


@dataclass(frozen=True, slots=True, eq=False)
class OnnxModel:
    """An exported graph with its preprocessing, run by ONNX Runtime on the CPU."""

    name: str
    modality: str
    task: Task
    session: Any
    preprocessing: Any
    inputs: tuple[str, ...]
    apart: bool

    def scores(self, inputs: Unlabelled, *, progress: Progress = silent) -> np.ndarray:
        """Return what `Task.kind.activate` makes of the raw outputs (n, k)."""
        return answered(
            self.raw, inputs, self.task, self.preprocessing.spec, name=self.name, progress=progress
        )

    def raw(self, decoded: list[Any]) -> np.ndarray:
        """Return logits or predictions (n, k) float64 of decoded examples."""
        return self.run(decoded, RAW.get(self.task.name, "logits"))

    def run(self, decoded: list[Any], output: str) -> np.ndarray:
        """Return one output of the graph; each clip alone where their padding would be heard."""
        from headstart.sources.graphs.session import run_session

        groups = [[one] for one in decoded] if self.apart else [decoded]
        parts = []
        for group in groups:
            batch = self.preprocessing(group)
            feeds = {name: np.ascontiguousarray(batch[name].numpy()) for name in self.inputs}
            parts.append(run_session(self.session, [output], feeds)[0])
        return np.concatenate(parts).astype(np.float64)


def read(folder: Path, about: dict[str, Any]) -> OnnxModel | GrownModel:
    """Open an export. Raises RunError where it is damaged, MissingExtra without onnxruntime."""
    import torch

    from headstart.sources.architectures import register_all
    from headstart.sources.graphs.read import read_graph
    from headstart.sources.graphs.session import open_session
    from headstart.sources.loading import quiet
    from headstart.sources.preprocess import load_preprocess

    graph = read_graph(folder / FILE).SerializeToString()
    try:
        if about.get("grown"):
            from headstart.run.export_onnx_grown import read_grown

            return read_grown(folder / FILE, about)
        task = Task.of(about["task"], tuple(about["labels"]))
        with quiet():
            register_all()
            made = load_preprocess(about["modality"], folder, SimpleNamespace(), torch.nn.Module())
            session = open_session(graph)
        known = {one.name for one in session.get_inputs()}  # those that the graph has a use for
        inputs = tuple(name for name in about["inputs"] if name in known)
        name, modality, apart = about["name"], about["modality"], bool(about["apart"])
    except Exception as error:  # whatever ONNX Runtime, transformers or a lacking key say
        raise RunError(
            f"The export in {folder} is damaged: {one_line(error)} Export again."
        ) from error
    return OnnxModel(name, modality, task, session, made, inputs, apart)
