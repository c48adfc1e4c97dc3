"""Ranking from data to table: order, skipped models, bad input, random models, layers, heads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import headstart.sources as sources
from headstart.cli import app
from headstart.data.dataset import Dataset
from headstart.data.load import open_dataset
from headstart.data.task import Task
from headstart.errors import DataError, ModelError, ModelNotFound, TooFewExamples, UsageError
from headstart.features.extract import Extractor
from headstart.ranking.rank import rank
from headstart.ranking.ranked import Confirmed, Criteria, Ranked
from headstart.ranking.show import _unit, shown
from headstart.records import Sealed
from headstart.run.ranking import conclusion, to_take
from headstart.run.ranking import rank as rank_data
from headstart.sources.head import source_head
from headstart.sources.layers import layer_mean
from headstart.testing.source import SourceConformance
from runs_for_tests import reviews, write_photos
from sources_for_tests import FAMILIES, examples, write_model, write_preprocessing

pytestmark = pytest.mark.usefixtures("one_core")
GLYPHS, UNTRAINED = "starter:glyphs", "random:starter:glyphs"


@pytest.fixture(scope="module")
def letters() -> Dataset:
    """Handwritten digits: what the starter, which read letters, was made for."""
    return _letters(range(4), 160)


def _letters(classes: range, count: int) -> Dataset:
    from sklearn.datasets import load_digits

    data = load_digits()
    keep = np.flatnonzero(np.isin(data.target, classes))[:count]
    return open_dataset((list(data.images[keep]), data.target[keep])).splits.train


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny image classifier with its head and label names."""
    return write_headed(tmp_path_factory.mktemp("headed"))


def write_headed(folder: Path) -> Path:
    import torch
    from transformers import ConvNextConfig, ConvNextForImageClassification

    from headstart.sources.loading import quiet

    with quiet():
        torch.default_generator.manual_seed(3)
        config = ConvNextConfig(
            **FAMILIES["convnext"][2], id2label=dict(enumerate(["zero", "one", "bee"])),
            label2id={"zero": 0, "one": 1, "bee": 2},
        )  # fmt: skip
        model = ConvNextForImageClassification(config)
        torch.nn.init.normal_(model.classifier.weight)
        model.save_pretrained(folder)
    write_preprocessing(folder, "convnext")
    return folder


def test_the_trained_model_ranks_above_its_random_twin(letters: Dataset) -> None:
    found = rank(letters, [UNTRAINED, GLYPHS])
    assert [one.model for one in found.models] == [GLYPHS, UNTRAINED]
    first, last = found.models
    assert first.best > 0.7 and first.best + last.best == pytest.approx(1, abs=1e-3)
    assert first.low is not None and first.low <= first.combined <= (first.high or 0)
    assert first.prior_place == 1 and last.prior == -2.5
    better = {n: (first.scores[n], last.scores[n]) for n in found.combined}
    assert all((one or 0) >= (other or 0) for one, other in better.values()), better
    assert found.combined == ["logme", "knn", "probe"]
    assert list(first.scores) == ["logme", "knn", "probe", "h_score", "sfda", "leep", "nce"]
    assert first.scores.get("leep") is None
    of = first.criteria
    assert of.seconds > 0 and of.memory and of.memory > 4 * (of.parameters or 0) / 2**20
    assert of.licence == "apache-2.0" and of.available and of.data_distance is None
    assert "the scores change nothing at the top" in found.verdict
    assert json.loads(json.dumps(found.to_json()))["models"][0]["model"] == GLYPHS


def test_what_a_list_has_level_is_not_told_apart_by_it(letters: Dataset, tmp_path: Path) -> None:
    one, other = (str(write_model(tmp_path / name, "convnext")) for name in "ab")
    found = rank(letters, [one, other])
    assert [model.prior_place for model in found.models] == [1, 1]
    assert "2 models stand level at the top of the static list" in found.verdict
    assert "between those the scores alone decide" in found.verdict


def test_where_all_is_right_the_smallest_comes_first() -> None:
    data = _letters(range(3), 500)
    found = rank(data, [UNTRAINED, GLYPHS])
    assert [one.place for one in found.models] == [1, 1]
    assert found.models[0].combined == found.models[1].combined
    assert found.models[0].best == pytest.approx(0.5, abs=0.05)
    assert found.verdict.startswith("2 models share the first place, the smallest (")
    named = rank(data, [UNTRAINED, GLYPHS], scores=["logme"])
    assert [one.place for one in named.models] == [1, 2], "scores that a person names decide alone"


def test_the_same_call_gives_the_same_ranking(letters: Dataset) -> None:
    def plain(**more: Any) -> dict[str, Any]:
        found = rank(letters, [GLYPHS, UNTRAINED], scores=["probe"], **more).to_json()
        found["seconds"] = 0
        for one in found["models"]:
            one["criteria"]["seconds"] = 0
        return found

    assert plain() == plain()
    assert plain() != plain(seed=1)


def test_a_model_that_fails_is_named_and_the_others_go_on(letters: Dataset, tmp_path: Path) -> None:
    text = str(write_model(tmp_path / "text", "bert"))
    broken = write_model(tmp_path / "broken", "convnext")
    spoil(broken)
    said: list[str] = []
    models = [text, "/nowhere/at/all", str(broken), GLYPHS]
    found = rank(letters, models, scores=["probe"], say=said.append)
    assert [one.model for one in found.models] == [GLYPHS]
    reasons = {one.model: one.reason for one in found.skipped}
    assert reasons[text] == "it takes text, the data is image"
    assert "does not exist" in reasons["/nowhere/at/all"]
    assert "NaN" in reasons[str(broken)]
    assert len(said) == 3 and "nothing to rank" in found.verdict
    with pytest.raises(ModelError, match="None of 1 models can be ranked: it takes text"):
        rank(letters, [text])


def spoil(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["layernorm.weight"][:] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_targets_that_cannot_be_ranked_on_are_refused_before_any_model(letters: Dataset) -> None:
    one = replace(letters, targets=np.zeros(len(letters), np.int64))
    with pytest.raises(TooFewExamples, match="at least 2 classes"):
        rank(one, ["/not/looked/for"])
    many = replace(letters, task=Task.of("classification", tuple(map(str, range(500)))))
    with pytest.raises(TooFewExamples, match="fewer examples than classes"):
        rank(many, ["/not/looked/for"])
    flat = replace(letters, targets=np.full(len(letters), 2.5), task=Task.of("regression", ("y",)))
    with pytest.raises(DataError, match="all 128 targets are equal"):
        rank(flat, ["/not/looked/for"])


def test_wrong_options_are_refused(letters: Dataset) -> None:
    with pytest.raises(UsageError, match="Unknown score 'best'; known: logme"):
        rank(letters, [GLYPHS], scores=["best"])
    values = replace(
        letters, targets=letters.targets.astype(float), task=Task.of("regression", ("y",))
    )
    with pytest.raises(UsageError, match="sfda does not serve regression; these do: logme, knn"):
        rank(values, [GLYPHS], scores=["sfda"])
    with pytest.raises(UsageError, match="--pooling"):
        rank(letters, [GLYPHS], pooling="max")
    with pytest.raises(DataError, match="need a source head"):
        rank(letters, [GLYPHS], scores=["leep"])


def test_values_and_several_labels_are_ranked_too(letters: Dataset) -> None:
    values = replace(letters, targets=letters.targets * 1.5, task=Task.of("regression", ("y",)))
    found = rank(values, [UNTRAINED, GLYPHS])
    assert found.combined == ["logme", "knn", "probe"] and found.models[0].model == GLYPHS
    several = np.stack([letters.targets == 0, letters.targets > 1], axis=1).astype(np.int8)
    labels = replace(letters, targets=several, task=Task.of("multi-label", ("none", "many")))
    found = rank(labels, [UNTRAINED, GLYPHS])
    assert found.combined == ["logme", "probe"] and found.models[0].model == GLYPHS


def test_large_data_is_sampled(letters: Dataset) -> None:
    found = rank(letters, [GLYPHS], scores=["knn"], examples=40)
    assert (found.examples, found.of) == (40, 128)


def test_source_head_says_what_the_whole_model_says(headed: Path, letters: Dataset) -> None:
    import torch
    from transformers import AutoModelForImageClassification

    backbone = sources.load(str(headed))
    head = source_head(backbone)
    assert head is not None
    rows = np.arange(6)
    features = Extractor(backbone, engine="fp32").table(letters.inputs.take(rows)).features
    whole = AutoModelForImageClassification.from_pretrained(headed).eval()
    batch = Extractor(backbone)._batch(letters.inputs, rows)
    with torch.inference_mode():
        logits = whole(pixel_values=batch["pixel_values"]).logits
    assert head.probabilities(features) == pytest.approx(logits.softmax(1).numpy(), abs=1e-4)
    assert source_head(sources.load(f"random:{headed}")) is None
    assert source_head(sources.load(GLYPHS)) is None


def test_leep_counts_where_every_model_has_a_head(headed: Path, letters: Dataset) -> None:
    asked = ["leep", "knn"]
    assert rank(letters, [str(headed)], scores=asked).combined == asked
    both = rank(letters, [str(headed), GLYPHS], scores=asked)
    assert both.combined == ["knn"]
    scores = {one.model: one.scores["leep"] for one in both.models}
    assert scores[GLYPHS] is None and (scores[str(headed)] or 1) < 0


class TestRandom(SourceConformance):
    has_files = False

    def load(self, folder: Path) -> sources.Backbone:
        return sources.load(f"random:{write_model(folder / 'tiny', 'convnext')}")

    def examples(self) -> list[Any]:
        return examples("image")


def test_random_is_the_same_architecture_with_other_weights_always_the_same() -> None:
    one, again, origin = (sources.load(id) for id in (UNTRAINED, UNTRAINED, GLYPHS))
    assert one.fingerprint == again.fingerprint != origin.fingerprint
    assert one.card.id == UNTRAINED and one.card.parameters == origin.card.parameters
    assert one.card.labels == () and one.card.note == "random weights"
    with pytest.raises(ModelNotFound, match="names no model"):
        sources.load("random:")
    with pytest.raises(ModelNotFound, match="/nowhere"):
        sources.load("random:/nowhere")


def test_layer_mean_is_the_mean_of_all_hidden_states(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel

    folder = write_model(tmp_path / "bert", "bert")
    backbone = layer_mean(sources.load(str(folder)))
    batch = backbone.preprocess(["the film was good", "bad"])
    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(**batch, output_hidden_states=True).hidden_states
        found = backbone.embed(batch).numpy()
    for row in range(2):
        length = int(batch["attention_mask"][row].sum())
        layers = [state[row, :length].mean(dim=0).numpy() for state in states[1:]]
        assert found[row] == pytest.approx(np.mean(layers, axis=0), abs=1e-5)
    assert backbone.fingerprint != sources.load(str(folder)).fingerprint
    with pytest.raises(UsageError, match="--pooling layers is for text encoders"):
        layer_mean(sources.load(GLYPHS))


def test_texts_are_ranked_with_layer_mean_pooling(tmp_path: Path) -> None:
    model = str(write_model(tmp_path / "bert", "bert"))
    data = open_dataset(reviews(60)).splits.train
    own, layers = (rank(data, [model], pooling=p, scores=["logme"]) for p in ("own", "layers"))
    assert layers.pooling == "layers"
    assert own.models[0].scores != layers.models[0].scores


def test_test_labels_stay_sealed_and_the_first_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Sealed) -> np.ndarray:
        raise AssertionError("the test labels were opened")

    monkeypatch.setattr(Sealed, "open", never)
    photos = write_photos(tmp_path / "photos", 16)
    found = rank_data(photos, [GLYPHS, UNTRAINED], confirm=1, budget="2s", scores=["probe"])
    done = [one.confirmed for one in found.models]
    assert done[0] is not None and done[1] is None
    assert done[0].metric == "accuracy" and 0 <= (done[0].value or -1) <= 1
    assert done[0].seconds < 60
    assert found.notes[0].startswith("Confirmed: ") and "the only one" in found.notes[0]
    assert found.next == f"headstart transfer {photos} --model {found.models[0].model}"


def test_command(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 16)
    run = CliRunner()
    models = f"{GLYPHS},{UNTRAINED},starter:minilm"
    shown = run.invoke(app, ["rank", str(photos), "--models", models], catch_exceptions=False)
    assert shown.exit_code == 0
    for words in ("P(best)", "static prior", "Five criteria", "unknown", "random:starter:glyphs"):
        assert words in shown.output, words
    given = ["rank", str(photos), "--models", f"{GLYPHS}, ", "--scores", "knn, probe", "--json"]
    with pytest.raises(UsageError, match="empty name"):
        run.invoke(app, given, catch_exceptions=False)
    given = [*given[:3], f" {GLYPHS}", *given[4:]]
    found = json.loads(run.invoke(app, given, catch_exceptions=False).stdout)
    assert found["combined"] == ["knn", "probe"] and found["task"] == "classification"
    with pytest.raises(UsageError, match="empty name"):
        run.invoke(app, ["rank", str(photos), "--models", "a,,b"], catch_exceptions=False)
    with pytest.raises(UsageError, match="duration"):
        run.invoke(app, ["rank", str(photos), "--budget", "soon"], catch_exceptions=False)


def test_a_confirmation_says_when_the_examples_cannot_decide() -> None:
    def tuned(model: str, value: float) -> Ranked:
        done = Confirmed("accuracy", value, 1.0)
        criteria = Criteria(None, None, None, None, None, None, 1.0, None, "", "", True)
        return Ranked(model, model, 1, 0.0, None, None, 0.5, None, None, {}, criteria, done)

    rng = np.random.default_rng(0)
    good, better = np.arange(200) < 120, np.arange(200) < 180
    models = [tuned("a", 0.6), tuned("b", 0.9)]
    clear = conclusion(models, {"a": good.astype(float), "b": better.astype(float)})
    assert clear == (
        "Confirmed: of 2 fine-tuned, b is best, and not a: accuracy 0.900 on 200 validation "
        "examples."
    )
    people = np.array([f"p{at // 60}" for at in range(200)], object)  # b is better at one alone
    grouped = conclusion(models, {"a": good.astype(float), "b": better.astype(float)}, people)
    assert "Not decided" in grouped
    even = rng.permutation(good).astype(float)
    assert "Not decided" in conclusion([tuned("a", 0.6), tuned("b", 0.6)], {"a": even, "b": even})
    few = conclusion(models, {"a": np.array([1.0, 0.0, 1.0]), "b": np.ones(3)})
    assert "b is first" in few and "cannot tell it from a" in few and "--budget" in few
    assert to_take(models) == ["b"]
    frozen = replace(models[0], confirmed=Confirmed("accuracy", None, 0.0, "stays frozen"))
    assert to_take([frozen, models[1]]) == ["a", "b"] and to_take([frozen]) == ["a"]
    zero = conclusion([tuned("a", 0.0)], {"a": np.zeros(3)})
    assert "a, the only one" in zero and "0.000" in zero
    assert "none of the first" in conclusion(models, {})


def test_no_interval_is_explained(letters: Dataset) -> None:
    rows = np.concatenate([np.flatnonzero(letters.targets == label)[:2] for label in range(4)])
    found = rank(letters.take(rows), [GLYPHS], scores=["probe"])
    assert found.half_samples == 0 and found.models[0].low is None
    words = "\n".join(part for part in shown(found) if isinstance(part, str))
    assert "Interval: unknown, 8 of 8 training examples" in words and "2 of every class" in words
    values = "\n".join(map(str, shown(replace(found, task="regression"))))
    assert "are too few to halve." in values


def test_units_are_those_of_the_task() -> None:
    assert _unit("share right, or R²", "classification") == "share right"
    assert _unit("share right, or R²", "multi-label") == "R²"
