"""What engines share that run a trace of `embed`: the traced module, silence, and a check.

A trace keeps what Python decided for the sample. So every such engine tries a batch of another
shape before it is used.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.sources.backbone import Backbone, Batch

if TYPE_CHECKING:
    from torch import nn

SAME = 0.995  # cosine, for a batch of another shape than the one that was traced


def traceable(backbone: Backbone) -> bool:
    """Whether a trace of `embed` can hold for other batches.

    Not for models that loop over the lengths in a batch, and not for audio, where a trace keeps
    the sample's number of frames or patches while clips have others; nor for a model that is no
    torch module.
    """
    by_length = getattr(backbone, "by_length", False)
    return backbone.trainable and not by_length and backbone.card.modality != "audio"


def embedding_module(backbone: Backbone, names: tuple[str, ...]) -> nn.Module:
    """Return `embed` as a module in eval mode that takes the tensors of a batch in that order."""
    import torch

    class Embed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = backbone.module

        def forward(self, *values: Any) -> Any:
            return backbone.embed(dict(zip(names, values, strict=True)))

    return Embed().eval()


def eagerly(backbone: Backbone, batch: Batch) -> np.ndarray:
    """Return the features (n, d) that torch gives."""
    import torch

    with torch.inference_mode():
        features: np.ndarray = backbone.embed(batch).float().numpy()
    return features


def check_other_shape(backbone: Backbone, batch: Batch, run: Callable[[Batch], np.ndarray]) -> None:
    """Raise ValueError unless one example without padding has the features that eager gives."""
    one = {name: value[:1] for name, value in batch.items()}
    mask = batch.get("attention_mask")
    if mask is not None and mask.ndim == 2:
        lengths = mask.sum(1)
        row, length = int(lengths.argmin()), int(lengths.min())
        one = {
            name: value[row : row + 1, :length] if value.shape[:2] == mask.shape else
            value[row : row + 1] for name, value in batch.items()
        }  # fmt: skip
    found, expected = run(one)[0], eagerly(backbone, one)[0]
    cosine = float(found @ expected / max(np.linalg.norm(found) * np.linalg.norm(expected), 1e-12))
    if not cosine >= SAME:
        raise ValueError(f"cosine {cosine:.3f} with float32 on a batch of another shape")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Hush warnings of every size that Python reads in tracing: the check is there for them."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
