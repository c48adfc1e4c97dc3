"""Counting the figures of an entry: its architecture with random weights, on no device at all.

On torch's `meta` device tensors have shapes and no values, so that a large model costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import ModelError
from headstart.sources.catalogue.entry import Build, Entry, Example

if TYPE_CHECKING:
    from torch import Tensor, nn

NATIVE = ("headstart_glyphs", "yamnet")  # small, and their forward needs values: on the CPU


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted; the same names as in an entry. `width` is None where it does not run."""

    parameters: int
    operations: int
    whole_parameters: int
    width: int | None


def measure(entry: Entry) -> Figures:
    """Count the figures of an entry that has `build`.

    Parameters: every element of every parameter, tied ones once. Operations: multiply-adds, half
    of what torch.utils.flop_counter counts for one forward pass with plain (eager) attention:
    matrix products and convolutions; norms, activations and softmax are left out.
    Raises ModelError when the architecture cannot be built, or cannot embed though it should.
    """
    with _built(entry) as (module, whole, modality):
        operations, output = _run(module, entry.example)
        width = _width(module, modality, output) if entry.runs else None
        return Figures(_count(module), operations, _count(whole), width)


def count_parameters(entry: Entry) -> tuple[int, int]:
    """Return `parameters` and `whole_parameters` alone, as `measure` does but sooner."""
    with _built(entry) as (module, whole, _):
        return _count(module), _count(whole)


@contextmanager
def _built(entry: Entry) -> Iterator[tuple[nn.Module, nn.Module, str]]:
    """Give the part that is counted, the whole model and the modality, with transformers quiet."""
    from headstart.sources.architectures import register_all
    from headstart.sources.loading import quiet

    if entry.build is None:
        raise ModelError(f"{entry.id} has no build: there is nothing to count.")
    with quiet():
        register_all()
        whole = _whole(entry.build)
        module, modality = encoder(entry.build) if entry.runs else (whole, entry.modality)
        if modality != entry.modality:
            raise ModelError(f"{entry.id} takes {modality}, its entry says {entry.modality}.")
        yield module, whole, modality


def encoder(build: Build) -> tuple[nn.Module, str]:
    """Return the part that Headstart would use, and its modality. Raises ModelError for none."""
    import torch
    from transformers import AutoModel

    from headstart.sources.loading import choose_tower

    try:
        with torch.device(_device(build)):
            whole = AutoModel.from_config(_config(build), attn_implementation="eager").eval()
    except ValueError as error:  # no base model for this config
        raise ModelError(f"{build.type}: {str(error).splitlines()[0]}") from None
    return choose_tower(whole, Path(build.type))


def _whole(build: Build) -> nn.Module:
    import torch
    import transformers

    kind = _native().get(build.whole) or getattr(transformers, build.whole, None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise ModelError(f"transformers has no model class {build.whole!r}; check build.whole.")
    known: Any = kind
    with torch.device(_device(build)):
        model = known._from_config(_config(build), attn_implementation="eager")
    result: nn.Module = model.eval()
    return result


def _native() -> dict[str, Any]:
    from headstart.sources.architectures.glyphs import GlyphsForImageClassification
    from headstart.sources.architectures.yamnet import YamnetForAudioClassification

    kinds = (GlyphsForImageClassification, YamnetForAudioClassification)
    return {kind.__name__: kind for kind in kinds}


def _config(build: Build) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(build.type, **build.settings)
    except Exception as error:
        # Each config checks its fields in its own way.
        raise ModelError(f"{build.type} with {build.settings}: {error}") from None


def _device(build: Build) -> str:
    return "cpu" if build.type in NATIVE else "meta"


def _run(module: nn.Module, example: Example) -> tuple[int, Any]:
    """Return the multiply-adds of one forward pass, and what it gave."""
    import torch

    device = next(module.parameters()).device
    with torch.no_grad(), _counter() as counter:
        output = module(**_inputs(module, example, device))
    return counter.total // 2, output


def _inputs(module: Any, example: Example, device: Any) -> dict[str, Tensor]:
    """Return one example of zeros, in the form that the module takes."""
    import torch

    name = str(module.main_input_name)
    if example.pixels:
        return {name: torch.zeros(1, 3, *example.pixels, device=device)}
    if example.tokens:
        shape = (1, example.tokens)
        return {name: torch.zeros(shape, dtype=torch.long, device=device)}
    return {name: torch.zeros(_audio_shape(module.config, example), device=device)}


def _audio_shape(config: Any, example: Example) -> tuple[int, ...]:
    seconds = example.seconds or 0.0
    if config.model_type == "whisper":  # frames of 10 ms; two are folded into one position
        return 1, config.num_mel_bins, 2 * config.max_source_positions
    if config.model_type == "audio-spectrogram-transformer":
        return 1, config.max_length, config.num_mel_bins
    if config.model_type == "yamnet":  # patches of 0.96 s
        return 1, max(1, round(seconds / 0.96)), 96, 64
    return 1, round(seconds * (example.rate or 0))


def _width(module: nn.Module, modality: str, output: Any) -> int:
    from headstart.sources.pooling import choose_pooling, pool

    return int(pool(choose_pooling(modality, module, output), output, None).shape[1])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _counter() -> Any:
    """Return a mode that sums floating-point operations by the rules of torch.utils.flop_counter.

    FlopCounterMode gives the same sum and follows modules besides, which takes several times as
    long. This one also helps tensors without values along: whoever asks one for its value (is
    the whole mask set?) is told 1, or True; a table made on the CPU joins the others.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map
    from torch.utils.flop_counter import flop_registry

    value_of = torch.ops.aten._local_scalar_dense.default

    class Counter(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if func is value_of and args[0].is_meta:
                return True if args[0].dtype == torch.bool else 1
            try:
                output = func(*args, **kwargs)
            except RuntimeError:  # devices that do not agree
                args, kwargs = tree_map(_to_meta, (args, kwargs))
                output = func(*args, **kwargs)
            rule = flop_registry.get(func._overloadpacket)
            if rule is not None:
                self.total += rule(*args, **kwargs, out_val=output)
            return output

    return Counter()


def _to_meta(value: Any) -> Any:
    import torch

    return value.to("meta") if isinstance(value, torch.Tensor) and value.ndim else value
