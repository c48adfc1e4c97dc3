"""Learned scales of keys, values and hidden activations, merged into the weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from headstart.adapt.peft_layers import injected, library, targets
from headstart.adapt.technique import Reshaped, Setting
from headstart.adapt.techniques.lora import check_save
from headstart.errors import UsageError

SCALED = {"key", "k_proj", "k_lin", "k", "key_proj", "value", "v_proj", "v_lin", "v", "value_proj"}
FUSED = {"c_attn", "query_key_value", "qkv", "Wqkv", "in_proj"}  # queries are scaled with them


@dataclass(frozen=True, kw_only=True, slots=True)
class Ia3:
    """Scale keys, values and what the feed-forward layer shrinks (Liu et al., NeurIPS 2022).

    Found by names (keys, values) and by shape (layers with fewer outputs than inputs, outside of
    attention); in a convolutional network, the outputs of convolutions. `save`: as for "lora".
    Needs headstart[peft].
    """

    save: str = "merged"
    name = "ia3"

    def __post_init__(self) -> None:
        check_save(self.save)

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        names = targets(module, setting, "auto", self.name)
        scaled = [n for n in names if n.rpartition(".")[2] in SCALED | FUSED]
        forward = [n for n in names if n not in scaled and _shrinks(module.get_submodule(n))]
        if not scaled:
            scaled = [n for n in names if isinstance(module.get_submodule(n), nn.Conv2d)]
            forward = [n for n in forward if n not in scaled]
        if not scaled and not forward:
            raise UsageError(
                f"{setting.backbone.card.id} has neither keys, values nor feed-forward layers that "
                f"{self.name!r} knows; take 'lora'."
            )
        config = library().IA3Config(
            target_modules=[*scaled, *forward], feedforward_modules=forward,
            task_type="FEATURE_EXTRACTION",
        )  # fmt: skip
        return injected(
            module, setting, config, self.name, keep=self.save == "adapter", decay=False
        )


def _shrinks(layer: nn.Module) -> bool:
    """Whether a linear layer has fewer outputs than inputs; GPT-2's weights lie transposed."""
    if isinstance(layer, nn.Conv2d):
        return False
    outputs, inputs = layer.weight.shape if isinstance(layer, nn.Linear) else layer.weight.T.shape  # type: ignore[union-attr,operator,misc]
    return bool(outputs < inputs)
