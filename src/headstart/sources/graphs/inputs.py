"""What an ONNX model takes, and the preprocessing that gives it.

The preprocessing is, in this order: the files beside the model (preprocessor_config.json, a
tokenizer); the model's own metadata (`preprocessor_config`: the text of such a file; the standard
keys `Image.*`; `sampling_rate`); what is usual, which the card then says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

from headstart.errors import ModelError
from headstart.sources.cards import TOKENIZER_FILES, guess_modality
from headstart.sources.preprocess import Preprocess, load_preprocess
from headstart.sources.safety import PREPROCESSING, read_config, read_json

PICTURES_AND_SOUNDS = "preprocessor_config.json"
USUAL_SIDE = 224  # pixels, where a graph leaves it open
USUAL_RATE = 16000  # Hz
FEWEST_SAMPLES = 400  # a fixed shorter row of numbers is a table's, not a clip
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
RANGES = {
    "Normalized_0_1": (True, [0.0] * 3, [1.0] * 3),
    "Normalized_1_1": (True, [0.5] * 3, [0.5] * 3),
    "NominalRange_0_255": (False, [0.0] * 3, [1.0] * 3),
}
TEXT_ROLES = (("mask", "attention_mask"), ("type", "token_type_ids"),
              ("segment", "token_type_ids"), ("position", "position_ids"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """One input of the graph. `dims`: None where free. `role`: the batch's name for it."""

    name: str
    dtype: np.dtype
    dims: tuple[int | None, ...]
    role: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the graph takes as a whole.

    `channels`: position of the colours in a picture, 1 or 3; `colours`: 3, or 1 for grey; `bgr`:
    blue comes first.
    """

    modality: str
    inputs: tuple[Given, ...]
    channels: int = 1
    colours: int = 3
    bgr: bool = False

    @property
    def main(self) -> Given:
        return next(one for one in self.inputs if one.role in {"pixels", "input_ids", "clip"})

    @property
    def rows(self) -> int | None:
        """Examples at a time where the graph is made for so many; None where it takes any."""
        return self.main.dims[0] if len(self.main.dims) > 1 else 1

    @property
    def steps(self) -> int | None:
        """Tokens or samples where the graph is made for so many."""
        return None if self.modality == "image" else self.main.dims[-1]

    @property
    def single(self) -> bool:
        """Whether it takes one clip (t,) rather than a batch (n, t)."""
        return len(self.main.dims) == 1

    @property
    def side(self) -> tuple[int | None, int | None]:
        """Height and width of a picture, None where free."""
        free = self.main.dims[1:3] if self.channels == 3 else self.main.dims[2:4]
        return free[0], free[1]


def taken(model: Any, folder: Path, where: str) -> Taken:
    """Return what `model` takes. Raises ModelError for what no modality has."""
    kept = {part.name for part in model.graph.initializer}
    inputs = [_given(value) for value in model.graph.input if value.name not in kept]
    shown = ", ".join(f"{one.name} {one.dtype} {one.dims}" for one in inputs)
    if not inputs:
        raise ModelError(f"{where} takes no input, so it is no encoder.")
    first = inputs[0]
    if any(one.dtype.kind == "i" and len(one.dims) == 2 for one in inputs):
        return _text(inputs, where, shown)
    if len(inputs) == 1 and len(first.dims) == 4 and _is_picture(first):
        return _picture(first, metadata(model))
    listed = guess_modality(folder, {}) if folder.is_dir() else ""
    clip = first.dtype.kind == "f" and len(first.dims) in (1, 2, 3)
    masks = all("mask" in one.name.lower() for one in inputs[1:])
    fixed = first.dims[-1] if first.dims else None
    waveform = len(first.dims) < 3 or first.dims[1] == 1
    long = listed == "audio" or fixed is None or fixed >= FEWEST_SAMPLES
    if clip and masks and long and (waveform or listed == "audio"):
        rest = tuple(replace(one, role="attention_mask") for one in inputs[1:])
        return Taken("audio", (replace(first, role="clip"), *rest))
    raise ModelError(
        f"{where} takes {shown}; expected pictures (n, 3, h, w) or (n, h, w, 3), tokens (n, t) or "
        "a waveform (n, t). Choose an encoder of images, text or audio."
    )


def metadata(model: Any) -> dict[str, str]:
    """Return the model's own metadata."""
    return {entry.key: entry.value for entry in model.metadata_props}


@dataclass(frozen=True, slots=True)
class Preparation:
    """Preprocessing, the files by name that make it again, and what was assumed, if anything."""

    run: Preprocess
    files: dict[str, bytes]
    assumed: str = ""

    def save(self, folder: Path) -> None:
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def preparation_for(model: Any, taking: Taken, folder: Path, where: str) -> Preparation:
    """Return the preprocessing of a model.

    `folder`: where preprocessor_config.json or a tokenizer may lie. Raises ModelError.
    """
    names = ("config.json", *PREPROCESSING)
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    if taking.modality == "text":
        if not any((folder / name).is_file() for name in TOKENIZER_FILES):
            raise ModelError(
                f"{where} takes tokens, and there is no tokenizer beside it in {folder}. Copy "
                "tokenizer.json and tokenizer_config.json of the model's origin there."
            )
        config = read_config(folder) if (folder / "config.json").is_file() else {}
        processed = load_preprocess("text", folder, SimpleNamespace(**config), _nothing())
        return Preparation(_cut_at(processed, taking.steps), files)
    if PICTURES_AND_SOUNDS in files:
        return Preparation(load_preprocess(taking.modality, folder, None, None), files)
    stated = metadata(model)
    if "preprocessor_config" in stated:
        settings, note = _parsed(stated["preprocessor_config"], where), ""
    elif taking.modality == "image":
        settings, note = _usual_picture(taking, stated)
    else:
        settings, note = _usual_clip(stated, where)
    written = json.dumps(settings, indent=2).encode()
    with TemporaryDirectory(prefix="headstart-") as made:
        (Path(made) / PICTURES_AND_SOUNDS).write_bytes(written)
        run = load_preprocess(taking.modality, Path(made), None, None)
    return Preparation(run, {PICTURES_AND_SOUNDS: written}, note)


def files_of(path: Path) -> Path:
    """Return the folder whose preprocessing files belong to the model file at `path`.

    That of the file; or the one above, where the file lies in a folder `onnx` as on the hub.
    """
    folder = path.parent
    names = (PICTURES_AND_SOUNDS, *TOKENIZER_FILES)
    if folder.name == "onnx" and not any((folder / name).is_file() for name in names):
        return folder.parent
    return folder


def _given(value: Any) -> Given:
    import onnx

    kind = value.type.tensor_type
    if not kind.elem_type:  # a sequence, a map
        return Given(value.name, np.dtype(object), ())
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    dims = tuple(
        int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in kind.shape.dim
    )
    return Given(value.name, dtype, dims)


def _text(inputs: Sequence[Given], where: str, shown: str) -> Taken:
    roles = []
    for one in inputs:
        name = one.name.lower()
        role = next((role for word, role in TEXT_ROLES if word in name), "input_ids")
        roles.append(replace(one, role=role))
    names = [one.role for one in roles]
    if len(set(names)) < len(names) or "input_ids" not in names or \
            any(len(one.dims) != 2 for one in roles):  # fmt: skip
        raise ModelError(
            f"{where} takes {shown}; expected token ids (n, t), and at most an attention mask, "
            "token types and positions. Choose an encoder of one text."
        )
    return Taken("text", tuple(roles))


def _is_picture(first: Given) -> bool:
    return first.dims[1] in (1, 3) or first.dims[3] in (1, 3)


def _picture(first: Given, stated: dict[str, str]) -> Taken:
    channels = 1 if first.dims[1] in (1, 3) else 3
    return Taken(
        "image",
        (replace(first, role="pixels"),),
        channels=channels,
        colours=first.dims[channels] or 3,
        bgr=stated.get("Image.BitmapPixelFormat", "").lower().startswith("bgr"),
    )


def _usual_picture(taking: Taken, stated: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Return settings of an image processor by `Image.*` metadata, or by what is usual.

    Colours first: the model comes from torch, which means ImageNet's mean and deviation. Colours
    last: from TensorFlow, whose hub means [0, 1]. Whole numbers mean 0 to 255.
    """
    height, width = (side or USUAL_SIDE for side in taking.side)
    spread = stated.get("Image.NominalPixelRange", "")
    torchlike = taking.channels == 1 and taking.colours == 3
    if taking.main.dtype.kind in "ui":
        spread = "NominalRange_0_255"
    if spread in RANGES:
        rescale, mean, std = RANGES[spread]
        said = spread
    elif torchlike:
        rescale, (mean, std), said = True, IMAGENET, "RGB, ImageNet's mean and deviation"
    else:
        (rescale, mean, std), said = RANGES["Normalized_0_1"], "values in [0, 1]"
    size: dict[str, int] = {"height": height, "width": width}
    if torchlike and height == width:
        size = {"shortest_edge": round(height / 0.875)}
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True, "size": size, "resample": 2,
        "do_center_crop": "shortest_edge" in size,
        "crop_size": {"height": height, "width": width},
        "do_rescale": rescale, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": list(mean), "image_std": list(std),
    }  # fmt: skip
    return settings, f"preprocessing is assumed: {height} x {width} pixels, {said}"


def _usual_clip(stated: dict[str, str], where: str) -> tuple[dict[str, Any], str]:
    try:
        rate = int(stated.get("sampling_rate", USUAL_RATE))
    except ValueError:
        raise ModelError(f"{where}: its metadata 'sampling_rate' is no whole number.") from None
    settings = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1, "sampling_rate": rate, "padding_value": 0.0,
        "do_normalize": False, "return_attention_mask": True,
    }  # fmt: skip
    note = "" if "sampling_rate" in stated else f"a plain waveform at {rate} Hz is assumed"
    return settings, note


def _parsed(text: str, where: str) -> dict[str, Any]:
    with TemporaryDirectory(prefix="headstart-") as made:
        path = Path(made) / PICTURES_AND_SOUNDS
        path.write_text(text, "utf-8")
        try:
            return read_json(path)
        except ModelError:
            raise ModelError(f"{where}: its metadata 'preprocessor_config' is no JSON.") from None


def _cut_at(processed: Any, steps: int | None) -> Preprocess:
    if steps is None or steps >= processed.longest:
        same: Preprocess = processed
        return same
    processed.tokenizer.model_max_length = steps
    cut: Preprocess = replace(processed, longest=steps)
    return cut


def _nothing() -> Any:
    import torch

    return torch.nn.Module()
