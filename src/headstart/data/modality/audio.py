"""Audio: files that libsndfile reads, or arrays of samples with their sampling rate."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Item
from headstart.data.modality import audio_features
from headstart.data.modality.base import InputSpec, SimpleFeatures
from headstart.data.modality.files import check_file, read_file
from headstart.errors import Unreadable

RATES = (1_000, 768_000)  # Hz; a header that says anything else is broken
MAX_PEAK = 8.0  # floats a little above 1 are clipped; much above, they are not in [-1, 1] at all
SHORTEST = 0.01  # seconds
BLOCK = 1 << 20  # samples of all channels together that are held at once
SHOWN_SECONDS = 3.0
SHOWN_RATE = 16000  # Hz

# What files of these suffixes contain. libsndfile also opens MATLAB files and other surprises.
FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU"})

# Of arrays. 64-bit integers are left out: nothing says which of their values is full scale.
TYPES = frozenset({"int8", "uint8", "int16", "uint16", "int32", "float16", "float32", "float64"})


class AudioModality:
    """Audio: a Path, or (samples (t,) or (t, channels), sampling rate in Hz)."""

    name = "audio"
    suffixes = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus", ".au"})

    def read(self, item: Item) -> bytes:
        """Return the file's bytes, or type, shape, rate and samples. Raises Unreadable."""
        if isinstance(item, Path):
            return read_file(item)
        samples, rate = _pair(item)
        header = f"{samples.dtype.str} {samples.shape} {rate} ".encode()
        return header + np.ascontiguousarray(samples).tobytes()

    def decode(self, item: Item, spec: InputSpec) -> np.ndarray:
        """Return float32 mono samples (t,) in [-1, 1] at `spec.sampling_rate`, cut at its seconds.

        Channels are averaged, integers scaled by their type, floats above 1 clipped. A WAV file
        that ends early gives what there is of it, as players do; FLAC that does is refused.
        Raises Unreadable with the reason.
        """
        if isinstance(item, Path):
            check_file(item)
            mono, rate = _from_file(item, spec.seconds)
        else:
            mono, rate = _from_array(*_pair(item), spec.seconds)
        return _finish(mono, rate, spec)

    def fit_simple(self, decoded: Sequence[np.ndarray]) -> SimpleFeatures:
        """Give MFCC statistics, for clips decoded at 16 kHz: nothing in them is fitted."""
        return audio_features.MfccStatistics()

    def simple_from_state(
        self, settings: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> SimpleFeatures:
        """Rebuild what `state` of the simple features gave."""
        return audio_features.MfccStatistics(**settings)

    def show(self, item: Item) -> str:
        """Return a figure with spectrogram and player of the first 3 s, or why there is none."""
        title = html.escape(item.name if isinstance(item, Path) else "audio", quote=True)
        try:
            samples = self.decode(item, InputSpec(SHOWN_RATE, seconds=SHOWN_SECONDS))
        except Unreadable as error:
            return f"<em>{title}: {html.escape(str(error))}</em>"
        kind, sound = _compressed(samples)
        picture = f"data:image/png;base64,{_base64(spectrogram(samples))}"
        return (
            f'<figure><img src="{picture}" alt="spectrogram of {title}">'
            f'<audio controls src="data:{kind};base64,{_base64(sound)}"></audio></figure>'
        )


def _pair(item: Any) -> tuple[np.ndarray, int]:
    if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], np.ndarray)):
        raise Unreadable(
            f"no audio: expected a path or (samples, sampling rate), got {type(item).__name__}"
        )
    samples, rate = item
    whole = isinstance(rate, (int, np.integer)) or (isinstance(rate, float) and rate.is_integer())
    if not whole or isinstance(rate, bool):
        raise Unreadable(f"sampling rate {rate!r}; expected a whole number of Hz")
    if samples.dtype.name not in TYPES:
        raise Unreadable(f"samples are {samples.dtype}; expected int16, int32 or floats in [-1, 1]")
    if samples.ndim not in (1, 2) or 0 in samples.shape:
        raise Unreadable(f"samples of shape {samples.shape}; expected (t,) or (t, channels)")
    return samples, int(rate)


def _from_file(path: Path, seconds: float) -> tuple[np.ndarray, int]:
    """Return mono float32 samples at the file's own rate, and that rate."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            if file.format not in FORMATS:
                raise Unreadable(
                    f"{file.format} file; expected one of {', '.join(sorted(FORMATS))}"
                )
            _check_rate(file.samplerate)
            return _averaged(file, _needed(file.samplerate, seconds)), file.samplerate
    except Unreadable:
        raise
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise Unreadable(_reason(error)) from None


def _averaged(file: Any, needed: int) -> np.ndarray:
    """Read at most `needed` frames, block by block: a header may promise any number of them."""
    step = max(1, BLOCK // file.channels)
    blocks: list[np.ndarray] = []
    count = 0
    while count < needed:
        wanted = min(step, needed - count)
        block = file.read(wanted, dtype="float32", always_2d=True)
        blocks.append(block.mean(axis=1, dtype=np.float32) if file.channels > 1 else block[:, 0])
        count += len(block)
        if len(block) < wanted:
            break
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _from_array(samples: np.ndarray, rate: int, seconds: float) -> tuple[np.ndarray, int]:
    _check_rate(rate)
    cut = samples[: _needed(rate, seconds)]
    floats = cut.astype(np.float32)
    if cut.dtype.kind in "iu":
        half = np.float32(2.0 ** (8 * cut.dtype.itemsize - 1))
        floats = (floats - half) / half if cut.dtype.kind == "u" else floats / half
    return floats.mean(axis=1, dtype=np.float32) if floats.ndim == 2 else floats, rate


def _needed(rate: int, seconds: float) -> int:
    return int(np.ceil(seconds * rate))


def _check_rate(rate: int) -> None:
    low, high = RATES
    if not low <= rate <= high:
        raise Unreadable(f"sampling rate of {rate:,} Hz; expected {low:,} to {high:,}")


def _finish(mono: np.ndarray, rate: int, spec: InputSpec) -> np.ndarray:
    import soxr

    if len(mono) < SHORTEST * rate:
        raise Unreadable(f"only {len(mono)} samples; expected at least {SHORTEST * 1000:g} ms")
    peak = float(max(mono.max(), -mono.min()))  # NaN spreads through max and min
    if not np.isfinite(peak):
        raise Unreadable("samples are NaN or infinite")
    if peak > MAX_PEAK:
        raise Unreadable(f"samples reach {peak:g}; expected floats in [-1, 1]")
    if peak == 0:
        part = f" in the first {spec.seconds:g} s" if len(mono) >= spec.seconds * rate else ""
        raise Unreadable(f"silent: all samples are zero{part}")
    if rate != spec.sampling_rate:
        mono = soxr.resample(mono, rate, spec.sampling_rate, quality="HQ")
    mono = mono[: max(1, round(spec.seconds * spec.sampling_rate))]
    return np.asarray(np.clip(mono, -1, 1), np.float32)


def _reason(error: Exception) -> str:
    """Say in a few words why audio cannot be read; no path, since quarantine names it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    words = str(getattr(error, "error_string", error)).strip().rstrip(".").removeprefix("Error : ")
    if "format not recognised" in words.lower():
        return "not audio: format not recognised"
    return f"broken audio: {words or type(error).__name__}"


def _compressed(samples: np.ndarray) -> tuple[str, bytes]:
    """Return (media type, bytes). MP3: small, played everywhere, the same bytes each time."""
    import soundfile

    buffer = io.BytesIO()
    if "MP3" in soundfile.available_formats():
        soundfile.write(buffer, samples, SHOWN_RATE, format="MP3")
        return "audio/mpeg", buffer.getvalue()
    soundfile.write(buffer, samples[::2], SHOWN_RATE // 2, format="FLAC", subtype="PCM_16")
    return "audio/flac", buffer.getvalue()


def spectrogram(samples: np.ndarray) -> bytes:
    """Return a PNG of the log-mel spectrogram, low tones at the bottom, 60 dB from black."""
    from PIL import Image

    decibels = 10 * audio_features.log_mel(samples, SHOWN_RATE, bands=64)[::2].T / np.log(10)
    shade = np.clip(255 * (1 + (decibels - decibels.max()) / 60), 0, 255)
    buffer = io.BytesIO()
    picture = Image.fromarray(255 - shade[::-1].astype(np.uint8))
    picture.resize((160, 64)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


AUDIO = AudioModality()
