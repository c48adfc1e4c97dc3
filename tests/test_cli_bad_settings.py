"""Settings of methods that cannot be, as they reach a person: one line, exit code 2, no RUN."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from headstart.adapt import BUILTIN
from headstart.adapt.finetune import FineTune
from headstart.cli import main
from headstart.data.load import open_dataset
from headstart.errors import UsageError
from headstart.recipe import DataRecipe, Recipe
from headstart.run.beforehand import refuse_unfit
from headstart.run.trying import resolved
from headstart.run.walk import open_backbones
from runs_for_tests import tones, write_photos
from sources_for_tests import write_model
from test_cli_bad_input import Fails, fails, table  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("one_core")

# data: (its model, its modality's tables); every line is what issue 4 asks for, or stands beside it
REFUSED = [
    ("text", "depth=block.9", "There is no stage 'block.9'; there are stem, block.0, block.1"),
    ("text", "depth=7", "7 blocks shall move, but"),
    ("text", "depth=7", "has 2: block.0, block.1"),
    ("text", 'schedule=[{share=1.0, rates={"block.9"=1e-3}}]', "moves 'block.9'; there are stem"),
    ("text", "augment=flip", "'flip' is for image, and the data is text; for text there are: back"),
    ("image", "augment=specaugment", "'specaugment' is for audio, and the data is image"),
    ("audio", "augment=synonyms", "'synonyms' is for text, and the data is audio"),
    ("image", "augment=magic", "Unknown augmentation 'magic'; for image there are: blur"),
    ("image", 'techniques=["lora:where=attention"]', "'lora' finds no layer for where='attention'"),
    ("image", 'techniques=["lora:where=attention"]', "layers that could take it: encoder.stages"),
    ("text", 'techniques=["lora:where=LayerNorm"]', "'lora' finds no layer for where='LayerNorm'"),
    ("image", 'techniques=["prompt"]', "'prompt' puts vectors before a text"),
    ("text", 'techniques=["cutmix"]', "'cutmix' is for image;"),
    ("text", 'techniques=["l2-sp", "prefix"]', "vectors of 'prefix' start at random"),
    ("text", 'techniques=["drop-path"]', "has no stochastic depth; leave 'drop-path' out"),
    ("text", 'techniques=["magic"]', "There is no technique 'magic'; known: bitfit"),
    ("text", "speed=3", "finetune has no setting 'speed'; it has epochs, batch"),
    ("text", "batch=0", "FineTune.batch must be > 0, got 0"),
    ("text", "rate=fast", 'FineTune.rate must be a number > 0 or "test"'),
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Return (data, a tiny model for it) of each modality."""
    import soundfile

    base = tmp_path_factory.mktemp("settings")
    for number, ((wave, rate), label) in enumerate(zip(*tones(20), strict=True)):
        (base / "clips" / label).mkdir(parents=True, exist_ok=True)
        soundfile.write(base / "clips" / label / f"{number}.wav", wave, rate)
    models = {name: write_model(base / name, name) for name in ("bert", "resnet", "ast")}
    return {
        "text": (table(base / "t.csv", 60), models["bert"]),
        "image": (write_photos(base / "photos", 12), models["resnet"]),
        "audio": (base / "clips", models["ast"]),
    }


@pytest.mark.parametrize(("kind", "setting", "message"), REFUSED, ids=[str(r[1:]) for r in REFUSED])
def test_what_cannot_be_is_refused_before_anything_is_run(
    fails: Fails, data: dict[str, tuple[Path, Path]], kind: str, setting: str, message: str  # noqa: F811
) -> None:  # fmt: skip
    if "lora" in setting:
        pytest.importorskip("peft")
    where, model = data[kind]
    given = ("--model", model, "--method", "finetune", "--set", f"finetune.{setting}")
    assert message in fails(where, *given)


def test_an_automatic_run_refuses_what_was_set_too(
    fails: Fails, data: dict[str, tuple[Path, Path]], tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    many = table(tmp_path / "many.csv", 300)  # enough for fine-tuning not to be left out
    found = fails(many, "--model", data["text"][1], "--set", "finetune.depth=block.9")
    assert "There is no stage 'block.9'" in found


def test_few_shot_of_numbers_is_refused_before_anything_is_run(
    fails: Fails, data: dict[str, tuple[Path, Path]], tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    lines = data["text"][0].read_text().splitlines()
    rows = [line.rpartition(",")[0] + f",{n * 1.37}" for n, line in enumerate(lines[1:])]
    (tmp_path / "n.csv").write_text("\n".join(["text,label", *rows]))
    given = ("--task", "regression", "--model", data["text"][1], "--method", "few-shot")
    assert "few-shot is for classification" in fails(tmp_path / "n.csv", *given)


def test_one_model_that_can_take_the_settings_is_enough(
    data: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """Which of two models is trained is known after their probes."""
    deep = write_model(tmp_path / "deep", "bert", num_hidden_layers=3)
    opened = open_dataset(str(data["text"][0]), seed=0).splits.train
    method = FineTune(depth=3)
    models = [str(data["text"][1]), str(deep)]
    recipe = Recipe(data=DataRecipe(source="t.csv"), models=models, method="finetune")
    sources = open_backbones(recipe, "text", lambda sentence: None)
    refuse_unfit(recipe, [method], sources, opened)
    with pytest.raises(UsageError, match="3 blocks shall move"):
        refuse_unfit(recipe, [method], sources[:1], opened)
    by_itself = recipe.model_copy(update={"method": "auto"})
    refuse_unfit(by_itself, [method], sources[:1], opened)  # nothing was set by a person


def test_a_resolved_recipe_of_an_automatic_run_is_not_refused(
    data: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """All settings are written out in it, those of methods that do not suit the task too."""
    lines = [line.rpartition(",")[0] for line in data["text"][0].read_text().splitlines()[1:]]
    rows = [f"{line},{n * 1.37}" for n, line in enumerate(lines)]
    (tmp_path / "n.csv").write_text("\n".join(["text,label", *rows]))
    numbers = open_dataset(str(tmp_path / "n.csv"), seed=0, task="regression").splits.train
    recipe = resolved(Recipe(data=DataRecipe(source="n.csv"), models=[str(data["text"][1])]))
    assert {"few-shot", "finetune"} <= set(recipe.methods)
    sources = open_backbones(recipe, "text", lambda sentence: None)
    refuse_unfit(recipe, BUILTIN, sources, numbers)
    with pytest.raises(UsageError, match="few-shot is for classification"):
        asked = recipe.model_copy(update={"method": "few-shot"})
        refuse_unfit(asked, BUILTIN, sources, numbers)


def transfer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: Path, *given: object
) -> tuple[dict[str, object], str]:
    """Run the command; returns the record and all that a person sees."""
    quick = ["--set", "from-scratch.epochs=1", "--set", "probe.head=logistic", "--out", str(out)]
    arguments = ["transfer", *map(str, given), "--method", "finetune", *quick]
    monkeypatch.setattr(sys, "argv", ["headstart", *arguments])
    capsys.readouterr()
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, capsys.readouterr().err
    seen = "".join(capsys.readouterr())
    record: dict[str, object] = json.loads((out / "record.json").read_text())
    return record, " ".join(seen.split())


def test_a_rate_that_diverges_is_stopped_said_and_the_best_before_it_kept(
    data: dict[str, tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    where, model = data["text"]
    rates = ("--set", "finetune.rate=1e30", "--set", "finetune.head_rate=1e30")
    record, seen = transfer(monkeypatch, capsys, tmp_path / "RUN", where, "--model", model, *rates)
    assert "diverged at step" in seen and "the best state before is kept" in seen
    results = record["results"]
    assert isinstance(results, list)
    tuned = next(one for one in results if one["name"].startswith("finetune"))
    probe = next(one for one in results if one["name"].startswith("probe"))
    assert "diverged" in tuned["details"]["ended"] and tuned["details"]["best_step"] == 0
    accuracy = [one["metrics"]["accuracy"]["value"] for one in (tuned, probe)]
    assert accuracy[0] >= accuracy[1] - 0.2  # the head that it began with, not noise
