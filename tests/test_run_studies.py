"""--cv, --seeds, --group and --label-curve on handwritten digits with the starter, small."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart.run as runs
from headstart.demo import digits
from headstart.errors import UsageError
from headstart.run import Run
from headstart.run.studies import refit
from runs_for_tests import reviews, run_quickly

pytestmark = pytest.mark.usefixtures("one_core")

# One plain head: what is tried here is what goes around it.
LEAN: dict[str, dict[str, Any]] = {
    "probe": {"head": "logistic", "strengths": [1.0, 0.01], "scalings": ["global"]},
    "from-scratch": {"epochs": 1},
}
STUDIES = {"cv": 2, "cv_repeats": 2, "seeds": 2, "label_curve": True}


@pytest.fixture(scope="module")
def pictures() -> tuple[tuple[np.ndarray, list[str]], tuple[np.ndarray, list[str]], list[str]]:
    """(90 training digits, 120 test digits, a group of writers for each of the test part)."""
    learn, (images, labels) = digits(9)
    return learn, (images[:120], labels[:120]), [f"writer {i % 4}" for i in range(120)]


@contextmanager
def few_draws() -> Iterator[pytest.MonkeyPatch]:
    """A label curve of the fewest points and draws that there can be."""
    import headstart.run.curving as curving

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curving, "POINTS", 4)
        patch.setattr(curving, "DRAWS", 2)
        yield patch


@pytest.fixture(scope="module")
def run(pictures: Any, tmp_path_factory: pytest.TempPathFactory, one_core: None) -> Run:
    learn, test, _ = pictures
    out = tmp_path_factory.mktemp("studies") / "run"
    with few_draws():
        return run_quickly(learn, out, methods=LEAN, studies=STUDIES, test=test)


def test_cross_validation_is_what_a_loop_by_hand_finds(run: Run, pictures: Any) -> None:
    found = {c.against: c for c in run.record.cross_validation}
    assert set(found) == {"majority", "simple: pixels", "from scratch: starter:glyphs"}
    one = found["majority"]
    assert (one.folds, one.repeats, one.metric) == (2, 2, "accuracy")
    ours, theirs = (np.asarray(one.scores[name]) for name in (one.candidate, one.against))
    assert ours.shape == theirs.shape == (2, 2)
    gap = ours - theirs
    assert one.difference.value == pytest.approx(gap.mean(), abs=1e-5)
    # Nadeau and Bengio by hand: variance (1/j + n_test/n_train) s^2.
    half = 3.182446 * np.sqrt((1 / 4 + 1) * gap.var(ddof=1))
    assert one.difference.high == pytest.approx(gap.mean() + half, abs=1e-4)
    # The folds are stratified: a constant answer is right for a tenth of each.
    assert theirs == pytest.approx(0.1, abs=0.012)


def test_each_fold_trains_on_the_others_only(pictures: Any, tmp_path: Path) -> None:
    """Four results, two folds of 90: each is made from 45 different examples."""
    import headstart.run.crossing as crossing

    seen: list[tuple[int, int]] = []
    ran = crossing.refit

    def watched(job: Any, entry: Any, data: Any, *, seed: int) -> Any:
        seen.append((len(data), len(set(data.inputs.ids))))
        return ran(job, entry, data, seed=seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossing, "refit", watched)
        run_quickly(pictures[0], tmp_path / "run", method="probe", methods=LEAN, test=pictures[1],
                    studies={"cv": 2, "cv_repeats": 1})  # fmt: skip
    assert len(seen) == 4 * 2 and set(seen) == {(45, 45)}


def test_seeds_vary_training_and_nothing_else(run: Run) -> None:
    found = {s.result: s for s in run.record.seeds}
    probe, scratch = found["probe: starter:glyphs"], found["from scratch: starter:glyphs"]
    assert probe.seeds == scratch.seeds == [0, 1]
    assert probe.deviation == 0 and "Nothing in it depends on the seed" in probe.words
    measured = run.record.result(scratch.result).metrics["accuracy"].value
    assert scratch.values[0] == pytest.approx(measured)  # the run's own seed is the first
    assert scratch.deviation == pytest.approx(np.std(scratch.values, ddof=1))
    assert scratch.mean.value == pytest.approx(np.mean(scratch.values))


def test_the_label_curve_ends_where_the_run_did(run: Run) -> None:
    first, second = run.record.label_curves
    assert first.result == "probe: starter:glyphs"
    assert second.result == "from scratch: starter:glyphs"
    assert first.counts[0] == 20 and first.counts[-1] == 90 and len(first.counts) >= 4
    assert [len(draws) for draws in first.errors] == [2] * (len(first.counts) - 1) + [1]
    for curve in (first, second):
        accuracy = run.record.result(curve.result).metrics["accuracy"].value
        assert curve.errors[-1] == [pytest.approx(1 - accuracy)]
    means = [np.mean(draws) for draws in first.errors]
    assert means[0] > means[-1]  # more labels help
    told = " ".join(first.words)
    assert "Transfer saves" in told and "1 point more" in told and not second.words
    assert max(map(float, first.predicted)) == 360  # four times the labels, and no more


def test_the_recipe_and_the_page_have_them(run: Run) -> None:
    recipe = tomllib.loads((run.path / "recipe.toml").read_text())
    assert {name: recipe[name] for name in STUDIES} == STUDIES
    page = (run.path / "report.html").read_text()
    for name in ("paired", "folds", "seeds", "labels", "calibration", "abstention", "hardest"):
        assert f'<section id="{name}"' in page, name
    assert "The hardest examples" in page and page.count("data:image/") >= 12
    assert run.record.chosen_because and run.record.held_out
    assert all(result.calibration and result.hardest for result in run.record.results)


def test_groups_get_a_table_and_never_part(pictures: Any, tmp_path: Path) -> None:
    images, labels = pictures[1]
    run = run_quickly((images, labels), tmp_path / "run", method="probe", methods=LEAN,
                      group=pictures[2], studies={"cv": 3, "cv_repeats": 1})  # fmt: skip
    rows = run.record.result(run.record.chosen or "").groups
    assert rows and sum(row.count for row in rows) == run.record.data.counts["test"]
    assert {row.group for row in rows} < {f"writer {i}" for i in range(4)}
    assert 'id="groups"' in (run.path / "report.html").read_text()
    assert run.record.cross_validation  # three groups of writers are left, three folds


def test_what_the_budget_has_no_time_for_is_said(pictures: Any, tmp_path: Path) -> None:
    import headstart.run.crossing as crossing
    import headstart.run.curving as curving
    import headstart.run.reseeding as reseeding

    with few_draws() as patch:
        for room in (crossing, curving, reseeding):
            patch.setattr(room, "took", lambda entry: 1e6)
        run = run_quickly(pictures[0], tmp_path / "run", method="probe", methods=LEAN,
                          test=pictures[1], studies=STUDIES)  # fmt: skip
    told = " ".join(run.record.notes)
    for part in ("Cross-validation leaves 'from scratch", "The label curve leaves 'from scratch",
                 "was trained with 1 of 2 seeds", "Raise --budget"):  # fmt: skip
        assert part in told
    assert {c.against for c in run.record.cross_validation} == {"majority", "simple: pixels"}
    assert [c.result for c in run.record.label_curves] == ["probe: starter:glyphs"]
    assert [s.result for s in run.record.seeds] == ["probe: starter:glyphs"]


def test_too_few_labels_for_a_curve_or_for_folds_are_said(tmp_path: Path) -> None:
    learn, (images, labels) = digits(2)
    run = run_quickly(learn, tmp_path / "run", method="probe", methods=LEAN,
                      test=(images[:30], labels[:30]),
                      studies={"label_curve": True, "cv": 50})  # fmt: skip
    told = " ".join(run.record.notes)
    assert "No label curve: 20 labels are too few" in told
    assert "20 examples cannot make 50 folds" in told
    assert not run.record.label_curves and not run.record.cross_validation


@pytest.mark.parametrize(
    ("options", "words"),
    [({"cv": 1}, "--cv 1"), ({"seeds": 0}, "--seeds"), ({"prefer": "mine"}, "--prefer"),
     ({"cv_repeats": 0}, "--cv-repeats"), ({"cv": -2}, "--cv")],
)  # fmt: skip
def test_studies_that_cannot_be_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        runs.transfer("nowhere", **options)


def test_a_refit_is_the_same_again(pictures: Any, tmp_path: Path) -> None:
    """On all the data with the run's seed, a result comes out as the run had it."""
    import headstart.run.finishing as finishing

    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "_asked", _keeping(finishing._asked, kept))
        run_quickly(pictures[0], tmp_path / "run", method="probe", methods=LEAN, test=pictures[1])
    job = kept[0]
    for entry in (e for e in job.entries if not e.method.trains):
        again = refit(job, entry, job.data, seed=job.recipe.seed, own=True)
        assert again.outputs == pytest.approx(entry.trained.outputs, abs=1e-6), entry.name


def _keeping(function: Any, kept: list[Any]) -> Any:
    def keeping(job: Any, *rest: Any) -> Any:
        kept.append(job)
        return function(job, *rest)

    return keeping


def test_the_command_line_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn, (images, labels) = digits(6)
    np.savez(tmp_path / "train.npz", x=learn[0], y=np.asarray(learn[1]))
    np.savez(tmp_path / "test.npz", x=images[:60], y=np.asarray(labels[:60]))
    code, told = here(
        monkeypatch, capsys, tmp_path, "train.npz", "--test", "test.npz", "--method", "probe",
        "--cv", 2,
        "--cv-repeats", 1, "--seeds", 2, "--prefer", "best", "--out", "run", "--budget", "30s",
        "--set", "from-scratch.epochs=1", "--set", "probe.head=logistic",
    )  # fmt: skip
    assert code == 0, told
    record = Run.open(tmp_path / "run").record
    assert record.cross_validation and record.seeds
    assert "Handed over:" in told


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
    test: str, wanted: list[str], tmp_path: Path, bert: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bad_tables(tmp_path)
    code, told = here(
        monkeypatch, capsys, tmp_path, "train.csv", "--test", f"{test}.csv", "--model", bert,
        "--method", "probe", "--out", "run", "--budget", "20s", "--set", "from-scratch.epochs=1",
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


def test_labels_that_are_never_predicted_are_told(tmp_path: Path, bert: str) -> None:
    texts, _ = reviews(60)
    rng = np.random.default_rng(0)
    rare = [["odd"] if rng.random() < 0.1 else [] for _ in texts]
    run = run_quickly(
        (texts, rare),
        tmp_path / "run",
        model=bert,
        method="probe",
        methods=LEAN,
        task="multi-label",
    )
    empty = [c for c in run.record.checks if c.name == "empty predictions"]
    assert empty and "predicts no label for any of" in empty[0].words
    assert "precision-recall curves" in empty[0].words


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    from sources_for_tests import write_model

    return str(write_model(tmp_path_factory.mktemp("models") / "bert", "bert"))
