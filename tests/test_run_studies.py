"""--cv, --seeds, --group and --label-curve on few texts with a tiny network."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart.run as runs
import headstart.run.finishing as finishing
import headstart.run.studies as studies_room
from headstart.errors import UsageError
from headstart.run import Run
from headstart.run.studies import Again, Studies, refit
from runs_for_tests import reviews, run_quickly
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")

# One plain head: what is tried here is what goes around it.
LEAN: dict[str, dict[str, Any]] = {
    "probe": {"head": "logistic", "strengths": [1.0, 0.01], "scalings": ["global"]},
    "from-scratch": {"epochs": 1},
}
PLAIN = ("--set", "from-scratch.epochs=1", "--set", "probe.head=logistic",
         "--set", "probe.scalings=[\"global\"]")  # fmt: skip
STUDIES = {"cv": 2, "cv_repeats": 2, "seeds": 2, "label_curve": True}
LEARN, ASK = 48, 60  # texts
STOP = 24  # trainings of studies until Ctrl-C comes: in the label curve


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv and test.csv, and a network that they can be read with."""
    folder = tmp_path_factory.mktemp("studies")
    write_model(folder / "bert", "bert")
    texts, answers = reviews(LEARN + ASK)
    lines = [f"{text},{answer}" for text, answer in zip(texts, answers, strict=True)]
    (folder / "train.csv").write_text("\n".join(["text,label", *lines[:LEARN]]))
    (folder / "test.csv").write_text("\n".join(["text,label", *lines[LEARN:]]))
    return folder


@contextmanager
def few_draws() -> Iterator[pytest.MonkeyPatch]:
    """A label curve of the fewest points and draws that there can be."""
    import headstart.run.curving as curving

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curving, "POINTS", 4)
        patch.setattr(curving, "DRAWS", 2)
        yield patch


def studied(place: Path, out: Path) -> Run:
    return run_quickly(
        place / "train.csv", out, test=place / "test.csv", model=str(place / "bert"),
        method="probe", methods=LEAN, studies=STUDIES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def watched(place: Path, one_core: None) -> tuple[Run, Studies, list[Again]]:
    """A run with all studies, and everything that was made for them."""
    seen, kept = list[Again](), list[Studies]()
    real = Studies.scores

    def scores(self: Studies, unit: Again) -> np.ndarray:
        kept.append(self)
        seen.append(unit)
        return real(self, unit)

    with few_draws() as patch:
        patch.setattr(Studies, "scores", scores)
        run = studied(place, place / "run")
    return run, kept[0], seen


@pytest.fixture(scope="module")
def run(watched: tuple[Run, Studies, list[Again]]) -> Run:
    return watched[0]


def test_cross_validation_is_what_a_loop_by_hand_finds(run: Run) -> None:
    found = {c.against: c for c in run.record.cross_validation}
    assert set(found) == {"majority", "simple: tf-idf", "from scratch: bert"}
    one = found["majority"]
    assert (one.folds, one.repeats, one.metric) == (2, 2, "accuracy")
    ours, theirs = (np.asarray(one.scores[name]) for name in (one.candidate, one.against))
    assert ours.shape == theirs.shape == (2, 2)
    gap = ours - theirs
    assert one.difference.value == pytest.approx(gap.mean(), abs=1e-5)
    # Nadeau and Bengio by hand: variance (1/j + n_test/n_train) s^2.
    half = 3.182446 * np.sqrt((1 / 4 + 1) * gap.var(ddof=1))
    assert one.difference.high == pytest.approx(gap.mean() + half, abs=1e-4)
    # The folds are stratified: a constant answer is right for half of each.
    assert theirs == pytest.approx(0.5, abs=0.05)


def test_each_fold_trains_on_the_others_only(watched: tuple[Run, Studies, list[Again]]) -> None:
    _, studies, seen = watched
    crossed = [unit for unit in seen if unit.study == "cross-validation"]
    assert len(crossed) == 4 * 2 * 2  # results, folds, repeats
    ids = list(map(str, studies.job.data.inputs.ids))
    for unit in crossed:
        assert unit.rows is not None
        learned, asked = {ids[row] for row in unit.rows}, set(map(str, unit.asked.ids))
        assert not learned & asked and learned | asked == set(ids)
    test = set(map(str, studies.job.opened.splits.test.inputs.ids))
    others = [unit for unit in seen if unit.study != "cross-validation"]
    assert others and all(set(map(str, unit.asked.ids)) == test for unit in others)


def test_a_stopped_run_makes_nothing_again_and_says_the_same(
    run: Run, place: Path, tmp_path: Path
) -> None:
    """Killed in its label curve: what was made of the studies is read again."""
    made, real = list[str](), studies_room.refit

    def stopped(job: Any, entry: Any, data: Any, **more: Any) -> Any:
        made.append(entry.name)
        if len(made) == STOP:
            raise KeyboardInterrupt
        return real(job, entry, data, **more)

    with few_draws() as patch:
        patch.setattr(studies_room, "refit", stopped)
        with pytest.raises(KeyboardInterrupt):
            studied(place, tmp_path / "run")
        assert len(list((tmp_path / "run" / "candidates" / "studies").iterdir())) == STOP - 1
        after = runs.resume(tmp_path / "run").record
    assert len(made) - STOP == 2 + 16 + 12 - (STOP - 1)  # seeds, folds, label curve
    whole = run.record
    assert after.status == "done" and after.label_curves == whole.label_curves
    assert after.seeds == whole.seeds and after.cross_validation == whole.cross_validation
    assert (after.chosen, after.chosen_because) == (whole.chosen, whole.chosen_because)
    assert after.verdict == whole.verdict and after.held_out == whole.held_out
    for result in whole.results:
        assert after.result(result.name).metrics == result.metrics
    assert not (tmp_path / "run" / "candidates").exists()


def test_seeds_vary_training_and_nothing_else(run: Run) -> None:
    found = {s.result: s for s in run.record.seeds}
    probe, scratch = found["probe: bert"], found["from scratch: bert"]
    assert probe.seeds == scratch.seeds == [0, 1]
    assert probe.deviation == 0 and "Nothing in it depends on the seed" in probe.words
    assert "depends" not in scratch.words  # though it may be as good with either
    measured = run.record.result(scratch.result).metrics["accuracy"].value
    assert scratch.values[0] == pytest.approx(measured)  # the run's own seed is the first
    assert scratch.deviation == pytest.approx(np.std(scratch.values, ddof=1))
    assert scratch.mean.value == pytest.approx(np.mean(scratch.values))


def test_the_label_curve_ends_where_the_run_did(run: Run) -> None:
    first, second = run.record.label_curves
    assert first.result == "probe: bert"
    assert second.result == "from scratch: bert"
    assert first.counts[0] == 10 and first.counts[-1] == 48 and len(first.counts) >= 4
    assert [len(draws) for draws in first.errors] == [2] * (len(first.counts) - 1) + [1]
    for curve in (first, second):
        accuracy = run.record.result(curve.result).metrics["accuracy"].value
        assert curve.errors[-1] == [pytest.approx(1 - accuracy)]
    means = [np.mean(draws) for draws in first.errors]
    assert means[0] > means[-1]  # more labels help
    told = " ".join(first.words)
    assert "Transfer saves" in told and "1 point more" in told and not second.words
    assert max(map(float, first.predicted)) == 4 * 48  # four times the labels, and no more


def test_the_recipe_and_the_page_have_them(run: Run, place: Path) -> None:
    recipe = tomllib.loads((run.path / "recipe.toml").read_text())
    assert {name: recipe[name] for name in STUDIES} == STUDIES
    page = (run.path / "report.html").read_text()
    for name in ("paired", "folds", "seeds", "labels", "calibration", "abstention", "hardest"):
        assert f'<section id="{name}"' in page, name
    hard = run.record.result(run.record.chosen or "").hardest[0].id
    row = int(hard.removeprefix("row "))
    text = (place / "test.csv").read_text().splitlines()[row].rsplit(",", 1)[0]
    assert f"<q>{text}</q>" in page
    assert run.record.chosen_because and run.record.held_out
    assert all(result.calibration and result.hardest for result in run.record.results)


def test_groups_get_a_table(place: Path, tmp_path: Path) -> None:
    texts, answers = reviews(LEARN + ASK)
    writers = [f"writer {i % 4}" for i in range(len(texts))]
    run = run_quickly((texts, answers), tmp_path / "run", model=str(place / "bert"),
                      method="probe", methods=LEAN, group=writers)  # fmt: skip
    rows = run.record.result(run.record.chosen or "").groups
    assert rows and sum(row.count for row in rows) == run.record.data.counts["test"]
    assert {row.group for row in rows} < set(writers)
    assert 'id="groups"' in (run.path / "report.html").read_text()


@pytest.mark.parametrize("prefer", ["simpler", "best"])
def test_the_choice_is_told_what_is_preferred(
    prefer: str, watched: tuple[Run, Studies, list[Again]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(Exception):
        pass

    def handed_over(*rest: Any, prefer: str, **more: Any) -> None:
        raise Told(prefer)

    job = watched[1].job
    recipe = job.recipe.model_copy(update={"prefer": prefer})
    monkeypatch.setattr(finishing, "handed_over", handed_over)
    with pytest.raises(Told, match=prefer):
        finishing.finish(replace(job, recipe=recipe))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"cv": 1}, "--cv 1"), ({"seeds": 0}, "--seeds"), ({"prefer": "mine"}, "--prefer"),
     ({"cv_repeats": 0}, "--cv-repeats"), ({"cv": -2}, "--cv")],
)  # fmt: skip
def test_studies_that_cannot_be_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        runs.transfer("nowhere", **options)


def test_a_refit_is_the_same_again(watched: tuple[Run, Studies, list[Again]]) -> None:
    """On all the data with the run's seed, a result comes out as the run had it."""
    job = watched[1].job
    for entry in (e for e in job.entries if not e.method.trains):
        again = refit(job, entry, job.data, seed=job.recipe.seed, own=True)
        assert again.outputs == pytest.approx(entry.trained.outputs, abs=1e-6), entry.name


def test_the_command_line_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They reach the recipe; what a recipe with them does is above."""
    import headstart.run.walk as walk

    asked: list[Any] = []

    def stopped(recipe: Any, *rest: Any, **more: Any) -> None:
        asked.append(recipe)
        raise UsageError("enough")

    monkeypatch.setattr(walk, "start", stopped)
    code, told = here(
        monkeypatch, capsys, tmp_path, "train.npz", "--cv", 4, "--cv-repeats", 1, "--seeds", 2,
        "--prefer", "best", "--label-curve", "--group", "writer", "--out", "run",
    )  # fmt: skip
    assert code == 2 and "enough" in told
    (one,) = asked
    assert (one.cv, one.cv_repeats, one.seeds, one.prefer) == (4, 1, 2, "best")
    assert one.label_curve and one.data.group == "writer"


def here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path,
    *arguments: object,
) -> tuple[int, str]:  # fmt: skip
    """Call `headstart transfer ARGUMENTS` in this process; return its exit code and its words."""
    from headstart.cli import main

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["headstart", "transfer", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    return code, " ".join((printed.out + printed.err).split())


def bad_tables(folder: Path) -> None:
    texts, answers = reviews(70)
    lines = [f"{text},{answer}" for text, answer in zip(texts, answers, strict=True)]
    head = "text,label"
    (folder / "train.csv").write_text("\n".join([head, *lines[:50]]))
    (folder / "five.csv").write_text("\n".join([head, *lines[50:55]]))
    good = [line for line in lines[50:] if line.endswith(",good")]
    (folder / "one.csv").write_text("\n".join([head, *good]))
    (folder / "unseen.csv").write_text("\n".join([head, *lines[50:60], "the plot,ugly"]))
    (folder / "leak.csv").write_text("\n".join([head, *lines[50:], *lines[:3]]))
    (folder / "none.csv").write_text(head)


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ("one", ["All 10 test examples are of one class, 'good'"]),
        ("five", ["5 test examples tell little: with 4 of 5 right", "0.38 to 0.96"]),
        ("leak", ["Leak: 3 of 23 test examples", "row 21 is row 1; row 22 is row 2"]),
        ("unseen", ["labels that training never showed: 'ugly'"]),
        ("none", ["none.csv has no rows"]),
    ],
)
def test_bad_test_parts_are_told_at_the_command(
    test: str, wanted: list[str], tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bad_tables(tmp_path)
    code, told = here(
        monkeypatch, capsys, tmp_path, "train.csv", "--test", f"{test}.csv", "--out", "run",
        "--model", place / "bert", "--method", "probe", "--budget", "20s", *PLAIN,
    )  # fmt: skip
    assert code == (2 if test in ("unseen", "none") else 0)
    assert "Traceback" not in told
    for part in wanted:
        assert part in told
    if test == "leak":
        check = Run.open(tmp_path / "run").record.checks[0]
        assert check.name == "leak" and check.examples == [
            ["row 21", "row 1"], ["row 22", "row 2"], ["row 23", "row 3"]
        ]  # fmt: skip


def test_labels_that_are_never_predicted_are_told(tmp_path: Path, place: Path) -> None:
    texts, _ = reviews(60)
    rng = np.random.default_rng(0)
    rare = [["odd"] if rng.random() < 0.1 else [] for _ in texts]
    run = run_quickly(
        (texts, rare),
        tmp_path / "run",
        model=str(place / "bert"),
        method="probe",
        methods=LEAN,
        task="multi-label",
    )
    empty = [c for c in run.record.checks if c.name == "empty predictions"]
    assert empty and "predicts no label for any of" in empty[0].words
    assert "precision-recall curves" in empty[0].words
