"""YAMNet: an audio event classifier on AudioSet, a MobileNet over patches of log-mel spectrogram.

Source: Plakal and Ellis, "YAMNet", github.com/tensorflow/models, research/audioset/yamnet (2020);
Howard et al., MobileNets, 2017. Batch norm is folded into the convolutions, so each has a bias.

Importing this module imports torch and transformers, so import it only where a model is loaded;
it registers nothing until `register()` is called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.fft import rfft
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
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel

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


class YamnetFeatureExtractor(SequenceFeatureExtractor):
    """Waveforms to patches of log-mel spectrogram, as TensorFlow's YAMNet sees them.

    Lengths in samples, frequencies in Hz; `patch_frames` and `patch_hop` in frames. The mel bands
    are HTK's, triangular in mel (as `tf.signal.linear_to_mel_weight_matrix` makes them), over
    magnitudes. The end is padded with zeros until the last patch is full, so that every sample
    counts; a clip shorter than a patch (0.975 s) becomes one patch.
    """

    model_input_names = ("input_features", "patch_mask")

    def __init__(
        self,
        sampling_rate: int = 16000,
        num_mel_bins: int = 64,
        fft_length: int = 512,
        window_length: int = 400,
        hop_length: int = 160,
        mel_min_hz: float = 125.0,
        mel_max_hz: float = 7500.0,
        log_offset: float = 0.001,
        patch_frames: int = 96,
        patch_hop: int = 48,
        window: str = "hann_periodic",
        mel_scale: str = "htk",
        **kwargs: Any,
    ) -> None:
        if (window, mel_scale) != ("hann_periodic", "htk"):
            raise ValueError(
                "YamnetFeatureExtractor knows window 'hann_periodic' and mel_scale 'htk', got "
                f"{window!r} and {mel_scale!r}. Check preprocessor_config.json."
            )
        kwargs = {"feature_size": num_mel_bins, "padding_value": 0.0, **kwargs}
        super().__init__(sampling_rate=sampling_rate, **kwargs)
        self.num_mel_bins = num_mel_bins
        self.fft_length = fft_length
        self.window_length = window_length
        self.hop_length = hop_length
        self.mel_min_hz = mel_min_hz
        self.mel_max_hz = mel_max_hz
        self.log_offset = log_offset
        self.patch_frames = patch_frames
        self.patch_hop = patch_hop
        self.window = window
        self.mel_scale = mel_scale

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Return input_features (n, p, frames, bands) float32 and patch_mask (n, p) bool.

        `raw_speech`: samples (t,) in [-1, 1], or a sequence of them. Patches that only fill up
        shorter clips are 0 and masked. `padding` and the like are accepted and change nothing.
        Raises ValueError for another sampling rate, more than one channel, or no clip.
        """
        if sampling_rate not in (None, self.sampling_rate):
            raise ValueError(
                f"YamnetFeatureExtractor works at {self.sampling_rate} Hz, got samples at "
                f"{sampling_rate} Hz. Resample them first."
            )
        single = np.ndim(raw_speech[0]) == 0 if len(raw_speech) else True
        clips = [np.asarray(c, np.float32) for c in ([raw_speech] if single else raw_speech)]
        for clip in clips:
            if clip.ndim != 1 or not len(clip):
                raise ValueError(f"YamnetFeatureExtractor needs samples (t,), got {clip.shape}.")
        patches = [self.patches(clip) for clip in clips]
        most = max(len(p) for p in patches)
        features = np.zeros((len(clips), most, *patches[0].shape[1:]), np.float32)
        mask = np.zeros((len(clips), most), bool)
        for row, found in enumerate(patches):
            features[row, : len(found)] = found
            mask[row, : len(found)] = True
        data = {"input_features": features, "patch_mask": mask}
        return BatchFeature(data, tensor_type=return_tensors)

    def patches(self, samples: np.ndarray) -> np.ndarray:
        """Return overlapping patches (p, frames, bands), a view, of samples (t,)."""
        first = (self.patch_frames - 1) * self.hop_length + self.window_length
        hop = self.patch_hop * self.hop_length
        hops = max(0, math.ceil((len(samples) - first) / hop))
        log_mel = self.log_mel(np.pad(samples, (0, first + hops * hop - len(samples))))
        view = np.lib.stride_tricks.sliding_window_view(log_mel, self.patch_frames, axis=0)
        return view[:: self.patch_hop].transpose(0, 2, 1)

    def log_mel(self, samples: np.ndarray) -> np.ndarray:
        """Return the log-mel spectrogram (frames, bands) of samples (t,), whole frames only."""
        view = np.lib.stride_tricks.sliding_window_view(samples, self.window_length)
        frames = view[:: self.hop_length] * _window(self.window_length)
        spectrum = rfft(frames, n=self.fft_length, axis=1)
        magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2)
        bands: np.ndarray = magnitude @ mel_filters(
            self.sampling_rate, self.fft_length, self.num_mel_bins, self.mel_min_hz, self.mel_max_hz
        )
        logs: np.ndarray = np.log(bands + np.float32(self.log_offset))
        return logs


@cache
def mel_filters(rate: int, fft_length: int, bands: int, low: float, high: float) -> np.ndarray:
    """Return filters (fft_length / 2 + 1, bands) float32 between `low` and `high` Hz."""

    def mel(hertz: Any) -> Any:
        return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)

    edges = np.linspace(mel(low), mel(high), bands + 2)
    place = mel(np.linspace(0, rate / 2, fft_length // 2 + 1))[:, None]
    rise = (place - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - place) / (edges[2:] - edges[1:-1])
    filters: np.ndarray = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
    filters.flags.writeable = False
    return filters


@cache
def _window(length: int) -> np.ndarray:
    window: np.ndarray = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(
        np.float32
    )
    window.flags.writeable = False
    return window


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
