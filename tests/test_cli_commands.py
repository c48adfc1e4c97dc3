"""The commands as a person uses them; what they print, and what they do not load."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import headstart
from headstart.cli import main
from headstart.cli.common import answered
from headstart.errors import RunError
from headstart.report import words
from headstart.report.terminal import summary
from headstart.run import Run
from runs_for_tests import command, reviews, run_quickly
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")
ROOT = Path(__file__).resolve().parents[1]
Call = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, one_core: None) -> Run:
    place = tmp_path_factory.mktemp("cli")
    model = str(write_model(place / "bert", "bert"))
    return run_quickly(reviews(50), place / "RUN", model=model, method="probe")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `headstart ARGUMENTS` in this process; return (stdout, stderr)."""

    def run(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
        except SystemExit as stop:
            assert not stop.code, capsys.readouterr().err
        found = capsys.readouterr()
        return found.out, found.err

    return run


def labelled(path: Path, count: int = 20, seed: int = 7) -> Path:
    with path.open("w", newline="") as file:
        rows = zip(*reviews(count, seed=seed), strict=True)
        csv.writer(file).writerows([["text", "label"], *rows])
    return path


def test_version(call: Call) -> None:
    assert call("--version")[0] == f"headstart {headstart.__version__}\n"


def test_help_names_every_command(call: Call) -> None:
    page, _ = call("--help")
    for name in ("transfer", "predict", "evaluate", "compare", "models", "report", "demo"):
        assert f"  {name} " in page
        assert f"headstart {name} " in call(name, "--help")[0].splitlines()[0]


def test_an_unknown_option_is_exit_code_2_without_a_traceback() -> None:
    done = command("transfer", "data", "--colour", "red")
    assert done.returncode == 2
    assert "--colour" in done.stderr and "Traceback" not in done.stderr


def test_predict_prints_one_line_an_input(made: Run, call: Call) -> None:
    out, _ = call("predict", made.path, "the film was good", "a bad plot")
    lines = [line.split("\t") for line in out.splitlines()]
    assert len(lines) == 2
    expected = [p.answer for p in made.predict(["the film was good", "a bad plot"])]
    assert [answer.split()[0] for _, answer in lines] == expected


def test_each_of_several_labels_is_printed_with_its_own_score() -> None:
    scores = {"rain": 0.91, "snow": 0.123, "wind": 0.6}
    assert answered(["rain", "wind"], scores) == "rain  0.910 | wind  0.600"
    assert answered([], scores) == "(none)"
    assert answered("rain", {"rain": 0.75, "snow": 0.25}) == "rain  0.750"
    assert answered(2.5, {}) == "2.5"


def test_an_export_is_no_run_to_evaluate(made: Run, call: Call, tmp_path: Path) -> None:
    call("export", made.path, "--to", "torchscript-free", "--out", tmp_path / "given")
    with pytest.raises(RunError, match="is an export"):
        Run.open(tmp_path / "given")


def test_time_is_that_of_making_a_result_in_all_places(made: Run) -> None:
    result = next(r for r in made.record.results if r.name == made.record.chosen)
    took = words.duration(sum(s for name, s in result.seconds.items() if name != "predict"))
    assert f"This model alone: {took}" in (made.path / "model" / "README.md").read_text("utf-8")
    out = io.StringIO()
    Console(file=out, width=200).print(summary(made.record))
    line = next(line for line in out.getvalue().splitlines() if f"* {result.name}" in line)
    assert line.rstrip().endswith(took)


def test_compare_of_a_run_and_its_copy(made: Run, call: Call, tmp_path: Path) -> None:
    twin = shutil.copytree(made.path, tmp_path / "twin")
    out, _ = call("compare", made.path, twin, "--out", tmp_path / "both.html", "--json")
    told = json.loads(out)
    assert told["examples"] == made.record.data.counts["test"] and told["settings"] == {}
    (pair,) = told["comparisons"]
    assert (pair["difference"]["value"], pair["won"], pair["lost"], pair["p"]) == (0.0, 0, 0, 1.0)
    assert [run["chosen"] for run in told["runs"]] == [made.record.chosen] * 2
    assert "settings are the same" in (tmp_path / "both.html").read_text("utf-8")


def test_predict_as_json_and_as_csv_agree(made: Run, call: Call, tmp_path: Path) -> None:
    texts = ["the film was good", "a bad plot", "it is, very bad"]
    out, err = call("predict", made.path, *texts, "--json")
    rows = json.loads(out)
    assert err == "" and len(rows) == 3
    call("predict", made.path, *texts, "--out", tmp_path / "p.csv")
    written = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [row["prediction"] for row in written] == [row["prediction"] for row in rows]
    for row in written:
        shares = {name: float(row[name]) for name in ("p(bad)", "p(good)")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        assert max(shares, key=lambda name: shares[name]) == f"p({row['prediction']})"


def test_predict_a_table_by_its_column(made: Run, call: Call, tmp_path: Path) -> None:
    table = labelled(tmp_path / "t.csv", 12)
    rows = json.loads(call("predict", made.path, table, "--input", "text", "--json")[0])
    assert len(rows) == 12


def test_evaluate_measures_like_scikit_learn(made: Run, call: Call, tmp_path: Path) -> None:
    table = labelled(tmp_path / "t.csv", 30)
    found = json.loads(call("evaluate", made.path, table, "--json")[0])
    texts, labels = reviews(30, seed=7)
    answers = [p.answer for p in made.predict(texts)]
    right = sum(a == b for a, b in zip(answers, labels, strict=True)) / 30
    assert found["examples"] == 30
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(right)
    out, _ = call("evaluate", made.path, table)
    assert "accuracy" in out and "30 examples" in out


def test_evaluate_refuses_labels_that_the_model_does_not_know(
    made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = labelled(tmp_path / "t.csv")
    table.write_text(table.read_text().replace(",good", ",superb"))
    monkeypatch.setattr(sys, "argv", ["headstart", "evaluate", str(made.path), str(table)])
    with pytest.raises(SystemExit) as stop:
        main()
    err = capsys.readouterr().err
    assert stop.value.code == 2 and "superb" in err and len(err.splitlines()) == 1


def test_report_is_made_again(made: Run, call: Call, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "RUN")
    page = tmp_path / "RUN" / "report.html"
    before = page.read_text("utf-8")
    page.unlink()
    assert call("report", tmp_path / "RUN")[0].strip() == str(page)
    assert page.read_text("utf-8") == before


def test_models_lists_the_starters(call: Call) -> None:
    assert "starter:glyphs" in call("models")[0]
    cards = json.loads(call("models", "--modality", "image", "--json")[0])
    assert {card["modality"] for card in cards} == {"image"}
    glyphs = next(card for card in cards if card["id"] == "starter:glyphs")
    assert glyphs["available"] and glyphs["parameters"] > 1e5


def test_models_fits_the_terminal_and_says_more_in_a_wide_one(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width, headings in ((80, ["here"]), (100, ["trained for"]), (120, ["published"])):
        monkeypatch.setenv("COLUMNS", str(width))
        out, _ = call("models", "--modality", "audio")
        head = out.splitlines()[0]
        assert head.startswith("audio") and all(name in head for name in headings)
        table = out[: out.index("\n\n")].splitlines()
        assert max(map(len, table)) <= width
        assert any(line.split()[:3] == ["tfhub:google/yamnet/1", "3.20", "M"] for line in table)
    assert "paper:wavenet: its authors published no weights" in out


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
def test_models_says_where_a_line_was_cut(
    width: int, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids come whole, if need be on several lines; a figure that is cut ends in an ellipsis."""
    monkeypatch.setenv("COLUMNS", str(width))
    cards = json.loads(call("models", "--json")[0])
    out, _ = call("models")
    tables = out[: out.index("\n\nyes:")]
    assert max(map(len, tables.splitlines())) <= width
    figures = [line.rstrip() for line in tables.splitlines() if "mobilenet_v1_1.0_224 " in line]
    if width >= 120:
        assert figures and all(line.endswith(("70.9 ImageNet-1k val", "…")) for line in figures)
    together = "".join(line.split(" ")[0] for line in tables.splitlines())
    assert all(card["id"] in together for card in cards)


def test_models_gives_each_reason_once(call: Call) -> None:
    out, _ = call("models", "--modality", "image")
    said = "Headstart has no detection yet, and takes no embedding from this architecture"
    assert out.count(said) == 1
    line = next(line for line in out.splitlines() if said in line)
    assert "hf:facebook/detr-resnet-50, " in line and "hf:PekingU/rtdetr_r50vd" in line


def test_models_json_says_everything_and_why_something_lacks(call: Call) -> None:
    cards = {card["id"]: card for card in json.loads(call("models", "--json")[0])}
    resnet, detr = cards["hf:microsoft/resnet-18"], cards["hf:facebook/detr-resnet-50"]
    assert resnet["whole_parameters"] == 11_689_512 and resnet["parameters"] == 11_176_512
    assert "does not say" in resnet["unknown"]["published"]
    assert detr["unknown"] == {"width": "no embedding is taken from it"} and detr["why"]
    needed = ("parameters", "operations", "width", "published", "licence", "use")
    for card in (card for card in cards.values() if card["family"]):  # of the catalogue
        assert card["example"] and card["pretrained_on"] and card["state"]
        assert all(bool(card[name]) != (name in card["unknown"]) for name in needed), card["id"]


@pytest.mark.parametrize("options", [("--source", "local"), ("--source", "onnx")])
def test_models_of_a_source_that_has_none_here(options: tuple[str, str], call: Call) -> None:
    assert call("models", *options)[0].strip() == "No model passes these filters."
    assert json.loads(call("models", *options, "--json")[0]) == []


def test_models_takes_filters_and_a_catalogue_of_ones_own(call: Call, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[[model]]\nid = "local:nowhere"\nmodality = "text"\nfamily = "BERT"\n'
        'task = "classification"\nexample = { tokens = 64 }\npretrained_on = "letters"\n'
        'licence = "mit"\n'
        + "".join(
            f'unknown.{name} = "not counted"\n'
            for name in ("parameters", "operations", "width", "published", "use")
        )
    )
    options = ("--modality", "text", "--task", "classification", "--catalogue", mine)
    (card,) = json.loads(call("models", *options, "--json")[0])
    assert card["id"] == f"local:{tmp_path / 'nowhere'}" and card["state"] == "absent"
    out, _ = call("models", *options)
    assert "has no config.json" in out and "absent: its folder or file does not exist" in out
    assert "No model passes" in call("models", *options, "--max-parameters", "1k")[0]
    assert json.loads(call("models", *options, "--available", "--json")[0]) == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--modality", "video", "audio, image, text"),
        ("--task", "cooking", "classification"),
        ("--source", "torchhub", "starter"),
        ("--max-parameters", "lots", "25M"),
        ("--catalogue", "absent.toml", "absent.toml cannot be read"),
    ],
)
def test_models_says_what_there_is(
    option: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["headstart", "models", option, value])
    with pytest.raises(SystemExit) as stop:
        main()
    err = capsys.readouterr().err
    assert stop.value.code == 2 and said in err and len(err.splitlines()) == 1


def test_transfer_prints_the_verdict_and_the_report(tmp_path: Path) -> None:
    model = write_model(tmp_path / "bert", "bert")
    table = labelled(tmp_path / "t.csv", 40)
    done = command("transfer", table, "--model", model, "--method", "probe", "--budget", "10s",
                   cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 1 and f"{runs[0].name}/report.html" in done.stdout
    record = json.loads((runs[0] / "record.json").read_text())
    assert record["chosen"] in done.stdout
    assert "\x1b[" not in done.stdout + done.stderr, "colours although nobody watches"
    assert "Task: classification" in done.stderr


@pytest.mark.parametrize("what", ["import", "help", "report"])
def test_nothing_heavy_is_loaded_for(what: str, made: Run) -> None:
    call = "from headstart.cli import main\ntry: main()\nexcept SystemExit as e: assert not e.code"
    lines = {
        "import": "import headstart; dir(headstart); headstart.__version__",
        "help": f"sys.argv = ['headstart', '--help']\n{call}",
        "report": f"sys.argv = ['headstart', 'report', {str(made.path)!r}]\n{call}",
    }
    heavy = {"torch", "transformers", "accelerate"}  # the report of a run may use numpy and pandas
    heavy |= set() if what == "report" else {"sklearn", "pandas", "scipy", "soundfile"}
    program = (
        f"import sys\n{lines[what]}\nassert not {heavy} & set(sys.modules), sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=60, check=False, env=os.environ)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_page_of_the_command_line_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page(), "run: python docs/make_cli.py"
