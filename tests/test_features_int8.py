"""Linear layers in eight bits, against whole numbers multiplied by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import headstart.sources as sources
from headstart.compute.machine import machine
from headstart.features.engine import lowest_cosine
from headstart.features.int8 import Int8, Seen, mostly_linear, quantise, rounded
from sources_for_tests import examples, write_model
from test_features_engines import embedded

pytestmark = [
    pytest.mark.usefixtures("one_core"),
    pytest.mark.skipif(
        not hasattr(torch.ops.onednn, "qlinear_pointwise"), reason="no such operation"
    ),
]


@pytest.mark.parametrize("above", [False, True])
def test_rounded_rows_are_within_half_a_step(above: bool) -> None:
    rows = torch.randn(7, 40, generator=torch.Generator().manual_seed(0))
    rows = rows.clamp(min=-0.17) if above else rows
    rows[3] = 0
    levels, scale, low = rounded(rows, above=above)
    assert levels.dtype == torch.uint8
    back = levels.float() * scale + low if low is not None else (levels.float() - 128) * scale
    assert ((back - rows).abs() <= scale * 0.501).all()
    alone, _, _ = rounded(rows[:1], above=above)
    assert (alone == levels[:1]).all(), "no row depends on the others"


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_is_the_product_of_whole_numbers(above: bool, bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 40, bias=bias))
    value = torch.randn(3, 5, 24)
    value = value.relu() - 0.1 if above else value
    smooth = torch.rand(24) + 0.5
    with torch.no_grad():
        rows = (value * smooth).reshape(-1, 24).double()
        weight = (plain[0].weight / smooth).double()
        expected = torch.zeros(15, 40, dtype=torch.float64)
        for column in range(40):
            step = weight[column].abs().max() / 127
            whole = (weight[column] / step).round()
            for at, row in enumerate(rows):
                low = row.min() if above else torch.tensor(0.0)
                size = (row.max() - low) / 254 if above else row.abs().max() / 127
                levels = ((row - low) / size + 0.5).floor()
                expected[at, column] = (levels * whole).sum() * size * step
                expected[at, column] += low * step * whole.sum()
        if bias:
            expected += plain[0].bias
        exact = plain(value)
        assert quantise(plain, {"0": Seen(smooth, above)}) == 1
        found = plain(value)
        torch.testing.assert_close(found.reshape(-1, 40).double(), expected, atol=1e-4, rtol=1e-4)
        assert (found - exact).abs().max() < 0.05
        assert plain(value[:0]).shape == (0, 5, 40)


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_features_are_nearly_those_of_float32(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = sources.load(str(write_model(tmp_path / kind, kind)))
    decoded = examples(backbone.card.modality)
    sample = backbone.preprocess(decoded)
    expected = embedded(backbone, sample)
    fast = replace(machine(), fast_int8=True)
    monkeypatch.setattr("headstart.features.int8.machine", lambda: fast)
    run = Int8().build(backbone)
    assert run is not None
    assert lowest_cosine(expected, run(sample)) > 0.995
    np.testing.assert_array_equal(embedded(backbone, sample), expected)  # it works on a copy
    one = backbone.preprocess(decoded[:1])
    assert lowest_cosine(embedded(backbone, one), run(one)) > 0.995


def test_it_is_for_linear_layers_and_machines_with_the_instruction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert = sources.load(str(write_model(tmp_path / "bert", "bert")))
    resnet = sources.load(str(write_model(tmp_path / "resnet", "resnet")))
    assert mostly_linear(bert.module) and not mostly_linear(resnet.module)
    slow = replace(machine(), fast_int8=False)
    monkeypatch.setattr("headstart.features.int8.machine", lambda: slow)
    assert Int8().build(bert) is None
