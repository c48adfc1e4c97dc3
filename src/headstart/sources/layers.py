"""Layer-mean pooling: a text model whose embedding is the mean over all its layers.

The last layer of a masked language model serves its own task; the layers before it often serve
others better. For ranking only: a model with this pooling is not saved.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from headstart.errors import UsageError
from headstart.sources.backbone import Backbone

POOLING = "layers"


def layer_mean(backbone: Backbone) -> Backbone:
    """Return the same model with pooling "layers" and a fingerprint of its own.

    Raises UsageError for a model that is no text encoder with hidden states of all layers.
    """
    found: Any = backbone
    kinds = ("mean", "cls", POOLING)
    layers = getattr(
        getattr(getattr(found, "module", None), "config", None), "num_hidden_layers", 0
    )
    if backbone.card.modality != "text" or getattr(found, "pooling", "") not in kinds or not layers:
        raise UsageError(
            f"{backbone.card.id} has no layers to pool over: --pooling layers is for text encoders "
            "of transformers. Leave --pooling out."
        )
    print_of = hashlib.blake2b(f"{found.fingerprint}:{POOLING}".encode(), digest_size=16)
    return replace(found, pooling=POOLING, fingerprint=print_of.hexdigest())  # type: ignore[no-any-return]
