"""The catalogue as data: what it covers, what it says, and what a file of one's own may say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart import sources
from headstart.data.modality import BUILTIN as MODALITIES
from headstart.errors import UsageError
from headstart.sources.catalogue import STATES, TASKS, choose, entries, find, known, label_set
from headstart.sources.catalogue.entry import Entry, Example
from headstart.sources.catalogue.read import VARIABLE
from sources_for_tests import write_model

# The families that the field teaches with, by modality and task.
FAMILIES = {
    "image": "ResNet VGG Inception MobileNet EfficientNet ConvNeXt ViT Swin DINOv2 CLIP "
    "YOLO YOLOS SSD DETR RT-DETR SegFormer UPerNet Mask2Former",
    "text": "BERT RoBERTa DistilBERT DeBERTa ModernBERT GPT-2 Transformer-XL MiniLM MPNet T5 BART "
    "Marian",
    "audio": "Wav2Vec2 HuBERT Whisper AST YAMNet VGGish WaveNet DeepSpeech",
}
MINE = """
[defaults]
modality = "image"
use_date = "2026"

[[model]]
id = "hf:me/birds"
family = "ResNet"
task = "classification"
example = { pixels = [224, 224] }
parameters = 11_176_512
operations = 1_813_561_344
width = 512
figures = "counted"
pretrained_on = "my birds"
label_names = ["robin", "wren"]
licence = "mit"
use = "under 1k"
unknown.published = "nobody measured it"
"""


@pytest.fixture(autouse=True)
def no_catalogue_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, online."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "hub"


def write(folder: Path, text: str = MINE, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def put_into(cache: Path, repository: str) -> None:
    """Put a tiny model into a hub cache under that name."""
    place = cache / f"models--{repository.replace('/', '--')}"
    write_model(place / "snapshots" / "abc", "bert")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")


@pytest.mark.parametrize("modality", FAMILIES)
def test_every_family_is_there(modality: str) -> None:
    there = {entry.family for entry in entries() if entry.modality == modality}
    assert set(FAMILIES[modality].split()) <= there


def test_ids_are_written_as_their_sources_want_them() -> None:
    for entry in entries():
        if entry.runs and entry.source in ("hf", "starter"):
            assert sources.source_of(entry.id).name == entry.source, entry.id


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_what_an_entry_says_fits_together(entry: Entry) -> None:
    """No published figure without a source; percentages within bounds; labels as many as named."""
    for figure in entry.published:
        assert len(figure.source) > 10 and figure.data and figure.metric
        assert 0 < figure.value <= 100 or "perplexity" in figure.metric
    if entry.whole_parameters and entry.parameters:
        assert entry.parameters <= entry.whole_parameters
    if entry.labels and "num_labels" in (entry.build.settings if entry.build else {}):
        extra = entry.build.settings["num_labels"] - len(entry.label_names)
        # A background class, or the gaps in COCO's numbering.
        assert extra in ((0, 1) if entry.labels == "imagenet-1k" else (0, 11)), entry.id
    kind = {"image": "pixels", "text": "tokens", "audio": "rate"}[entry.modality]
    assert getattr(entry.example, kind)


def test_label_sets() -> None:
    sizes = {"imagenet-1k": 1000, "coco-80": 80, "ade20k-150": 150, "audioset-521": 521}
    for name, size in sizes.items():
        labels = label_set(name)
        assert len(labels) == size and all(label == label.strip() != "" for label in labels)
    assert label_set("imagenet-1k")[0] == "tench" and label_set("coco-80")[-1] == "toothbrush"
    with pytest.raises(UsageError, match=r"imagenet-22k.*audioset-521, coco-80"):
        label_set("imagenet-22k")
    with pytest.raises(UsageError, match="no set of labels"):
        label_set("../__init__")


def test_reading_it_loads_no_torch() -> None:
    code = "import sys; from headstart.sources.catalogue import known; assert len(known()) > 70; "
    code += "assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sizes_read_well() -> None:
    assert str(Example(pixels=(800, 1066))) == "800 x 1066 pixels"
    assert str(Example(tokens=128)) == "128 tokens"
    assert str(Example(rate=16000, seconds=10.24)) == "10.24 s at 16 kHz"


def test_find_knows_older_ids_and_ids_without_prefix() -> None:
    bert = find("hf:google-bert/bert-base-uncased")
    assert bert is not None
    assert find("bert-base-uncased") == find("google-bert/bert-base-uncased") == bert
    assert find("hf:nobody/nothing") is None


def state_of(id: str, files: tuple[Path, ...] = ()) -> str:
    return next(card.state for card in known(files) if card.id == id)


def test_states(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_of("starter:glyphs") == "here"
    assert state_of("hf:microsoft/resnet-18") == "hub"
    assert state_of("hf:facebook/detr-resnet-50") == "no"
    assert state_of("tfhub:google/yamnet/1") == "folder"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert state_of("hf:microsoft/resnet-18") == "offline"
    monkeypatch.setattr(sources.starter, "MINILM_PACKAGE", "a_package_that_is_not_here")
    minilm = next(card for card in known() if card.id == "starter:minilm")
    assert (minilm.state, minilm.available) == ("install", False)
    assert "headstart[minilm]" in minilm.note


def test_what_is_cached_is_joined_with_its_entry(cache: Path) -> None:
    put_into(cache, "google/mobilenet_v1_1.0_224")
    put_into(cache, "bert-base-uncased")
    put_into(cache, "me/unknown")
    cards = {card.id: card for card in known()}
    assert len(cards) == len(entries()) + 1  # one is new, two were known
    here = cards["hf:google/mobilenet_v1_1.0_224"]
    assert (here.state, here.available, here.parameters) == ("here", True, 3_206_976)
    # Offline the older name is the one that works.
    older = cards["hf:bert-base-uncased"]
    assert older.state == "here" and older.published
    assert "hf:google-bert/bert-base-uncased" not in cards
    other = cards["hf:me/unknown"]
    assert other.state == "here" and not other.published and other.parameters


def test_those_that_are_here_come_first(cache: Path) -> None:
    cards = known()
    order = [list(STATES).index(card.state) for card in cards]
    assert order == sorted(order)
    hub = [card.parameters for card in cards if card.state == "hub"]
    assert hub == sorted(hub, key=lambda count: count or 0)


def test_filters(cache: Path) -> None:
    cards = known()
    found = choose(cards, modality="image", task="classification", max_parameters="5M")
    assert {card.id for card in found} >= {"starter:glyphs", "hf:google/mobilenet_v2_1.0_224"}
    for card in found:
        assert card.modality == "image" and card.task == "classification"
        assert card.parameters is not None and card.parameters <= 5e6
    assert found == [card for card in cards if card in found]  # the order is kept
    assert {card.source for card in choose(cards, source="timm")} == {"timm"}
    ready = choose(cards, available=True)
    assert {card.state for card in ready} == {"here", "hub"} and all(c.available for c in ready)
    assert not any(card.available for card in cards if card not in ready)


@pytest.mark.parametrize(
    ("text", "count"), [("25M", 25e6), ("1.5B", 1.5e9), ("300k", 3e5), ("7", 7), ("2 g", 2e9)]
)
def test_counts(text: str, count: float) -> None:
    cards = known()
    expected = [c for c in cards if c.parameters is not None and c.parameters <= count]
    assert choose(cards, max_parameters=text) == expected


@pytest.mark.parametrize("text", ["", "many", "-5M", "5T", "1e6", "1.2.3M"])
def test_counts_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="--max-parameters"):
        choose(known(), max_parameters=text)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"modality": "video"}, "--modality 'video'; there are: audio, image, text"),
        ({"task": "cooking"}, "--task 'cooking'; there are: classification, detection"),
        ({"source": "torchhub"}, "--source 'torchhub'; there are: coral, github, hf"),
    ],
)
def test_unknown_values_list_those_there_are(wanted: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        choose(known(), **wanted)  # type: ignore[arg-type]
    assert said in str(error.value)


def test_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    second = write(tmp_path, MINE.replace("birds", "fish"), "second.toml")
    birds = next(card for card in known([path]) if card.id == "hf:me/birds")
    assert birds.labels == ("robin", "wren") and birds.use == "under 1k (2026)"
    monkeypatch.setenv(VARIABLE, f"{path}{os.pathsep}{second}")
    ids = {entry.id for entry in entries([path])}  # given twice, read once
    assert {"hf:me/birds", "hf:me/fish"} <= ids


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert find("hf:me/birds", [path])
    write(tmp_path, MINE.replace("birds", "beetles"))
    assert find("hf:me/beetles", [path]) and not find("hf:me/birds", [path])


def test_labels_beside_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "birds.txt").write_text("robin\nwren\nowl\n")
    text = MINE.replace('label_names = ["robin", "wren"]', 'labels = "birds"')
    entry = find("hf:me/birds", [write(tmp_path, text)])
    assert entry is not None and entry.label_names == ("robin", "wren", "owl")


def test_a_folder_is_meant_from_where_the_file_lies(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "tiny", "bert")
    text = MINE.replace("hf:me/birds", "local:models/tiny")
    text += MINE.split("[[model]]")[1].join(["[[model]]", ""]).replace("hf:me/birds", "local:gone")
    path = write(tmp_path, text)
    cards = {card.id: card for card in known([path])}
    here = cards[f"local:{tmp_path / 'models' / 'tiny'}"]
    assert here.state == "here" and sources.load(here.id).card.id == here.id
    gone = cards[f"local:{tmp_path / 'gone'}"]
    assert (gone.state, gone.available) == ("absent", False) and "config.json" in gone.note


WRONG = {
    "no TOML": ("id = [", "is no TOML file"),
    "another table": ('[modle]\nid = "x"', r"expected \[defaults\] and \[\[model\]\]"),
    "a list of words": ("model = [3]", r"model 1: expected a table"),
    "a misspelt field": (MINE.replace("family", "famly"), r"\(hf:me/birds\): .*famly: Extra"),
    "no id": (MINE.replace('id = "hf:me/birds"', ""), r"model 1 \(without an id\): id: Field"),
    "an id without source": (MINE.replace("hf:me", "me"), r"id: .*\(got 'me/birds'\)"),
    "an unknown task": (MINE.replace('"classification"', '"cooking"'), r"task: .*'cooking'"),
    "an unknown modality": (MINE.replace('"image"', '"video"'), r"'video' is unknown.*audio"),
    "a negative count": (MINE.replace("11_176_512", "-1"), r"parameters: .*greater than 0"),
    "words for a count": (MINE.replace("11_176_512", '"big"'), r"parameters: .*'big'"),
    "a count in quotes": (MINE.replace("11_176_512", '"11"'), r"parameters: .*valid integer.*'11'"),
    "yes for a count": (MINE.replace("11_176_512", "true"), r"parameters: .*valid integer"),
    "no in quotes": (MINE + 'runs = "no"\nwhy = "x"', r"runs: .*valid boolean.*'no'"),
    "a part larger than the whole": (MINE + "whole_parameters = 9", "fewer than parameters"),
    "a figure that is no number": (
        MINE.replace(
            'unknown.published = "nobody measured it"',
            'published = [{ metric = "top-1", value = nan, data = "a", source = "b" }]',
        ),
        "no finite number",
    ),
    "an endless clip": (
        MINE.replace("pixels = [224, 224]", "rate = 16000, seconds = inf"),
        r"example\.seconds: .*finite",
    ),
    "no reason": (MINE.replace("unknown.published", "note"), "published is missing; give it"),
    "a reason too many": (MINE + 'unknown.width = "x"', "width is given, so unknown.width"),
    "a reason for what is no figure": (MINE + 'unknown.colour = "x"', "unknown.colour is no"),
    "figures of no origin": (MINE.replace("figures", "note"), "figures without build"),
    "two kinds of size": (
        MINE.replace("[224, 224]", "[224, 224], tokens = 9"),
        r"example: expected pixels",
    ),
    "a rate without seconds": (
        MINE.replace("pixels = [224, 224]", "rate = 16000"),
        r"example: rate \(Hz\) and seconds go together",
    ),
    "no width of what does not run": (
        MINE.replace("width = 512", 'runs = false\nwhy = "x"'),
        "width is missing; give it, or a reason",
    ),
    "no labels of that name": (
        MINE.replace('label_names = ["robin", "wren"]', 'labels = "birds"'),
        r"\(hf:me/birds\): There is no set of labels 'birds'",
    ),
    "labels twice": (MINE + 'labels = "coco-80"', "give one of the two"),
    "it does not run": (MINE + "runs = false", "why goes with runs = false"),
    "use without a date": (MINE.replace('use_date = "2026"', ""), "use needs use_date"),
    "a figure without a source": (
        MINE.replace(
            'unknown.published = "nobody measured it"',
            'published = [{ metric = "top-1, %", value = 3.0, data = "mine" }]',
        ),
        r"published\.0\.source: Field required",
    ),
    "an id of the package": (MINE.replace("me/birds", "microsoft/resnet-18"), r"image\.toml"),
    "an older id of the package": (MINE.replace("me/birds", "gpt2"), r"text\.toml"),
    "an id twice": (MINE + "[[model]]" + MINE.split("[[model]]")[1], "hf:me/birds is in the"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_malformed_file_is_named_with_entry_and_field(wrong: str, tmp_path: Path) -> None:
    text, said = WRONG[wrong]
    with pytest.raises(UsageError, match=said) as error:
        entries([write(tmp_path, text)])
    assert str(tmp_path / "mine.toml") in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            entries([path])
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="no TOML file"):
        entries([tmp_path / "latin.toml"])


def test_tasks_of_headstart_keep_their_names() -> None:
    from headstart.data.task import TASKS as OURS

    assert {task.name for task in OURS} - {"regression"} <= set(TASKS)
    assert set(FAMILIES) == {modality.name for modality in MODALITIES}


def test_the_example_in_the_documents_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "models.md").read_text("utf-8")
    text = page.split("```toml\n")[1].split("```")[0]
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "birds.txt").write_text("robin\n")
    entry = find(f"local:{tmp_path / 'models/birds'}", [write(tmp_path, text)])
    assert entry is not None and entry.build is not None
    assert all(name in page for name in TASKS) and all(name in page for name in STATES)
