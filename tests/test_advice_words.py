"""Advice in words: of the task at hand, with rare classes named and a command to go on with."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console

from adapt_for_tests import dataset
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.data.inputs import open_lines
from headstart.data.load import open_dataset
from headstart.data.task import Task
from headstart.errors import DataError, ModelError, TooFewExamples, UsageError
from headstart.features import extract
from headstart.ranking.advise import advise as walked
from headstart.ranking.tree import Fact, read_tree
from headstart.records import Advice, AdviceNode
from headstart.report.advised import MARK, shown
from headstart.run.advising import advise
from headstart.run.following import transfer_command
from headstart.run.models import answering
from headstart.run.rare import rare_classes
from headstart.run.scene import Scene, facts_of, least_seconds
from headstart.sources import load
from runs_for_tests import reviews, write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("words") / "bert", "bert"))


def texts_of(node: AdviceNode) -> Iterator[str]:
    yield node.text
    for branch in node.branches:
        yield from texts_of(branch)


def said(advice: Advice) -> str:
    """What the way through the tree says, question by question."""
    return "\n".join(
        [f"{t.question} {t.values} {t.reason}" for t in advice.turns] + advice.unanswered
    )


FACTS: dict[str, Fact] = {
    "modality": "image", "models": 1, "trainable": True, "labels_each": 120, "left": 250,
}  # fmt: skip


def test_regression_hears_nothing_of_classes() -> None:
    for left in (5, 250):
        facts = FACTS | {"task": "regression", "left": left, "left_each": left}
        advice = walked(facts)
        assert advice.turns[0].question == "Are there at least 2 labelled examples?"
        assert advice.turns[0].values == ["labelled examples: 120, asked 2 or more"]
        texts = next(t for t in advice.turns if "texts to classify" in t.question)
        assert texts.values == [
            "modality: image, asked text", "task: regression, asked classification"
        ]  # fmt: skip
        few = next(t for t in advice.turns if "200 examples" in t.question)
        assert "class" not in few.question + few.reason + " ".join(few.values)
        assert few.answer == ("no" if left == 5 else "yes")
        drawn = "\n".join(texts_of(advice.tree))
        assert "2 labelled examples?" in drawn and "10 a class" not in drawn


def test_multi_label_hears_of_labels() -> None:
    facts = FACTS | {"task": "multi-label", "left_each": 4}
    advice = walked(facts)
    assert "of every label" in advice.turns[0].question
    few = advice.turns[-1]
    assert few.answer == "no" and few.values == [
        "of them that have a label, on average: 4, asked 10 or more"
    ]
    assert walked(facts | {"left_each": 12}).turns[-1].question != few.question


def test_classification_is_asked_as_before() -> None:
    advice = walked(FACTS | {"task": "classification", "left_each": 4})
    assert advice.turns[0].question.endswith("labelled examples a class?")
    assert "2 validate it" in advice.turns[-1].reason


def test_a_question_must_ask_something_of_every_task() -> None:
    tree = read_tree()
    plain = tree.model_dump(by_alias=True)
    for condition in plain["question"][0]["when"]:
        condition["tasks"] = ["regression"]
    with pytest.raises(ValidationError, match="asks nothing of some tasks"):
        type(tree).model_validate(plain)


@pytest.mark.parametrize("kind", ["classification", "multi-label", "regression"])
def test_examples_are_counted_for_the_task(kind: str) -> None:
    data = dataset("text", kind, 120)
    scene = Scene(data, None, 30, [], 600.0, 0)
    left = len(scene.context(None).training)
    facts = facts_of(scene, None, None, None, {})  # type: ignore[arg-type]
    if kind == "classification":
        expected = len(data) / len(data.task.labels)
    elif kind == "regression":
        expected = len(data)
    else:
        expected = np.mean([data.targets[:, at].sum() for at in range(data.targets.shape[1])])
    assert facts["labels_each"] == pytest.approx(expected)
    assert facts["left_each"] == pytest.approx(expected * left / len(data))


def test_a_rare_class_is_named() -> None:
    texts, labels = reviews(80)
    labels = ["good"] * 76 + ["bad"] * 4
    data = open_dataset((texts, labels)).splits.train
    count = int((data.targets == data.task.labels.index("bad")).sum())
    (note,) = rare_classes(data)
    assert f"The class 'bad' has {count} of {len(data)} training examples" in note
    assert note.endswith("read recall and balanced accuracy beside accuracy.")
    assert not rare_classes(open_dataset(reviews(80)).splits.train)
    assert not rare_classes(
        open_dataset(reviews(16)).splits.train
    )  # all are rare: the tree says so
    assert not rare_classes(dataset("text", "regression", 40))


def test_a_rare_label_is_named_with_what_is_measured_of_labels() -> None:
    data = dataset("text", "multi-label", 60)
    first = np.arange(60)[:, None] < np.array([4, 7, 60])
    task = Task.of("multi-label", ("a", "b", "c"))
    (note,) = rare_classes(replace(data, task=task, targets=first.astype(np.int8)))
    assert "The label 'a' has 4 of 60 training examples (1 more has fewer than 10)" in note
    assert note.endswith("Label 10 or more of it; read recall and macro F1 beside micro F1.")


def test_the_terminal_shows_the_way_and_all_of_the_tree_on_request() -> None:
    advice = walked(FACTS | {"task": "classification", "left_each": 40, "left": 100})

    def lines(whole: bool) -> list[str]:
        out = io.StringIO()
        console = Console(file=out, width=80, color_system=None)
        for part in shown(advice, whole=whole):
            console.print(part, markup=False)
        text = out.getvalue()
        return text[: text.index("\nWhy")].splitlines()

    short, long = lines(False), lines(True)
    assert len(short) < 0.6 * len(long)
    for marked in (short, long):
        assert sum(MARK in line for line in marked) == len(advice.turns) + 1
    assert any("hold some out? …" in line for line in short)
    assert not any("80 %" in line for line in short) and any("80 %" in line for line in long)
    assert any("--whole-tree" in line for line in short)


def test_what_is_not_known_is_said_once() -> None:
    turn = walked(FACTS | {"task": "classification", "left_each": 4}).turns[1]
    assert turn.answer == "not known"
    assert turn.values == [
        "accuracy of a domain classifier (lower end of its interval): 0.6 or more would be asked"
    ]


@pytest.mark.parametrize(("count", "told"), [(1, False), (3, True)])
def test_of_several_models_the_best_is_named(count: int, told: bool) -> None:
    advice = walked(FACTS | {"task": "classification", "models": count})
    lines = shown(advice.model_copy(update={"model": "a/b"}))
    assert (f"Model: a/b, the best of {count} on few examples." in lines) is told


def test_the_command_that_follows_names_what_was_asked(bert: str, tmp_path: Path) -> None:
    table = tmp_path / "my reviews.csv"
    texts, labels = reviews(60)
    rows = zip(texts, labels, strict=True)
    table.write_text("words,mood\n" + "\n".join(f"{t},{k}" for t, k in rows))
    found = advise(table, model=bert, target="mood", budget="90s", seed=3)
    assert shlex.split(found.next) == [
        "headstart", "transfer", str(table), "--model", bert, "--budget", "90s",
        "--target", "mood", "--seed", "3",
    ]  # fmt: skip
    assert advise(reviews(60), model=bert).next == ""  # Python objects have no command


def test_flags_and_usual_values_in_a_command() -> None:
    options = {"allow_pickle": True, "encoding": "utf-8", "target": ["a", "b"], "root": None}
    assert transfer_command("x", [], options) == "headstart transfer x --allow-pickle --target a,b"


def test_without_a_model_the_command_finds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.run.models.default_for", lambda modality: None)
    found = advise(write_photos(tmp_path / "photos", 6))
    assert found.leaf == "simple" and found.next == "headstart models --modality image"


def test_trying_models_out_binds_nobody_to_an_engine(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    inputs = open_dataset(reviews(60)).splits.train.inputs
    counts = []

    def choose(*args: Any, count: int | None = None, **options: Any) -> Any:
        counts.append(count)
        return chosen(*args, count=count, **options)

    chosen = extract.choose
    monkeypatch.setattr(extract, "choose", choose)
    other = str(write_model(tmp_path / "other", "bert", seed=1))
    both = [BackboneFeaturiser(load(model)) for model in (bert, other)]
    assert answering(both, inputs, print) == both
    assert [one.extractor.lacking(inputs) for one in both] == [len(inputs)] * 2
    assert counts == [len(inputs)] * 2
    both[0].features(inputs)
    again = BackboneFeaturiser(load(bert))
    answering([again, both[0]], inputs, print)
    assert len(counts) == 2, "what has all its features is not run"


def test_of_several_models_one_that_fails_is_skipped_and_named(bert: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    (tmp_path / "empty").mkdir()
    spoiled = write_model(tmp_path / "nan", "bert")
    weights = load_file(spoiled / "model.safetensors")
    for value in weights.values():
        value[:] = np.nan
    save_file(weights, spoiled / "model.safetensors", metadata={"format": "pt"})
    told: list[str] = []
    models = [str(tmp_path / "empty"), bert, str(spoiled), "starter:glyphs"]
    found = advise(reviews(60), model=models, say=told.append)
    assert found.model == bert
    skipped = [line for line in told if line.startswith("Skipped: ")]
    assert len(skipped) == 3
    for line, words in zip(skipped, ("no config.json", "takes image", "NaN"), strict=True):
        assert words in line
    for alone, error in ((models[:1], ModelError), (models[3:], UsageError)):
        with pytest.raises(error):
            advise(reviews(60), model=alone)


def test_a_target_domain_may_be_texts_one_a_line(bert: str, tmp_path: Path) -> None:
    lines = [f"{text} bad bad bad bad" for text in reviews(60, seed=3)[0]]
    there = tmp_path / "there.txt"
    there.write_text("\n\n".join(lines) + "\n")
    assert list(open_lines(there, encoding="utf-8").items) == lines
    found = advise(reviews(100), model=bert, target_domain=there)
    assert found.not_built == ["Domain adaptation"]
    there.write_text("\n")
    with pytest.raises(DataError, match="one text a line"):
        open_lines(there, encoding="utf-8")
    there.write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="--encoding"):
        open_lines(there, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        open_lines(tmp_path / "no.txt", encoding="utf-8")


def test_the_same_data_as_target_domain_are_said_to_be_alike(bert: str, tmp_path: Path) -> None:
    texts, labels = reviews(60)
    there = tmp_path / "there.txt"
    there.write_text("\n".join(texts))
    with pytest.raises(TooFewExamples, match="are in both, which says that they are alike"):
        advise((texts, labels), model=bert, target_domain=there)


def test_a_training_gets_no_more_of_a_small_budget_than_a_tenth() -> None:
    assert [least_seconds(s) for s in (1.0, 60.0, 600.0)] == [0.1, 6.0, 10.0]
    scene = Scene(dataset("text", "classification", 40), None, 9, [], 1.0, 0, least=0.1)
    assert scene.training_seconds == pytest.approx(0.45)
