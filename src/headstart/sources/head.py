"""The head that a model was pretrained with, where its answers can be had from the features.

LEEP and NCE need the probabilities of the source classes. Features are extracted once, so the head
is used only where it is linear in them; that is checked by running the whole model once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from headstart.sources.backbone import Backbone
from headstart.sources.random import NOTE

if TYPE_CHECKING:
    from torch import nn

HEADED = ("ForImageClassification", "ForAudioClassification", "ForSequenceClassification")
AGREE = 1e-3  # of the largest output, by which the head may differ from the whole model


@dataclass(frozen=True, slots=True, eq=False)
class SourceHead:
    """A linear head: `weights` (z, d), `bias` (z,), over z source classes."""

    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities (n, z) of the source classes for features (n, d)."""
        found: np.ndarray = softmax(features @ self.weights.T + self.bias, axis=1)
        return found


def source_head(backbone: Backbone) -> SourceHead | None:
    """Return the source head of a model, None where it has none that is linear in its features.

    Heads of multi-label models count as none: their answers are no distribution over classes.
    """
    origin = getattr(backbone, "origin", None)
    config = getattr(getattr(backbone, "whole", None), "config", None)
    names = getattr(config, "architectures", None) or [""]
    if origin is None or config is None or backbone.card.note == NOTE:
        return None
    multi = getattr(config, "problem_type", None) == "multi_label_classification"
    if multi or not str(names[0]).endswith(HEADED):
        return None
    try:
        whole = _whole(str(names[0]), origin)
    except Exception:  # whatever transformers raises for files that lack a head: there is none
        return None
    last = _last_linear(whole, int(config.num_labels), backbone.width)
    if last is None or not _agrees(whole, last, backbone):
        return None
    bias = last.bias if last.bias is not None else last.weight.new_zeros(len(last.weight))
    return SourceHead(last.weight.detach().numpy().copy(), bias.detach().numpy().copy())


def _whole(name: str, origin: Any) -> nn.Module:
    """Load the model with its head. Raises where the weights lack a tensor of it."""
    import torch
    import transformers

    from headstart.sources.loading import quiet

    with quiet():
        model, report = getattr(transformers, name).from_pretrained(
            origin, dtype=torch.float32, local_files_only=True, trust_remote_code=False,
            use_safetensors=True, output_loading_info=True,
        )  # fmt: skip
    if report["missing_keys"]:
        raise LookupError(f"{origin} has no head")
    whole: nn.Module = model.eval()
    return whole


def _last_linear(model: nn.Module, classes: int, width: int) -> Any:
    from torch import nn

    found = [part for part in model.modules() if isinstance(part, nn.Linear)]
    fits = [p for p in found if p.out_features == classes and p.in_features == width]
    return fits[-1] if fits else None


def _agrees(whole: nn.Module, head: Any, backbone: Any) -> bool:
    """Whether the head on our features says what the whole model says, for one example."""
    import torch

    batch = backbone.preprocess([backbone.preprocessing.example])
    with torch.inference_mode():
        ours = head(backbone.embed(batch).float())
        theirs = whole(**{k: v for k, v in batch.items() if k in backbone.accepts}).logits
    if ours.shape != theirs.shape:
        return False
    return bool((ours - theirs).abs().max() <= AGREE * theirs.abs().max().clamp_min(1e-6))
