"""Engines, what they are made of, and the ways from examples to batches."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import headstart.sources as sources
from headstart.compute.machine import machine
from headstart.data.dataset import Unlabelled
from headstart.features import engine as engines
from headstart.features.batches import COUNT, Batching, batches
from headstart.features.crew import crew, in_order
from headstart.features.eager import Eager, first_layers
from headstart.features.engine import BUILTIN, choose, lowest_cosine, pays
from headstart.features.extract import Extractor
from headstart.features.folding import folded, running
from headstart.features.openvino import OpenVino
from headstart.features.packing import pack
from headstart.sources.backbone import Backbone
from headstart.sources.pixels import quick
from sources_for_tests import examples, write_model
from test_features_extract import slowly, texts

pytestmark = pytest.mark.usefixtures("one_core")
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is absent")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return sources.load(str(write_model(tmp_path_factory.mktemp("m") / "bert", "bert")))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return sources.load(str(write_model(tmp_path_factory.mktemp("m") / "resnet", "resnet")))


def shaken(backbone: Backbone) -> Backbone:
    """The same with batch norms that do something: fresh ones are nearly the identity."""
    generator = torch.Generator().manual_seed(0)
    for part in backbone.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for value in (part.running_mean, part.weight.data, part.bias.data):
                assert value is not None
                value += 0.3 * torch.randn(value.shape, generator=generator)
            assert part.running_var is not None
            part.running_var *= torch.rand(part.running_var.shape, generator=generator) + 0.5
    return backbone


def embedded(backbone: Backbone, batch: dict[str, Any]) -> np.ndarray:
    with torch.no_grad():
        return backbone.embed(batch).numpy()


def test_folding_leaves_no_batch_norm_and_the_same_features(resnet: Backbone) -> None:
    backbone = shaken(resnet)
    batch = backbone.preprocess(examples("image"))
    module = folded(backbone, batch)
    assert module is not None
    assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in backbone.module.modules())
    np.testing.assert_allclose(
        embedded(running(backbone, module), batch), embedded(backbone, batch), atol=1e-4
    )


def test_folding_is_refused_where_the_convolution_is_read_twice(resnet: Backbone) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            seen = self.conv(value)
            return (self.norm(seen) + seen).mean((2, 3))

    class Plain:
        module = Both().eval()

        def embed(self, batch: dict[str, Any]) -> torch.Tensor:
            return self.module(batch["x"])

    with torch.no_grad():
        Plain.module.norm.running_mean += 1  # type: ignore[operator]
    assert folded(Plain(), {"x": torch.randn(2, 3, 8, 8)}) is None  # type: ignore[arg-type]


def test_the_first_layers_over_pixels_are_those_of_the_stem(
    resnet: Backbone, bert: Backbone
) -> None:
    assert first_layers(resnet) == resnet.stages[0].modules
    assert first_layers(bert) == ()


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="no such operation")
def test_packed_layers_multiply_like_plain_ones() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 8, bias=False))
    plain.to(torch.bfloat16)
    value = torch.randn(3, 5, 24, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = plain(value)
        assert pack(plain) == 2
        torch.testing.assert_close(plain(value), expected, atol=0.02, rtol=0.02)
        assert plain(value[:0]).shape == (0, 5, 8)


@needs_openvino
@pytest.mark.parametrize("kind", ["bert", "resnet", "vit"])
def test_openvino_gives_the_features_of_float32(kind: str, tmp_path: Path) -> None:
    backbone = sources.load(str(write_model(tmp_path / kind, kind)))
    decoded = examples(backbone.card.modality)
    sample = backbone.preprocess(decoded)
    expected = embedded(backbone, sample)
    run = OpenVino("openvino-fp32", bf16=False).build(backbone)
    assert run is not None
    np.testing.assert_allclose(run(sample), expected, atol=1e-4)
    for count in (1, len(decoded) - 1):  # other sizes of batch, other lengths
        batch = backbone.preprocess(decoded[:count])
        np.testing.assert_allclose(run(batch), embedded(backbone, batch), atol=1e-4)
    if machine().fast_bf16:
        low = OpenVino("openvino-bf16", bf16=True).build(backbone)
        assert low is not None and lowest_cosine(expected, low(sample)) > 0.995


@needs_openvino
def test_openvino_takes_texts_of_any_length(bert: Backbone, tmp_path: Path) -> None:
    inputs = texts(60)
    table = Extractor(bert, engine="openvino-fp32", root=tmp_path).table(inputs)
    assert table.engine == "openvino-fp32"
    np.testing.assert_allclose(table.features, slowly(bert, inputs), atol=1e-4)


def test_an_absent_openvino_is_skipped(bert: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    choice = choose(bert, bert.preprocess(examples("text")))
    assert not choice.name.startswith("openvino") and not choice.failed


def test_an_engine_that_fails_is_recorded_and_passed_over(
    bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        name = "broken"

        def build(self, backbone: Backbone) -> Any:
            def run(batch: Any) -> np.ndarray:
                raise RuntimeError("cannot convert\nthis")

            return run

    plain = Eager("fp32", bf16=False)
    choice = choose(bert, bert.preprocess(examples("text")), [Broken(), plain])
    assert choice.name == "fp32"
    assert choice.failed == {"broken": "RuntimeError: cannot convert this"}
    monkeypatch.setattr("headstart.features.extract.BUILTIN", (Broken(), plain))
    extractor = Extractor(bert, root=tmp_path)
    extractor.table(texts(4))
    assert extractor.refused == {"broken": "RuntimeError: cannot convert this"}


class Timed:
    """Plain torch under another name, that says how long it takes."""

    def __init__(self, name: str, costs: float = 0.0) -> None:
        self.name, self.costs, self.built = name, costs, False

    def build(self, backbone: Backbone) -> Any:
        self.built = True
        return Eager("fp32", bf16=False).build(backbone)


def test_the_fastest_of_those_that_agree_is_taken(
    bert: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = bert.preprocess(examples("text"))
    one, two, three = Timed("one-a", 1.0), Timed("two"), Timed("one-b", 1.5)
    paces = {"fp32": 0.5, "two": 0.2, "one-a": 0.1, "one-b": 0.0}
    order: list[str] = []

    def time(self: Any, name: str) -> float:
        order.append(name)
        self.seconds[name] = paces[name]
        return paces[name]

    monkeypatch.setattr("headstart.features.engine._Trial.time", time)
    plain = Eager("fp32", bf16=False)
    choice = choose(bert, sample, [three, one, two, plain], count=1000)
    assert choice.name == "one-a" and choice.agreement == pytest.approx(1)
    assert order == ["fp32", "two", "one-a"] and not three.built, "one engine of a kind is enough"
    assert choice.seconds == {"fp32": 0.5, "two": 0.2, "one-a": 0.1}
    costly = Timed("costly", 1.0)
    assert choose(bert, sample, [two, costly, plain], count=10).name == "two"
    assert not costly.built, "it costs 1 s, and a tenth of 10 x 0.2 s might be saved"
    paces["two"] = 0.6
    assert choose(bert, sample, [two, plain], count=10).name == "fp32"


def test_engines_are_really_timed(bert: Backbone, tmp_path: Path) -> None:
    sample = bert.preprocess(examples("text"))
    engines = [Timed("other"), Eager("fp32", bf16=False)]
    with crew() as pool:
        choice = choose(bert, sample, engines, count=100, pool=pool)
    assert set(choice.seconds) == {"fp32", "other"}
    assert all(0 < seconds < 1 for seconds in choice.seconds.values())
    assert choice.name == min(choice.seconds, key=lambda name: choice.seconds[name])


def test_costly_engines_are_for_long_work() -> None:
    for engine in BUILTIN:
        assert pays(engine, 100_000, 0.005)
        known = engine.name in {"bf16", "fp32"}
        assert pays(engine, 10, 0.005) == known, engine.name
    assert engines.BUILTIN[-1].name == "fp32"


def test_a_crew_keeps_the_order_and_stops_at_an_error() -> None:
    with crew() as pool:
        assert list(in_order(pool, lambda n: n * n, range(40))) == [(n, n * n) for n in range(40)]
        with pytest.raises(ZeroDivisionError):
            list(in_order(pool, lambda n: 1 // (n - 7), range(40)))


def test_features_of_another_engine_are_taken_from_the_store(
    bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = texts(30)
    first = Extractor(bert, engine="fp32", root=tmp_path).table(inputs)

    def never(*arguments: Any) -> Any:
        raise AssertionError("an engine was chosen although nothing is missing")

    monkeypatch.setattr("headstart.features.extract.choose", never)
    extractor = Extractor(bert, root=tmp_path)
    again = extractor.table(inputs)
    assert (again.extracted, again.engine, extractor.agreement) == (0, "fp32", 1.0)
    np.testing.assert_array_equal(again.features, first.features)
    monkeypatch.undo()
    more = Extractor(bert, root=tmp_path).table(texts(40))
    assert (more.extracted, more.engine) == (10, "fp32"), "one backbone keeps to its engine"


def test_batches_hold_each_row_once_and_stay_within_their_tokens() -> None:
    rng = np.random.default_rng(0)
    items = ["x" * int(n) for n in rng.integers(1, 900, 500)]
    inputs = Unlabelled("text", items, items, np.zeros((500, 16), np.uint8))
    rows = rng.permutation(500)[:300]
    found = list(batches(inputs, rows, Batching(tokens=1000)))
    assert sorted(np.concatenate(found)) == sorted(rows)
    for batch in found:
        longest = max(len(items[row]) for row in batch)
        assert len(batch) == 1 or len(batch) * (longest // 4 + 2) <= 1000
    pictures = replace(inputs, modality="image")
    assert [len(b) for b in batches(pictures, rows, Batching(count=128))] == [128, 128, 44]


def test_a_batch_is_bounded_by_memory(resnet: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = resnet.preprocess(examples("image"))
    assert Batching.of(resnet, batch).count == COUNT
    small = replace(machine(), memory=2 * 2**20)
    monkeypatch.setattr("headstart.features.batches.machine", lambda: small)
    assert 1 <= Batching.of(resnet, batch).count < COUNT


def processor(**settings: Any) -> Any:
    from transformers import AutoImageProcessor  # noqa: F401  (fills the registry)
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return ViTImageProcessorPil(**settings)


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(1)
    sizes = [(40, 70), (200, 133), (64, 64), (301, 75)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 32, "width": 48}, "resample": 3},
        {"size": {"shortest_edge": 64}, "do_center_crop": True, "resample": 2,
         "crop_size": {"height": 56, "width": 64}, "image_mean": [0.4, 0.5, 0.6],
         "image_std": [0.2, 0.3, 0.25]},
        {"size": {"height": 32, "width": 32}, "do_normalize": False},
        {"size": {"height": 32, "width": 32}, "do_rescale": False},
    ],
)  # fmt: skip
def test_quick_pixels_are_those_of_the_processor(settings: dict[str, Any]) -> None:
    slow = processor(**settings)
    fast = quick(slow)
    assert fast is not None
    expected = slow(images=pictures(), return_tensors="pt")["pixel_values"]
    found = fast(pictures())
    assert found.shape == expected.shape and found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"shortest_edge": 64}},  # pictures of many sizes
        {"size": {"shortest_edge": 32}, "do_center_crop": True,
         "crop_size": {"height": 48, "width": 48}},  # the processor pads
        {"do_resize": False},
        {"size": {"height": 32, "width": 32}, "do_pad": True},
    ],
)  # fmt: skip
def test_other_processors_run_themselves(settings: dict[str, Any]) -> None:
    assert quick(processor(**settings)) is None


def test_a_processor_that_does_more_is_found_out() -> None:
    slow = processor(size={"height": 32, "width": 32})
    inner = slow.preprocess
    slow.preprocess = lambda *a, **k: {"pixel_values": inner(*a, **k)["pixel_values"] ** 2}
    assert quick(slow) is None
