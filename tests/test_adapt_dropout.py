"""Dropout of the pretraining is off in every family, wherever its forward draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import headstart.sources as sources
from headstart.adapt.finetune import without_dropout
from headstart.adapt.loop import batch_norms
from sources_for_tests import FAMILIES, examples, write_model

pytestmark = pytest.mark.usefixtures("one_core")

SHARES = (  # what configurations call it: layers, and what is handed to functional dropout
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout",
    "activation_dropout", "hidden_dropout", "feat_proj_dropout", "embd_pdrop", "attn_pdrop",
    "resid_pdrop", "dropout_rate", "mlp_dropout", "embedding_dropout", "layerdrop",
    "encoder_layerdrop",
)  # fmt: skip
WITHOUT = ("mobilenet_v1", "mobilenet_v2", "resnet", "convnext")  # they have none


def loud(family: str) -> dict[str, Any]:
    """Return settings of a model that drops half of everything it can."""
    import transformers

    _, name, given = FAMILIES[family]
    if family == "clip":
        return {part: {**own, "attention_dropout": 0.5} for part, own in given.items()}
    config = getattr(transformers, name)(**given)
    return {share: 0.5 for share in SHARES if hasattr(config, share)}


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in WITHOUT])
def test_no_dropout_is_left_in_moving_stages(family: str, tmp_path: Path) -> None:
    """Twice the same in training mode, and the same as in evaluation mode."""
    backbone = sources.load(str(write_model(tmp_path / family, family, **loud(family))))
    batch = backbone.preprocess(examples(backbone.card.modality))

    def embedded(seed: int, *, training: bool) -> torch.Tensor:
        backbone.module.eval()
        for stage in backbone.stages if training else ():  # as the loop does it
            for name in stage.modules:
                backbone.module.get_submodule(name).train()
        for norm in batch_norms(backbone.module):
            norm.eval()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            return backbone.embed(batch)

    plain = embedded(0, training=False)
    if family != "swin":  # whose stochastic depth is no dropout, and stays
        assert not torch.equal(embedded(0, training=True), embedded(1, training=True))
    without_dropout(backbone.module)
    if family == "swin":
        for part in backbone.module.modules():
            if "droppath" in type(part).__name__.lower():
                part.eval()
                part.drop_prob = 0.0  # type: ignore[assignment]
    torch.testing.assert_close(
        embedded(0, training=True), embedded(1, training=True), rtol=0, atol=0
    )
    torch.testing.assert_close(embedded(0, training=True), plain, rtol=1e-5, atol=1e-6)
