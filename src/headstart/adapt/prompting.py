"""Learned vectors in front of a text: inside the module, so that pooling never sees them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.sources.backbone import Backbone

NAME = "headstart_prompts"  # of the submodule that holds the vectors
SHORTEST = 8  # tokens of text that a prompt must leave room for
KEY = "prompt_embeddings"  # peft's name in the adapter's file


class Prompts(nn.Module):
    """Vectors (b, p, d) that stand before every text.

    b = 1: in front of the word embeddings. Otherwise one set a block, which takes the place of
    what the block before made of its own.
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    @property
    def count(self) -> int:
        return int(self.vectors.shape[1])

    def enter(self, module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Replace ids by embeddings with the vectors in front, and lengthen the masks."""
        ids = kwargs["input_ids"]
        words = module.get_input_embeddings()(ids)
        first = self.vectors[0] if len(self.vectors) == 1 else torch.zeros_like(self.vectors[0])
        changed = {name: value for name, value in kwargs.items() if name != "input_ids"}
        changed["inputs_embeds"] = torch.cat([_each(first, words), words], dim=1)
        mask = kwargs.get("attention_mask")
        mask = torch.ones_like(ids) if mask is None else mask
        changed["attention_mask"] = torch.cat(
            [mask.new_ones(ids.shape[0], self.count), mask], dim=1
        )
        types = kwargs.get("token_type_ids")
        if types is not None:
            zeros = types.new_zeros(ids.shape[0], self.count)
            changed["token_type_ids"] = torch.cat([zeros, types], dim=1)
        return args, changed

    def leave(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Take the vectors' places out of the last hidden state."""
        output.last_hidden_state = output.last_hidden_state[:, self.count :]
        return output


class Renewed:
    """Puts a block's own vectors at the first places of what comes into it."""

    def __init__(self, prompts: Prompts, block: int) -> None:
        self.prompts, self.block = prompts, block

    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        name = next(iter(kwargs), "")
        hidden: Tensor = args[0] if args else kwargs[name]
        own = _each(self.prompts.vectors[self.block], hidden)
        hidden = torch.cat([own, hidden[:, self.prompts.count :]], dim=1)
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, name: hidden})


def _each(vectors: Tensor, like: Tensor) -> Tensor:
    return vectors.to(like.dtype).expand(like.shape[0], *vectors.shape)  # a trace keeps `len`


def blocks_of(backbone: Backbone) -> list[str]:
    """Return the names of the modules that are the blocks."""
    return [stage.modules[0] for stage in backbone.stages if stage.name.startswith("block.")]


def can_take(module: nn.Module) -> bool:
    """Whether the model takes embeddings in place of ids."""
    return "inputs_embeds" in inspect.signature(module.forward).parameters


def put(module: nn.Module, backbone: Backbone, vectors: Tensor) -> None:
    """Put vectors (b, p, d) into `module`: b is 1, or the number of blocks."""
    prompts = Prompts(vectors)
    module.add_module(NAME, prompts)
    module.register_forward_pre_hook(prompts.enter, with_kwargs=True)
    module.register_forward_hook(prompts.leave)
    if len(vectors) > 1:
        for block, name in enumerate(blocks_of(backbone)):
            hook = Renewed(prompts, block)
            module.get_submodule(name).register_forward_pre_hook(hook, with_kwargs=True)


def attach(
    module: nn.Module, backbone: Backbone, config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
) -> None:  # fmt: skip
    """Put saved vectors in. Raises ValueError where they do not fit."""
    flat = torch.from_numpy(tensors[KEY].copy())
    layers = int(config["num_layers"]) if config["peft_type"] == "HEADSTART_PREFIX" else 1
    width = module.get_input_embeddings().weight.shape[1]  # type: ignore[operator,union-attr]
    if layers not in (1, len(blocks_of(backbone))) or flat.shape[1] != layers * width:
        raise ValueError(f"it has {layers} sets of vectors of width {flat.shape[1] // layers}.")
    put(module, backbone, flat.reshape(len(flat), layers, width).transpose(0, 1).contiguous())


def shortened(backbone: Backbone, count: int) -> Backbone:
    """Return a backbone that cuts texts `count` tokens earlier: positions are used up by vectors.

    Raises ValueError where too little is left of a text.
    """
    before: Any = getattr(backbone, "preprocessing", None)
    if before is None or before.longest - count < SHORTEST:
        longest = getattr(before, "longest", 0)
        raise ValueError(f"{count} vectors leave no room for a text of at most {longest} tokens.")
    other = copy.copy(backbone)
    object.__setattr__(other, "preprocessing", replace(before, longest=before.longest - count))
    return other
