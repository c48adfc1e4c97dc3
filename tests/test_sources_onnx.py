"""ONNX files as frozen backbones: small graphs are made here with torch and with onnx's helpers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import headstart.sources as sources
from headstart.errors import MissingExtra, ModelError, ModelNotFound, UnsafeWeights
from headstart.features.traced import silence
from headstart.sources.backbone import Backbone
from headstart.testing.source import SourceConformance
from sources_for_tests import examples, write_model, write_preprocessing

onnx = pytest.importorskip("onnx", reason="the extra onnx is absent")
pytest.importorskip("onnxruntime", reason="the extra onnx is absent")
pytestmark = pytest.mark.usefixtures("one_core")


def export(module: nn.Module, inputs: dict[str, torch.Tensor], path: Path, **options: Any) -> Path:
    """Write `module` as ONNX, free in batch and length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    free = {
        name: {0: "n"} if value.ndim == 4 else {at: f"{name}{at}" for at in range(value.ndim)}
        for name, value in inputs.items()
    }
    settings: dict[str, Any] = {"output_names": ["output"], "dynamic_axes": free, **options}
    with silence(), torch.no_grad():
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), str(path), dynamo=False, opset_version=17,
            input_names=list(inputs), **settings,
        )  # fmt: skip
    return path


def convolutions(classes: int = 0) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 10, 3, 2), nn.ReLU(),
             nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # fmt: skip
    parts += [nn.Linear(10, classes), nn.Softmax(1)] if classes else []
    return nn.Sequential(*parts)


def picture_model(path: Path, classes: int = 5, **options: Any) -> Path:
    return export(convolutions(classes), {"input": torch.randn(2, 3, 32, 32)}, path, **options)


class Words(nn.Module):
    """Token embeddings, a step that sees neighbours through the mask, layer norm, a classifier."""

    def __init__(self, masked: bool = True, classes: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.mix = nn.Embedding(40, 16), nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, classes) if classes else None
        self.masked = masked

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.table(ids)
        weights = torch.ones_like(ids) if mask is None else mask
        weights = weights.unsqueeze(2).to(hidden.dtype)
        context = (hidden * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        hidden = self.norm(hidden + self.mix(context))
        return hidden if self.head is None else self.head(torch.tanh(self.mix(hidden[:, 0])))


def text_model(folder: Path, *, masked: bool = True, classes: int = 0) -> Path:
    write_preprocessing(folder, "bert")
    inputs = {"input_ids": torch.randint(1, 30, (2, 6))}
    if masked:
        inputs["attention_mask"] = torch.ones(2, 6, dtype=torch.long)
    name = "logits" if classes else "last_hidden_state"
    export(Words(masked, classes), inputs, folder / "model.onnx", output_names=[name])
    return folder


class Sounds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv1d(1, 8, 64, 16), nn.Conv1d(8, 12, 5, 2)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(wave.unsqueeze(1)))).transpose(1, 2)


class OfOnnx(SourceConformance):
    trainable: ClassVar[bool] = False
    modality: ClassVar[str]

    def write(self, folder: Path) -> str:
        raise NotImplementedError

    def load(self, folder: Path) -> Backbone:
        return sources.load(self.write(folder))

    def examples(self) -> list[Any]:
        return examples(self.modality)


class TestPictures(OfOnnx):
    modality = "image"

    def write(self, folder: Path) -> str:
        return str(picture_model(folder / "net.onnx"))


class TestTexts(OfOnnx):
    modality = "text"

    def write(self, folder: Path) -> str:
        return f"onnx:{text_model(folder)}"


class TestTextsWithoutMask(OfOnnx):
    modality = "text"

    def write(self, folder: Path) -> str:
        return f"onnx:{text_model(folder, masked=False)}"


class TestSounds(OfOnnx):
    modality = "audio"

    def write(self, folder: Path) -> str:
        return str(export(Sounds(), {"wave": torch.randn(2, 4000)}, folder / "sound.onnx"))


def embedded(backbone: Backbone, batch: Any) -> np.ndarray:
    with torch.no_grad():
        return backbone.embed(batch).numpy()


def test_the_feature_is_what_the_classifier_reads(tmp_path: Path) -> None:
    backbone = sources.load(str(picture_model(tmp_path / "net.onnx")))
    batch = backbone.preprocess(examples("image"))
    assert backbone.width == 10 and tuple(batch["pixel_values"].shape[1:]) == (3, 32, 32)
    with torch.no_grad():
        expected = convolutions()(batch["pixel_values"]).numpy()
    np.testing.assert_allclose(embedded(backbone, batch), expected, atol=1e-5)
    assert "what the last layer reads" in backbone.card.note
    assert "assumed: 32 x 32 pixels, RGB, ImageNet" in backbone.card.note


def test_without_a_classifier_it_is_the_last_pooling(tmp_path: Path) -> None:
    backbone = sources.load(str(picture_model(tmp_path / "net.onnx", classes=0)))
    assert backbone.width == 10 and "the last pooling" in backbone.card.note


def test_usual_preprocessing_is_torchs(tmp_path: Path) -> None:
    backbone = sources.load(str(picture_model(tmp_path / "net.onnx")))
    image = examples("image")[0].resize((37, 37))  # 32 / 0.875: only the crop is left
    found = backbone.preprocess([image])["pixel_values"][0].numpy()
    pixels = np.asarray(image, np.float32)[2:34, 2:34] / 255
    expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-5)


def test_a_named_output_or_value_is_taken(tmp_path: Path) -> None:
    path = picture_model(tmp_path / "net.onnx", keep_initializers_as_inputs=False)
    names = [name for node in onnx.load(path).graph.node for name in node.output]
    scores = sources.load(f"{path}#output")
    assert scores.width == 5 and scores.card.title == "net.onnx#output"
    inner = next(name for name in names if "Relu" in name)
    backbone = sources.load(f"onnx:{path}#{inner}")
    batch = backbone.preprocess(examples("image"))
    with torch.no_grad():
        expected = convolutions()[:2](batch["pixel_values"]).mean((2, 3)).numpy()
    np.testing.assert_allclose(embedded(backbone, batch), expected, atol=1e-5)
    with pytest.raises(ModelError, match=r"'nothing' is not there; outputs: 'output'; .*Relu"):
        sources.load(f"{path}#nothing")


def test_texts_are_averaged_over_their_tokens(tmp_path: Path) -> None:
    backbone = sources.load(f"onnx:{text_model(tmp_path)}")
    batch = backbone.preprocess(examples("text"))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.no_grad():
        hidden = Words()(ids, mask)
    for row, length in enumerate(mask.sum(1)):
        expected = hidden[row, : int(length)].mean(0).numpy()
        np.testing.assert_allclose(embedded(backbone, batch)[row], expected, atol=1e-5)


def test_of_a_text_classifier_the_last_hidden_state_is_found(tmp_path: Path) -> None:
    plain = sources.load(f"onnx:{text_model(tmp_path / 'plain')}")
    classifier = sources.load(f"onnx:{text_model(tmp_path / 'classes', classes=3)}")
    batch = plain.preprocess(examples("text"))
    np.testing.assert_allclose(embedded(classifier, batch), embedded(plain, batch), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "vit", "resnet"])
def test_a_transformers_model_is_the_same_through_onnx(kind: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / kind, kind)
    plain = sources.load(str(folder))
    batch = plain.preprocess(examples(plain.card.modality))

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain.module

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            output = self.inner(**dict(zip(batch, values, strict=True)))
            return output.pooler_output if kind == "resnet" else output.last_hidden_state

    name = "pooler_output" if kind == "resnet" else "last_hidden_state"
    export(Whole(), batch, folder / "onnx" / "model.onnx", output_names=[name])
    assert sources.source_of(str(folder)).name == "local", "weights for torch go first"
    backbone = sources.load(f"onnx:{folder}")
    np.testing.assert_allclose(embedded(backbone, batch), embedded(plain, batch), atol=1e-5)
    again = backbone.preprocess(examples(plain.card.modality))
    assert {k: v.tolist() for k, v in again.items()} == {k: v.tolist() for k, v in batch.items()}


def test_colours_last_grey_and_fixed_batches(tmp_path: Path) -> None:
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2)) * 2

    path = export(
        Last(), {"x": torch.rand(3, 8, 8, 3)}, tmp_path / "last.onnx", dynamic_axes={}
    )  # three at a time, as TensorFlow orders colours
    backbone = sources.load(str(path))
    batch = backbone.preprocess(examples("image"))
    expected = batch["pixel_values"].mean((2, 3)).numpy()  # the last pooling
    np.testing.assert_allclose(embedded(backbone, batch), expected, atol=1e-5)
    assert "values in [0, 1]" in backbone.card.note
    grey = export(nn.Conv2d(1, 4, 3), {"x": torch.rand(2, 1, 8, 8)}, tmp_path / "grey.onnx")
    assert sources.load(str(grey)).width == 4


def test_metadata_says_how_pictures_are_made(tmp_path: Path) -> None:
    path = picture_model(tmp_path / "net.onnx")
    model = onnx.load(path)
    for key, value in {
        "Image.NominalPixelRange": "NominalRange_0_255", "Image.BitmapPixelFormat": "Bgr8",
        "licence": "mit",
    }.items():  # fmt: skip
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    backbone = sources.load(str(path))
    batch = backbone.preprocess(examples("image"))
    assert 100 < float(batch["pixel_values"].max()) <= 255 and backbone.card.licence == "mit"
    with torch.no_grad():
        expected = convolutions()(batch["pixel_values"].flip(1)).numpy()
    np.testing.assert_allclose(embedded(backbone, batch), expected, rtol=1e-4, atol=1e-4)


def test_files_beside_the_model_say_how_pictures_are_made(tmp_path: Path) -> None:
    path = picture_model(tmp_path / "net.onnx")
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32},
                "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    backbone = sources.load(str(path))
    assert "assumed" not in backbone.card.note
    assert float(backbone.preprocess(examples("image"))["pixel_values"].min()) >= 0


def external(path: Path, location: str) -> Path:
    """Write a picture model whose weights lie in `location`."""
    model = onnx.load(picture_model(path))
    for tensor in model.graph.initializer:
        data = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        place = path.parent / location
        old = place.read_bytes() if place.is_file() else b""
        tensor.external_data.add(key="offset", value=str(len(old)))
        tensor.external_data.add(key="length", value=str(len(data)))
        if place.parent.is_dir():
            place.write_bytes(old + data)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_read_from_the_folder_alone(tmp_path: Path) -> None:
    batch = {"pixel_values": torch.randn(2, 3, 32, 32)}
    plain = embedded(sources.load(str(picture_model(tmp_path / "plain.onnx"))), batch)
    inside = external(tmp_path / "a" / "net.onnx", "net.onnx.data")
    np.testing.assert_array_equal(embedded(sources.load(str(inside)), batch), plain)
    for location in ("../secret", str(tmp_path / "secret"), ""):
        (tmp_path / "secret").write_bytes(b"")
        path = external(tmp_path / "b" / "net.onnx", location or "x")
        if not location:
            path = external(tmp_path / "b" / "net.onnx", "link")
            (tmp_path / "b" / "link").rename(tmp_path / "data")
            (tmp_path / "b" / "link").symlink_to(tmp_path / "data")
        with pytest.raises(UnsafeWeights, match="outside its own folder"):
            sources.load(str(path))
    (tmp_path / "a" / "net.onnx.data").write_bytes(b"short")
    with pytest.raises(ModelError, match="too short"):
        sources.load(str(inside))
    (tmp_path / "a" / "net.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"lacks the data file net\.onnx\.data"):
        sources.load(str(inside))


def test_libraries_of_operators_are_not_loaded(tmp_path: Path) -> None:
    path = picture_model(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.node[0].domain = "ai.onnx.contrib"
    model.opset_import.add(domain="ai.onnx.contrib", version=1)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"ai\.onnx\.contrib::Conv, which needs a library"):
        sources.load(str(path))


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    for at, content in enumerate((b"", b"PK\x03\x04 no graph", b"\x00" * 40, b"a text\n")):
        path = tmp_path / f"{at}.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError, match="is no ONNX file"):
            sources.load(str(path))
    with pytest.raises(ModelNotFound, match="no ONNX file"):
        sources.load(f"onnx:{tmp_path / 'absent.onnx'}")
    with pytest.raises(ModelNotFound, match="name one"):
        sources.load(f"onnx:{tmp_path}")
    with pytest.raises(ModelNotFound, match="empty path"):
        sources.load("onnx:")


def test_models_of_no_modality_are_refused(tmp_path: Path) -> None:
    table = export(nn.Linear(4, 2), {"x": torch.randn(2, 4)}, tmp_path / "t.onnx",
                   dynamic_axes={"x": {0: "n"}})  # fmt: skip
    with pytest.raises(ModelError, match=r"takes x float32 \(None, 4\); expected pictures"):
        sources.load(str(table))
    (tmp_path / "words").mkdir()
    words = text_model(tmp_path / "words") / "model.onnx"
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(words.read_bytes())
    with pytest.raises(ModelError, match="no tokenizer beside it"):
        sources.load(str(alone))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_extra_names_its_install_line(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture_model(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    line = rf"{package} is missing; run: pip install 'headstart\[onnx\]'"
    with pytest.raises(MissingExtra, match=line):
        sources.load(str(path))


@pytest.mark.parametrize(
    ("id", "path", "output"),
    [
        ("onnx:a/b.onnx", "a/b.onnx", None),
        ("onnx:a/b.onnx#/pool/x", "a/b.onnx", "/pool/x"),
        ("a/b.onnx#x#y", "a/b.onnx", "x#y"),
        ("c#/n.onnx#x", "c#/n.onnx", "x"),
    ],
)
def test_ids(id: str, path: str, output: str | None) -> None:
    from headstart.sources.onnx import split_id

    assert split_id(id) == (Path(path), output)
    assert sources.source_of(id).name == "onnx"
