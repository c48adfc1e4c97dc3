"""The front end of YAMNet, in numpy: waveforms to patches of log-mel spectrogram."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from scipy.fft import rfft
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature


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
