"""ONNX Runtime sessions: on the CPU, on the cores of this process, silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.compute.machine import machine


def open_session(graph: bytes, *, plain: bool = False) -> Any:
    """Return an InferenceSession. `plain`: without optimisation, for one run of everything.

    Raises whatever ONNX Runtime raises for a graph that it cannot run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine().cores
    options.log_severity_level = 4
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run_session(
    session: Any, names: Sequence[str], feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Return the outputs `names` for contiguous arrays by input name."""
    found: list[np.ndarray] = session.run(list(names), feeds)
    return found
