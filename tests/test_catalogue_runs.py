"""What of the catalogue runs, what does not, and the recipe that counts its figures."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from headstart.errors import ModelError
from headstart.sources.catalogue import entries, find
from headstart.sources.catalogue.entry import Build, Entry
from headstart.sources.catalogue.measure import Figures, measure

pytestmark = pytest.mark.usefixtures("one_core")
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "entry",
    [entry for entry in entries() if entry.build and not entry.runs],
    ids=lambda entry: entry.id,
)
def test_what_is_said_not_to_run_does_not(entry: Entry) -> None:
    """So that the day it runs, somebody says so in the catalogue."""
    assert entry.build is not None
    # DETR and RT-DETR fail in the forward pass, which opening a model turns into a ModelError.
    with pytest.raises((ModelError, TypeError, ValueError, AttributeError, ImportError)):
        measure(entry.model_copy(update={"runs": True}))


def test_transformers_has_none_of_those_without_build() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    uncounted = {entry.id for entry in entries() if entry.build is None}
    kinds = {
        "timm:vgg16.tv_in1k": "vgg", "timm:inception_v3.tv_in1k": "inception",
        "ultralytics:yolov8n": "yolov", "torchvision:ssd300_vgg16": "ssd",
        "tfhub:google/vggish/1": "vgg", "paper:wavenet": "wavenet",
        "github:mozilla/DeepSpeech": "deepspeech", "hf:transfo-xl/transfo-xl-wt103": "transfo",
    }  # fmt: skip
    assert uncounted == set(kinds), "every other entry is counted by a test"
    for kind in kinds.values():
        assert not [name for name in CONFIG_MAPPING if name.startswith(kind)]


def test_entries_that_cannot_be_counted() -> None:
    vgg16, glyphs = find("timm:vgg16.tv_in1k"), find("starter:glyphs")
    assert vgg16 is not None and glyphs is not None
    with pytest.raises(ModelError, match="nothing to count"):
        measure(vgg16)
    for build, said in (
        (Build(type="bert", whole="os"), "no model class 'os'"),
        (Build(type="brt", whole="BertModel"), "brt"),
        (Build(type="bert", whole="BertModel"), "takes text, its entry says image"),
    ):
        with pytest.raises(ModelError, match=said):
            measure(glyphs.model_copy(update={"build": build}))


def test_counting_leaves_the_random_state_alone() -> None:
    glyphs = find("starter:glyphs")
    assert glyphs is not None
    before = torch.random.get_rng_state()
    measure(glyphs)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_recipe_finds_and_mends_a_wrong_figure(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        import catalogue as recipe  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    text = (ROOT / "src/headstart/sources/catalogue/image.toml").read_text("utf-8")
    head, first = re.split(r"(?m)^\[\[model\]\]$", text)[:2]
    right = f"{head}[[model]]{first}".replace("starter:glyphs", "hf:me/glyphs")
    wrong = re.sub(r"parameters = \d[\d_]*", "parameters = 7", right, count=1)
    wrong = re.sub(r"whole_parameters = .*\n", "", wrong)
    assert wrong != right
    path = tmp_path / "mine.toml"
    path.write_text(wrong, encoding="utf-8")
    entry = find("hf:me/glyphs", [path])
    assert entry is not None and entry.parameters == 7
    counted = {"hf:me/glyphs": {n: getattr(measure(entry), n) for n in Figures.__slots__}}
    path.write_text(recipe.corrected(wrong, counted), encoding="utf-8")
    mended, glyphs = find("hf:me/glyphs", [path]), find("starter:glyphs")
    assert mended is not None and glyphs is not None
    for name in Figures.__slots__:
        assert getattr(mended, name) == getattr(glyphs, name)


@pytest.mark.shared
def test_the_models_at_hand_have_the_figures_of_their_architectures(shared: Path) -> None:
    """Loaded for real: a MobileNet with 1,000 labels, and YAMNet."""
    from headstart.sources import load

    for folder, id in (
        ("mobilenet_v2_100_224", "hf:google/mobilenet_v2_1.0_224"),
        ("yamnet", "tfhub:google/yamnet/1"),
    ):
        card, entry = load(str(shared / "models" / folder)).card, find(id)
        assert entry is not None
        assert (card.parameters, card.width) == (entry.parameters, entry.width)
