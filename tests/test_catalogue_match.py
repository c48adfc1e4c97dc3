"""What the catalogue puts on the card of a model that was opened, and on whose it does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import UsageError
from headstart.ranking.prior import static_prior
from headstart.sources import load
from headstart.sources.backbone import BackboneCard, Published
from headstart.sources.catalogue import known
from headstart.sources.catalogue.match import ALIKE
from headstart.sources.catalogue.read import VARIABLE
from headstart.sources.folder import open_folder
from sources_for_tests import write_preprocessing

LABELS = ("ant", "bee", "cab")
SIZES = [8, 8, 8, 12]
MINE = """
[[model]]
id = "github:me/insects"
modality = "image"
family = "ConvNeXt"
task = "classification"
example = { pixels = [32, 32] }
width = 12
figures = "none"
pretrained_on = "my insects"
label_names = ["ant", "bee", "cab"]
published = [
  { metric = "top-1 accuracy, %", value = 71.0, data = "insects", source = "my report" },
]
licence = "mit"
use = "under 1k"
use_date = "2026"
build.type = "convnext"
build.whole = "ConvNextForImageClassification"
build.settings.hidden_sizes = [8, 8, 8, 12]
build.settings.depths = [1, 1, 1, 1]
build.settings.num_labels = 3
unknown.parameters = "not counted"
unknown.operations = "not counted"
"""


@pytest.fixture(autouse=True)
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(path))


def written(folder: Path, labels: tuple[str, ...] = LABELS, base: bool = False, **more: Any) -> str:
    """Write a ConvNeXt with a head for `labels`; with `base` the model without its head."""
    from transformers import ConvNextConfig, ConvNextForImageClassification, ConvNextModel

    from headstart.sources.loading import quiet

    with quiet():
        config = ConvNextConfig(
            **{"hidden_sizes": SIZES, "depths": [1, 1, 1, 1], "num_labels": len(labels), **more},
            id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)},
        )  # fmt: skip
        kind = ConvNextModel if base else ConvNextForImageClassification
        kind(config).save_pretrained(folder)
    write_preprocessing(folder, "convnext")
    return str(folder)


def test_a_folder_like_an_entry_has_its_figures_and_says_why(tmp_path: Path) -> None:
    card = load(written(tmp_path / "model")).card
    (figure,) = card.published
    assert (figure.value, figure.data) == (71.0, "insects")
    assert figure.source == f"{ALIKE}my report"
    assert card.use == "under 1k (2026)" and card.family == "ConvNeXt"
    assert card.pretrained_on == "my insects" and card.labels == LABELS
    assert not card.licence, "the licence of a copy is what the copy states"


def test_a_first_class_for_the_background_is_no_other_set(tmp_path: Path) -> None:
    labels = ("background", *LABELS)
    assert not load(written(tmp_path / "other", labels)).card.published, "the entry has three"


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": ("ant", "bee", "dog")},  # fine-tuned on something else
        {"labels": ("bee", "ant", "cab")},
        {"labels": (*LABELS, "dog")},
        {"base": True},  # without its head: of any further training
        {"image_size": 64},
        {"drop_path_rate": 0.5},
        {"hidden_sizes": [8, 8, 8, 16]},
    ],
    ids=str,
)
def test_another_model_inherits_nothing(wrong: dict[str, Any], tmp_path: Path) -> None:
    card = load(written(tmp_path / "model", **wrong)).card
    assert not card.published and not card.use and not card.pretrained_on and not card.family


def test_random_weights_earned_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "model")
    for card in (load(f"random:{folder}").card, load(folder).reinitialised(1).card):
        assert not (card.published or card.use or card.labels or card.pretrained_on)


def test_what_was_trained_further_in_a_run_is_not_its_origin(tmp_path: Path) -> None:
    folder = Path(written(tmp_path / "model"))
    assert not open_folder(folder, id="starter:glyphs", source="run").card.use
    assert open_folder(folder, id="github:me/insects", source="hf").card.published[0].value == 71.0


@pytest.mark.parametrize("prefix", ["local:", "", "~"])
def test_a_folder_that_ones_own_catalogue_names_is_known_by_its_path(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a head and without labels it could be anything; but here somebody says what it is."""
    folder = written(tmp_path / "models" / "mine", base=True)
    assert not load(folder).card.published
    text = MINE.replace("github:me/insects", "local:models/mine")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    id = "~/models/mine" if prefix == "~" else f"{prefix}{folder}"
    card = load(id).card
    assert card.id == id and card.published[0].source == "my report" and card.licence == "mit"
    monkeypatch.chdir(tmp_path / "models")
    assert load("local:mine").card.family == load("./mine").card.family == "ConvNeXt"
    assert not load(written(tmp_path / "other", base=True)).card.family


def test_an_onnx_file_that_ones_own_catalogue_names(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is absent")
    pytest.importorskip("onnxruntime", reason="the extra onnx is absent")
    kind, dims = onnx.TensorProto.FLOAT, ["n", 3, 8, 8]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])],
        "means",
        [onnx.helper.make_tensor_value_info("x", kind, dims)],
        [onnx.helper.make_tensor_value_info("y", kind, ["n", 3, 1, 1])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "a.onnx")
    text = re.sub(r"build.*\n", "", MINE)
    text = text.replace("github:me/insects", "onnx:a.onnx")
    second = text.replace("onnx:a.onnx", "onnx:a.onnx#y")
    third = text.replace("onnx:a.onnx", "onnx:gone.onnx")
    (tmp_path / "mine.toml").write_text(text + second + third, encoding="utf-8")
    for id in (f"{tmp_path / 'a.onnx'}", f"onnx:{tmp_path / 'a.onnx'}", f"{tmp_path / 'a.onnx'}#y"):
        card = load(id).card
        assert (card.family, card.licence, card.labels) == ("ConvNeXt", "mit", LABELS)
        assert card.published[0].value == 71.0 and card.width == 3
    states = {card.id: card.state for card in known() if card.source == "onnx"}
    place = f"onnx:{tmp_path}"
    assert states == {
        f"{place}/a.onnx": "here", f"{place}/a.onnx#y": "here", f"{place}/gone.onnx": "absent",
    }  # fmt: skip


def test_a_malformed_catalogue_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.toml").write_text("[[model", encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "broken.toml"))
    with pytest.raises(UsageError, match=r"broken\.toml is no TOML file"):
        load(written(tmp_path / "model"))


def test_an_unverified_figure_is_no_part_of_the_prior() -> None:
    def card(value: float, verified: bool = True) -> BackboneCard:
        figure = Published("top-1 accuracy, %", value, "ImageNet-1k val", "a paper", verified)
        return BackboneCard("hf:a/b", "hf", "image", parameters=1000, published=(figure,))

    assert static_prior([card(70.0), card(60.0)]).kind == "accuracy"
    assert static_prior([card(70.0), card(60.0, verified=False)]).kind == "size"


@pytest.mark.shared
def test_the_models_at_hand(shared: Path) -> None:
    """Four MobileNets have the figures of their 8-bit originals; the one for birds has none."""
    models = shared / "models"
    figures = {
        "mobilenet_v1_025_128": 39.9,
        "mobilenet_v1_050_160": 57.7,
        "mobilenet_v1_075_192": 66.2,
        "mobilenet_v2_100_224": 70.8,
    }
    cards = {name: load(str(models / name)).card for name in figures}
    assert {name: card.published[0].value for name, card in cards.items()} == figures
    assert all(card.label_set == "imagenet-1k" for card in cards.values())
    prior = static_prior(list(cards.values()))
    assert prior.kind == "accuracy" and prior.values.argmax() == 3
    birds = load(str(models / "mobilenet_v2_inat_bird")).card
    assert not birds.published and not birds.use and len(birds.labels) == 965
    assert static_prior([*cards.values(), birds]).kind == "size"
