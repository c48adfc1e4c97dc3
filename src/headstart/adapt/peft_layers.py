"""Adapters of the peft library inside a module: which layers take one, putting in, merging.

Adapters are injected, so that the module keeps its class and its forward (peft's documentation,
"Adapter injection"); after training they are merged into the weights of the layers they stand by.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.adapt.adapter import Adapter
from headstart.adapt.parts import Part, moving_modules
from headstart.adapt.technique import Reshaped, Setting
from headstart.errors import MissingExtra, UsageError

WHERE = ("auto", "attention", "linear", "convolutions")
ATTENTION = re.compile(r"att|query|key|value|(^|\.)(q|k|v|o|qkv|Wqkv)(_|$|\.)", re.IGNORECASE)
PREFIX = "base_model.model."  # of every name in an adapter's file
SHOWN = ("stride", "padding", "dilation", "kernel_size", "groups", "in_channels", "out_channels",
         "padding_mode", "in_features", "out_features")  # fmt: skip
LISTED = 4  # layers named in an error


def library() -> ModuleType:
    """Return peft. Raises MissingExtra."""
    try:
        import peft
    except ImportError:
        raise MissingExtra("peft", "peft") from None
    return peft  # type: ignore[no-any-return]


def takes(layer: nn.Module) -> bool:
    """Whether peft can put an adapter beside this layer, and merge it again."""
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1
    return isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D"


def is_linear(layer: nn.Module) -> bool:
    """Whether the layer is a linear map: of a token, or of the channels of a pixel."""
    return not isinstance(layer, nn.Conv2d) or tuple(layer.kernel_size) == (1, 1)


def targets(module: nn.Module, setting: Setting, where: str, technique: str) -> list[str]:
    """Return the names of the layers inside moving blocks that `where` means.

    "linear": linear layers and 1x1 convolutions; "convolutions": these of every size;
    "attention": linear layers of attention; "auto": linear, where these hold at least half of the
    blocks' weights, else all; anything else is a regular expression that is searched for in the
    names. Raises UsageError that names the model and what could take an adapter.
    """
    able = {name: layer for name, layer in _in_blocks(module, setting).items() if takes(layer)}
    if where == "auto":
        return _some(list(_usual(able)), able, setting, technique, where)
    if where == "attention":
        names = [name for name, layer in able.items() if is_linear(layer) and _attends(name)]
    elif where == "linear":
        names = [name for name, layer in able.items() if is_linear(layer)]
    elif where == "convolutions":
        names = [name for name, layer in able.items() if isinstance(layer, nn.Conv2d)]
    else:
        everywhere = {n: layer for n, layer in _layers(module).items() if takes(layer)}
        names = [name for name in everywhere if re.search(where, name)]
    return _some(names, able, setting, technique, where)


def _attends(name: str) -> bool:
    return ATTENTION.search(name) is not None


def _usual(able: Mapping[str, nn.Module]) -> Iterable[str]:
    sizes = {name: layer.weight.numel() for name, layer in able.items()}  # type: ignore[operator,union-attr]
    linear = [name for name, layer in able.items() if is_linear(layer)]
    return linear if 2 * sum(sizes[name] for name in linear) >= sum(sizes.values()) else able


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the leaves; not those whose weights nn.MultiheadAttention takes past their forward."""
    found: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        owner = module.get_submodule(name.rpartition(".")[0]) if name else module
        if any(True for _ in layer.children()) or isinstance(owner, nn.MultiheadAttention):
            continue
        found[name] = layer
    return found


def _in_blocks(module: nn.Module, setting: Setting) -> dict[str, nn.Module]:
    """Return the layers of the blocks that may move; of all that may, where there are no blocks."""
    stages = [s for s in setting.backbone.stages if setting.may_move(s.name)]
    blocks = [stage for stage in stages if stage.name.startswith("block.")] or stages
    tops = [name for stage in blocks for name in stage.modules]
    inside = tuple(f"{name}." for name in tops)
    return {n: m for n, m in _layers(module).items() if n in tops or n.startswith(inside)}


def _some(
    names: list[str], able: Mapping[str, nn.Module], setting: Setting, technique: str, where: str
) -> list[str]:
    if names:
        return names
    could = [f"{name} ({type(layer).__name__})" for name, layer in able.items()]
    listed = ", ".join(could[:LISTED]) + (
        f" and {len(could) - LISTED} more" * (len(could) > LISTED)
    )
    raise UsageError(
        f"{technique!r} finds no layer for where={where!r} in {setting.backbone.card.id}; layers "
        f"that could take it: {listed or 'none; take bitfit, norm-only or plain fine-tuning'}."
    )


def injected(
    module: nn.Module, setting: Setting, config: Any, name: str, *, keep: bool, decay: bool
) -> Reshaped:
    """Put adapters into `module`, drawn from the setting's seed; `keep`: hand them over too."""
    peft = library()
    tuners = peft.tuners.tuners_utils.BaseTunerLayer
    if any(isinstance(layer, tuners) for layer in module.modules()):
        raise UsageError(f"{name!r} cannot go with another adapter; name one of them.")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for instance of GPT-2's transposed weights, which it sees
        torch.default_generator.manual_seed(setting.seed)
        try:
            peft.inject_adapter_in_model(config, module)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise UsageError(f"{setting.backbone.card.id} cannot take {name!r}: {error}") from None
    show(module, tuners)
    module.eval()
    own = [n for n, _ in module.named_parameters() if re.search(r"\.(lora|ia3)_", f".{n}")]
    layers = sum(isinstance(layer, tuners) for layer in module.modules())
    modules = moving_modules(setting.backbone, own)
    adapter = _keeper(setting.backbone.card.id) if keep else None
    return Reshaped(
        parts={name: Part(tuple(own), modules, decay)}, instead=True, restored=merge,
        adapter=adapter, facts={f"{name}_layers": layers},
    )  # fmt: skip


def show(module: nn.Module, tuners: type[Any]) -> None:
    """Let wrapped layers say of themselves what their layers do.

    peft's convolutions have no stride, which MobileNet asks for to pad as TensorFlow does.
    """
    for layer in module.modules():
        if isinstance(layer, tuners):
            base: Any = layer.get_base_layer()  # type: ignore[attr-defined]
            for name in SHOWN:
                if hasattr(base, name) and not hasattr(layer, name):
                    setattr(layer, name, getattr(base, name))


def _keeper(base: str) -> Callable[[nn.Module], Adapter]:
    return lambda module: taken_out(module, base)


def taken_out(module: nn.Module, base: str) -> Adapter:
    """Return the adapters of `module` as peft would write them."""
    peft = library()
    state = peft.get_peft_model_state_dict(module, save_embedding_layers=False)
    tensors = {PREFIX + name: _array(value) for name, value in state.items()}
    return Adapter(plain_config(module.peft_config["default"], base), tensors, merged=True)  # type: ignore[index,operator]


def _array(value: torch.Tensor) -> np.ndarray:
    found: np.ndarray = value.detach().float().cpu().contiguous().numpy().copy()
    return found


def plain_config(config: Any, base: str) -> dict[str, Any]:
    """Return a peft configuration as JSON can hold it."""
    found: dict[str, Any] = {}
    for key, value in config.to_dict().items():
        value = getattr(value, "value", value)
        found[key] = sorted(value) if isinstance(value, set) else value
    return found | {"base_model_name_or_path": base, "inference_mode": True}


def load(module: nn.Module, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Put saved adapters into `module`. Raises ValueError where names or shapes do not fit."""
    peft = library()
    state = {
        name.removeprefix(PREFIX): torch.from_numpy(value.copy()) for name, value in tensors.items()
    }
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.inject_adapter_in_model(peft.get_peft_config(dict(config)), module)
        report = peft.set_peft_model_state_dict(module, state)
    show(module, peft.tuners.tuners_utils.BaseTunerLayer)
    absent = [name for name in report.missing_keys if re.search(r"\.(lora|ia3)_", f".{name}")]
    if absent or report.unexpected_keys:
        raise ValueError(f"names differ, for instance {[*absent, *report.unexpected_keys][0]}.")
    module.eval()


def merge(module: nn.Module) -> None:
    """Add every adapter to the weights that it stands by, and take it away."""
    tuners = library().tuners.tuners_utils.BaseTunerLayer
    with torch.no_grad():
        for name, layer in list(module.named_modules()):
            if isinstance(layer, tuners):
                layer.merge()
                parent, _, last = name.rpartition(".")
                setattr(module.get_submodule(parent), last, layer.get_base_layer())
    if hasattr(module, "peft_config"):
        del module.peft_config
