"""Hand-made features of audio: what can be had without any pretrained model.

T frames, F frequencies of the FFT, M mel bands, C cepstral coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np

WINDOW = 0.025  # seconds
HOP = 0.010  # seconds
FLOOR = 1e-6  # added to mel energies before the logarithm: 120 dB below a full-scale tone's 1
ROLL_OFF = 0.85  # share of the energy below the roll-off frequency
REACH = 2  # frames on either side that a delta is fitted over


@dataclass(frozen=True, slots=True)
class MfccStatistics:
    """Mean and standard deviation over time of MFCC, their deltas, and spectral shape.

    Clips must have been decoded at `sampling_rate` Hz.
    """

    sampling_rate: int = 16000
    bands: int = 40
    coefficients: int = 20
    name: str = "mfcc"

    def transform(self, decoded: Sequence[np.ndarray]) -> np.ndarray:
        """Return features (n, 4 * coefficients + 11) float32 of samples (t,) each."""
        out = np.empty((len(decoded), 4 * self.coefficients + 11), np.float32)
        for row, samples in enumerate(decoded):
            out[row] = self._one(np.asarray(samples, np.float32))
        return out

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return (JSON-able settings, no arrays)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}, {}

    def _one(self, samples: np.ndarray) -> np.ndarray:
        frames_TW = frames(samples, self.sampling_rate)
        power_TF = power(frames_TW)
        mfcc_TC = cepstrum(_log_bands(power_TF, self.sampling_rate, self.bands), self.coefficients)
        shape_T5 = _shape(frames_TW, power_TF, self.sampling_rate)
        over_time = np.concatenate([mfcc_TC, deltas(mfcc_TC), shape_T5], axis=1)
        duration = np.log(len(samples) / self.sampling_rate)
        return np.concatenate([over_time.mean(axis=0), over_time.std(axis=0), [duration]])


def frames(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return overlapping frames (T, W) of 25 ms every 10 ms, a view; a short clip gets zeros."""
    window, hop = round(WINDOW * rate), round(HOP * rate)
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    return np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]


def power(frames_TW: np.ndarray) -> np.ndarray:
    """Return power spectra (T, F) float32 under a Hann window: a full-scale sine peaks at 1."""
    from scipy.fft import rfft

    window = frames_TW.shape[1]
    spectrum = rfft(frames_TW * _hann(window), n=1 << (window - 1).bit_length(), axis=1)
    return np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)


def log_mel(samples: np.ndarray, rate: int, bands: int) -> np.ndarray:
    """Return natural-log mel energies (T, bands) of samples (t,)."""
    return _log_bands(power(frames(samples, rate)), rate, bands)


def cepstrum(log_mel_TM: np.ndarray, coefficients: int) -> np.ndarray:
    """Return the first cepstral coefficients (T, C): orthonormal DCT-II over mel bands.

    Source: Davis and Mermelstein, IEEE Trans. ASSP 28(4), 1980.
    """
    from scipy.fft import dct

    return np.asarray(dct(log_mel_TM, type=2, norm="ortho", axis=1)[:, :coefficients])


def deltas(series_TC: np.ndarray) -> np.ndarray:
    """Return slopes per frame (T, C), fitted over 2 frames on either side, edges repeated.

    Source: Furui, IEEE Trans. ASSP 34(1), 1986.
    """
    count = len(series_TC)
    padded = np.pad(series_TC, ((REACH, REACH), (0, 0)), mode="edge")
    slopes: np.ndarray = np.zeros_like(series_TC)
    for step in range(1, REACH + 1):
        ahead = padded[REACH + step : REACH + step + count]
        slopes += step * (ahead - padded[REACH - step : REACH - step + count])
    return np.asarray(slopes / np.float32(2 * sum(step**2 for step in range(1, REACH + 1))))


@cache
def mel_filters(rate: int, size: int, bands: int) -> np.ndarray:
    """Return triangular filters (F, M) float32 from 0 Hz to half the rate, peaks of 1, HTK mel.

    `size`: number of FFT frequencies F. Triangles are straight in Hz.
    """
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hertz = np.linspace(0, rate / 2, size)[:, None]
    rise = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    filters: np.ndarray = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
    filters.flags.writeable = False
    return filters


@cache
def _hann(window: int) -> np.ndarray:
    """Periodic Hann window (W,) whose sum is 2, so that a full-scale sine has magnitude 1."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    scaled: np.ndarray = (2 * hann / hann.sum()).astype(np.float32)
    scaled.flags.writeable = False
    return scaled


def _log_bands(power_TF: np.ndarray, rate: int, bands: int) -> np.ndarray:
    energies_TM: np.ndarray = power_TF @ mel_filters(rate, power_TF.shape[1], bands)
    return np.asarray(np.log(energies_TM + np.float32(FLOOR)))


def _shape(frames_TW: np.ndarray, power_TF: np.ndarray, rate: int) -> np.ndarray:
    """Return (T, 5): centroid and roll-off in kHz, log flatness, zero-crossing rate, log RMS."""
    size = power_TF.shape[1]
    kilohertz = np.linspace(0, rate / 2000, size, dtype=np.float32)
    lifted = power_TF + np.float32(FLOOR / size)  # silent frames get a white spectrum, not 0 / 0
    below = np.cumsum(lifted, axis=1)
    total = below[:, -1]
    roll_off = kilohertz[np.count_nonzero(below < ROLL_OFF * total[:, None], axis=1)]
    flatness = np.log(lifted).mean(axis=1) - np.log(total / size)
    crossings = (np.signbit(frames_TW[:, 1:]) != np.signbit(frames_TW[:, :-1])).mean(axis=1)
    loudness = 0.5 * np.log((frames_TW**2).mean(axis=1) + np.float32(FLOOR))
    return np.stack([lifted @ kilohertz / total, roll_off, flatness, crossings, loudness], axis=1)
