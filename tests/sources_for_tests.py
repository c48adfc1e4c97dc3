"""Tiny models of many families, written as Hugging Face folders with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

WORDS = [  # in the vocabulary
    "the",
    "a",
    "film",
    "is",
    "was",
    "good",
    "bad",
    "very",
    "not",
    "plot",
    "dull",
    "bright",
    "and",
    "of",
    "it",
]

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 32}
TEXT = {**SMALL, "vocab_size": 40, "pad_token_id": 0, "max_position_embeddings": 64}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2}
WAVE = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 4)}
WAVE |= {"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 8}
WAVE |= {"num_conv_pos_embedding_groups": 2, "mask_feature_length": 4, "vocab_size": 40}
TWO = {"hidden_sizes": [8, 16], "depths": [1, 2]}

# family: (modality, config class in transformers, its settings)
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mobilenet_v1": ("image", "MobileNetV1Config", {"depth_multiplier": 0.25}),
    "mobilenet_v2": ("image", "MobileNetV2Config", {"depth_multiplier": 0.25}),
    "resnet": ("image", "ResNetConfig", {**TWO, "embedding_size": 8, "layer_type": "basic"}),
    "convnext": ("image", "ConvNextConfig", {**TWO, "num_stages": 2}),
    "vit": ("image", "ViTConfig", {**SMALL, "image_size": 32, "patch_size": 8}),
    "swin": (
        "image",
        "SwinConfig",
        {
            "image_size": 32,
            "patch_size": 4,
            "embed_dim": 8,
            "depths": [1, 2],
            "num_heads": [1, 2],
            "window_size": 4,
        },
    ),
    "dinov2": ("image", "Dinov2Config", {**SMALL, "image_size": 32, "patch_size": 8}),
    "clip": (
        "image",
        "CLIPConfig",
        {
            "text_config": {**TEXT, **SPECIAL},
            "vision_config": {**SMALL, "image_size": 32, "patch_size": 8},
        },
    ),
    "bert": ("text", "BertConfig", TEXT),
    "distilbert": (
        "text",
        "DistilBertConfig",
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 40},
    ),
    "roberta": ("text", "RobertaConfig", {**TEXT, **SPECIAL, "pad_token_id": 1}),
    "gpt2": (
        "text",
        "GPT2Config",
        {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, "n_positions": 64, **SPECIAL},
    ),
    "t5": (
        "text",
        "T5Config",
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 40},
    ),
    "deberta_v2": (
        "text",
        "DebertaV2Config",
        {
            **TEXT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_buckets": 8,
        },
    ),
    "modernbert": (
        "text",
        "ModernBertConfig",
        {**TEXT, **SPECIAL, "cls_token_id": 1, "sep_token_id": 2, "num_hidden_layers": 3},
    ),
    "wav2vec2": ("audio", "Wav2Vec2Config", {**SMALL, **WAVE}),
    "wav2vec2_stable": (
        "audio",
        "Wav2Vec2Config",
        {**SMALL, **WAVE, "do_stable_layer_norm": True, "feat_extract_norm": "layer"},
    ),
    "ast": (
        "audio",
        "ASTConfig",
        {**SMALL, "max_length": 64, "num_mel_bins": 32, "frequency_stride": 8, "time_stride": 8},
    ),
    "whisper": (
        "audio",
        "WhisperConfig",
        {
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "num_mel_bins": 16,
            "max_source_positions": 50,
            "vocab_size": 40,
            "pad_token_id": 0,
            **SPECIAL,
            "decoder_start_token_id": 1,
        },
    ),
}


def write_model(folder: Path, family: str, *, seed: int = 0, **settings: Any) -> Path:
    """Write a tiny random model of `family` with its preprocessing; return `folder`."""
    import torch
    import transformers

    from headstart.sources.loading import quiet

    _, name, given = FAMILIES[family]
    with quiet():
        torch.default_generator.manual_seed(seed)
        config = getattr(transformers, name)(**{**given, **settings})
        model = transformers.AutoModel.from_config(config)
        _stir(model)
        if name.startswith("MobileNet"):
            _measure_batch_norm(model)
        model.save_pretrained(folder)
    write_preprocessing(folder, family)
    return folder


def write_headed(folder: Path, labels: tuple[str, ...], *, seed: int = 0) -> Path:
    """Write a tiny random ViT with a head over `labels`; return `folder`."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    names = dict(enumerate(labels))
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=16, id2label=names, label2id={v: k for k, v in names.items()},
    )  # fmt: skip
    torch.default_generator.manual_seed(seed)
    ViTForImageClassification(config).save_pretrained(folder)
    write_preprocessing(folder, "vit")
    return folder


def _stir(model: Any) -> None:
    """Make every parameter and statistic random: fresh zeros and ones would hide mistakes."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)


def _measure_batch_norm(model: Any) -> None:
    """Put real statistics into batch norm: without them a deep random net gives almost zeros."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.randn(16, 3, 32, 32))
    model.eval()


def write_preprocessing(folder: Path, family: str) -> None:
    import transformers

    modality = FAMILIES[family][0]
    if modality == "text":
        write_tokenizer(folder, family)
    elif modality == "image":
        write_image_processor(folder)
    elif family == "ast":
        transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    elif family == "whisper":
        transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=1).save_pretrained(
            folder
        )
    else:
        transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def write_image_processor(folder: Path) -> None:
    from transformers import ViTImageProcessorPil

    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    processor.save_pretrained(folder)


def write_tokenizer(folder: Path, family: str = "bert") -> None:
    """A word-level tokenizer; GPT-2's has, like the real one, no token to pad with."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    first = ["<pad>", "<s>", "</s>", "<unk>"]
    if family == "roberta":
        first[0], first[1] = first[1], first[0]
    vocabulary = {word: i for i, word in enumerate([*first, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special: dict[str, str] = {"unk_token": "<unk>", "eos_token": "</s>", "bos_token": "<s>"}
    if family != "gpt2":
        special["pad_token"] = "<pad>"
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            special_tokens=[("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])],
        )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def examples(modality: str) -> list[Any]:
    """Four decoded examples of unequal size, the shortest ones among them."""
    rng = np.random.default_rng(5)
    if modality == "text":
        return ["the film is very good", "dull", "", "a bright plot and not a bad film " * 3]
    if modality == "audio":
        return [rng.normal(0, 0.1, n).astype(np.float32) for n in (9000, 16000, 200, 12345)]
    from PIL import Image

    shapes = [(40, 50), (32, 32), (1, 1), (3, 90)]
    return [Image.fromarray(rng.integers(0, 255, (*s, 3), dtype=np.uint8)) for s in shapes]
