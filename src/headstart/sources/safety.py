"""What lies in a model folder, looked at before anything of it is loaded.

Weights are safetensors; pickled weights need `allow_pickle` and are then read by torch's
`weights_only` reader; code in a model folder is never run.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import ModelError, ModelNotFound, UnsafeWeights

SAFE = "model.safetensors"
SAFE_INDEX = "model.safetensors.index.json"
PICKLE = "pytorch_model.bin"
PICKLE_INDEX = "pytorch_model.bin.index.json"
PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# Every file that says how raw input becomes a batch; hashed into the fingerprint, in this order.
PREPROCESSING = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "tokenizer.model",
    "bpe.codes",
    "source.spm",
    "target.spm",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
MAX_HEADER = 100_000_000  # bytes; safetensors' own limit


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """The files of a model folder that count: config (parsed), weights, preprocessing."""

    folder: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]
    pickled: bool
    preprocessing: tuple[Path, ...]


def look_into(folder: Path, *, allow_pickle: bool = False) -> FolderFiles:
    """Return what counts in `folder`.

    Raises ModelNotFound (no such folder), UnsafeWeights (pickled weights only, or code to be run),
    ModelError (no config, no weights, missing shards, truncated weights).
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ModelNotFound(
            f"Model folder {folder} {what}; expected a folder with config.json and {SAFE}."
        )
    config = read_config(folder)
    preprocessing = tuple(folder / name for name in PREPROCESSING if (folder / name).is_file())
    _refuse_code(folder, [folder / "config.json", *preprocessing])
    weights, pickled = find_weights(folder, allow_pickle=allow_pickle)
    if not pickled:
        for path in weights:
            read_header(path)
    return FolderFiles(folder, config, weights, pickled, preprocessing)


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object. Raises ModelError that names the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}. Fetch the file again.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} should hold a JSON object, got {type(value).__name__}.")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a model folder. Raises ModelError where there is none."""
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} has no config.json, so it is no Hugging Face model folder; "
            f"there is {_listing(folder)}. Save the model with save_pretrained()."
        )
    return read_json(folder / "config.json")


def _refuse_code(folder: Path, files: Iterable[Path]) -> None:
    for path in files:
        if path.suffix != ".json" or path.name in {"tokenizer.json", "vocab.json"}:
            continue
        if read_json(path).get("auto_map"):
            raise UnsafeWeights(
                f"{folder} brings its own code ('auto_map' in {path.name}); Headstart never runs "
                "code from a model folder. Choose a model of an architecture in transformers."
            )


def find_weights(folder: Path, *, allow_pickle: bool = False) -> tuple[tuple[Path, ...], bool]:
    """Return the weight files of `folder` and whether they are pickled; safetensors go first."""
    if (folder / SAFE).is_file():
        return (folder / SAFE,), False
    if (folder / SAFE_INDEX).is_file():
        return _shards(folder / SAFE_INDEX), False
    names = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLE_ENDINGS)
    if not names:
        raise ModelError(
            f"{folder} has no weights: expected {SAFE}; there is {_listing(folder)}. "
            "Fetch the weights, or save the model with save_pretrained()."
        )
    if not allow_pickle:
        raise UnsafeWeights(
            f"{folder} has pickled weights only ({', '.join(names[:3])}), which can run code when "
            f"read; convert them to {SAFE}, or pass --allow-pickle if you trust their origin."
        )
    if (folder / PICKLE).is_file():
        return (folder / PICKLE,), True
    if (folder / PICKLE_INDEX).is_file():
        return _shards(folder / PICKLE_INDEX), True
    raise ModelError(
        f"{folder} has pickled weights called {', '.join(names[:3])}; expected {PICKLE}. Rename it."
    )


def _shards(index: Path) -> tuple[Path, ...]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelError(f"{index} has no 'weight_map'. Fetch the file again.")
    shards = []
    for name in sorted({str(value) for value in names.values()}):
        if Path(name).name != name:
            raise UnsafeWeights(f"{index} names the shard {name!r}, outside its own folder.")
        if not (index.parent / name).is_file():
            raise ModelError(f"{index.parent} lacks the weight file {name}. Fetch it again.")
        shards.append(index.parent / name)
    return tuple(shards)


def read_header(path: Path) -> dict[str, Any]:
    """Read and check the header of a safetensors file: tensor name to dtype, shape, offsets.

    Raises ModelError when the file is no safetensors file, or shorter than its header says.
    """
    again = "Fetch the file again."
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if not 2 <= length <= min(size - 8, MAX_HEADER):
                raise ValueError("its header does not fit into it")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        needed = 8 + length + max((int(t["data_offsets"][1]) for t in header.values()), default=0)
    except (ValueError, struct.error, AttributeError, KeyError, TypeError, IndexError) as error:
        reason = "it is empty" if size == 0 else f"no valid safetensors header ({error})"
        raise ModelError(f"{path} ({size} bytes) is corrupt: {reason}. {again}") from None
    if size != needed:
        raise ModelError(
            f"{path} is truncated or corrupt: {size} bytes, its header says {needed}. {again}"
        )
    return dict(header)


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return (", ".join(names[:6]) + more) if names else "nothing in it"
