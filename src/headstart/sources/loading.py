"""Opening a model folder with transformers: quietly, in float32, without touching global state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import ModelError
from headstart.sources.oneline import one_line
from headstart.sources.safety import FolderFiles

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1  # raise when embeddings change for equal files: it is part of every fingerprint
MODALITY_OF_INPUT = {
    "pixel_values": "image",
    "input_ids": "text",
    "input_values": "audio",
    "input_features": "audio",
}
# Of a model with two towers, the one that sees or hears is used (CLIP, SigLIP, CLAP).
TOWERS = (("vision_model", "image"), ("audio_model", "audio"))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' messages and progress bars; keep the caller's random state."""
    import torch
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def load_config(files: FolderFiles) -> Any:
    """Return transformers' config. Raises ModelError for a model_type that it does not know."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = files.config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ModelError(f"{files.folder / 'config.json'} has no 'model_type'; add it.")
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{files.folder} has model_type {kind!r}, which this transformers does not know; "
            "upgrade transformers, or choose another model."
        )
    try:
        config = AutoConfig.from_pretrained(
            files.folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        # A wrong field fails in transformers' validation as whatever that field's check raises.
        raise ModelError(f"{files.folder / 'config.json'}: {one_line(error)}") from None
    if getattr(config, "apply_spec_augment", False):
        config.apply_spec_augment = False  # it hides parts of the input in train mode
    return config


def load_model(files: FolderFiles, config: Any) -> tuple[nn.Module, list[str]]:
    """Return the model in float32 and eval mode, and the names of tensors the files lack."""
    import torch
    from transformers import AutoModel

    try:
        model, report = AutoModel.from_pretrained(
            files.folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=not files.pickled,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, in plainer words
            local_files_only=True,
            trust_remote_code=False,
        )
    except ImportError as error:
        raise ModelError(f"{files.folder} needs a missing package: {one_line(error)}") from None
    except Exception as error:
        # Shapes that do not fit, files that are no tensors, architectures without a base model.
        raise ModelError(
            f"{files.folder} cannot be loaded: {one_line(error)} "
            "Check that config.json and weights belong together."
        ) from None
    for name, found, wanted in sorted(report["mismatched_keys"]):
        raise ModelError(
            f"{files.folder}: the weights do not fit config.json: {name} has shape {tuple(found)}, "
            f"expected {tuple(wanted)}. Check that both come from one model."
        )
    mend_batch_norm(model)
    return model.eval(), sorted(report["missing_keys"])


def new_model(model: nn.Module, seed: int) -> nn.Module:
    """Return the architecture of `model` with fresh random weights, in float32 and eval mode."""
    import torch
    from transformers import AutoModel

    with quiet():
        # Not torch.manual_seed, which would seed the accelerators' generators too.
        torch.default_generator.manual_seed(seed)
        fresh = AutoModel.from_config(model.config, dtype=torch.float32, trust_remote_code=False)
    mend_batch_norm(fresh)
    drop_untrained_pooler(fresh)
    fresh.eval()
    result: nn.Module = fresh
    return result


def mend_batch_norm(model: nn.Module) -> None:
    """Give batch norm a usable momentum.

    transformers' MobileNets take TensorFlow's 0.997 (what is kept) for torch's (what is replaced),
    so that running statistics would be those of the last batch alone. Eval mode is unchanged.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.momentum is not None:
            module.momentum = 0.1 if module.momentum > 0.5 else module.momentum


def drop_untrained_pooler(tower: nn.Module) -> None:
    """Take away a BERT-like pooler (dense + tanh): often untrained, and nothing here uses it."""
    from torch import nn

    pooler = getattr(tower, "pooler", None)
    dense = getattr(pooler, "dense", None)
    if isinstance(pooler, nn.Module) and isinstance(dense, nn.Linear):
        tower.register_module("pooler", None)


def choose_tower(model: Any, folder: Path) -> tuple[nn.Module, str]:
    """Return the part of `model` that embeds an example, and its modality.

    Encoder of an encoder-decoder, vision or audio tower of a two-tower model, else all of it.
    Raises ModelError for models that need two kinds of input, video, or time series.
    """
    tower = model
    for name, _ in TOWERS:
        if getattr(model, name, None) is not None and len(_modalities(model)) > 1:
            tower = getattr(model, name)
            break
    else:
        if getattr(model.config, "is_encoder_decoder", False):
            tower = model.get_encoder()
    kinds = _modalities(tower)
    main = MODALITY_OF_INPUT.get(str(getattr(tower, "main_input_name", "")))
    if len(kinds) == 1 and "video" not in kinds and "time" not in kinds and main is not None:
        drop_untrained_pooler(tower)
        return tower, main
    raise ModelError(
        f"{folder} holds a {type(model).__name__}, which takes {' and '.join(sorted(kinds))}; "
        "Headstart needs an encoder of images, text or audio alone. Choose another model."
    )


def _modalities(model: Any) -> set[str]:
    kinds = getattr(model, "input_modalities", "text")
    return {kinds} if isinstance(kinds, str) else set(kinds)


def name_of(tower: nn.Module, model: nn.Module) -> str:
    """Return the name of `tower` inside `model`, "" where they are one."""
    return next((name for name, module in model.named_modules() if module is tower), "")


def refuse_missing(missing: list[str], tower: nn.Module, prefix: str, folder: Path) -> None:
    """Raise ModelError when weights that the tower uses were absent, hence random."""
    used = {f"{prefix}.{name}" if prefix else name for name in tower.state_dict()}
    # A mask embedding serves pretraining only; batch counters do nothing in use.
    harmless = ("masked_spec_embed", "mask_token", "num_batches_tracked", "position_ids")
    absent = [name for name in missing if name in used and not name.endswith(harmless)]
    if absent:
        raise ModelError(
            f"{folder}: the weights lack {len(absent)} of {len(used)} tensors of its config, "
            f"for instance {absent[0]}. Check that config.json and weights belong together."
        )


def fingerprint_files(files: FolderFiles, pooling: str) -> str:
    """Hash weights, config, preprocessing and pooling: equal wherever the folder lies."""
    mixed = hashlib.blake2b(f"headstart-{FORMAT}:{pooling}\0".encode(), digest_size=16)
    mixed.update(json.dumps(files.config, sort_keys=True).encode())
    for path in (*files.preprocessing, *files.weights):
        with path.open("rb") as stream:
            mixed.update(path.name.encode())
            mixed.update(hashlib.file_digest(stream, "blake2b").digest())
    return mixed.hexdigest()


def fingerprint_state(module: nn.Module, seed: str) -> str:
    """Hash the tensors of `module`, for a model that stands in no file."""
    mixed = hashlib.blake2b(f"headstart-{FORMAT}:{seed}\0".encode(), digest_size=16)
    for name, tensor in module.state_dict().items():
        mixed.update(name.encode())
        mixed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return mixed.hexdigest()
