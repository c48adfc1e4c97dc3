"""Pure functions on waveforms, float32 samples (t,) in [-1, 1], that several augmentations share.

F frequencies, N frames of the short-time Fourier transform.
"""

from __future__ import annotations

from functools import cache

import numpy as np

WINDOW = 1024  # samples: 64 ms at 16 kHz
HOP = 256


def bounded(samples: np.ndarray) -> np.ndarray:
    """Return float32 samples, turned down as a whole where they would leave [-1, 1]."""
    peak = float(np.abs(samples).max(initial=0))
    return np.asarray(samples / max(1.0, peak), np.float32)


def with_noise(samples: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """Add white Gaussian noise at `snr` dB; both are turned down together where they would clip."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    if power == 0:
        return samples
    noise = rng.standard_normal(len(samples), dtype=np.float32)
    scale = np.sqrt(power / float(np.mean(np.square(noise, dtype=np.float64))) / 10 ** (snr / 10))
    return bounded(samples + noise * np.float32(scale))


def spectrum(samples: np.ndarray) -> np.ndarray:
    """Return the short-time Fourier transform (F, N), frames centred on multiples of HOP."""
    from scipy.fft import rfft

    padded = np.pad(samples, (WINDOW // 2, WINDOW // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.asarray(rfft(frames * _hann(), axis=1).T)


def waveform(spectrum_FN: np.ndarray, length: int) -> np.ndarray:
    """Invert `spectrum`: return `length` samples, by weighted overlap-add.

    Source: Griffin and Lim, IEEE Trans. ASSP 32(2), 1984.
    """
    from scipy.fft import irfft

    frames = irfft(spectrum_FN.T, n=WINDOW, axis=1) * _hann()
    total = np.zeros(WINDOW + HOP * (len(frames) - 1), np.float32)
    weight = np.zeros_like(total)
    for at in range(WINDOW // HOP):  # frames that many apart do not overlap
        part = frames[at :: WINDOW // HOP]
        start = at * HOP
        total[start : start + part.size] += part.reshape(-1)
        weight[start : start + part.size] += np.tile(_hann() ** 2, len(part))
    whole = total / np.maximum(weight, 1e-3)
    cut = whole[WINDOW // 2 : WINDOW // 2 + length]
    return np.pad(cut, (0, length - len(cut)))


def stretched(samples: np.ndarray, pace: float) -> np.ndarray:
    """Return about t / pace samples that sound `pace` times as fast at the same pitch.

    A phase vocoder: frames are read at steps of `pace`; magnitudes are interpolated, and phases go
    on by what they advanced between the two neighbours. Shorter clips than one window do not
    change. Source: Flanagan and Golden, 1966; Laroche and Dolson, 1999.
    """
    if len(samples) < WINDOW or pace == 1:
        return samples
    frames_FN = spectrum(samples)
    places = np.arange(0, frames_FN.shape[1] - 1, pace)
    whole = places.astype(np.int64)
    share = (places - whole).astype(np.float32)
    before, after = frames_FN[:, whole], frames_FN[:, whole + 1]
    magnitude = (1 - share) * np.abs(before) + share * np.abs(after)
    # Phase that a bin's centre gains in one hop is known; only the rest is measured, and wrapped.
    centre = 2 * np.pi * HOP / WINDOW * np.arange(frames_FN.shape[0])[:, None]
    rest = np.angle(after) - np.angle(before) - centre
    advance = centre + rest - 2 * np.pi * np.round(rest / (2 * np.pi))
    steps = np.concatenate([np.angle(frames_FN[:, :1]), advance[:, :-1]], axis=1)
    phase = np.cumsum(steps, axis=1)
    return bounded(waveform(magnitude * np.exp(1j * phase), round(len(samples) / pace)))


def transposed(samples: np.ndarray, semitones: float) -> np.ndarray:
    """Return t samples that sound higher by `semitones` (lower where negative), at the same pace.

    Stretched first, then resampled to the old length. Shorter clips than one window do not change.
    """
    import soxr

    if len(samples) < WINDOW:
        return samples
    factor = 2 ** (semitones / 12)
    longer = stretched(samples, 1 / factor)
    found = np.asarray(soxr.resample(longer, factor, 1.0, quality="MQ"), np.float32)
    found = np.pad(found, (0, max(0, len(samples) - len(found))))
    return bounded(found[: len(samples)])


def fitted(samples: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return `length` samples: cut at a random place, or with silence before and after."""
    spare = len(samples) - length
    place = int(rng.integers(abs(spare) + 1))
    if spare >= 0:
        return samples[place : place + length]
    return np.pad(samples, (place, -spare - place))


@cache
def _hann() -> np.ndarray:
    window: np.ndarray = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(
        np.float32
    )
    window.flags.writeable = False
    return window
