"""YAMNet: TensorFlow's padding, the front end, masks, and the real checkpoint."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
)
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from headstart.data.modality.audio import AUDIO
from headstart.data.modality.base import InputSpec
from headstart.sources.architectures import register_all
from headstart.sources.architectures.yamnet import (
    YamnetConfig,
    YamnetForAudioClassification,
    YamnetLayer,
    YamnetModel,
    YamnetStem,
)
from headstart.sources.architectures.yamnet_frontend import YamnetFeatureExtractor

SECOND = 16000


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register_all()
    register_all()  # again changes nothing


@pytest.fixture(autouse=True)
def one_seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def tiny(**options: object) -> YamnetConfig:
    return YamnetConfig(widths=[4, 6, 8], strides=[2, 1, 2], **options)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.2, samples).astype(np.float32)


def seeded(make: type, config: YamnetConfig, seed: int = 0) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(config).eval()


def same_convolution(
    image: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int
) -> np.ndarray:
    """TensorFlow's "same" by its definition, position by position; image (c, h, w).

    `weight` (d, c, k, k); for a depthwise convolution (c, 1, k, k).
    """
    channels, height, width = image.shape
    k = weight.shape[-1]
    out_h, out_w = -(-height // stride), -(-width // stride)
    top = max((out_h - 1) * stride + k - height, 0) // 2
    left = max((out_w - 1) * stride + k - width, 0) // 2
    depthwise = weight.shape[1] == 1 and channels > 1
    out = np.zeros((len(weight), out_h, out_w))
    for d, y, x, dy, dx in np.ndindex(len(weight), out_h, out_w, k, k):
        row, column = y * stride + dy - top, x * stride + dx - left
        if 0 <= row < height and 0 <= column < width:
            seen = image[d : d + 1, row, column] if depthwise else image[:, row, column]
            out[d, y, x] += weight[d, :, dy, dx] @ seen
    return out + bias[:, None, None]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 4), (5, 7), (6, 5), (1, 2)])
def test_layers_pad_as_tensorflow_does(stride: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)

    def check(layer: torch.nn.Module, image: np.ndarray, convs: list[tuple[str, int]]) -> None:
        expected = image
        for name, step in convs:
            conv = layer.get_submodule(name)
            torch.nn.init.normal_(conv.bias)
            weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
            expected = np.maximum(same_convolution(expected, weight, bias, step), 0)
        with torch.no_grad():
            got = layer(torch.from_numpy(image)[None])[0].numpy()
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, atol=1e-5)

    grey = rng.normal(size=(1, *size)).astype(np.float32)
    check(YamnetStem(5, stride), grey, [("conv", stride)])
    map_ = rng.normal(size=(3, *size)).astype(np.float32)
    check(YamnetLayer(3, 4, stride), map_, [("depthwise", stride), ("pointwise", 1)])


def test_log_mel_against_transformers() -> None:
    samples = noise(SECOND)
    filters = mel_filter_bank(
        *(257, 64, 125.0, 7500.0, SECOND),
        norm=None,
        mel_scale="htk",
        triangularize_in_mel_space=True,
    )
    expected = spectrogram(
        samples,
        window_function(400, "hann", periodic=True),
        *(400, 160),
        fft_length=512,
        power=1.0,
        center=False,
        mel_filters=filters,
        mel_floor=0.0,
    )
    got = YamnetFeatureExtractor().log_mel(samples)
    assert got.shape == (98, 64) and got.dtype == np.float32
    np.testing.assert_allclose(got, np.log(expected.T + 0.001), atol=1e-4)


def test_patches_overlap_by_half_and_reach_the_end() -> None:
    extractor = YamnetFeatureExtractor()
    # One patch is 95 hops and a window: 15600 samples; each further one 48 hops: 7680.
    lengths = {1: 1, 4000: 1, 15600: 1, 15601: 2, 23280: 2, 23281: 3, 64000: 8}
    assert {n: len(extractor.patches(noise(n))) for n in lengths} == lengths
    samples = noise(20000)
    patches = extractor.patches(samples)
    whole = extractor.log_mel(np.pad(samples, (0, 23280 - 20000)))
    np.testing.assert_array_equal(patches[0], whole[:96])
    np.testing.assert_array_equal(patches[1], whole[48:144])
    short = extractor.patches(noise(4000))[0]
    np.testing.assert_allclose(short[26:], np.log(np.float32(0.001)))  # digital silence


def test_extractor_refuses_what_it_cannot_mean() -> None:
    extractor = YamnetFeatureExtractor()
    with pytest.raises(ValueError, match="8000 Hz"):
        extractor(noise(999), sampling_rate=8000)
    with pytest.raises(ValueError, match=r"samples \(t,\)"):
        extractor([np.zeros((2, 100), np.float32)])
    with pytest.raises(ValueError, match="samples"):
        extractor([])
    with pytest.raises(ValueError, match="slaney"):
        YamnetFeatureExtractor(mel_scale="slaney")
    one, many = extractor(noise(999)), extractor([noise(999)])
    np.testing.assert_array_equal(one["input_features"], many["input_features"])
    assert one["patch_mask"].tolist() == [[True]]


@pytest.mark.parametrize("make", [YamnetModel, YamnetForAudioClassification])
def test_batching_changes_no_result(make: type) -> None:
    extractor = YamnetFeatureExtractor()
    model = seeded(make, tiny(num_labels=3))
    clips = [noise(n, seed=n) for n in (4000, 64000, 20000)]

    def run(batch: list[np.ndarray]) -> torch.Tensor:
        with torch.no_grad():
            out = model(**extractor(batch, sampling_rate=SECOND, return_tensors="pt"))
        return out.pooler_output if make is YamnetModel else out.logits

    together, apart = run(clips), torch.cat([run([clip]) for clip in clips])
    assert together.std(dim=0).min() > 1e-4  # different clips do differ
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_pooler_is_the_masked_mean_and_gradients_flow() -> None:
    model = seeded(YamnetModel, tiny())
    features = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    out = model(features, mask)
    assert out.last_hidden_state.shape == (2, 3, 8)
    assert (out.last_hidden_state[1, 1:] == 0).all()
    torch.testing.assert_close(out.pooler_output[0], out.last_hidden_state[0].mean(0))
    torch.testing.assert_close(out.pooler_output[1], out.last_hidden_state[1, 0])
    torch.testing.assert_close(model(features).pooler_output[0], out.pooler_output[0])
    out.pooler_output.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_sigmoid_of_logits_is_the_mean_of_patch_scores() -> None:
    model = seeded(YamnetForAudioClassification, tiny(num_labels=4))
    torch.nn.init.normal_(model.classifier.weight, std=3.0)
    batch = YamnetFeatureExtractor()([noise(40000), noise(9000, 1)], return_tensors="pt")
    with torch.no_grad():
        hidden = model.yamnet(**batch).last_hidden_state
        scores = torch.sigmoid(model(**batch).logits)
        for row, mask in enumerate(batch["patch_mask"]):
            expected = torch.sigmoid(model.classifier(hidden[row][mask])).mean(dim=0)
            torch.testing.assert_close(scores[row], expected)
    loss = model(**batch, labels=torch.ones(2, 4)).loss
    torch.testing.assert_close(loss, -scores.log().mean())


def test_fresh_weights_keep_the_signal_alive() -> None:
    model = seeded(YamnetModel, YamnetConfig())
    batch = YamnetFeatureExtractor()([noise(SECOND), 0.01 * noise(SECOND, 1)], return_tensors="pt")
    with torch.no_grad():
        out = model(**batch).pooler_output
    assert out.shape == (2, 1024)
    assert 0.1 < float(out.square().mean().sqrt()) < 10
    with torch.no_grad():  # the middle of log-mel gives 0 before the first ReLU, inside the edges
        middle = model.layer1.conv(torch.full((1, 1, 3, 3), -3.0))
    torch.testing.assert_close(middle, torch.zeros_like(middle), atol=1e-5, rtol=0)
    again, other = seeded(YamnetModel, YamnetConfig()), seeded(YamnetModel, YamnetConfig(), seed=1)
    assert torch.equal(again.layer5.depthwise.weight, model.layer5.depthwise.weight)
    assert not torch.equal(other.layer5.depthwise.weight, model.layer5.depthwise.weight)
    assert sum(p.numel() for p in model.parameters()) + 521 * 1025 == 3_729_481


def test_save_and_load_through_the_auto_classes(tmp_path: Path) -> None:
    model = seeded(YamnetForAudioClassification, tiny(num_labels=3))
    extractor = YamnetFeatureExtractor(patch_hop=24)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert isinstance(loaded, YamnetFeatureExtractor) and loaded.to_dict() == extractor.to_dict()
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, YamnetConfig) and config.widths == [4, 6, 8]
    whole, report = AutoModelForAudioClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    body, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(body) is YamnetModel and not report["missing_keys"]
    batch = loaded(noise(30000), sampling_rate=SECOND, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(whole(**batch).logits, model(**batch).logits, rtol=0, atol=0)
        expected = model.yamnet(**batch).pooler_output
        torch.testing.assert_close(body(**batch).pooler_output, expected, rtol=0, atol=0)
    body.save_pretrained(tmp_path / "body")
    assert not YamnetModel.from_pretrained(tmp_path / "body", output_loading_info=True)[1][
        "missing_keys"
    ]


def test_config_says_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2 widths and 1 strides"):
        YamnetConfig(widths=[4, 6], strides=[1])


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, headstart.sources.architectures; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.shared
def test_the_checkpoint_hears_what_its_readme_says(shared: Path) -> None:
    folder = shared / "models" / "yamnet"
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    body, report = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert type(body) is YamnetModel and not report["missing_keys"]
    model, report = AutoModelForAudioClassification.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert all(p.dtype == torch.float32 for p in model.parameters())

    def heard(kind: str) -> dict[str, float]:
        clip = AUDIO.decode(
            sorted((shared / "data/instruments" / kind).glob("*.flac"))[0], InputSpec()
        )
        # Whole patches only, as in the README's check.
        clip = clip[: 15600 + (len(clip) - 15600) // 7680 * 7680]
        with torch.no_grad():
            batch = extractor(clip, sampling_rate=SECOND, return_tensors="pt")
            scores = torch.sigmoid(model.eval()(**batch).logits[0])
        best = scores.argsort(descending=True)[:6].tolist()
        return {model.config.id2label[i]: float(scores[i]) for i in best}

    clarinet, snare, cello = heard("Clarinet"), heard("Snare_drum"), heard("Cello")
    assert clarinet["Clarinet"] == pytest.approx(0.85, abs=0.02)
    assert snare["Drum"] == pytest.approx(0.82, abs=0.04)
    assert snare["Drum roll"] == pytest.approx(0.79, abs=0.04)
    assert {"Bowed string instrument", "Cello"} <= set(cello)
