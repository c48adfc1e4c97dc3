"""`headstart compare`: several runs on identical test examples, and what cannot be compared."""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from contest_for_tests import SIZE, three_runs, truth_of, write_run
from headstart.cli import main
from headstart.errors import HeadstartError, RunError, UsageError
from headstart.evaluate.comparisons import holm
from headstart.evaluate.verdict import mcnemar
from headstart.records import GroupRow
from headstart.report.contest import headline, page, sentences
from headstart.run.comparing import compare_runs, names_of

KINDS = ("classification", "multi-label", "regression")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three_runs(tmp_path_factory.mktemp("contest"))


def test_runs_are_ordered_and_every_pair_is_compared_on_identical_examples(
    runs: list[Path],
) -> None:
    found = compare_runs([runs[2], runs[0], runs[1]])
    assert found.metric == "accuracy" and found.examples == SIZE
    right = {}
    for path in runs:  # the reference: from the files, by hand
        table = pd.read_parquet(path / "predictions.parquet")
        answers = np.stack(table["scores: finetune: m"]).argmax(axis=1)
        right[path.name] = np.array(["abc"[a] for a in answers]) == table["truth"].to_numpy()
    order = sorted(right, key=lambda name: -right[name].mean())
    assert [run.name for run in found.runs] == order and order[-1] == "weak"
    assert [(c.candidate, c.against) for c in found.comparisons] == list(
        itertools.combinations(order, 2)
    )
    p = [mcnemar(right[c.candidate], right[c.against]) for c in found.comparisons]
    for c, alone, corrected in zip(found.comparisons, p, holm(p), strict=True):
        one, other = right[c.candidate], right[c.against]
        assert c.difference.value == pytest.approx(one.mean() - other.mean())
        assert (c.won, c.lost) == ((one & ~other).sum(), (other & ~one).sum())
        assert (c.p, c.p_holm) == (pytest.approx(alone), pytest.approx(corrected))
        assert c.answer == ("helps" if corrected < 0.05 else "no clear difference")
    for run in found.runs:
        assert run.metrics["accuracy"].value == pytest.approx(right[run.name].mean())


def test_it_says_who_is_ahead_and_who_is_even(runs: list[Path], tmp_path: Path) -> None:
    found = compare_runs(runs)
    assert headline(found) == "No clear winner"
    assert {run.name for run in found.even()} == {"steady", "twin"}
    text = " ".join(sentences(found))
    assert "is not clear" in text and "clearly better than weak" in text
    assert "steady is the smallest (1,000 parameters)" in text
    pair = compare_runs([runs[0], runs[2]])
    assert headline(pair) == "steady is clearly better"
    assert pair.comparisons[0].words.startswith("'steady' is clearly better: accuracy")
    assert "correction" not in pair.comparisons[0].words  # one comparison needs none
    assert "for 3 comparisons" in found.comparisons[1].words
    assert found.comparisons[0].words.startswith("'steady' is not clearly better: accuracy 0.975")


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_and_metric(kind: str, tmp_path: Path) -> None:
    paths = three_runs(tmp_path, kind)
    for metric in ("log_loss" if kind != "regression" else "mae", None):
        found = compare_runs(paths, metric=metric)
        assert [run.name for run in found.runs][-1] == "weak"
        assert all(c.difference.value >= 0 for c in found.comparisons)
        made = page.render(found)
        assert "Class by class" in made or kind == "regression"
        assert "nan" not in re.sub(r"<(style|script)>.*?</\1>", "", made, flags=re.S)


def test_rows_in_another_order_are_matched_by_id(runs: list[Path], tmp_path: Path) -> None:
    order = np.random.default_rng(3).permutation(SIZE)
    turned = write_run(tmp_path / "twin", sharp=3.0, seed=1, rows=order)
    one, other = compare_runs([runs[0], turned]), compare_runs(runs[:2])
    assert [c.difference for c in one.comparisons] == [c.difference for c in other.comparisons]
    assert (one.comparisons[0].won, one.comparisons[0].p) == (
        other.comparisons[0].won, other.comparisons[0].p,
    )  # fmt: skip


def test_settings_that_differ(runs: list[Path]) -> None:
    found = compare_runs(runs)
    differing = {s.name: s.values for s in found.settings}
    at = {run.name: i for i, run in enumerate(found.runs)}
    assert differing["finetune.epochs"][at["steady"]] == "3"
    assert differing["finetune.epochs"][at["weak"]] == "5"
    assert set(differing) == {"finetune.epochs", "seed"}
    assert found.same >= 8  # budget, models, method, source, techniques, …
    (runs[0].parent / "bare").mkdir()
    for name in ("record.json", "predictions.parquet"):
        (runs[0].parent / "bare" / name).write_bytes((runs[1] / name).read_bytes())
    bare = compare_runs([runs[0], runs[0].parent / "bare"])
    assert any("recipe.toml: bare" in note for note in bare.notes)


def test_groups_are_resampled_whole_where_they_are_known(tmp_path: Path) -> None:
    rng, truth = np.random.default_rng(0), truth_of("classification")
    groups = [f"site {i // 12}" for i in range(SIZE)]
    # In some sites one run is right everywhere: 120 examples say no more than 10 sites do.
    bad = np.eye(3)[(truth + 1) % 3]
    mixed = np.where((rng.random(10) < 0.5)[np.arange(SIZE) // 12][:, None], np.eye(3)[truth], bad)
    for name, of in (("loose", None), ("grouped", groups)):
        write_run(tmp_path / f"{name} a", scores=np.eye(3)[truth] * 0.8 + 0.1, groups=of)
        write_run(tmp_path / f"{name} b", scores=mixed * 0.8 + 0.1, groups=of)
    loose = compare_runs([tmp_path / "loose a", tmp_path / "loose b"]).comparisons[0]
    found = compare_runs([tmp_path / "grouped a", tmp_path / "grouped b"]).comparisons[0]
    assert "in 10 groups" in found.words and "McNemar" not in found.test
    assert found.p is not None and loose.p is not None and found.p > 100 * loose.p
    record = [GroupRow(group="site 1", count=SIZE)]
    path = write_run(tmp_path / "unnamed")
    raw = json.loads((path / "record.json").read_text())
    raw["results"][0]["groups"] = [row.model_dump() for row in record]
    (path / "record.json").write_text(json.dumps(raw))
    noted = compare_runs([path, tmp_path / "loose b"]).notes
    assert any("come in groups" in note for note in noted)


def test_names_tell_folders_apart(tmp_path: Path) -> None:
    assert names_of(["runs/a", "runs/b"]) == ["a", "b"]
    assert names_of(["x/RUN", "y/RUN", "z"])[:2] == ["x/RUN", "y/RUN"]


def test_what_cannot_be_compared(runs: list[Path], tmp_path: Path) -> None:
    first = runs[0]
    few = write_run(tmp_path / "few", rows=np.arange(100))
    wrong = truth_of("classification").copy()
    wrong[7] = (wrong[7] + 1) % 3
    other_truth = write_run(tmp_path / "other", truth=wrong)
    values = write_run(tmp_path / "values", "regression")
    half = write_run(tmp_path / "half", status="interrupted")
    torn = write_run(tmp_path / "torn")
    (torn / "predictions.parquet").write_bytes(b"no parquet")
    alien = write_run(tmp_path / "alien")
    table = pd.read_parquet(alien / "predictions.parquet")
    table.assign(truth="zebra").to_parquet(alien / "predictions.parquet")
    odd = write_run(tmp_path / "odd")
    raw = json.loads((odd / "record.json").read_text())
    raw["labels"] = ["a", "b", "d"]
    (odd / "record.json").write_text(json.dumps(raw))
    cases: list[tuple[list[Path], type[HeadstartError], str]] = [
        ([first], UsageError, "two RUN folders or more, got 1"),
        ([first, first], UsageError, "is named twice"),
        ([first, tmp_path], RunError, "does not exist; is"),
        ([first, half], RunError, "was not finished .interrupted.; continue it with"),
        ([first, torn], RunError, "predictions.parquet cannot be read"),
        ([first, alien], RunError, "does not fit its record: KeyError..zebra"),
        ([first, values], UsageError, "steady is classification, values is regression"),
        ([first, odd], UsageError, "other labels: only steady has 'c', and 1 more differ"),
        ([first, few], UsageError, "100 and 120 of them, 100 in common .'row 100' is not"),
        ([few, first], UsageError, "120 and 100 of them, 100 in common .'row 100' is not"),
        ([first, other_truth], UsageError, "truth of 1 of 120 test examples .first: 'row 7'"),
    ]
    for paths, error, words in cases:
        with pytest.raises(error, match=words):
            compare_runs(paths)
    with pytest.raises(UsageError, match="--metric r2: classification has accuracy"):
        compare_runs(runs, metric="r2")
    with pytest.raises(UsageError, match=r"must end in \.html"):
        page.write(compare_runs(runs[:2]), tmp_path / "record.json")
    with pytest.raises(RunError, match="cannot be written"):
        page.write(compare_runs(runs[:2]), tmp_path / "absent" / "page.html")


def test_of_many_runs_the_best_is_shown_against_each(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"run {i}", sharp=2.0, seed=i) for i in range(12)]
    found = compare_runs(paths)
    assert len(found.comparisons) == 66 and len(found.shown) == 11
    assert {c.candidate for c in found.shown} == {found.leader.name}
    made = page.render(found)
    assert "Shown are those with the" in made and "corrected for 66 comparisons" in made
    assert len(made) < 400_000


def test_the_page_is_escaped(runs: list[Path], tmp_path: Path) -> None:
    evil = "[red]<script>alert(1)</script>"
    place = tmp_path / evil.replace("/", "|")
    paths = [write_run(place / name, method=evil, sharp=s) for name, s in (("a", 3.0), ("b", 1.0))]
    made = page.render(compare_runs(paths))
    assert made.count("<script>") == 1 and "&lt;script&gt;" in made
    console = Console(width=200, file=io.StringIO(), record=True)
    for part in page.shown(compare_runs([*paths, runs[0]])):
        console.print(part)
    assert evil in console.export_text()


def test_comparing_loads_no_torch(runs: list[Path]) -> None:
    code = (
        "import sys; from headstart.run.comparing import compare_runs;"
        "from headstart.report.contest import page;"
        f"page.render(compare_runs({[str(path) for path in runs]!r}));"
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "page.html"
    monkeypatch.setattr(sys, "argv", ["headstart", "compare", *map(str, runs), "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        main()
    shown = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and f"Page: {out}" in shown
    for part in ("No clear winner", "finetune.epochs", "is clearly better: accuracy", "Note:"):
        assert part in shown
    assert out.read_text("utf-8").startswith("<!doctype html>")
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--json", "--metric", "log_loss"])
    with pytest.raises(SystemExit):
        main()
    told = json.loads(capsys.readouterr().out)
    assert told["metric"] == "log_loss" and len(told["comparisons"]) == 3
    losses = [run["metrics"]["log_loss"]["value"] for run in told["runs"]]
    assert losses == sorted(losses)
