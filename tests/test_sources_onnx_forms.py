"""The forms that ONNX encoders come in: who exported them, what they claim, what they leave out."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import headstart.sources as sources
from headstart.errors import HeadstartError, ModelError
from headstart.sources.backbone import Backbone
from sources_for_tests import examples, write_model
from test_sources_onnx import (
    OfOnnx,
    Sounds,
    convolutions,
    embedded,
    export,
    external,
    picture_model,
)

onnx = pytest.importorskip("onnx", reason="the extra onnx is absent")
pytest.importorskip("onnxruntime", reason="the extra onnx is absent")
pytestmark = pytest.mark.usefixtures("one_core")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Hidden(nn.Module):
    """BERT as Optimum exports it; `pooled`: with the pooler's output as well."""

    def __init__(self, inner: nn.Module, pooled: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.pooler = inner, nn.Linear(16, 16) if pooled else None

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> object:
        given = dict(zip(INPUTS, (ids, mask, types), strict=True))
        hidden = self.inner(**given).last_hidden_state
        if self.pooler is None:
            return hidden
        return hidden, torch.tanh(self.pooler(hidden[:, 0]))


def bert(folder: Path, *, pooled: bool = False, size: tuple[int, int] | None = None) -> Path:
    """Write a BERT beside its torch weights; `size`: made for so many texts of so many tokens."""
    plain = sources.load(str(write_model(folder / "torch", "bert")))
    inputs = {name: torch.ones(size or (2, 6), dtype=torch.long) for name in INPUTS}
    for path in (folder / "torch").iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    names = ["last_hidden_state", "pooler_output"][: 1 + pooled]
    fixed = {"dynamic_axes": {}} if size else {}
    module = Hidden(plain.module, pooled)
    export(module, inputs, folder / "model.onnx", output_names=names, **fixed)
    return folder


class ColoursLast(nn.Module):
    """As models of TensorFlow Hub come: (n, h, w, 3)."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.net = convolutions(classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.permute(0, 3, 1, 2))


class OneClip(nn.Module):
    """As YAMNet comes: one waveform (t,) to scores and embeddings of its frames."""

    def __init__(self) -> None:
        super().__init__()
        self.sounds, self.head = Sounds(), nn.Linear(12, 5)

    def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = self.sounds(wave[None])[0]
        return torch.sigmoid(self.head(frames)), frames


class TestBert(OfOnnx):
    modality = "text"

    def write(self, folder: Path) -> str:
        return f"onnx:{bert(folder)}"


class TestBertOfFixedSize(OfOnnx):
    modality = "text"

    def write(self, folder: Path) -> str:
        return f"onnx:{bert(folder, size=(3, 24))}"


class TestColoursLast(OfOnnx):
    modality = "image"

    def write(self, folder: Path) -> str:
        return str(export(ColoursLast(5), {"x": torch.rand(2, 40, 40, 3)}, folder / "tf.onnx"))


class TestOnePictureAtATime(OfOnnx):
    modality = "image"

    def write(self, folder: Path) -> str:
        given = {"x": torch.rand(1, 40, 40, 3)}
        return str(export(ColoursLast(), given, folder / "tf.onnx", dynamic_axes={}))


class TestOneClip(OfOnnx):
    modality = "audio"

    def write(self, folder: Path) -> str:
        names = ["scores", "embeddings"]
        given = {"wave": torch.randn(4000)}
        return str(export(OneClip(), given, folder / "clip.onnx", output_names=names))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("size", [None, (3, 64)])
def test_bert_is_the_same_through_onnx(
    pooled: bool, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    """Its pooler, which is often untrained, is passed over."""
    backbone = sources.load(f"onnx:{bert(tmp_path, pooled=pooled, size=size)}")
    plain = sources.load(str(tmp_path / "torch"))
    expected = embedded(plain, plain.preprocess(examples("text")))
    found = embedded(backbone, backbone.preprocess(examples("text")))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_value_inside_is_fed_what_it_needs(tmp_path: Path) -> None:
    """The embeddings of BERT come before its mask, those of words before token types."""
    place = bert(tmp_path)
    torchs = sources.load(str(tmp_path / "torch"))
    text = examples("text")
    tokens = torchs.preprocess(text)
    made = {node.output[0]: node for node in onnx.load(place / "model.onnx").graph.node}
    inner = [name for name in made if name.endswith("Gather_output_0") and "_embeddings" in name]
    words = next(name for name in inner if "word" in name)
    graph = sources.load(f"onnx:{place}#{words}")
    found = embedded(graph, graph.preprocess(text))
    table = torchs.module.embeddings.word_embeddings.weight.detach().numpy()
    for row, (ids, mask) in enumerate(
        zip(tokens["input_ids"].numpy(), tokens["attention_mask"].numpy(), strict=True)
    ):
        np.testing.assert_allclose(found[row], table[ids[mask > 0]].mean(axis=0), atol=1e-6)
    types = next(name for name in inner if "token_type" in name)
    with pytest.raises(ModelError, match="does not depend on the input 'input_ids'"):
        sources.load(f"onnx:{place}#{types}")


def test_the_embeddings_of_one_clip_are_averaged(tmp_path: Path) -> None:
    names = ["scores", "embeddings"]
    path = export(OneClip(), {"w": torch.randn(4000)}, tmp_path / "a.onnx", output_names=names)
    backbone = sources.load(str(path))
    clips = backbone.preprocess(examples("audio"))
    lengths = clips["attention_mask"].sum(1)
    with torch.no_grad():
        expected = [
            Sounds()(clip[None, : int(length)])[0].mean(0).numpy()
            for clip, length in zip(clips["input_values"], lengths, strict=True)
        ]
    np.testing.assert_allclose(embedded(backbone, clips), np.stack(expected), atol=1e-5)


class StepsLast(Sounds):
    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return super().forward(wave).transpose(1, 2)  # (n, c, t)


def test_sounds_whose_steps_come_last_are_averaged_over_them(tmp_path: Path) -> None:
    given = {"wave": torch.randn(2, 4000)}
    last = sources.load(str(export(StepsLast(), given, tmp_path / "last.onnx")))
    usual = sources.load(str(export(Sounds(), given, tmp_path / "usual.onnx")))
    assert last.width == usual.width == 12
    batch = usual.preprocess(examples("audio"))
    np.testing.assert_allclose(embedded(last, batch), embedded(usual, batch), atol=1e-5)
    last.save(tmp_path / "saved")
    again = sources.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(embedded(again, batch), embedded(last, batch))


class Grows(nn.Module):
    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return wave[:, ::100] * 2  # (n, t / 100)


def test_a_value_that_grows_with_the_clip_is_refused(tmp_path: Path) -> None:
    path = export(Grows(), {"wave": torch.randn(2, 4000)}, tmp_path / "grows.onnx")
    with pytest.raises(ModelError, match=r"grows with the input, from .* no feature of fixed"):
        sources.load(str(path))


class OneInside(nn.Module):
    """It says that it takes any number, and holds the shape of one: common among exports."""

    def __init__(self) -> None:
        super().__init__()
        self.net = convolutions()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).reshape(1, -1)[:, :10] * 2  # of several examples only the first


def test_a_graph_that_claims_too_much_is_fed_one_at_a_time(tmp_path: Path) -> None:
    path = export(OneInside(), {"x": torch.rand(1, 3, 32, 32)}, tmp_path / "one.onnx")
    assert not onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value")
    backbone = sources.load(str(path))
    batch = backbone.preprocess(examples("image"))
    with torch.no_grad():
        expected = convolutions()(batch["pixel_values"]).numpy() * 2
    np.testing.assert_allclose(embedded(backbone, batch), expected, atol=1e-5)
    backbone.save(tmp_path / "saved")
    again = sources.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(embedded(again, batch), embedded(backbone, batch))


class Mixes(nn.Module):
    """What an example gives depends on its company."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.5 * x.mean(0, keepdim=True)).mean((2, 3))


class TestOneThatMixes(OfOnnx):
    modality = "image"

    def load(self, folder: Path) -> Backbone:
        backbone: Any = super().load(folder)
        backbone.card = replace(backbone.card, parameters=1)  # it has none
        return backbone

    def write(self, folder: Path) -> str:
        return str(export(Mixes(), {"x": torch.rand(2, 3, 32, 32)}, folder / "mixes.onnx"))


class Constant(nn.Module):
    """No encoder: a table of its own, whatever the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(7, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table + x.mean()


@pytest.mark.parametrize("free", [True, False])
def test_rows_that_are_not_examples_are_refused(free: bool, tmp_path: Path) -> None:
    axes = {} if free else {"dynamic_axes": {}}
    path = export(Constant(), {"x": torch.rand(1, 3, 32, 32)}, tmp_path / "boxes.onnx", **axes)
    with pytest.raises(ModelError, match=r"'output' has the shape \(7, 5\) for 1 example"):
        sources.load(str(path))


def test_what_takes_no_tensor_is_refused(tmp_path: Path) -> None:
    made, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = made.make_graph(
        [made.make_node("SequenceLength", ["x"], ["y"])],
        "sequence",
        [made.make_tensor_sequence_value_info("x", kind, ["n", 3])],
        [made.make_tensor_value_info("y", onnx.TensorProto.INT64, [])],
    )
    opset = [made.make_opsetid("", 17)]
    onnx.save(made.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "s.onnx")
    with pytest.raises(ModelError, match=r"takes x object \(\); expected pictures"):
        sources.load(str(tmp_path / "s.onnx"))


class Map(nn.Module):
    def __init__(self, last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.last = nn.Conv2d(3, 9, 4, 4), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.net(x.permute(0, 3, 1, 2))
        return found.permute(0, 2, 3, 1) if self.last else found


def test_maps_of_oblong_pictures_are_averaged_over_height_and_width(tmp_path: Path) -> None:
    """(1, 12, 6, 9) and (1, 9, 12, 6) mean the same."""
    found = []
    for last in (False, True):
        given = {"x": torch.rand(1, 48, 24, 3)}
        path = export(Map(last), given, tmp_path / f"{last}.onnx", dynamic_axes={})
        backbone = sources.load(str(path))
        assert backbone.width == 9
        found.append(embedded(backbone, backbone.preprocess(examples("image"))))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_what_a_graph_cannot_take_is_an_error_of_the_model(tmp_path: Path) -> None:
    backbone = sources.load(str(picture_model(tmp_path / "net.onnx")))
    with pytest.raises(ModelError, match=r"graph fails on input float32 \(2, 5, 32, 32\): "):
        backbone.embed({"pixel_values": torch.rand(2, 5, 32, 32)})


def test_damaged_files_are_errors_of_the_model_and_print_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = external(tmp_path / "net.onnx", "net.onnx.data").read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(30):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / "net.onnx").write_bytes(damaged)
        try:
            sources.load(str(tmp_path / "net.onnx"))
        except HeadstartError as error:
            refused += "\n" not in str(error)
    assert refused > 10
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
