"""Advice on data: what is measured, what a run makes of it, and what it costs."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from headstart.adapt import FewShot, Probe, Trained
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.finetune import FineTune
from headstart.adapt.forecast import forecast
from headstart.compute.footprint import Power, size_of
from headstart.compute.progress import silent
from headstart.data.dataset import Unlabelled
from headstart.data.load import open_dataset
from headstart.errors import TooFewExamples, UsageError
from headstart.evaluate.intervals import wilson
from headstart.recipe import DataRecipe, Recipe
from headstart.records import Cost, RunRecord
from headstart.run import Run
from headstart.run.advising import Guide, advise, shortlist
from headstart.run.auto import unset
from headstart.run.choosing import Entry, best
from headstart.run.domains import domain_accuracy
from headstart.run.scene import Scene, each_right, lead, look
from headstart.sources import load
from runs_for_tests import reviews, run_quickly, write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("advice") / "bert", "bert"))


@pytest.fixture(scope="module")
def run(bert: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An automatic run on 320 texts: enough to fine-tune, in a budget for the last third alone."""
    place = tmp_path_factory.mktemp("advice-run")
    passes = cycle([0.5, 2.0])  # of the whole, then of the last third: in the tree's order
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.run.scene.passes", lambda *_: next(passes))
        patch.setattr("headstart.run.advising.mistakes", lambda *_: 40)  # these are easy texts
        return run_quickly(reviews(320), place / "run", model=bert)


def scene(count: int, model: str | None, **more: object) -> Scene:
    splits = open_dataset(reviews(count)).splits
    sources = [BackboneFeaturiser(load(model))] if model else []
    return Scene(splits.train, None, len(splits.test), sources, 600.0, 0, **more)  # type: ignore[arg-type]


def test_a_run_says_why_and_what_it_cost(run: Run) -> None:
    advice = run.record.advice
    assert advice is not None and advice.leaf == "partial" and advice.decided
    methods = {result.method for result in run.record.results}
    assert "finetune" in methods and "few-shot" not in methods
    happened = {part.method: part.happened for part in advice.estimates if part.method}
    assert set(happened) == {"simple", "probe", "finetune", "from scratch"}
    assert all(seconds is not None and seconds > 0 for seconds in happened.values())
    tuned = next(r for r in run.record.results if r.method == "finetune")
    spent = tuned.seconds["prepare"] + tuned.seconds["fit"]
    assert happened["finetune"] == pytest.approx(spent, abs=1e-3)
    for cost in (advice.estimated, advice.happened):
        assert isinstance(cost, Cost)
        assert all(v is not None and v > 0 for v in cost.model_dump().values())
    assert advice.happened and advice.happened.seconds == pytest.approx(run.record.seconds, abs=1)


def test_the_estimate_is_said_before_anything_runs(run: Run) -> None:
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    first = next(i for i, line in enumerate(lines) if "Expected:" in line.get("text", ""))
    results = [i for i, line in enumerate(lines) if line["event"] == "result"]
    assert first < min(results)
    decided = next(i for i, line in enumerate(lines) if line.get("text", "").startswith("Advice:"))
    assert min(results) < decided < max(results)


def test_the_advice_is_told_once_and_stands_in_no_list_of_limits(run: Run) -> None:
    card = (run.path / "model" / "README.md").read_text("utf-8")
    for begins in ("Expected:", "Advice:"):
        assert not [note for note in run.record.notes if note.startswith(begins)]
        assert begins not in card


def test_the_report_draws_the_tree_with_one_path(run: Run) -> None:
    page = (run.path / "report.html").read_text("utf-8")
    assert 'id="advice"' in page and "Partial fine-tuning" in page
    advice = run.record.advice
    assert advice is not None
    assert page.count('<li class="taken">') == len(advice.turns) + 1
    assert page.count('<li class="taken">') < page[page.index("tree plain") :].count("<li>")


def test_too_few_for_fine_tuning_keeps_the_probe(bert: str, tmp_path: Path) -> None:
    made = run_quickly(reviews(180), tmp_path / "run", model=bert)  # over 64 a class, under 200
    assert made.record.advice is not None and made.record.advice.leaf == "frozen"
    assert {r.method for r in made.record.results} == {"majority", "simple", "probe",
                                                       "from scratch"}  # fmt: skip


def test_a_method_that_is_asked_for_needs_no_advice(bert: str, tmp_path: Path) -> None:
    made = run_quickly(reviews(24), tmp_path / "run", model=bert, method="probe")
    assert made.record.advice is None


def test_settings_of_a_leaf_are_followed(run: Run) -> None:
    recipe = tomllib.loads((run.path / "recipe.toml").read_text("utf-8"))
    assert recipe["methods"]["finetune"]["depth"] == 0.34
    rates = recipe["methods"]["finetune"]["schedule"][0]["rates"]
    assert "head" in rates and "stem" not in rates and "block.0" not in rates
    assert any("The advice sets finetune.depth = 0.34." in note for note in run.record.notes)


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ({}, {"depth": 0.34}),
        ({"finetune": {"techniques": []}}, {"depth": 0.34}),
        ({"finetune": {"depth": "all"}}, {}),
        ({"finetune": {"depth": "head"}}, {}),
        ({"finetune": {"schedule": [{"share": 1.0}]}}, {}),
    ],
)
def test_what_a_person_set_stays(own: dict[str, dict[str, object]], left: object) -> None:
    recipe = Recipe(methods=own, data=DataRecipe(source="here"))
    assert unset(recipe, "finetune", {"depth": 0.34}) == left


def test_of_many_models_the_first_ranked_are_probed(bert: str, tmp_path: Path) -> None:
    more = [str(write_model(tmp_path / f"bert{n}", "bert")) for n in range(3)]
    said: list[str] = []
    seen = scene(60, bert)
    sources = [BackboneFeaturiser(load(model)) for model in (bert, *more)]
    kept = shortlist(
        seen.data, sources, seed=0, allow_pickle=False, progress=silent, say=said.append
    )
    assert len(kept) == 3 and set(kept) < set(sources)
    assert "4 models ranked" in said[-1]
    assert shortlist(
        seen.data, kept, seed=0, allow_pickle=False, progress=silent, say=said.append
    ) is kept  # fmt: skip


def test_records_of_older_runs_have_no_advice() -> None:
    assert RunRecord.model_fields["advice"].default is None


def test_advise_without_a_model_and_with_other_tasks(bert: str) -> None:
    wide = advise((reviews(40)), model=bert, other_tasks=2, budget="60s")
    assert wide.not_built == ["Multi-task training"] and wide.leaf == "few-shot"
    assert "--other-tasks" not in " ".join(wide.unanswered)
    assert wide.estimated.grams is not None and "10 W a core" in wide.assumption


def test_grams_rest_on_both_options(bert: str) -> None:
    one = advise(reviews(40), model=bert, watts=0.0)
    assert one.estimated.grams == 0.0
    assert Power(20.0, 100.0).grams(1800.0, 4) == pytest.approx(0.5 * 4 * 20 / 1000 * 100)
    with pytest.raises(UsageError, match="--grid"):
        advise(reviews(40), model=bert, grid=-1.0)


def test_domains_alike_and_apart(bert: str) -> None:
    source = BackboneFeaturiser(load(bert))
    ours = open_dataset(reviews(100)).splits.train.inputs
    alike = open_dataset(reviews(300, seed=1)).splits.train.inputs
    words = [f"{text} bad bad bad bad bad" for text in reviews(100, seed=2)[0]]
    apart = open_dataset((words, ["good", "bad"] * 50)).splits.train.inputs
    assert domain_accuracy(source, ours, alike, seed=0) < 0.6
    assert domain_accuracy(source, ours, apart, seed=0) > 0.8
    with pytest.raises(TooFewExamples, match="--target-domain"):
        domain_accuracy(source, ours, apart.take(np.arange(5)), seed=0)


def test_the_target_domain_is_read_without_labels(bert: str, tmp_path: Path) -> None:
    folder = tmp_path / "there.csv"
    folder.write_text("text\n" + "\n".join(f"{t} bad bad bad bad" for t in reviews(60, seed=3)[0]))
    found = advise(reviews(100), model=bert, target_domain=folder)
    assert found.not_built == ["Domain adaptation"]


@pytest.mark.parametrize(("right", "count"), [(73, 100), (20, 40), (39, 40)])
def test_wilsons_interval_is_scipys(right: int, count: int) -> None:
    theirs = binomtest(right, count).proportion_ci(method="wilson").low
    assert wilson(right / count, count, 1.96)[0] == pytest.approx(theirs, abs=1e-5)


def test_a_forecast_tells_one_epoch_from_many_and_changes_nothing(bert: str) -> None:
    seen = scene(200, bert)
    context = seen.context(seen.backbones[0])
    module = seen.backbones[0].backbone.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    one, ten = (forecast(FineTune(epochs=n), context) for n in (1, 10))
    assert 10 * ten.epoch <= ten.total < 40 * ten.epoch  # each by its own measured epoch
    assert one.epoch <= one.total < 4 * one.epoch
    assert one.memory > 4 * sum(p.numel() for p in module.parameters())
    assert all((value == before[name]).all() for name, value in module.state_dict().items())
    assert one.epoch == pytest.approx(len(context.training) * one.step)


def test_domains_of_unequal_size_are_compared_on_examples_drawn_from_all() -> None:
    """Ours lie in order of two kinds; theirs are as many of both, and so of the same domain."""

    def made(kinds: list[int], side: str) -> Unlabelled:
        names = [f"{kind} {side} {at}" for at, kind in enumerate(kinds)]
        digests = np.frombuffer(b"".join(name.encode().ljust(16) for name in names), np.uint8)
        return Unlabelled("text", names, names, digests.reshape(-1, 16))

    def features(inputs: Unlabelled) -> np.ndarray:
        kinds = [int(str(item)[0]) for item in inputs.items]
        return np.eye(2)[kinds] + np.random.default_rng(0).normal(0, 0.1, (len(kinds), 2))

    source: Any = SimpleNamespace(features=features)
    ours, theirs = made([0] * 100 + [1] * 100, "a"), made([0] * 20 + [1] * 20, "b")
    assert domain_accuracy(source, ours, theirs, seed=0) < 0.55


def test_the_lead_is_a_paired_interval(bert: str) -> None:
    seen = look(scene(150, bert))
    probe, simple = seen.models[0].probe, seen.simple
    assert probe is not None and simple is not None
    rows = np.intersect1d(probe.rows, simple.rows)
    gap = each_right(probe, seen.part, rows) - each_right(simple, seen.part, rows)
    error = np.sqrt(((gap - gap.mean()) ** 2).sum() / (len(gap) - 1) / len(gap))
    assert lead(probe, simple, seen.part) == pytest.approx(gap.mean() + 1.959964 * error)
    single = replace(seen.part, groups=np.array([None] * len(seen.part), object))
    assert lead(probe, simple, single) == lead(probe, simple, seen.part)
    people = np.arange(len(seen.part)) % 5
    grouped = replace(seen.part, groups=np.array([f"p{at}" for at in people], object))
    each = np.array([(gap - gap.mean())[people[rows] == at].sum() for at in range(5)])
    error = np.sqrt(5 / 4 * (each**2).sum()) / len(gap)  # of a ratio, linearised
    assert lead(probe, simple, grouped) == pytest.approx(gap.mean() + 2.776445 * error)
    one = replace(seen.part, groups=np.array(["p"] * len(seen.part), object))
    assert lead(probe, simple, one) is None
    assert lead(probe, None, seen.part) is None


def test_photos_far_from_any_model_still_get_advice(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 6)
    found = advise(folder, model="starter:glyphs")
    assert found.leaf == "frozen" and found.model == "starter:glyphs"
    assert size_of(folder) == sum(path.stat().st_size for path in folder.rglob("*.jpg"))
    gone = next(folder.rglob("*.jpg"))
    rest = size_of(folder) - gone.stat().st_size
    with pytest.MonkeyPatch.context() as patch:  # another run moves a file between two looks
        patch.setattr(Path, "is_file", lambda path: gone.unlink(True) or path.suffix == ".jpg")
        assert size_of(folder) == rest


def test_a_run_that_goes_on_keeps_its_decision(bert: str) -> None:
    seen = scene(180, bert)
    old = advise(reviews(60), model=bert).model_copy(update={"leaf": "peft", "decided": True})
    guide = Guide(seen, before=old)
    found = guide.decide([], seen.backbones[0], 100.0)
    assert found.leaf == "peft" and found.estimates == guide.advice.estimates
    undecided = old.model_copy(update={"decided": False})
    again = Guide(seen, before=undecided).decide([], seen.backbones[0], 100.0)
    assert again.leaf == "frozen" and again.decided


@pytest.mark.parametrize(
    ("won", "lost", "chosen"), [(2, 0, "few-shot"), (3, 0, "probe"), (5, 2, "few-shot"),
                                (6, 2, "probe"), (0, 3, "few-shot")],
)  # fmt: skip
def test_what_is_favoured_yields_to_one_standard_error(won: int, lost: int, chosen: str) -> None:
    """2 to 0 has p = 1/4, 3 to 0 has p = 1/8, 5 to 2 has p = 0.227, 6 to 2 has p = 0.145."""
    seen = scene(60, None)
    rows, targets = np.arange(16), seen.data.targets[:16]
    right = np.eye(2)[targets] * 9.0
    probe, tuned = right.copy(), right.copy()
    tuned[:won] = tuned[:won, ::-1]
    probe[won : won + lost] = probe[won : won + lost, ::-1]
    adapted = SimpleNamespace(task=seen.data.task, name="x")
    entries = [
        Entry("candidate", None, method, Trained(adapted, rows, outputs, {}, {}, {}))  # type: ignore[arg-type]
        for method, outputs in ((Probe(), probe), (FewShot(), tuned))
    ]
    assert best(entries, seen.data, "few-shot").method.name == chosen
    without = "probe" if won > lost else "few-shot"
    assert best(entries, seen.data).method.name == without


def test_a_run_that_outlasts_its_budget_says_so(run: Run, bert: str, tmp_path: Path) -> None:
    told = "of a budget of"
    assert not any(told in note for note in run.record.notes)
    assert run.record.advice is not None
    begun = run.record.advice.estimates[0]  # what is gone when the estimate is made is in it
    assert "opening data" in begun.what and 0 < begun.seconds < run.record.seconds
    short = run_quickly(
        reviews(60), tmp_path / "run", model=bert, method="probe", studies={"budget": 0.01}
    )
    assert any(told in note for note in short.record.notes)
