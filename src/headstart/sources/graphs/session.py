"""ONNX Runtime sessions: on the CPU, on the cores of this process, silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.compute.machine import machine
from headstart.errors import ModelError
from headstart.sources.oneline import one_line


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
    # Its fallback would print about a broken graph, and try the same provider again.
    return onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )


def run_session(
    session: Any, names: Sequence[str], feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Return the outputs `names` for contiguous arrays by input name.

    Raises ModelError for what the graph cannot take.
    """
    try:
        found: list[np.ndarray] = session.run(list(names), feeds)
    except Exception as error:  # ONNX Runtime's own kinds, of no common class but this
        given = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in feeds.items())
        raise ModelError(f"The ONNX graph fails on {given}: {one_line(error)}") from None
    return found
