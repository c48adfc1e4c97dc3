"""An ONNX export answers as the RUN does, without it, for batches unlike the one traced."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from adapt_for_tests import inputs, write_family
from headstart.adapt.adapted import Adapted
from headstart.adapt.featurisers import SimpleFeaturiser
from headstart.adapt.heads import (
    CLASSES,
    LABELS,
    NUMBERS,
    Constant,
    Head,
    Isotonic,
    Kernel,
    Linear,
    Neighbours,
)
from headstart.cli import app
from headstart.data.task import Task
from headstart.errors import MissingExtra, RunError, UsageError
from headstart.run import Run
from headstart.run.export import Exported, export, opened
from headstart.run.export_onnx import write
from headstart.run.export_onnx_read import read
from headstart.sources import load
from headstart.sources.backbone import with_module
from runs_for_tests import reviews, run_quickly
from sources_for_tests import write_model
from test_run_export import KINDS, adapted, answers

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
GROWN = {
    "picture": "flat", "own output called logits": "flat", "map": "average", "text": "mean",
    "text without mask": "mean", "sound": "mean",
}  # fmt: skip
FAMILIES = ("vit", "resnet", "bert", "gpt2", "t5", "wav2vec2", "ast", "whisper", "yamnet")


def exported(model: Adapted, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    loaded: dict[str, Any] = json.loads(json.dumps(write(model, folder, "mit")))
    return loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_says_what_the_model_says(family: str, tmp_path: Path) -> None:
    model = adapted(load(str(write_family(tmp_path / "origin", family))))
    facts = exported(model, tmp_path / "onnx")
    shutil.rmtree(tmp_path / "origin")
    rows = inputs(model.modality, 5)
    found = read(tmp_path / "onnx", facts).scores(rows)
    np.testing.assert_allclose(found, model.scores(rows), atol=2e-3)  # an engine may be in bf16
    assert found.std(axis=0).max() > 1e-9  # inputs matter
    assert facts["difference"] <= facts["tolerance"] == 1e-4


def test_plain_onnx_runtime_and_transformers_do_without_headstart(tmp_path: Path) -> None:
    import onnxruntime
    import torch
    from transformers import AutoTokenizer

    model = adapted(load(str(write_model(tmp_path / "origin", "bert"))))
    exported(model, tmp_path / "onnx")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    texts = ["good film", "the plot was very dull and bad", "it", "a", "not bad of it is"]
    for some in (texts[:1], texts):  # neither two examples nor their length, as traced
        rows = dict(tokenizer(some, padding=True, truncation=True, return_tensors="np"))
        feeds = {one.name: rows[one.name] for one in session.get_inputs()}
        raw, shares = session.run(["logits", "probabilities"], feeds)
        backbone: Any = model.featuriser.backbone  # type: ignore[attr-defined]
        with torch.inference_mode():
            wanted = model.head.outputs(backbone.embed(backbone.preprocess(some)).numpy())
        np.testing.assert_allclose(raw, wanted, atol=1e-5)
        np.testing.assert_allclose(shares, model.task.kind.activate(wanted), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_the_task(kind: str, tmp_path: Path) -> None:
    model = adapted(load(str(write_model(tmp_path / "origin", "vit"))), kind)
    facts = exported(model, tmp_path / "onnx")
    raw = ["prediction"] if kind == "regression" else ["logits", "probabilities"]
    assert facts["outputs"] == raw and facts["labels"] == list(KINDS[kind])
    rows = inputs("image", 4)
    found = read(tmp_path / "onnx", facts).scores(rows)
    np.testing.assert_allclose(found, model.scores(rows), rtol=0.01, atol=2e-3)


def heads(width: int, rng: np.random.Generator) -> dict[str, tuple[Head, str]]:
    """One head of every kind that looks at features, with the task that it is for."""

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    one, plain = np.ones(width, np.float32), np.zeros(width, np.float32)
    linear = Linear(drawn(width, 3), drawn(3))
    rising = np.linspace(0, 1, 5, dtype=np.float32)
    points = np.tile(rising, 3)
    near = Neighbours(
        drawn(9, width).astype(np.float16), np.eye(3, dtype=np.int8)[np.arange(9) % 3], plain, one,
        np.asarray([1]), np.asarray([4]), np.full(3, 1 / 3), np.asarray([CLASSES]),
        np.asarray([1.5, 0.0]),
    )  # fmt: skip
    numbers = replace(
        near, answers=drawn(9, 1), unit=np.asarray([0]), prior=np.zeros(1),
        meaning=np.asarray([NUMBERS]), gain=np.asarray([2.0, 7.0]),
    )  # fmt: skip
    kernel = Kernel(
        drawn(6, width), plain, one, np.asarray([0.05], np.float32), drawn(6, 3), drawn(3)
    )
    curved = Isotonic(
        linear, points, 0.05 + 0.9 * points**2, np.asarray([0, 5, 10, 15]), np.asarray([CLASSES])
    )
    return {
        "kernel": (kernel, "classification"),
        "neighbours": (near, "classification"),
        "neighbours, numbers": (numbers, "regression"),
        "isotonic": (curved, "classification"),
        "isotonic, labels": (replace(curved, meaning=np.asarray([LABELS])), "multi-label"),
    }


@pytest.mark.parametrize("name", list(heads(2, np.random.default_rng(0))))
def test_every_head_that_looks_at_features_goes(name: str, tmp_path: Path) -> None:
    backbone = load(str(write_model(tmp_path / "origin", "bert")))
    head, kind = heads(backbone.width, np.random.default_rng(0))[name]
    labels = ("size",) if kind == "regression" else ("a", "b", "c")
    model = replace(adapted(backbone), head=head, task=Task.of(kind, labels))
    facts = exported(model, tmp_path / "onnx")
    rows = inputs("text", 8)
    found = read(tmp_path / "onnx", facts).scores(rows)
    np.testing.assert_allclose(found, model.scores(rows), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("sets", [1, 2], ids=["prompt", "prefix"])
def test_prompts_travel_inside_the_graph(sets: int, tmp_path: Path) -> None:
    import torch

    from headstart.adapt import prompting

    backbone: Any = load(str(write_model(tmp_path / "origin", "bert")))
    plain = adapted(backbone).outputs(inputs("text", 4))
    module = copy.deepcopy(backbone.module)
    vectors = torch.randn(sets, 3, 16, generator=torch.Generator().manual_seed(0))
    prompting.put(module, backbone, vectors)
    model = adapted(with_module(prompting.shortened(backbone, 3), module))
    facts = exported(model, tmp_path / "onnx")
    found = read(tmp_path / "onnx", facts).scores(inputs("text", 4))
    np.testing.assert_allclose(found, model.scores(inputs("text", 4)), atol=2e-3)
    assert np.abs(model.outputs(inputs("text", 4)) - plain).max() > 0.01
    assert facts["preprocessing"]["longest"] == 61


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    place = tmp_path_factory.mktemp("onnx")
    rows, labels = reviews(40)
    model = write_model(place / "bert", "bert")
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    run = run_quickly((rows, labels), place / "RUN", model=str(model), method="probe")
    if run.model.featuriser.kind != "backbone":  # the simple model may have won
        adapted(load(str(model))).save(run.path / "model")
        run = Run.open(run.path)
    shutil.rmtree(model)
    return run, rows


def test_predict_answers_from_the_export_alone(
    texts: tuple[Run, list[str]], tmp_path: Path
) -> None:
    run, rows = texts
    copy = tmp_path / "RUN"
    shutil.copytree(run.path, copy)
    wanted = [list(one.values()) for one in answers(run.path, rows)]
    asked = ["export", str(copy), "--to", "onnx", "--out", str(tmp_path / "onnx")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    shutil.rmtree(copy)
    found = [list(one.values()) for one in answers(tmp_path / "onnx", rows)]
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "onnx"), *rows[:3]])
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 3, done.output
    assert done.stdout.splitlines()[0].split("\t")[1].startswith(("good", "bad", "a ", "b ", "c "))


def test_facts_stand_in_the_file_and_beside_it(
    texts: tuple[Run, list[str]], tmp_path: Path
) -> None:
    import onnx

    run, _ = texts
    noted = {r.details["licence"] for r in run.record.results if r.role == "candidate"}
    assert noted == {"mit"}  # of the model that the run started from
    folder = export(run.path, "onnx", tmp_path / "onnx")
    found = opened(folder)
    assert isinstance(found, Exported)
    about = found.about
    model = onnx.load(folder / "model.onnx")
    stated = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(stated["labels"]) == about["labels"] == list(run.model.task.labels)
    assert stated["licence"] == about["licence"] == "mit"
    assert json.loads(stated["preprocessing"]) == about["preprocessing"]
    assert about["preprocessing"]["longest"] == 64
    free = [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert free == ["n", "input_ids_1"]
    kinds = {path.suffix for path in folder.iterdir()}
    assert kinds <= {".json", ".onnx", ".md", ".txt"}


def grown_models(folder: Path) -> dict[str, str]:
    """Ids of ONNX models, by how what they give becomes a feature."""
    import torch

    from test_sources_onnx import Sounds, picture_model, text_model
    from test_sources_onnx import export as write_graph

    waves = {"wave": torch.randn(2, 4000)}
    named = picture_model(folder / "named" / "net.onnx", output_names=["logits"])
    return {
        "picture": str(picture_model(folder / "net.onnx")),
        "own output called logits": f"onnx:{named}#logits",
        "map": f"onnx:{picture_model(folder / 'map' / 'net.onnx', 0)}#/3/Relu_output_0",
        "text": f"onnx:{text_model(folder / 'text')}",
        "text without mask": f"onnx:{text_model(folder / 'bare', masked=False)}",
        "sound": str(write_graph(Sounds(), waves, folder / "sound.onnx")),
    }


@pytest.mark.parametrize("name", list(GROWN))
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_head_is_put_behind_a_graph(name: str, kind: str, tmp_path: Path) -> None:
    import onnxruntime

    backbone = load(grown_models(tmp_path / "origin")[name])
    assert backbone.feature.pooling == GROWN[name]  # type: ignore[attr-defined]
    model = adapted(backbone, kind)
    facts = exported(model, tmp_path / "onnx")
    shutil.rmtree(tmp_path / "origin")
    rows = inputs(model.modality, 7)
    found, wanted = read(tmp_path / "onnx", facts).scores(rows), model.scores(rows)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    assert [one.name for one in session.get_outputs()] == facts["outputs"]
    assert len(facts["outputs"]) == (1 if kind == "regression" else 2)


def test_a_graph_of_an_opset_without_a_writer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.run import export_onnx_grown

    model = adapted(load(grown_models(tmp_path / "origin")["picture"]))
    monkeypatch.setattr(export_onnx_grown, "OPSETS", range(18, 21))
    with pytest.raises(UsageError, match="opset 17; a head can be put behind opsets 18 to 20"):
        exported(model, tmp_path / "onnx")


def test_a_graph_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.run import export_heads

    model = adapted(load(str(write_model(tmp_path / "origin", "bert"))))
    honest = export_heads.LinearHead.forward

    def wrong(self: Any, features: Any) -> Any:
        return honest(self, features) + 0.01

    monkeypatch.setattr(export_heads.LinearHead, "forward", wrong)
    with pytest.raises(UsageError, match=r"differ from the model's own by .* torchscript-free"):
        exported(model, tmp_path / "onnx")


def test_a_trace_that_holds_for_its_example_only_is_refused(tmp_path: Path) -> None:
    model = adapted(load(str(write_model(tmp_path / "origin", "bert"))))
    backbone: Any = model.featuriser.backbone  # type: ignore[attr-defined]
    honest = backbone.module.forward

    def by_length(input_ids: Any, **others: Any) -> Any:
        found = honest(input_ids=input_ids, **others)
        found.last_hidden_state = found.last_hidden_state * (1.0 + len(input_ids[0]))
        return found

    backbone.module.forward = by_length
    with pytest.raises(UsageError, match="torchscript-free"):
        exported(model, tmp_path / "onnx")


def test_what_is_no_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bert = adapted(load(str(write_model(tmp_path / "bert", "bert"))))
    with pytest.raises(UsageError, match="kind 'constant'"):
        write(replace(bert, head=Constant(np.zeros(3, np.float32))), tmp_path, "mit")
    simple = SimpleFeaturiser.fit(inputs("text", 6), rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="hand-made"):
        write(replace(bert, featuriser=simple), tmp_path, "mit")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"headstart\[onnx\]"):
        write(bert, tmp_path, "mit")


def test_a_damaged_export_is_said(texts: tuple[Run, list[str]], tmp_path: Path) -> None:
    folder = export(texts[0].path, "onnx", tmp_path / "onnx")
    about = json.loads((folder / "export.json").read_text("utf-8"))
    (folder / "export.json").write_text(json.dumps({**about, "inputs": None}), "utf-8")
    with pytest.raises(RunError, match="damaged"):
        answers(folder, ["good film"])
