"""Decoded examples to a batch, by the processor that stands in the model's own folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from headstart.data.modality.base import Decoded, InputSpec
from headstart.errors import ModelError
from headstart.sources.backbone import Batch
from headstart.sources.cards import guess_modality
from headstart.sources.oneline import one_line
from headstart.sources.pixels import Pixels, quick
from headstart.sources.safety import read_json

# One of these holds a tokenizer's vocabulary; tokenizers of bytes or characters need none.
VOCABULARIES = ("tokenizer.json", "vocab*", "*.model", "*.spm", "*.codes")
WITHOUT_VOCABULARY = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
LONGEST_TEXT = 512  # tokens; attention is quadratic, and what classifies a text stands early
SHORTEST_SECONDS = 0.1  # shorter clips are padded with silence: convolutions need some frames


class Preprocess(Protocol):
    """Turns decoded examples into a batch and writes itself into a model folder."""

    @property
    def spec(self) -> InputSpec:
        """What decode must give."""

    @property
    def example(self) -> Decoded:
        """One harmless example, for a trial run of the model."""

    def __call__(self, decoded: Sequence[Decoded]) -> Batch: ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class ImagePreprocess:
    """PIL images (RGB) to pixel_values (n, c, h, w), by transformers' PIL image processor.

    `pixels` does the same, faster, where the processor's steps are the common ones.
    """

    processor: Any
    spec: InputSpec
    pixels: Pixels | None = None

    @property
    def example(self) -> Decoded:
        from PIL import Image

        side = self.spec.size or 64
        return Image.fromarray(np.full((side, side, 3), 128, dtype=np.uint8))

    def __call__(self, decoded: Sequence[Decoded]) -> Batch:
        if self.pixels is not None:
            return {"pixel_values": self.pixels(decoded)}
        batch = self.processor(images=list(decoded), return_tensors="pt")
        return dict(batch)

    def save(self, folder: Path) -> None:
        self.processor.save_pretrained(folder)


@dataclass(frozen=True, slots=True, eq=False)
class TextPreprocess:
    """Texts to input_ids and attention_mask (n, longest of the batch), cut at `longest` tokens."""

    tokenizer: Any
    longest: int
    spec: InputSpec

    @property
    def example(self) -> Decoded:
        return "One plain sentence."

    def __call__(self, decoded: Sequence[Decoded]) -> Batch:
        import torch

        rows = self.tokenizer(list(decoded), truncation=True, max_length=self.longest)
        # A tokenizer without special tokens makes nothing of "": one masked token stands for it.
        empty = [i for i, ids in enumerate(rows["input_ids"]) if not ids]
        for i in empty:
            for key, filler in (("input_ids", self.tokenizer.pad_token_id), ("attention_mask", 1)):
                rows[key][i] = [filler]
            if "token_type_ids" in rows:
                rows["token_type_ids"][i] = [0]
        padded = self.tokenizer.pad(dict(rows), padding="longest")
        return {key: torch.as_tensor(value) for key, value in padded.items()}

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)


@dataclass(frozen=True, slots=True, eq=False)
class AudioPreprocess:
    """Waveforms, float32 (t,) at `spec.sampling_rate`, to what the feature extractor gives."""

    extractor: Any
    spec: InputSpec

    @property
    def example(self) -> Decoded:
        noise = np.random.default_rng(0).normal(0, 0.1, self.spec.sampling_rate)
        return noise.astype(np.float32)

    def __call__(self, decoded: Sequence[Decoded]) -> Batch:
        shortest = int(self.spec.sampling_rate * SHORTEST_SECONDS)
        waves = [np.pad(wave, (0, max(0, shortest - len(wave)))) for wave in decoded]
        options: dict[str, Any] = {"sampling_rate": self.spec.sampling_rate, "return_tensors": "pt"}
        if fixed_length(self.extractor):
            # The extractor's own padding: always the same length (Whisper: 30 s).
            return dict(self.extractor(waves, return_attention_mask=True, **options))
        return dict(self.extractor(waves, padding=True, return_attention_mask=True, **options))

    def save(self, folder: Path) -> None:
        self.extractor.save_pretrained(folder)


def fixed_length(extractor: Any) -> bool:
    """Whether the extractor pads every clip to one length, as Whisper's does."""
    return hasattr(extractor, "nb_max_frames") or hasattr(extractor, "chunk_length")


def load_preprocess(modality: str, folder: Path, config: Any, model: Any) -> Preprocess:
    """Load the preprocessing of that modality. Raises ModelError that names what is missing."""
    loaders = {"image": _load_image, "text": _load_text, "audio": _load_audio}
    kinds = {
        "image": "an image processor (preprocessor_config.json)",
        "text": "a tokenizer (tokenizer.json, or tokenizer_config.json and its vocabulary)",
        "audio": "a feature extractor (preprocessor_config.json)",
    }
    try:
        return loaders[modality](folder, config, model)
    except ImportError as error:
        raise ModelError(
            f"{folder}: its preprocessing needs a missing package: {one_line(error)}"
        ) from None
    except ModelError:
        raise
    except Exception as error:
        # transformers raises OSError, ValueError, TypeError, KeyError … for a bad or absent file
        raise ModelError(
            f"{folder} has no usable {kinds[modality].removeprefix('an ').removeprefix('a ')}: "
            f"{one_line(error)} Copy these files from the model's origin."
        ) from None


def _load_image(folder: Path, config: Any, model: Any) -> Preprocess:
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(
        folder, backend="pil", local_files_only=True, trust_remote_code=False
    )
    return ImagePreprocess(processor, InputSpec(size=needed_size(processor)), quick(processor))


def needed_size(processor: Any) -> int | None:
    """Return the shorter side in pixels that the processor looks at; None where it never resizes.

    `crop_pct` (ConvNeXt): the image is resized to size / crop_pct before it is cropped.
    """
    if not getattr(processor, "do_resize", False):
        return None
    asked = [0]
    for name in ("size", "crop_size"):
        value = getattr(processor, name, None)
        if isinstance(value, int):
            asked.append(value)
        elif value is not None:
            given = {key: side for key, side in dict(value).items() if side}
            shorter = [given[key] for key in ("shortest_edge", "height", "width") if key in given]
            asked.extend(shorter or given.values())
    share = getattr(processor, "crop_pct", None) or 1.0
    return round(max(asked) / share) or None


def _load_text(folder: Path, config: Any, model: Any) -> Preprocess:
    from transformers import AutoTokenizer

    _need_vocabulary(folder)
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(f"{folder}: its tokenizer has no token to pad with; set pad_token in it.")
    # Mean pooling is masked, and positions must count from a text's first token.
    tokenizer.padding_side = "right"
    longest = longest_text(folder, tokenizer, config, model)
    tokenizer.model_max_length = longest
    return TextPreprocess(tokenizer, longest, InputSpec())


def _need_vocabulary(folder: Path) -> None:
    """Raise ModelError without a vocabulary: transformers would make a tokenizer of nothing."""
    settings = folder / "tokenizer_config.json"
    kind = read_json(settings).get("tokenizer_class") if settings.is_file() else None
    if kind not in WITHOUT_VOCABULARY and not any(any(folder.glob(n)) for n in VOCABULARIES):
        raise ModelError(
            f"{folder} has no usable tokenizer: no tokenizer.json, vocab.txt or other vocabulary. "
            "Copy the tokenizer's files from the model's origin."
        )


def longest_text(folder: Path, tokenizer: Any, config: Any, model: Any) -> int:
    """Return the tokens that a text is cut at: the least of all limits that the folder states."""
    limits = [LONGEST_TEXT, int(min(tokenizer.model_max_length, 10**9))]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions)
    for name, module in model.named_modules():
        # RoBERTa's positions count from padding_idx + 1, so that many rows are out of reach.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None):
            limits.append(module.num_embeddings - module.padding_idx - 1)
    if (folder / "sentence_bert_config.json").is_file():
        stated = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
        if isinstance(stated, int) and stated > 0:
            limits.append(stated)
    return min(limits)


def _load_audio(folder: Path, config: Any, model: Any) -> Preprocess:
    from transformers import AutoFeatureExtractor

    if guess_modality(folder, {}) not in {"audio", ""}:
        raise ModelError(
            f"{folder}: its preprocessor_config.json is for {guess_modality(folder, {})}, its "
            "model for audio. Copy preprocessor_config.json from the model's origin."
        )
    extractor = AutoFeatureExtractor.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    rate = int(getattr(extractor, "sampling_rate", 16000))
    seconds = min(InputSpec().seconds, float(getattr(extractor, "chunk_length", None) or 1e9))
    return AudioPreprocess(extractor, InputSpec(sampling_rate=rate, seconds=seconds))
