"""What is exported answers as the RUN does, without the RUN; what cannot be exact is refused."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from adapt_for_tests import inputs, write_family
from headstart.adapt.adapted import Adapted
from headstart.adapt.featurisers import BackboneFeaturiser, SimpleFeaturiser
from headstart.adapt.heads import Constant, Linear
from headstart.cli import app
from headstart.data.task import Task
from headstart.errors import RunError, UsageError
from headstart.run import Run
from headstart.run.export import export, opened
from headstart.run.export_hf import read, write
from headstart.sources import load
from headstart.sources.backbone import with_module
from runs_for_tests import reviews, run_quickly, write_photos
from sources_for_tests import write_model

EXACT = ("vit", "resnet", "dinov2", "mobilenet_v1", "convnext", "wav2vec2", "wav2vec2_stable")
INEXACT = ("bert", "distilbert", "roberta", "gpt2")
KINDS = {"classification": ("a", "b", "c"), "multi-label": ("one", "two"), "regression": ("size",)}


def adapted(backbone: Any, kind: str = "classification") -> Adapted:
    labels, rng = KINDS[kind], np.random.default_rng(0)
    weights = rng.normal(size=(backbone.width, len(labels))).astype(np.float32)
    head = Linear(weights, rng.normal(size=len(labels)).astype(np.float32))
    task = Task.of(kind, labels)
    return Adapted(
        "probe", "probe", backbone.card.modality, task, BackboneFeaturiser(backbone), head
    )


def exported(model: Adapted, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    facts = write(model, folder)
    loaded: dict[str, Any] = json.loads(json.dumps(facts))  # it goes through export.json
    return loaded


@pytest.mark.parametrize("family", EXACT)
def test_the_classifier_layer_says_what_the_head_says(family: str, tmp_path: Path) -> None:
    model = adapted(load(str(write_model(tmp_path / "origin", family))))
    facts = exported(model, tmp_path / "hf")
    shutil.rmtree(tmp_path / "origin")
    rows = inputs(model.modality, 6)
    found = read(tmp_path / "hf", facts).scores(rows)
    np.testing.assert_allclose(found, model.scores(rows), atol=2e-3)  # an engine may be in bf16
    assert found.std(axis=0).max() > 1e-6  # inputs matter


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_reads_labels_and_task(kind: str, tmp_path: Path) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = adapted(load(str(write_model(tmp_path / "origin", "vit"))), kind)
    facts = exported(model, tmp_path / "hf")
    plain = AutoModelForImageClassification.from_pretrained(tmp_path / "hf").eval()
    assert plain.config.id2label == dict(enumerate(KINDS[kind]))
    AutoImageProcessor.from_pretrained(tmp_path / "hf", backend="pil")
    assert {path.suffix for path in (tmp_path / "hf").iterdir()} == {".json", ".safetensors"}
    rows = inputs("image", 4)
    np.testing.assert_allclose(
        read(tmp_path / "hf", facts).scores(rows), model.scores(rows), rtol=0.01, atol=2e-3
    )


@pytest.mark.parametrize("family", INEXACT)
def test_what_would_differ_is_refused(family: str, tmp_path: Path) -> None:
    model = adapted(load(str(write_model(tmp_path / "origin", family))))
    with pytest.raises(UsageError, match="torchscript-free"):
        write(model, tmp_path)


def test_what_transformers_cannot_hold_is_refused(tmp_path: Path) -> None:
    own = adapted(load(str(write_family(tmp_path / "yamnet", "yamnet"))))
    with pytest.raises(UsageError, match="Headstart's own"):
        write(own, tmp_path)
    vit = adapted(load(str(write_model(tmp_path / "vit", "vit"))))
    constant = Constant(np.zeros(3, np.float32))
    odd = Adapted("x", "x", "image", vit.task, vit.featuriser, constant)
    with pytest.raises(UsageError, match="kind 'constant'"):
        write(odd, tmp_path)
    simple = SimpleFeaturiser.fit(inputs("image", 6), rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="hand-made"):
        write(Adapted("x", "x", "image", vit.task, simple, vit.head), tmp_path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    place = tmp_path_factory.mktemp("export")
    data = write_photos(place / "photos", 12)
    model = str(write_model(place / "vit", "vit"))
    return run_quickly(data, place / "RUN", model=model, method="probe"), data


def answers(path: Path, data: Any) -> list[dict[str, float]]:
    return [one.scores for one in opened(path).predicted(data)[0]]


def same(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert [list(row) for row in one] == [list(row) for row in other]
    table = [[list(row.values()) for row in rows] for rows in (one, other)]
    np.testing.assert_allclose(table[0], table[1], atol=2e-3)


def test_plain_folder_answers_without_the_run(photos: tuple[Run, Path], tmp_path: Path) -> None:
    run, data = photos
    copy = tmp_path / "RUN"
    shutil.copytree(run.path, copy)
    export(copy, "torchscript-free", tmp_path / "plain")
    shutil.rmtree(copy)
    same(answers(tmp_path / "plain", str(data)), answers(run.path, str(data)))
    kinds = {p.suffix for p in (tmp_path / "plain").rglob("*") if p.is_file()}
    assert kinds <= {".json", ".safetensors", ".md"}


def run_text_simple(rng: np.random.Generator) -> Adapted:
    rows = inputs("text", 12)
    simple = SimpleFeaturiser.fit(rows, rng=rng)
    width = simple.features(rows).shape[1]
    head = Linear(rng.normal(size=(width, 2)).astype(np.float32), np.zeros(2, np.float32))
    return Adapted(
        "simple", "simple", "text", Task.of("classification", ("bad", "good")), simple, head
    )


def with_model(run: Run, model: Adapted, place: Path) -> Run:
    """The RUN, with another model handed over."""
    shutil.copytree(run.path, place)
    model.save(place / "model")
    return Run.open(place)


def test_hf_folder_answers_without_the_run(photos: tuple[Run, Path], tmp_path: Path) -> None:
    run = with_model(
        photos[0], adapted(load(str(write_model(tmp_path / "o", "vit")))), tmp_path / "R"
    )
    wanted = answers(run.path, str(photos[1]))
    about = opened(export(run.path, "hf", tmp_path / "hf")).about  # type: ignore[union-attr]
    assert about["difference"] <= about["tolerance"] and about["batches"]
    shutil.rmtree(run.path)
    same(answers(tmp_path / "hf", str(photos[1])), wanted)
    assert 'library_name: "transformers"' in (tmp_path / "hf" / "README.md").read_text("utf-8")


def test_trained_weights_are_those_exported(tmp_path: Path) -> None:
    import torch

    origin = load(str(write_model(tmp_path / "origin", "vit")))
    module, drawn = copy.deepcopy(origin.module), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=drawn)
            parameter.add_(0.1 * noise)
    after, rows = adapted(with_module(origin, module)), inputs("image", 6)
    found = read(tmp_path / "hf", exported(after, tmp_path / "hf")).scores(rows)
    np.testing.assert_allclose(found, after.scores(rows), atol=2e-3)
    assert np.abs(found - adapted(origin).scores(rows)).max() > 0.05


def test_padding_that_changes_answers_is_said(photos: tuple[Run, Path], tmp_path: Path) -> None:
    model = adapted(load(str(write_model(tmp_path / "origin", "wav2vec2"))))
    run = with_model(photos[0], model, tmp_path / "RUN")
    target = export(run.path, "hf", tmp_path / "hf")
    assert not json.loads((target / "export.json").read_text("utf-8"))["batches"]
    assert "one example at a time" in (target / "README.md").read_text("utf-8")


def test_simple_winner_goes_as_a_plain_folder(tmp_path: Path) -> None:
    texts, labels = reviews(40)
    model = str(write_model(tmp_path / "bert", "bert"))
    run = run_quickly((texts, labels), tmp_path / "RUN", model=model, method="probe")
    rng = np.random.default_rng(0)
    found = run_text_simple(rng)
    run = with_model(run, found, tmp_path / "RUN2")
    target = export(run.path, "torchscript-free")
    assert target == run.path / "export" / "torchscript-free"
    same(answers(target, texts), answers(run.path, texts))


def test_card_is_read_by_the_hub_library(photos: tuple[Run, Path], tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    run, _ = photos
    export(run.path, "torchscript-free", tmp_path / "plain")
    data = ModelCard.load(tmp_path / "plain" / "README.md").data
    assert data.library_name == "headstart" and data.pipeline_tag == "image-classification"
    chosen = next(r for r in run.record.results if r.name == run.record.chosen)
    values = {r.metric_type: r.metric_value for r in data.eval_results}
    assert values["accuracy"] == chosen.metrics["accuracy"].value
    assert data.eval_results[0].dataset_name == run.record.data.name


def test_bad_requests_are_said(photos: tuple[Run, Path], tmp_path: Path) -> None:
    run, data = photos
    with pytest.raises(UsageError, match="got 'pickle'"):
        export(run.path, "pickle", tmp_path / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="exists already"):
        export(run.path, "torchscript-free", tmp_path / "full")
    (tmp_path / "full" / "export.json").write_text('{"format": 99, "to": "hf"}')
    with pytest.raises(RunError, match="upgrade"):
        opened(tmp_path / "full")
    asked = ["export", str(run.path), "--to", "torchscript-free", "--out", str(tmp_path / "plain")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "plain"), str(data / "red/0.jpg")])
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 1, done.output
