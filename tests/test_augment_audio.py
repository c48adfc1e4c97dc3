"""Augmentations of audio: conformance, and each against a reference."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.data.augment import parse, waves
from headstart.data.augment.audio_waves import Gain, Noise, Pitch, Shift, Stretch
from headstart.data.augment.spec_augment import SpecAugment
from headstart.errors import UsageError
from headstart.testing.augment import AugmentationConformance, rng, usual

RATE = 16000


class TestNoise(AugmentationConformance):
    augmentation = Noise(low=5, high=15)
    wrong = ("noise:-30", "noise:high=200", "noise:30:20")


class TestGain(AugmentationConformance):
    augmentation = Gain(decibels=9)
    wrong = ("gain:-1", "gain:61")


class TestShift(AugmentationConformance):
    augmentation = Shift(share=0.5)
    wrong = ("shift:-0.1", "shift:1.1")


class TestStretch(AugmentationConformance):
    augmentation = Stretch(by=0.4)
    wrong = ("stretch:-0.1", "stretch:1.5")


class TestPitch(AugmentationConformance):
    augmentation = Pitch(semitones=5)
    wrong = ("pitch:-1", "pitch:13")


class TestSpecAugment(AugmentationConformance):
    augmentation = SpecAugment(frequency=0.3, time=0.3)
    wrong = ("specaugment:1.1", "specaugment:time=-1", "specaugment:masks=0")
    works_on = "batch"


def sine(hertz: float, seconds: float = 2.0, height: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (height * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def tone_of(samples: np.ndarray) -> float:
    """Return the strongest frequency in Hz, between two bins by a parabola."""
    size = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    top = int(size[1:-1].argmax()) + 1
    a, b, c = np.log(size[top - 1 : top + 2] + 1e-12)
    return (top + 0.5 * (a - c) / (a - 2 * b + c)) * RATE / len(samples)


def decibels(power: float) -> float:
    return float(10 * np.log10(power))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 40.0])
@pytest.mark.parametrize("height", [0.1, 1.0])
def test_noise_reaches_the_stated_ratio(snr: float, height: float) -> None:
    clean = sine(440, height=height).astype(np.float64)
    found = Noise(low=snr, high=snr).example(clean.astype(np.float32), rng=rng(0))
    assert np.abs(found).max() <= 1
    # The clean part, which may have been turned down, by least squares.
    share = found @ clean / (clean @ clean)
    noise = found - share * clean
    ratio = decibels((share * clean) @ (share * clean)) - decibels(noise @ noise)
    assert ratio == pytest.approx(snr, abs=0.1)
    flat = np.abs(np.fft.rfft(noise)) ** 2
    low, high = flat[: len(flat) // 2].mean(), flat[len(flat) // 2 :].mean()
    assert abs(decibels(low / high)) < 0.5, "the noise is not white"


def test_gain_is_in_decibels_and_never_clips() -> None:
    quiet, loud = sine(440, height=0.05), sine(440, height=1.0)
    found = [decibels(np.mean(Gain(6).example(quiet, rng=rng(s)) ** 2)) for s in range(200)]
    middle = decibels(np.mean(quiet**2))
    assert middle - 6 <= min(found) < middle - 5.5 and middle + 5.5 < max(found) <= middle + 6
    for seed in range(20):
        one = Gain(20).example(loud, rng=rng(seed))
        assert np.abs(one).max() <= 1
        factor = one @ loud / (loud @ loud)
        np.testing.assert_allclose(one, factor * loud, atol=1e-5)  # one factor: no clipping


def test_a_shift_loses_nothing() -> None:
    clip = usual("audio")[0]
    places = []
    for seed in range(60):
        found = Shift(share=0.25).example(clip, rng=rng(seed))
        assert np.array_equal(np.sort(found), np.sort(clip))
        places.append(int(np.flatnonzero(found == clip[0])[0]))
    ahead = [place if place < 8000 else place - 16000 for place in places]
    assert -4000 <= min(ahead) < -3000 and 3000 < max(ahead) <= 4000


def test_the_spectrum_inverts_exactly() -> None:
    for length in (160, 1023, 1024, 1025, 12345):
        samples = rng(length).uniform(-1, 1, length).astype(np.float32)
        again = waves.waveform(waves.spectrum(samples), length)
        np.testing.assert_allclose(again, samples, atol=1e-5)


@pytest.mark.parametrize("pace", [0.7, 0.9, 1.2, 1.5])
def test_stretching_keeps_the_pitch_and_moves_events(pace: float) -> None:
    tone = sine(440)
    slow = waves.stretched(tone, pace)
    assert len(slow) == round(len(tone) / pace)
    middle = slow[2000:-2000]
    assert tone_of(middle) == pytest.approx(440, rel=0.003)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    burst = sine(1000)
    burst[: RATE // 2] = 0
    burst[RATE:] = 0
    loud = np.flatnonzero(np.abs(waves.stretched(burst, pace)) > 0.2) / RATE * pace
    assert loud[0] == pytest.approx(0.5, abs=0.06) and loud[-1] == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("semitones", [-7.0, -1.0, 2.0, 12.0])
def test_pitch_moves_by_semitones(semitones: float) -> None:
    found = waves.transposed(sine(440), semitones)
    assert tone_of(found[2000:-2000]) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.003)


def test_silence_and_short_clips_stay() -> None:
    silent, short = np.zeros(RATE, np.float32), sine(440, 0.01)
    for spec in ("noise", "gain", "stretch:0.5:1", "pitch:2:1", "shift"):
        chain = parse(spec, "audio")
        assert not chain.example(silent, rng=rng(0)).any()
        assert len(chain.example(short, rng=rng(0))) == 160


def hidden(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which frames and bands of a spectrogram (t, F) are constant."""
    flat = values == values[:, :1]
    return flat.all(axis=1), (values == values[:1]).all(axis=0)


def runs(flags: np.ndarray) -> list[int]:
    """Return the lengths of runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_masks_have_the_stated_widths_and_hold_the_mean() -> None:
    given = rng(0).standard_normal((1, 100, 40)).astype(np.float32)
    widths: dict[str, list[int]] = {"time": [], "frequency": []}
    one = SpecAugment(frequency=0.25, time=0.1, masks=1)
    for seed in range(300):
        found = one.batch({"input_features": given}, rng=rng(seed))["input_features"][0]
        changed = found != given[0]
        assert np.allclose(found[changed], given.mean(), atol=1e-6)
        frames, bands = changed.all(axis=1), changed.all(axis=0)
        assert changed.sum() == frames.sum() * 40 + bands.sum() * (100 - frames.sum())
        widths["time"].append(int(frames.sum()))
        widths["frequency"].append(int(bands.sum()))
        assert len(runs(frames)) <= 1 and len(runs(bands)) <= 1
    assert set(widths["time"]) == set(range(11))  # uniform from 0 to floor(0.1 * 100)
    assert set(widths["frequency"]) == set(range(11))
    counts = np.bincount(widths["time"])
    assert counts.min() > 10 and counts.max() < 50


def test_masks_stay_within_the_clip_and_each_clip_has_its_own() -> None:
    given = rng(0).standard_normal((3, 100, 40)).astype(np.float32)
    mask = np.ones((3, 100), int)
    mask[1, 30:] = 0
    found = SpecAugment(time=0.5).batch(
        {"input_features": given, "attention_mask": mask}, rng=rng(1)
    )["input_features"]
    assert np.array_equal(found[1, 30:], given[1, 30:])
    changed = found != given
    assert changed[0].any() and not np.array_equal(changed[0], changed[2])


def test_whispers_layout_has_bands_first() -> None:
    given = rng(0).standard_normal((2, 16, 100)).astype(np.float32)  # (n, F, t)
    found = SpecAugment(frequency=0.5, time=0.02).batch({"input_features": given}, rng=rng(2))
    turned = SpecAugment(frequency=0.5, time=0.02).batch(
        {"input_features": given.transpose(0, 2, 1)}, rng=rng(2)
    )
    np.testing.assert_array_equal(
        found["input_features"], turned["input_features"].transpose(0, 2, 1)
    )


def test_yamnets_patches_get_masks_of_their_own_and_filling_stays() -> None:
    pytest.importorskip("torch")
    from headstart.sources.architectures.yamnet_frontend import YamnetFeatureExtractor

    clips = [usual("audio")[3], usual("audio")[2]]
    batch = dict(YamnetFeatureExtractor()(clips, return_tensors="pt"))
    given = batch["input_features"]
    found = SpecAugment().batch(batch, rng=rng(0))
    after = found["input_features"]
    assert after.dtype == given.dtype and after.shape == given.shape
    assert found["patch_mask"] is batch["patch_mask"]
    assert (given[1, 1:] == 0).all() and (after[1, 1:] == 0).all()
    changed = (after != given)[0].numpy()
    assert changed[0].any() and changed[1].any()
    assert not np.array_equal(changed[0], changed[1])


def test_waveforms_lose_a_band_and_a_stretch() -> None:
    noise = rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    band = SpecAugment(frequency=0.5, time=0, masks=1)
    spans = band.spans(1000, 0.5, rng(4))
    (start, end) = spans[0]
    assert end - start > 100
    found = band.batch({"input_values": noise[None]}, rng=rng(4))["input_values"][0]

    def hertz(place: float) -> float:  # of mel, 0 to 1000
        return 700 * float(np.exp(place / 1000 * np.log1p(8000 / 700)) - 1)

    before, after = (np.abs(np.fft.rfft(x)) ** 2 for x in (noise, found))
    axis = np.fft.rfftfreq(len(noise), 1 / RATE)
    inside = (axis > hertz(start) + 40) & (axis < hertz(end) - 40)
    outside = (axis < hertz(start) - 40) | (axis > hertz(end) + 40)
    assert decibels(after[inside].sum() / before[inside].sum()) < -30
    assert abs(decibels(after[outside].sum() / before[outside].sum())) < 0.1
    time = SpecAugment(frequency=0, time=0.5, masks=1)
    silent = time.batch({"input_values": noise[None]}, rng=rng(4))["input_values"][0]
    longest = max(runs(np.abs(silent) < 1e-6))
    assert 1000 < longest <= 0.5 * len(noise) + waves.WINDOW


def test_filling_of_waveforms_stays() -> None:
    given = rng(0).standard_normal((2, 8000)).astype(np.float32)
    mask = np.ones((2, 8000), int)
    given[1, 5000:], mask[1, 5000:] = 0, 0
    found = SpecAugment(time=0.5).batch({"input_values": given, "attention_mask": mask}, rng=rng(1))
    assert (found["input_values"][1, 5000:] == 0).all()
    assert (found["input_values"][1, :5000] != given[1, :5000]).any()


def test_a_batch_without_sound_is_refused() -> None:
    with pytest.raises(UsageError, match="pixel_values"):
        SpecAugment().batch({"pixel_values": np.zeros((1, 3, 4, 4))}, rng=rng(0))
