"""The figures of the catalogue, counted again on models with random weights and no memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel

from headstart.sources.architectures import register_all
from headstart.sources.catalogue import entries, find
from headstart.sources.catalogue.entry import Build, Entry
from headstart.sources.catalogue.measure import Figures, count_parameters, measure
from headstart.sources.loading import drop_untrained_pooler, quiet

pytestmark = pytest.mark.usefixtures("one_core")
COUNTED = [entry for entry in entries() if entry.build]
# What others state for the same architectures, head included, to the last parameter.
STATED = {
    # torchvision's documentation, num_params of the weights
    "hf:microsoft/resnet-18": 11_689_512,
    "hf:microsoft/resnet-34": 21_797_672,
    "hf:microsoft/resnet-50": 25_557_032,
    "hf:microsoft/resnet-101": 44_549_160,
    "hf:microsoft/resnet-152": 60_192_808,
    "hf:google/efficientnet-b0": 5_288_548,
    "hf:google/efficientnet-b1": 7_794_184,
    "hf:google/efficientnet-b4": 19_341_616,
    "hf:facebook/convnext-tiny-224": 28_589_128,
    "hf:facebook/convnext-small-224": 50_223_688,
    "hf:facebook/convnext-base-224": 88_591_464,
    "hf:google/vit-base-patch16-224": 86_567_656,
    "hf:microsoft/swin-tiny-patch4-window7-224": 28_288_354,
    "hf:microsoft/swin-small-patch4-window7-224": 49_606_258,
    "hf:microsoft/swin-base-patch4-window7-224": 87_768_224,
    # torchvision's 3,504,872 with 1,000 outputs; one output more has 1,280 weights and a bias
    "hf:google/mobilenet_v2_1.0_224": 3_504_872 + 1_281,
    # CLIP's own count of its published weights
    "hf:openai/clip-vit-base-patch32": 151_277_313,
    "hf:openai/clip-vit-base-patch16": 149_620_737,
    "hf:openai/clip-vit-large-patch14": 427_616_513,
    # ../shared/models/yamnet
    "tfhub:google/yamnet/1": 3_729_481,
}
# Multiply-adds as papers and model cards round them, in millions, and how coarsely: head included,
# which is little.
STATED_OPERATIONS = {
    "hf:google/mobilenet_v1_1.0_224": (569, 2),  # tensorflow/models mobilenet_v1.md
    "hf:google/mobilenet_v2_1.0_224": (300, 2),  # tensorflow/models mobilenet/README.md
    "hf:google/mobilenet_v2_0.75_160": (107, 2),
    "hf:google/mobilenet_v2_1.4_224": (582, 3),
    "hf:microsoft/resnet-50": (4090, 10),  # torchvision
    "hf:google/efficientnet-b0": (390, 10),  # the paper, table 2
    "hf:facebook/convnext-tiny-224": (4500, 50),  # its README
    "hf:facebook/convnext-base-224": (15_400, 50),
    "hf:facebook/convnextv2-nano-1k-224": (2450, 10),
    "hf:microsoft/swin-tiny-patch4-window7-224": (4500, 50),
    "hf:google/vit-base-patch16-224": (17_560, 10),  # torchvision
    "hf:PekingU/rtdetr_r50vd": (136_000 / 2, 1000),  # the paper: 136 GFLOPs of two operations
    "hf:nvidia/segformer-b0-finetuned-ade-512-512": (8400, 5300),  # with the decoder
    "tfhub:google/yamnet/1": (69.2, 0.6),  # its README
}


def smallest_of_each() -> list[Entry]:
    """Return the smallest entry of each architecture: one forward pass each is quick enough."""
    found: dict[str, Entry] = {}
    for entry in sorted(COUNTED, key=lambda entry: entry.operations or 0):
        assert entry.build is not None
        found.setdefault(entry.build.type, entry)
    return list(found.values())


SMALLEST = smallest_of_each()


@pytest.mark.parametrize(
    "entry", [entry for entry in COUNTED if entry not in SMALLEST], ids=lambda entry: entry.id
)
def test_parameters_are_exact(entry: Entry) -> None:
    """Those of the others are counted below, together with the operations."""
    assert count_parameters(entry) == (entry.parameters, entry.whole_parameters)


@pytest.mark.parametrize("entry", SMALLEST, ids=lambda entry: entry.id)
def test_every_architecture_costs_what_it_says(entry: Entry) -> None:
    """Of the larger entries of an architecture, `recipes/catalogue.py --check` does the same."""
    expected = Figures(
        entry.parameters or 0, entry.operations or 0, entry.whole_parameters or 0, entry.width
    )
    assert measure(entry) == expected


@pytest.mark.parametrize("id", STATED)
def test_parameters_are_what_others_state(id: str) -> None:
    entry = find(id)
    assert entry is not None and entry.whole_parameters == STATED[id]


@pytest.mark.parametrize("id", STATED_OPERATIONS)
def test_operations_are_near_what_others_state(id: str) -> None:
    entry = find(id)
    millions, coarse = STATED_OPERATIONS[id]
    assert entry is not None and entry.operations is not None
    assert entry.operations / 1e6 == pytest.approx(millions, abs=coarse)


@pytest.mark.parametrize(
    "id",
    [
        "hf:microsoft/resnet-18",
        "starter:glyphs",
        "starter:minilm",
        "hf:openai/whisper-tiny",
        "hf:facebook/deit-tiny-patch16-224",
        "hf:facebook/convnext-tiny-224",
        "hf:microsoft/swin-tiny-patch4-window7-224",
        "hf:google/efficientnet-b0",
        "hf:google-t5/t5-small",
        "hf:answerdotai/ModernBERT-base",
        "hf:facebook/wav2vec2-base",
    ],
)
def test_operations_are_those_of_torchs_own_counter(id: str) -> None:
    """The independent reference: FlopCounterMode over a model with values, on the CPU."""
    entry = find(id)
    assert entry is not None and entry.build is not None
    small = entry.model_copy(
        update={"build": entry.build.model_copy(update={"settings": smaller(entry.build)})}
    )
    assert small.build is not None
    register_all()
    config = AutoConfig.for_model(small.build.type, **small.build.settings)
    with quiet():
        model = AutoModel.from_config(config, attn_implementation="eager").eval()
    module = model.get_encoder() if config.is_encoder_decoder else model
    drop_untrained_pooler(module)  # as Headstart does
    counter = FlopCounterMode(display=False)
    with counter:
        module(**inputs_for(small))
    assert measure(small).operations == counter.get_total_flops() // 2


def smaller(build: Build) -> dict[str, Any]:
    """Return settings of a narrow and shallow model of the same kind."""
    less = {
        "resnet": {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "embedding_size": 8},
        "bert": {"hidden_size": 48, "num_hidden_layers": 2, "intermediate_size": 96},
        "whisper": {
            "d_model": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
        },
        "vit": {"num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 96},
        "convnext": {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
        "swin": {"embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2]},
        "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 2},
        "modernbert": {
            "hidden_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "intermediate_size": 96,
        },
        "wav2vec2": {
            "conv_dim": [8] * 7,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        },
    }
    return build.settings | less.get(build.type, {})


def inputs_for(entry: Entry) -> dict[str, torch.Tensor]:
    if entry.example.pixels:
        return {"pixel_values": torch.rand(1, 3, *entry.example.pixels)}
    if entry.example.tokens:
        return {"input_ids": torch.ones(1, entry.example.tokens, dtype=torch.long)}
    if entry.family == "Whisper":
        return {"input_features": torch.rand(1, 80, 3000)}
    seconds, rate = entry.example.seconds or 0.0, entry.example.rate or 0
    return {"input_values": torch.rand(1, round(seconds * rate))}


def chain(*layers: nn.Module) -> Callable[[torch.Tensor], tuple[int, int]]:
    """Return a function of an input that gives parameters and multiply-adds of a plain chain."""

    def count(example: torch.Tensor) -> tuple[int, int]:
        model, counter = nn.Sequential(*layers), FlopCounterMode(display=False)
        with counter:
            model(example)
        return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2

    return count


def vgg(channels: int, plan: list[int], dense: list[int]) -> list[nn.Module]:
    """Return 3 x 3 convolutions (0: halve the map) and dense layers."""
    layers: list[nn.Module] = []
    for width in plan:
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    return layers + [nn.Linear(a, b) for a, b in pairwise(dense)]


def test_vgg_and_vggish_which_transformers_lacks() -> None:
    """Built here from the tables of their authors."""
    with torch.device("meta"):
        plan = [64, 64, 0, 128, 128, 0, *[256] * 3, 0, *[512] * 3, 0, *[512] * 3, 0]
        layers = vgg(3, plan, [512 * 7 * 7, 4096, 4096, 1000])
        sixteen = chain(*layers)(torch.zeros(1, 3, 224, 224))
        plan = [64, 0, 128, 0, 256, 256, 0, 512, 512, 0]
        layers = vgg(1, plan, [512 * 6 * 4, 4096, 4096, 128])
        vggish = chain(*layers)(torch.zeros(1, 1, 96, 64))
    for id, counted in (("timm:vgg16.tv_in1k", sixteen), ("tfhub:google/vggish/1", vggish)):
        entry = find(id)
        assert entry is not None and (entry.parameters, entry.operations) == counted
