"""YAMNet: an audio event classifier on AudioSet, a MobileNet over patches of log-mel spectrogram.

Source: Plakal and Ellis, "YAMNet", github.com/tensorflow/models, research/audioset/yamnet (2020);
Howard et al., MobileNets, 2017. Batch norm is folded into the convolutions, so each has a bias.

Importing this module imports torch and transformers, so import it only where a model is loaded;
it registers nothing until `register()` is called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
)
from transformers import initialization as init
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel

from headstart.sources.architectures.yamnet_frontend import YamnetFeatureExtractor

MODEL_TYPE = "yamnet"
WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
TYPICAL_LOG_MEL = -3.0  # mean over music and speech clips; a fresh network is centred there


class YamnetConfig(PretrainedConfig):
    """Sizes of the network. `widths`, `strides`: output channels and stride of layers 1 to n."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        num_mel_bins: int = 64,
        patch_frames: int = 96,
        widths: Sequence[int] = WIDTHS,
        strides: Sequence[int] = STRIDES,
        **kwargs: Any,
    ) -> None:
        if len(widths) != len(strides) or not widths:
            raise ValueError(
                f"YamnetConfig needs a stride for each width, got {len(widths)} widths and "
                f"{len(strides)} strides."
            )
        self.num_mel_bins = num_mel_bins
        self.patch_frames = patch_frames
        self.widths = list(widths)
        self.strides = list(strides)
        self.hidden_size = int(self.widths[-1])
        kwargs.pop("hidden_size", None)  # follows from widths
        super().__init__(**kwargs)


def same_padding(hidden: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad (…, h, w) with zeros as TensorFlow's "same": what is left over goes after, not before."""
    pads: list[int] = []
    for size in (hidden.shape[-1], hidden.shape[-2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(hidden, pads) if any(pads) else hidden


class YamnetStem(nn.Module):
    """Layer 1, a full convolution: (n, 1, frames, bands) -> (n, c, …)."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, stride=stride)

    def forward(self, hidden: Tensor) -> Tensor:
        padded = same_padding(hidden, 3, self.conv.stride[0])
        return functional.relu(self.conv(padded))


class YamnetLayer(nn.Module):
    """Layers 2 to n, a depthwise and a pointwise convolution: (n, c, h, w) -> (n, d, …)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        # At stride 1 "same" is symmetric, and the convolution pads without a copy.
        self.depthwise = nn.Conv2d(
            before, before, 3, stride=stride, padding=int(stride == 1), groups=before
        )
        self.pointwise = nn.Conv2d(before, after, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        stride = self.depthwise.stride[0]
        padded = hidden if stride == 1 else same_padding(hidden, 3, stride)
        hidden = functional.relu(self.depthwise(padded))
        return functional.relu(self.pointwise(hidden))


class YamnetPreTrainedModel(PreTrainedModel):
    """What transformers must know to load and to initialise these models."""

    config_class = YamnetConfig
    base_model_prefix = "yamnet"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    _no_split_modules = ("YamnetLayer",)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            # By fan-in: torch's fan-out ignores that a depthwise channel feeds one channel only.
            init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            # Log-mel lies far below 0 and no batch norm centres it, so the first bias does.
            first = module.in_channels == 1
            middle = module.weight.sum(dim=(1, 2, 3)) * (-TYPICAL_LOG_MEL if first else 0.0)
            init.copy_(module.bias, middle)
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, std=0.01)
            init.zeros_(module.bias)


class YamnetModel(YamnetPreTrainedModel):
    """The body: log-mel patches to one embedding a patch, and their mean, one a clip."""

    def __init__(self, config: YamnetConfig) -> None:
        super().__init__(config)
        widths, strides = config.widths, config.strides
        self.depth = len(widths)
        self.layer1 = YamnetStem(widths[0], strides[0])
        for i in range(1, self.depth):
            layer = YamnetLayer(widths[i - 1], widths[i], strides[i])
            self.add_module(f"layer{i + 1}", layer)
        self.post_init()

    def forward(
        self, input_features: Tensor, patch_mask: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Embed input_features (n, p, frames, bands); patch_mask (n, p) is 0 where none counts.

        last_hidden_state (n, p, hidden_size) is 0 at masked patches; pooler_output
        (n, hidden_size) is the mean over the others.
        """
        if patch_mask is None:
            patch_mask = torch.ones(input_features.shape[:2], device=input_features.device)
        mask = patch_mask.bool()
        # Only patches that count are run: no work on filling, and batching changes no result.
        hidden = input_features[mask][:, None]
        for i in range(self.depth):
            hidden = self.get_submodule(f"layer{i + 1}")(hidden)
        embeddings = hidden.mean(dim=(2, 3))
        states = embeddings.new_zeros(*mask.shape, embeddings.shape[1])
        states = states.masked_scatter(mask[:, :, None], embeddings)
        counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return BaseModelOutputWithPooling(
            last_hidden_state=states, pooler_output=states.sum(dim=1) / counts
        )


class YamnetForAudioClassification(YamnetPreTrainedModel):
    """The body with a linear head; a clip's scores are the mean over patches of sigmoids."""

    def __init__(self, config: YamnetConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.yamnet = YamnetModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_features: Tensor,
        patch_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Return logits (n, labels) whose sigmoid is the mean over patches of the patch scores.

        `labels` (n, labels) of 0 and 1 add the binary cross-entropy as loss.
        """
        body = self.yamnet(input_features, patch_mask)
        patch_logits = self.classifier(body.last_hidden_state)
        off = torch.zeros_like(patch_logits[..., :1])
        if patch_mask is not None:
            off = off.masked_fill(~patch_mask.bool()[:, :, None], float("-inf"))
        # The logit of a mean of sigmoids, without the rounding of sigmoids near 0 and 1.
        yes = torch.logsumexp(functional.logsigmoid(patch_logits) + off, dim=1)
        no = torch.logsumexp(functional.logsigmoid(-patch_logits) + off, dim=1)
        logits = yes - no
        loss = None
        if labels is not None:
            loss = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return SequenceClassifierOutput(loss=loss, logits=logits)


def register() -> None:
    """Make transformers' Auto classes know this architecture; calling it again changes nothing."""
    AutoConfig.register(MODEL_TYPE, YamnetConfig, exist_ok=True)
    AutoFeatureExtractor.register(YamnetConfig, YamnetFeatureExtractor, exist_ok=True)
    AutoModel.register(YamnetConfig, YamnetModel, exist_ok=True)
    AutoModelForAudioClassification.register(
        YamnetConfig, YamnetForAudioClassification, exist_ok=True
    )
