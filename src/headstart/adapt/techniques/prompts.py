"""Learned vectors in front of every text: at the word embeddings, or at every block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.adapt import prompting
from headstart.adapt.adapter import Adapter
from headstart.adapt.parts import Part, moving_modules
from headstart.adapt.technique import Reshaped, Setting
from headstart.errors import UsageError

SPREAD = 0.02  # standard deviation of a block's vectors at the start


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """Learn `tokens` word embeddings that stand before every text (Lester et al., EMNLP 2021).

    They start as the embeddings of words drawn at random. Pooling ignores them. Texts are cut so
    many tokens earlier. They cannot be merged: the model is saved with them beside it.
    """

    tokens: int = 10
    name = "prompt"

    def __post_init__(self) -> None:
        _check(self.tokens)

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        return _reshaped(module, setting, self.tokens, self.name, deep=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix:
    """Learn `tokens` vectors that stand before the text at every block, anew at each.

    Keys and values of the prefix are the block's own projections of them: deep prompts (P-tuning
    v2, Liu et al., ACL 2022; cf. prefix tuning, Li and Liang, ACL 2021). Otherwise as "prompt".
    """

    tokens: int = 10
    name = "prefix"

    def __post_init__(self) -> None:
        _check(self.tokens)

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        return _reshaped(module, setting, self.tokens, self.name, deep=True)


def _check(tokens: object) -> None:
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        raise ValueError(f"tokens must be a whole number >= 1, got {tokens!r}.")


def _reshaped(
    module: nn.Module, setting: Setting, tokens: int, name: str, *, deep: bool
) -> Reshaped:
    backbone, card = setting.backbone, setting.backbone.card
    if card.modality != "text" or not prompting.can_take(module):
        raise UsageError(
            f"{name!r} puts vectors before a text; {card.id} is a model of {card.modality}"
            f"{' that takes no embeddings' if card.modality == 'text' else ''}. Take 'lora'."
        )
    if hasattr(module, prompting.NAME):
        raise UsageError(f"{name!r} cannot go with another prompt; name one of them.")
    blocks = prompting.blocks_of(backbone) if deep else []
    if deep and len(blocks) < 2:
        raise UsageError(f"{card.id} has no blocks that 'prefix' could go to; take 'prompt'.")
    vectors = _drawn(module, tokens, len(blocks), setting.seed)
    prompting.put(module, backbone, vectors)
    try:
        short = prompting.shortened(backbone, tokens)
        with torch.no_grad():
            short.embed(short.preprocess(["one plain sentence", "one"]))
    except Exception as error:  # any model code may stand in the way
        raise UsageError(f"{card.id} cannot take {name!r}: {error}") from None
    own = (f"{prompting.NAME}.vectors",)
    modules = moving_modules(backbone, [p for s in backbone.stages for p in s.parameters])
    return Reshaped(
        parts={name: Part(own, modules, decay=False)}, instead=True, tokens=tokens,
        adapter=lambda trained: taken_out(trained, tokens, card.id, deep=deep),
        facts={f"{name}_tokens": tokens},
    )  # fmt: skip


def _drawn(module: Any, tokens: int, blocks: int, seed: int) -> Tensor:
    table: Tensor = module.get_input_embeddings().weight.detach()
    rng = torch.Generator().manual_seed(seed)
    if not blocks:
        return table[torch.randint(len(table), (tokens,), generator=rng)][None].clone()
    return torch.randn(blocks, tokens, table.shape[1], generator=rng) * SPREAD


def taken_out(module: Any, tokens: int, base: str, *, deep: bool) -> Adapter:
    """Return the vectors as peft writes a prompt; a prefix alike, its blocks side by side."""
    vectors = getattr(module, prompting.NAME).vectors.detach().cpu()
    config = module.config
    flat = vectors.transpose(0, 1).reshape(tokens, -1)
    about = {
        "peft_type": "HEADSTART_PREFIX" if deep else "PROMPT_TUNING",
        "task_type": "FEATURE_EXTRACTION", "base_model_name_or_path": base,
        "num_virtual_tokens": tokens, "token_dim": int(vectors.shape[2]),
        "num_layers": len(vectors) if deep else int(config.num_hidden_layers),
        "num_attention_heads": int(config.num_attention_heads),
        "num_transformer_submodules": 1, "inference_mode": True,
    }  # fmt: skip
    if not deep:
        about["prompt_tuning_init"] = "RANDOM"
    return Adapter(about, {prompting.KEY: flat.float().numpy().copy()}, merged=False)
