"""The network of `starter:glyphs`: a small residual convolutional network for 32 x 32 glyphs.

Importing this module imports torch and transformers, so import it only where a model is loaded;
it registers nothing until `register()` is called.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification
from transformers import initialization as init
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)
from transformers.modeling_utils import PreTrainedModel

MODEL_TYPE = "headstart_glyphs"


class GlyphsConfig(PretrainedConfig):
    """Sizes of the network. `widths`: channels of the stem, then of each block."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        image_size: int = 32,
        widths: tuple[int, ...] = (24, 48, 96, 192),
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.image_size = image_size
        self.widths = list(widths)
        self.dropout = dropout
        self.hidden_size = int(self.widths[-1])
        kwargs.pop("hidden_size", None)  # follows from widths
        super().__init__(**kwargs)


class GlyphsStem(nn.Module):
    """Grey level, standardised an image, then one convolution at full resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.normalization = nn.BatchNorm2d(width)

    def forward(self, pixel_values: Tensor) -> Tensor:
        grey = pixel_values.mean(dim=1, keepdim=True)
        spread, mean = torch.std_mean(grey, dim=(1, 2, 3), keepdim=True, correction=0)
        # The addend keeps noise of an empty image small; ink on paper has a spread near 1/2.
        standard = (grey - mean) / (spread + 0.1)
        return functional.relu(self.normalization(self.convolution(standard)))


class GlyphsLayer(nn.Module):
    """A residual block that halves the resolution: (n, c, h, w) -> (n, d, h / 2, w / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        self.normalization1 = nn.BatchNorm2d(after)
        self.convolution2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.normalization2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = functional.relu(self.normalization1(self.convolution1(hidden)))
        inner = self.normalization2(self.convolution2(inner))
        around = self.shortcut(functional.avg_pool2d(hidden, 2, ceil_mode=True))
        return functional.relu(inner + around)


class GlyphsPreTrainedModel(PreTrainedModel):
    """What transformers must know to load and to initialise these models."""

    config_class = GlyphsConfig
    base_model_prefix = "glyphs"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ("GlyphsLayer",)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, std=0.01)
            init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
            init.zeros_(module.num_batches_tracked)


class GlyphsModel(GlyphsPreTrainedModel):
    """The body: pixel_values (n, 1 or 3, h, w) in [-1, 1] to pooler_output (n, hidden_size)."""

    _keys_to_ignore_on_load_unexpected = (r"^classifier\.",)

    def __init__(self, config: GlyphsConfig) -> None:
        super().__init__(config)
        widths = config.widths
        self.stem = GlyphsStem(widths[0])
        self.layer = nn.ModuleList(GlyphsLayer(before, after) for before, after in pairwise(widths))
        self.post_init()

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool = False, **kwargs: Any
    ) -> BaseModelOutputWithPoolingAndNoAttention:
        hidden = self.stem(pixel_values)
        states = [hidden]
        for layer in self.layer:
            hidden = layer(hidden)
            states.append(hidden)
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=hidden,
            pooler_output=hidden.mean(dim=(2, 3)),
            hidden_states=tuple(states) if output_hidden_states else None,
        )


class GlyphsForImageClassification(GlyphsPreTrainedModel):
    """The body with a linear head over the labels of the configuration."""

    def __init__(self, config: GlyphsConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.glyphs = GlyphsModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, **kwargs: Any
    ) -> ImageClassifierOutputWithNoAttention:
        body = self.glyphs(pixel_values, **kwargs)
        logits = self.classifier(self.dropout(body.pooler_output))
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        return ImageClassifierOutputWithNoAttention(
            loss=loss, logits=logits, hidden_states=body.hidden_states
        )


def register() -> None:
    """Make transformers' Auto classes know this architecture; calling it again changes nothing."""
    AutoConfig.register(MODEL_TYPE, GlyphsConfig, exist_ok=True)
    AutoModel.register(GlyphsConfig, GlyphsModel, exist_ok=True)
    AutoModelForImageClassification.register(
        GlyphsConfig, GlyphsForImageClassification, exist_ok=True
    )
