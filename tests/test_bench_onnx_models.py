"""The raw weights of ../shared as ONNX: what the file gives is what the network in torch gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("onnx", reason="the extra onnx is absent")
pytest.importorskip("onnxruntime", reason="the extra onnx is absent")
pytestmark = [pytest.mark.shared, pytest.mark.usefixtures("one_core", "shared")]


@pytest.mark.parametrize(
    ("name", "side", "width", "classes"),
    [("squeezenet1_1", 224, 512, 1000), ("darknet_tiny", 224, 512, 1000),
     ("cifar10_resnet56", 32, 64, 10)],
)  # fmt: skip
def test_a_converted_network_is_the_same(
    name: str, side: int, width: int, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1]))
    from bench.onnx_models import convert, network

    import headstart.sources as sources

    path = convert(name, tmp_path)
    batch = {"pixel_values": torch.randn(3, 3, side, side, generator=torch.Generator())}
    with torch.no_grad():
        features, logits = network(name)(batch["pixel_values"])
    backbone = sources.load(str(path))
    assert (backbone.width, features.shape[1]) == (width, width)
    assert backbone.card.pretrained_on and "assumed" not in backbone.card.note
    torch.testing.assert_close(backbone.embed(batch), features, rtol=1e-4, atol=1e-4)
    scores = sources.load(f"{path}#logits")
    assert scores.width == classes
    torch.testing.assert_close(scores.embed(batch), logits, rtol=1e-4, atol=1e-4)
