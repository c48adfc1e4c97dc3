"""ONNX Runtime as an engine; engines that were refused, in the record."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import headstart.sources as sources
from headstart.data.dataset import Unlabelled
from headstart.errors import ModelError
from headstart.features.eager import Eager
from headstart.features.engine import BUILTIN, choose
from headstart.features.extract import Extractor
from headstart.features.onnx import OnnxRuntime
from headstart.sources.backbone import Backbone, Batch
from runs_for_tests import run_quickly, write_photos
from sources_for_tests import examples, write_model
from test_features_engines import embedded
from test_features_extract import slowly, texts

pytest.importorskip("onnxruntime", reason="the extra onnx is absent")
pytestmark = pytest.mark.usefixtures("one_core")
ENGINE = OnnxRuntime(only_convolutions=False)


@pytest.mark.parametrize("kind", ["bert", "resnet", "vit"])
def test_onnx_runtime_gives_the_features_of_float32(kind: str, tmp_path: Path) -> None:
    backbone = sources.load(str(write_model(tmp_path / kind, kind)))
    decoded = examples(backbone.card.modality)
    sample = backbone.preprocess(decoded)
    run = ENGINE.build(backbone)
    assert run is not None
    np.testing.assert_allclose(run(sample), embedded(backbone, sample), atol=1e-4)
    for count in (1, len(decoded) - 1):  # other sizes of batch, other lengths
        batch = backbone.preprocess(decoded[:count])
        np.testing.assert_allclose(run(batch), embedded(backbone, batch), atol=1e-4)


def test_it_takes_texts_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bert = sources.load(str(write_model(tmp_path / "bert", "bert")))
    inputs = texts(60)
    monkeypatch.setattr("headstart.features.extract.BUILTIN", (ENGINE,))
    table = Extractor(bert, engine=ENGINE.name, root=tmp_path / "store").table(inputs)
    assert table.engine == ENGINE.name
    np.testing.assert_allclose(table.features, slowly(bert, inputs), atol=1e-4)


def test_pictures_of_another_size_run_in_torch(tmp_path: Path) -> None:
    resnet = sources.load(str(write_model(tmp_path / "resnet", "resnet")))
    run = ENGINE.build(resnet)
    assert run is not None
    run(resnet.preprocess(examples("image")))
    other = {"pixel_values": torch.randn(2, 3, 48, 40)}
    np.testing.assert_allclose(run(other), embedded(resnet, other), atol=1e-5)


def test_it_is_skipped_for_audio_and_where_it_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds = sources.load(str(write_model(tmp_path / "ast", "ast")))
    assert ENGINE.build(sounds) is None
    bert = sources.load(str(write_model(tmp_path / "bert", "bert")))
    assert ENGINE.build(bert) is not None
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert ENGINE.build(bert) is None


def test_without_bf16_it_is_the_one_that_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that does not multiply bf16, without OpenVINO and fused convolutions."""
    resnet = sources.load(str(write_model(tmp_path / "resnet", "resnet")))
    bert = sources.load(str(write_model(tmp_path / "bert", "bert")))
    plain = SimpleNamespace(device="cpu", cores=1, fast_bf16=False, fast_int8=False)
    for room in ("eager", "openvino", "onnx", "int8"):
        monkeypatch.setattr(f"headstart.features.{room}.machine", lambda: plain)
    monkeypatch.setitem(sys.modules, "openvino", None)
    others = [engine for engine in BUILTIN if not engine.name.startswith("fused")]
    choice = choose(resnet, resnet.preprocess(examples("image")), others)
    assert choice.name == ENGINE.name and choice.agreement > 0.9999
    assert not choice.failed and not choice.refused
    texts_stay = choose(bert, bert.preprocess(examples("text")), BUILTIN)
    assert texts_stay.name == "fp32", "linear layers are no faster there"


def test_features_that_differ_are_refused(tmp_path: Path) -> None:
    class Moody(nn.Module):
        """Gives other numbers to a trace than to a call."""

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            mean = value.mean((2, 3))
            return -mean if torch.jit.is_tracing() else mean

    class Fake:
        module, trainable, stages = Moody().eval(), True, ()
        card = sources.BackboneCard(id="moody", source="test", modality="image")

        def embed(self, batch: Batch) -> torch.Tensor:
            found: torch.Tensor = self.module(batch["pixel_values"])
            return found

    backbone: Any = Fake()
    sample = {"pixel_values": torch.randn(3, 3, 8, 8)}
    choice = choose(backbone, sample, [ENGINE, Eager("fp32", bf16=False)])
    assert choice.name == "fp32"
    assert "cosine -1.000 with float32" in choice.failed[ENGINE.name]


class Refused:
    """An engine whose features are others."""

    name = "turned"

    def build(self, backbone: Backbone) -> Any:
        return lambda batch: -embedded(backbone, batch)


class Broken:
    name = "broken"

    def build(self, backbone: Backbone) -> Any:
        def run(batch: Batch) -> np.ndarray:
            raise RuntimeError("cannot convert")

        return run


def test_refused_engines_are_in_the_record_and_not_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    engines = (Refused(), Broken(), Eager("fp32", bf16=False))
    monkeypatch.setattr("headstart.features.extract.BUILTIN", engines)
    photos = write_photos(tmp_path / "photos")
    model = str(write_model(tmp_path / "resnet", "resnet"))
    run = run_quickly(photos, tmp_path / "run", model=model, method="finetune")
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    found = {result["method"]: result["details"] for result in record["results"]}
    refused = {"turned": "cosine -1.0000", "broken": "RuntimeError: cannot convert"}
    for method in ("probe", "finetune", "from scratch"):
        details = found[method]
        assert (details["engine"], details["agreement"]) == ("fp32", 1.0), method
        assert details["engines_refused"] == refused, method
    assert "engine" not in found["majority"] and "engine" not in found["simple"]
    shown = "".join(capfd.readouterr())
    page = run.report().read_text("utf-8")
    assert "cannot convert" not in shown + page


def test_a_graph_runs_from_end_to_end_and_stays_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_sources_onnx import picture_model

    pytest.importorskip("onnx", reason="the extra onnx is absent")
    path = picture_model(tmp_path / "net.onnx")
    photos = write_photos(tmp_path / "photos", each=12)
    with pytest.raises(ModelError, match="cannot be trained"):
        run_quickly(photos, tmp_path / "no", model=str(path), method="finetune")
    # The last entry, which is the probe: hand-made features may be better for patches of colour.
    for room in ("walk", "handing"):
        monkeypatch.setattr(f"headstart.run.{room}.best", lambda entries, *rest: entries[-1])
    run = run_quickly(
        photos, tmp_path / "run", model=f"onnx:{path}", studies={"prefer": "best"}
    )  # fmt: skip
    methods = {result.method for result in run.record.results}
    assert methods == {"majority", "simple", "probe"}
    notes = " ".join(run.record.notes)
    assert "Fine-tuning and the baseline from scratch are left out: no model" in notes
    assert "Ask for it with --method finetune" not in notes
    assert "what the last layer reads" in notes and "is assumed: 32 x 32 pixels" in notes
    probe = next(result for result in run.record.results if result.method == "probe")
    assert probe.name == "probe: net.onnx" and probe.parameters["total"] > 100
    path.unlink()
    assert run.record.chosen == probe.name and len(run.predict(str(photos))) == 36


def test_a_saved_graph_answers_alike(tmp_path: Path) -> None:
    from headstart.adapt.featurisers import BackboneFeaturiser
    from test_sources_onnx import picture_model

    pytest.importorskip("onnx", reason="the extra onnx is absent")
    path = picture_model(tmp_path / "net.onnx")
    featuriser = BackboneFeaturiser(sources.load(f"onnx:{path}"))
    photos = sorted(write_photos(tmp_path / "photos").rglob("*.jpg"))
    digests = np.random.default_rng(0).integers(0, 256, (len(photos), 16), dtype=np.uint8)
    inputs = Unlabelled("image", photos, [p.name for p in photos], digests)
    expected = featuriser.features(inputs)
    (tmp_path / "saved").mkdir()
    settings = featuriser.save(tmp_path / "saved")
    path.unlink()
    again = BackboneFeaturiser.load(tmp_path / "saved", settings)
    assert again.extractor.table(inputs).extracted == 0, "the store knows the saved graph"
    batch = again.backbone.preprocess(examples("image"))
    np.testing.assert_array_equal(
        embedded(again.backbone, batch), embedded(featuriser.backbone, batch)
    )
    np.testing.assert_array_equal(again.features(inputs), expected)


@pytest.mark.parametrize("method", ["finetune", "few-shot", "from scratch"])
def test_methods_that_train_refuse_a_graph(method: str, tmp_path: Path) -> None:
    from headstart.adapt import BASELINES, BUILTIN
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.adapt.fewshot import FewShot
    from headstart.testing.method import MethodConformance
    from test_sources_onnx import picture_model

    pytest.importorskip("onnx", reason="the extra onnx is absent")
    graph = sources.load(str(picture_model(tmp_path / "net.onnx")))
    known = {one.name: one for one in (*BUILTIN, *BASELINES, FewShot())}
    suite = type("Suite", (MethodConformance,), {"method": known[method], "__test__": False})()
    context = replace(suite.context("classification"), source=BackboneFeaturiser(graph))
    with pytest.raises(ModelError, match="cannot be trained"):
        known[method].adapt(context)
