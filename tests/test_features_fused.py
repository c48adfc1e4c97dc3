"""Fused convolutions: recorded, joined, and equal to what torch computes step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import headstart.sources as sources
from headstart.compute.machine import machine
from headstart.features.engine import lowest_cosine
from headstart.features.fused import COUNT, Fused, lowered
from headstart.features.fusing import Convolution, fuse
from headstart.features.tape import NotRecorded, player, record
from sources_for_tests import examples, write_model
from test_features_engines import embedded, shaken

pytestmark = [
    pytest.mark.usefixtures("one_core"),
    pytest.mark.skipif(
        not hasattr(torch.ops.mkldnn, "_convolution_pointwise"), reason="no such operation"
    ),
]
ENGINE = Fused("fused-fp32", bf16=False)


def fused(module: nn.Module, value: torch.Tensor) -> tuple[Any, list[Any]]:
    """The result of a fused module on another input than the recorded one, and its steps."""
    tape = record(lambda batch: module(batch["x"]), {"x": torch.randn_like(value)})
    order = fuse(tape)
    tape.steps = [
        lowered(step, tape.shapes[step.source]) if isinstance(step, Convolution) else step
        for step in order
    ]
    with torch.inference_mode():
        return player(tape)({"x": value}), order


class Around(nn.Module):
    """A convolution with everything around it that can be joined."""

    def __init__(self, pad: tuple[int, ...], stride: int, activation: nn.Module) -> None:
        super().__init__()
        self.pad, self.activation = pad, activation
        self.conv = nn.Conv2d(8, 8, 3, stride=stride, bias=False, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.point = nn.Conv2d(8, 8, 1)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        first = self.activation(self.norm(self.conv(functional.pad(value, self.pad))))
        return self.activation(first + self.point(first))


@pytest.mark.parametrize("activation", [
    nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(),
    nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.GELU(approximate="tanh"), nn.LeakyReLU(0.2),
    nn.Hardtanh(-0.5, 0.7),
], ids=str)  # fmt: skip
@pytest.mark.parametrize(
    ("pad", "stride"), [((1, 1, 1, 1), 1), ((0, 1, 0, 1), 2), ((2, 0, 1, 2), 2)]
)
def test_all_that_stands_around_a_convolution_is_joined_to_it(
    activation: nn.Module, pad: tuple[int, ...], stride: int
) -> None:
    torch.manual_seed(0)
    module = Around(pad, stride, activation).eval()
    for part in (module.norm.running_mean, module.norm.weight.data, module.norm.bias.data):
        assert part is not None
        part += 0.3 * torch.randn(8)
    value = torch.randn(2, 8, 13, 14).contiguous(memory_format=torch.channels_last)
    found, order = fused(module, value)
    assert [type(step) for step in order[:2]] == [Convolution, Convolution]
    assert len(order) == (2 if isinstance(activation, nn.ReLU) else 3)  # after a sum: ReLU alone
    with torch.no_grad():
        torch.testing.assert_close(found, module(value.clone()), atol=2e-5, rtol=1e-4)


def test_what_is_read_twice_stays_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            padded = functional.pad(value, (1, 1, 1, 1))
            seen = self.conv(padded)
            return torch.cat([self.norm(seen).relu(), seen.relu(), padded[:, :1, 1:-1, 1:-1]], 1)

    torch.manual_seed(0)
    module = Twice().eval()
    assert module.norm.running_mean is not None
    module.norm.running_mean += 1
    value = torch.randn(2, 3, 9, 9)
    found, order = fused(module, value)
    assert "aten::batch_norm" in [step.name for step in order if not isinstance(step, Convolution)]
    with torch.no_grad():
        torch.testing.assert_close(found, module(value), atol=1e-5, rtol=1e-4)


def test_batch_norm_that_learns_stays_apart() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    value = torch.randn(2, 3, 9, 9)
    found, order = fused(module, value)
    assert len(order) == 2
    with torch.no_grad():
        torch.testing.assert_close(found, module(value), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("forward", [
    lambda x: x * float(x.max()),
    lambda x: x if x.sum() > 0 else -x,
    lambda x: x + torch.rand(3),
    lambda x: x + torch.rand_like(x),
    lambda x: functional.dropout(x, 0.5, training=True),
    lambda x: (x + 1)[:, 0].relu_(),
    lambda x: torch.zeros(2),
])  # fmt: skip
def test_what_a_tape_cannot_say_again_is_refused(forward: Any) -> None:
    with pytest.raises(NotRecorded):
        record(lambda batch: forward(batch["x"]), {"x": torch.randn(2, 3)})


def test_a_tape_frees_what_it_has_used_and_can_be_played_again() -> None:
    tape = record(
        lambda batch: torch.cat(list((batch["x"] * 2).relu_().split(1, 1)), 1).sum(1, keepdim=True),
        {"x": torch.randn(2, 3)},
    )
    play = player(tape)
    for seed in range(3):
        value = torch.randn(2, 3, generator=torch.Generator().manual_seed(seed))
        expected = (value * 2).relu().sum(1, keepdim=True)
        torch.testing.assert_close(play({"x": value}), expected)


@pytest.mark.parametrize("kind", ["resnet", "mobilenet_v1", "mobilenet_v2"])
def test_fused_networks_give_the_features_of_float32(kind: str, tmp_path: Path) -> None:
    backbone = shaken(sources.load(str(write_model(tmp_path / kind, kind))))
    decoded = examples("image") * 2
    sample = backbone.preprocess(decoded)
    run = ENGINE.build(backbone)
    assert run is not None
    np.testing.assert_allclose(run(sample), embedded(backbone, sample), atol=1e-4)
    for count in (1, COUNT, COUNT + 1):  # the last pictures of a batch are fewer than a tape takes
        batch = backbone.preprocess(decoded[:count])
        np.testing.assert_allclose(run(batch), embedded(backbone, batch), atol=1e-4)
    other = {"pixel_values": torch.randn(2, 3, 48, 40)}
    np.testing.assert_allclose(run(other), embedded(backbone, other), atol=1e-4)


def test_fused_in_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = shaken(sources.load(str(write_model(tmp_path / "resnet", "resnet"))))
    fast = replace(machine(), bf16_gain=2.0)
    monkeypatch.setattr("headstart.features.fused.machine", lambda: fast)
    run = Fused("fused-bf16", bf16=True).build(backbone)
    assert run is not None
    sample = backbone.preprocess(examples("image"))
    assert lowest_cosine(embedded(backbone, sample), run(sample)) > 0.99
    monkeypatch.setattr("headstart.features.fused.machine", lambda: replace(fast, bf16_gain=1.0))
    assert Fused("fused-bf16", bf16=True).build(backbone) is None


def test_it_is_for_pictures_and_convolutions(tmp_path: Path) -> None:
    bert = sources.load(str(write_model(tmp_path / "bert", "bert")))
    assert ENGINE.build(bert) is None
    masked = {"pixel_values": torch.randn(2, 3, 32, 32), "pixel_mask": torch.ones(2, 32, 32)}
    resnet = sources.load(str(write_model(tmp_path / "resnet", "resnet")))
    run = ENGINE.build(resnet)
    assert run is not None
    with pytest.raises(NotRecorded, match="pixel_mask"):
        run(masked)
    assert ENGINE.build(SimpleNamespace(trainable=False)) is None  # type: ignore[arg-type]
