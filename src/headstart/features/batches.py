"""How many examples go through a backbone at once, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headstart.compute.machine import machine
from headstart.data.dataset import Unlabelled
from headstart.sources.backbone import Backbone, Batch

COUNT = 16  # pictures or clips: on a CPU more at once is no faster (measured: 8 to 128 the same)
# A batch of texts, in tokens: what one core keeps near itself. MiniLM, ms of one core a sentence at
# 256, 512, 1,024, 2,048, 4,096: fp32 5.9, 5.5, 5.7, 5.9, 6.5; int8 4.1, 3.6, 3.7, 4.0, 4.4.
TOKENS = 768
TOGETHER = 8  # times as many of both on another device, which runs one batch at a time
TEXTS = 256  # at most
WINDOW = 65536  # texts that are sorted by length together
CHARACTERS = 4  # a token, roughly
SHARE = 1 / 16  # of the machine's memory that activations of one batch may take
LIVE = 4  # activations of the largest size that are there at once: in, out, residual, work space


@dataclass(frozen=True, slots=True)
class Batching:
    """Bounds of one batch: examples, and tokens where examples are texts."""

    count: int = COUNT
    tokens: int = TOKENS

    @classmethod
    def of(cls, backbone: Backbone, sample: Batch) -> Batching:
        """Run one example, and bound batches by the memory that its activations took."""
        one = {name: value[:1] for name, value in sample.items()}
        size = max(1, LIVE * largest(backbone, one))
        room = machine().memory * SHARE / max(1, machine().cores)  # each runs a batch of its own
        length = next(iter(one.values())).shape[-1]  # of a text: tokens
        times = 1 if machine().device == "cpu" else TOGETHER
        return cls(
            count=int(np.clip(room / size, 1, COUNT * times)),
            tokens=int(np.clip(room / size * length, length, TOKENS * times)),
        )


def largest(backbone: Backbone, batch: Batch) -> int:
    """Return the bytes of the largest output of any layer, for `batch`, in float32."""
    measure = getattr(backbone, "activation_bytes", None)
    if measure is not None:  # its layers are not those of a torch module
        return int(measure(batch))
    import torch

    most = 0

    def hook(_module: object, _inputs: object, output: object) -> None:
        nonlocal most
        if isinstance(output, torch.Tensor):
            most = max(most, output.numel() * 4)

    handles = [part.register_forward_hook(hook) for part in backbone.module.modules()]
    device = next(backbone.module.parameters()).device
    try:
        with torch.inference_mode():
            backbone.embed({name: value.to(device) for name, value in batch.items()})
    finally:
        for handle in handles:
            handle.remove()
    return most


def batches(inputs: Unlabelled, rows: np.ndarray, batching: Batching) -> Iterator[np.ndarray]:
    """Cut `rows` into batches; texts of like length stand together, so that little is padded."""
    if inputs.modality != "text":
        for at in range(0, len(rows), batching.count):
            yield rows[at : at + batching.count]
        return
    for at in range(0, len(rows), WINDOW):
        window = rows[at : at + WINDOW]
        lengths = np.asarray([len(str(inputs.items[int(row)])) for row in window])
        order = np.argsort(lengths, kind="stable")
        yield from _by_tokens(window[order], lengths[order] // CHARACTERS + 2, batching.tokens)


def _by_tokens(rows: np.ndarray, tokens: np.ndarray, bound: int) -> Iterator[np.ndarray]:
    """Cut rows, sorted by their tokens, so that no batch has more than `bound` with its padding."""
    start = 0
    for end in range(1, len(rows) + 1):
        last = end == len(rows)
        if last or (end - start + 1) * tokens[end] > bound or end - start == TEXTS:
            yield rows[start:end]
            start = end
