"""SpecAugment: hide bands of frequency and stretches of time.

n examples, p patches, t samples or frames, F frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from headstart.data.augment import waves
from headstart.data.augment.base import within
from headstart.data.modality.base import Decoded
from headstart.errors import UsageError

WAVE_RATE = 16000  # Hz: of all models in transformers that take waveforms

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SpecAugment:
    """Hide `masks` bands of frequency and as many stretches of time, at places drawn anew.

    `frequency`, `time`: the widest mask as a share of the bands or frames (Park's F and T over
    the size of the axis); each width is uniform from 0 to that. It works on preprocessed batches:

    - Spectrograms (YAMNet, AST, Whisper, CLAP): hidden values become the mean of the example.
      YAMNet looks at one patch at a time and averages, so each patch gets masks of its own.
    - Waveforms (wav2vec 2.0 and its kin): the same on a short-time Fourier transform, bands evenly
      wide in mel at 16 kHz, and back: band-stop filters and silences. Hidden values become 0.

    Values that only fill up shorter clips stay as they are. Time is not warped, which the authors
    found to help least. Source: Park et al., SpecAugment, Interspeech 2019.
    """

    frequency: float = 0.2
    time: float = 0.2
    masks: int = 2
    name: ClassVar[str] = "specaugment"
    modality: ClassVar[str] = "audio"

    def __post_init__(self) -> None:
        within(self, "frequency", 0, 1)
        within(self, "time", 0, 1)
        within(self, "masks", 1, 10)

    def example(self, decoded: Decoded, *, rng: np.random.Generator) -> Decoded:
        """Return the samples as they are: the batch is where it works."""
        return decoded

    def batch(self, batch: dict[str, Any], *, rng: np.random.Generator) -> dict[str, Any]:
        """Return the batch with masks in `input_features` or `input_values`.

        Raises UsageError for a batch that has neither.
        """
        for key in ("input_features", "input_values"):
            if key in batch:
                found = np.asarray(batch[key]).astype(np.float32)  # a copy
                mask = batch.get("attention_mask")
                self._hide(found, None if mask is None else np.asarray(mask), rng)
                return {**batch, key: _like(found, batch[key])}
        raise UsageError(
            "Augmentation specaugment: expected a batch with input_features (a spectrogram) or "
            f"input_values, got {', '.join(batch)}. Leave specaugment out for this model."
        )

    def _hide(self, values: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> None:
        """Mask (n, t) waveforms, (n, t, F) or (n, F, t) spectrograms, or (n, p, t, F) patches."""
        if values.ndim == 2:
            for row, wave in enumerate(values):
                length = len(wave) if mask is None else int(mask[row].sum())
                wave[:length] = self.wave(wave[:length], rng)
            return
        if values.ndim == 3:
            turned = not _time_first(values.shape, mask)
            for row, one in enumerate(values):
                picture = one.T if turned else one
                counts = mask is not None and mask.shape == (len(values), len(picture))
                length = int(mask[row].sum()) if counts and mask is not None else len(picture)
                self.picture(picture[:length], rng)
            return
        for patch in values.reshape(-1, *values.shape[-2:]):
            self.picture(patch, rng)

    def picture(self, values: np.ndarray, rng: np.random.Generator) -> None:
        """Mask a spectrogram (t, F) in place; one without any contrast is filling and stays."""
        if not values.size or (values == values.flat[0]).all():
            return
        mean = values.mean(dtype=np.float64)
        for start, end in self.spans(values.shape[1], self.frequency, rng):
            values[:, start:end] = mean
        for start, end in self.spans(values.shape[0], self.time, rng):
            values[start:end] = mean

    def wave(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return samples (t,) whose spectrogram has masks of value 0."""
        frames_FN = waves.spectrum(samples)
        hertz = np.linspace(0, WAVE_RATE / 2, len(frames_FN))
        place = np.log1p(hertz / 700) / np.log1p(WAVE_RATE / 2 / 700)  # in mel, [0, 1]
        for start, end in self.spans(1000, self.frequency, rng):
            frames_FN[(place * 1000 >= start) & (place * 1000 < end)] = 0
        for start, end in self.spans(frames_FN.shape[1], self.time, rng):
            frames_FN[:, start:end] = 0
        return waves.waveform(frames_FN, len(samples))

    def spans(self, size: int, share: float, rng: np.random.Generator) -> list[Span]:
        """Draw (start, end) of each mask on an axis of `size`, at most floor(share * size) wide."""
        widest = int(share * size)
        widths = rng.integers(0, widest + 1, self.masks)
        return [
            (start, start + int(width))
            for width in widths
            if width
            for start in [int(rng.integers(0, size - width + 1))]
        ]


def _time_first(shape: tuple[int, ...], mask: np.ndarray | None) -> bool:
    """Tell (n, t, F) from (n, F, t): by the mask's length, else time is the longer axis."""
    if mask is not None and mask.ndim == 2 and shape[1] != shape[2]:
        if mask.shape[1] == shape[1]:
            return True
        if mask.shape[1] == shape[2]:
            return False
    return shape[1] >= shape[2]


def _like(values: np.ndarray, original: Any) -> Any:
    """Return `values` as what `original` is: an array, or a tensor of its type and device."""
    if isinstance(original, np.ndarray):
        return values.astype(original.dtype, copy=False)
    import torch

    return torch.from_numpy(values).to(dtype=original.dtype, device=original.device)
