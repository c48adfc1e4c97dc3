"""Audio: what decodes, what is refused and why, and whether the hand-made features are right."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.fft import dct
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from headstart.data.dataset import Item
from headstart.data.modality import audio_features as af
from headstart.data.modality.audio import AUDIO
from headstart.data.modality.base import InputSpec
from headstart.errors import Unreadable
from headstart.testing.modality import HOSTILE, ModalityConformance

SPEC = InputSpec()


def tone(hertz: float, seconds: float = 0.5, rate: int = 16000, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def written(path: Path, samples: np.ndarray, rate: int = 16000, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def reason(item: object, spec: InputSpec = SPEC) -> str:
    with pytest.raises(Unreadable) as caught:
        AUDIO.decode(item, spec)
    return str(caught.value)


class TestAudio(ModalityConformance):
    modality = AUDIO

    def items(self, folder: Path) -> Sequence[Item]:
        noise = np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)
        return [
            written(folder / "a.wav", tone(440)),
            written(folder / "b.flac", tone(880, rate=8000), 8000),
            written(folder / "c.aiff", np.stack([tone(220), tone(330)], axis=1)),
            (tone(660), 16000),
            (noise, 22050),
            ((tone(550) * 32767).astype(np.int16), 16000),
        ]

    def garbage(self, folder: Path) -> Sequence[Item]:
        whole = written(folder / "whole.flac", tone(440, seconds=3)).read_bytes()
        broken = {"empty.wav": b"", "words.wav": b"not audio at all\n" * 9, "zeros.mp3": bytes(999)}
        broken |= {
            "header.wav": b"RIFF\xff\xff\xff\xffWAVEfmt ",
            "cut.flac": whole[: len(whole) // 2],
        }
        for name, content in broken.items():
            (folder / name).write_bytes(content)
        silent = written(folder / "silent.wav", np.zeros(16000, np.float32))
        return [
            *(folder / name for name in broken),
            *(silent, folder / "absent.wav", folder),
            (np.full(16000, np.nan, np.float32), 16000),
            (np.zeros(0, np.float32), 16000),
            "a text",
            tone(440),
        ]

    def hostile(self, folder: Path) -> Sequence[Item]:
        name = HOSTILE.replace("/", "")
        broken = folder / f"{name}.mp3"
        broken.write_bytes(b"no audio")
        return [written(folder / f"{name}.wav", tone(440)), broken]


def test_pcm_comes_back_exactly(tmp_path: Path) -> None:
    steps = np.random.default_rng(1).integers(-32768, 32767, 4000, dtype=np.int16)
    got = AUDIO.decode(written(tmp_path / "a.wav", steps), SPEC)
    assert got.dtype == np.float32 and got.shape == (4000,)
    np.testing.assert_array_equal(got, steps / np.float32(32768))
    np.testing.assert_array_equal(AUDIO.decode((steps, 16000), SPEC), got)
    unsigned = (steps // 256 + 128).astype(np.uint8)
    np.testing.assert_array_equal(AUDIO.decode((unsigned, 16000), SPEC), steps // 256 / 128)


def test_eight_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.stack([tone(100 * (k + 1)) for k in range(8)], axis=1)
    path = written(tmp_path / "eight.wav", channels, subtype="FLOAT")
    np.testing.assert_allclose(AUDIO.decode(path, SPEC), channels.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(
        AUDIO.decode((channels, 16000), SPEC), channels.mean(axis=1), atol=1e-6
    )


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_resampling_keeps_a_tone(tmp_path: Path, rate: int) -> None:
    got = AUDIO.decode(written(tmp_path / "a.flac", tone(1000, 1.0, rate), rate), SPEC)
    assert abs(len(got) - 16000) <= 1
    middle = slice(800, 15200)  # the filter rings at both ends
    np.testing.assert_allclose(got[middle], tone(1000, 1.0)[: len(got)][middle], atol=2e-3)


def test_it_is_cut_and_only_that_much_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "long.wav", np.tile(tone(440), 20), 16000)
    whole = AUDIO.decode(path, SPEC)
    cut = AUDIO.decode(path, InputSpec(seconds=1.25))
    assert len(whole) == 160000 and len(cut) == 20000
    np.testing.assert_array_equal(cut, whole[:20000])
    assert len(AUDIO.decode((whole, 8000), InputSpec(seconds=0.5))) == 8000


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus", "a.au", "a.aif", "a.flac", "a.wav"])
def test_every_suffix_decodes(tmp_path: Path, name: str) -> None:
    unknown_to_write = {
        ".opus": {"format": "OGG", "subtype": "OPUS"},
        ".aif": {"format": "AIFF"},
    }
    options = unknown_to_write.get(Path(name).suffix, {})
    clean = tone(440, 1.0)
    got = AUDIO.decode(written(tmp_path / name, clean, **options), SPEC)
    assert abs(len(got) - 16000) < 3000  # codecs pad at the ends
    spectrum = np.abs(np.fft.rfft(got[2000:10000]))
    assert abs(spectrum.argmax() * 2 - 440) <= 2
    assert Path(name).suffix in AUDIO.suffixes


def test_reasons_name_what_is_wrong(tmp_path: Path) -> None:
    assert reason(written(tmp_path / "s.wav", np.zeros((16000, 2)))) == (
        "silent: all samples are zero"
    )
    late = np.concatenate([np.zeros(32000), tone(440)])
    assert reason((late, 16000), InputSpec(seconds=1.0)).endswith("in the first 1 s")
    assert reason((tone(440)[:100], 16000)) == "only 100 samples; expected at least 10 ms"
    assert reason((np.ones((2, 16000)), 16000)).startswith("only 2 samples")
    assert "10000" in reason((tone(440) * 20000, 16000))
    assert reason((np.full(999, np.inf), 16000)) == "samples are NaN or infinite"
    assert "int64" in reason((np.arange(999), 16000))
    for rate in (0, -1, 2**31, 16000.5, float("nan"), True, "16000"):
        assert "sampling rate" in reason((tone(440), rate)), rate
    empty = tmp_path / "e.wav"
    empty.write_bytes(b"")
    assert reason(empty) == "zero bytes"
    (tmp_path / "t.wav").write_text("hello " * 99)
    assert reason(tmp_path / "t.wav") == "not audio: format not recognised"
    whole = written(tmp_path / "w.flac", np.random.default_rng(0).normal(0, 0.1, 90000))
    whole.write_bytes(whole.read_bytes()[:60000])
    assert re.search("truncated|broken", reason(whole))


def test_a_header_that_promises_hours_costs_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "lie.wav", tone(440))
    raw = bytearray(path.read_bytes())
    raw[40:44] = raw[4:8] = b"\xf0\xff\xff\xff"
    path.write_bytes(raw)
    np.testing.assert_allclose(AUDIO.decode(path, SPEC), tone(440), atol=1e-4)
    flac = written(tmp_path / "lie.flac", tone(440))
    raw = bytearray(flac.read_bytes())
    raw[21] |= 0x0F  # the high bits of the 36 that count samples
    flac.write_bytes(raw)
    assert re.search("truncated|broken", reason(flac))


def test_loud_floats_are_clipped() -> None:
    got = AUDIO.decode((tone(440, level=1.5), 16000), SPEC)
    assert got.max() == 1 and got.min() == -1


def test_rate_and_type_are_part_of_the_content() -> None:
    one = AUDIO.read((tone(440), 16000))
    assert one != AUDIO.read((tone(440), 8000))
    assert one != AUDIO.read((tone(440).astype(np.float64), 16000))
    strided = np.repeat(tone(440), 2)[::2]
    assert one == AUDIO.read((strided, 16000))


def test_log_mel_and_mfcc_against_transformers_and_a_slow_dct() -> None:
    noise = np.random.default_rng(2).normal(0, 0.2, 8000).astype(np.float32)
    window = window_function(400, "hann", periodic=True)
    filters = mel_filter_bank(257, 40, 0, 8000, 16000, norm=None, mel_scale="htk")
    energies = spectrogram(
        *(noise, 2 * window / window.sum(), 400, 160),
        fft_length=512,
        power=2.0,
        center=False,
        mel_filters=filters,
        mel_floor=0.0,
    )
    expected = np.log(energies.T + 1e-6)
    got = af.log_mel(noise, 16000, bands=40)
    assert got.shape == (48, 40)
    np.testing.assert_allclose(got, expected, atol=2e-4)
    np.testing.assert_allclose(af.cepstrum(got, 20), dct(expected, norm="ortho")[:, :20], atol=2e-3)
    n, k = np.arange(40), np.arange(20)[:, None]
    basis = np.cos(np.pi / 40 * (n + 0.5) * k) * np.where(k == 0, np.sqrt(1 / 40), np.sqrt(2 / 40))
    np.testing.assert_allclose(af.cepstrum(got, 20), got @ basis.T, atol=1e-4)


def test_deltas_are_slopes_of_fitted_lines() -> None:
    series = np.random.default_rng(3).normal(size=(9, 3)).astype(np.float32)
    got = af.deltas(series)
    for t in range(2, 7):
        fitted = np.polyfit(np.arange(-2, 3), series[t - 2 : t + 3], 1)[0]
        np.testing.assert_allclose(got[t], fitted, atol=1e-5)
    np.testing.assert_allclose(af.deltas(np.full((5, 2), 3.0)), 0)


def test_shape_statistics_of_a_tone_and_of_noise() -> None:
    # Columns: 20 MFCC, 20 deltas, centroid, roll-off, flatness, crossings, loudness; then spreads.
    features = AUDIO.fit_simple([])
    noise = np.random.default_rng(4).uniform(-0.5, 0.5, 16000).astype(np.float32)
    pure, white = features.transform([tone(2000, 1.0), noise])
    assert pure.shape == (91,) and pure.dtype == np.float32
    centroid, roll_off, flatness, crossings, loudness = range(40, 45)
    assert pure[centroid] == pytest.approx(2.0, abs=0.02)  # kHz
    assert white[centroid] == pytest.approx(4.0, abs=0.2)
    assert white[roll_off] == pytest.approx(0.85 * 8, abs=0.3)
    assert pure[flatness] < white[flatness] - 3
    assert pure[crossings] == pytest.approx(4000 / 16000, abs=0.01)
    assert pure[loudness] == pytest.approx(np.log(0.5 / np.sqrt(2)), abs=0.01)
    assert pure[-1] == pytest.approx(0.0)  # log of one second
    np.testing.assert_allclose(pure[45 + centroid], 0, atol=0.01)


def test_features_of_the_shortest_clip_are_finite() -> None:
    assert np.isfinite(AUDIO.fit_simple([]).transform([tone(440, 0.01), tone(440)])).all()


def test_show_holds_a_small_player_of_three_seconds(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(0, 0.3, 16000 * 10)
    fragment = AUDIO.show(written(tmp_path / "n.wav", noise))
    assert len(fragment) < 60_000
    assert fragment == AUDIO.show(tmp_path / "n.wav"), "reports must not change by themselves"
    kind, sound = re.search(
        r'<audio controls src="data:([a-z/]+);base64,([^"]+)"', fragment
    ).groups()
    assert kind in ("audio/mpeg", "audio/flac")
    path = tmp_path / "back"
    path.write_bytes(base64.b64decode(sound))
    assert 2.9 < soundfile.info(path).duration < 3.2
    picture = base64.b64decode(re.search(r'data:image/png;base64,([^"]+)', fragment)[1])
    assert picture.startswith(b"\x89PNG")


def test_importing_the_modality_loads_neither_soundfile_nor_soxr() -> None:
    code = (
        "import sys, headstart.data.modality.audio; "
        "print([m for m in ('soundfile', 'soxr', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.shared
def test_real_clips_decode(shared: Path) -> None:
    for folder in ("instruments", "fsdd"):
        files = sorted((shared / "data" / folder).rglob("*.flac"))[::100]
        decoded = [AUDIO.decode(file, SPEC) for file in files]
        assert len(decoded) >= 3
        for file, samples in zip(files, decoded, strict=True):
            info = soundfile.info(file)
            assert abs(len(samples) - round(info.duration * 16000)) <= 1
        assert np.isfinite(AUDIO.fit_simple(decoded).transform(decoded)).all()
