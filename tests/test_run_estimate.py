"""What a run is expected to cost: each rule against numbers by hand, sizes against real files."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy import sparse

from headstart.adapt import FineTune
from headstart.adapt.baselines import FromScratch
from headstart.adapt.checkpoint import EVERY
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.feed import Feed
from headstart.adapt.folds import Folds
from headstart.adapt.forecast import Forecast, forecast
from headstart.adapt.probe import HEADS, Probe, growth
from headstart.adapt.probe.given import Given, Tally
from headstart.adapt.solvers.path import Path as Path_
from headstart.compute.budget import Budget
from headstart.compute.footprint import Power
from headstart.data.load import open_dataset
from headstart.data.task import Task
from headstart.records import Advice, AdviceNode, Estimate
from headstart.report.advised import compared
from headstart.run import estimate
from headstart.run.advising import Guide
from headstart.run.scene import Forecasts, Scene
from headstart.sources import load
from runs_for_tests import reviews, write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")
FORECAST = Forecast(
    fixed=5.0, steps=100.0, validating=10.0, once=1.0, pace=2.0, epoch=10.0, step=0.1, least=2.0,
    memory=300, checkpoint=70,
)  # fmt: skip


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("estimate") / "bert", "bert"))


def scene(model: str, count: int = 60) -> Scene:
    splits = open_dataset(reviews(count)).splits
    return Scene(splits.train, None, len(splits.test), [BackboneFeaturiser(load(model))], 600.0, 0)


def advice(**more: Any) -> Advice:
    node = AdviceNode(id="x", text="x")
    return Advice(leaf="full", title="t", words="w", tree=node, **({"methods": []} | more))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1000.0, 5 + 100 + 10),  # all of it
        (100.0, 5 + 42.5 + 4.25),  # 0.85 x 100 s buy steps that are taken to cost twice as much
        (20.0, 5 + 8.5 + 1),  # one validation at least
        (0.1, 5 + 2 + 1),  # two steps at least
    ],
)
def test_training_keeps_to_its_time_as_the_loop_does(seconds: float, expected: float) -> None:
    assert FORECAST.within(seconds) == pytest.approx(expected)
    assert FORECAST.total == 115.0


def test_a_step_that_outlasts_the_time_ends_training_with_a_validation() -> None:
    slow = replace(FORECAST, steps=100.0, validating=50.0, pace=1.0)
    assert slow.within(20.0) == pytest.approx(5 + 20 + 1)  # 17 of steps and 8.5 were too much


def test_a_checkpoint_is_as_large_as_those_that_training_writes(bert: str, tmp_path: Path) -> None:
    seen = scene(bert)
    context = replace(seen.context(seen.backbones[0]), keep=tmp_path / "kept", every=0.0)
    sizes = {}
    for name, method in {"tuned": FineTune(epochs=1), "scratch": FromScratch(epochs=1)}.items():
        own = replace(context, keep=tmp_path / name)
        method.adapt(own)
        sizes[name] = forecast(method, own).checkpoint
        newest = max((tmp_path / name).glob("optimiser-*.safetensors"))
        number = newest.stem.partition("-")[2]
        files = [newest, newest.with_name(f"model-{number}.safetensors")]
        real = sum(array.nbytes for file in files for array in load_file(file).values())
        assert sizes[name] == pytest.approx(real, rel=0.01)
    assert sizes["scratch"] > sizes["tuned"]  # from scratch the embeddings move too


def test_memory_counts_what_is_prepared_twice_while_it_is_stacked(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 12)
    data = open_dataset(folder).splits.train
    source = BackboneFeaturiser(load("starter:glyphs"))
    feed = Feed(source.backbone, data.inputs)
    batch = feed.batch(np.arange(len(data)))
    assert feed.bytes_each * len(data) == sum(v.numel() * v.element_size() for v in batch.values())
    feed.close()
    context = Scene(data, None, 0, [source], 60.0, 0).context(source)
    found = forecast(FromScratch(), context)
    weights = 4 * sum(p.numel() for p in source.backbone.module.parameters())
    assert found.memory >= max(2 * feed.bytes_each * len(data), 6 * weights)


def test_only_features_that_are_missing_are_expected(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    seen = scene(bert)
    source, inputs = seen.backbones[0], seen.data.inputs
    assert source.extractor.lacking(inputs) == len(inputs)
    source.features(inputs.take(np.arange(10)))
    assert source.extractor.lacking(inputs) == len(inputs) - 10
    source.features(inputs)
    assert source.extractor.lacking(inputs) == 0


def few(features: Any, folds: int = 5) -> Given:
    rows = np.arange(features.shape[0])
    return Given(features, rows % 2, Task.of("classification", ("a", "b")), Folds(rows % folds))


def test_heads_grow_by_iterations_and_decompositions(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {100: (0.5, 0.1), 2000: (2.0, 0.4), 4000: (3.0, 0.8)}  # (decomposed, iteration)
    monkeypatch.setattr(growth, "_timed", lambda rows, *_: seconds[rows.shape[0]])
    features, rng = np.zeros((100, 8), np.float32), np.random.default_rng(0)

    def grown(many: int, head: str, given: float) -> float:
        return growth._Growth(few(features), many, rng).of(head, given, 10)

    assert grown(100, "logistic", 3.0) == 3.0
    assert grown(2000, "logistic", 3.0) == pytest.approx(3.0 + 2 * 1.5 + 10 * 0.3)
    monkeypatch.setattr(growth, "_kernel", lambda count, *_: {100: 0.1, 2000: 0.6}[count])
    assert grown(2000, "rbf", 5.0) == pytest.approx(5.0 + 3 * (1.5 + 0.5) + 10 * 0.3)
    assert grown(8000, "svm", 3.0) == pytest.approx(3.0 + 2 * (2 * 2.5 + 10 * 0.7))
    assert grown(2000, "knn", 3.0) > 3.0


def test_products_are_counted_as_the_solver_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    solve = Path_.solve

    def counting(self: Path_, *args: Any, **more: Any) -> int:
        made.append(1 + solve(self, *args, **more))
        return made[-1] - 1

    monkeypatch.setattr(Path_, "solve", counting)
    features = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    tally = Tally()
    probe = Probe(scalings=("global",))
    HEADS[0].fit(replace(few(features), tally=tally), probe.settings(0))
    assert 0 < tally.products < sum(made)  # the last fit, of all the data, is of one problem alone
    assert tally.products >= sum(made[:-2])


def test_heads_are_fitted_to_the_few_and_sparse_rows_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    dense = few(rng.standard_normal((40, 6)).astype(np.float32))
    fitted: list[str] = []
    monkeypatch.setattr(growth._Growth, "of", lambda _, head, *cost: fitted.append(head) or 1.0)
    assert growth.expected(dense, 40, rng=rng) == 6.0
    assert fitted == ["logistic", "ridge", "svm", "rbf", "rbf-svm", "knn"]
    monkeypatch.undo()
    table = sparse.random(40, 30, density=0.2, format="csr", random_state=0, dtype=np.float32)
    assert growth.expected(few(table), 80, rng=rng) > 0
    again = growth._repeated(table, 90).toarray()
    assert again.shape == (90, 30) and (again == table.toarray()[np.arange(90) % 40]).all()


def leader() -> Any:
    return SimpleNamespace(model="m", source=SimpleNamespace(title="M"))


def test_what_trains_shares_what_is_left_of_the_budget() -> None:
    costs: Any = SimpleNamespace(
        whole=FORECAST, part=None, scratch=FORECAST, scene=SimpleNamespace(least=10.0)
    )
    found = estimate._trained(leader(), costs, advice(methods=["finetune"]), 100.0)
    assert [one.seconds for one in found] == [pytest.approx(FORECAST.within(45.0))]
    both = estimate._trained(leader(), costs, advice(methods=["finetune", "finetune"]), 100.0)
    assert both[1].seconds == pytest.approx(FORECAST.within(0.45 * (100.0 - both[0].seconds)))
    probe = Estimate(what="p", method="probe", model="m", seconds=4.0)
    last = estimate._scratch(leader(), costs, [probe, *found], 100.0)
    assert last.seconds == pytest.approx(FORECAST.within(4.0 + found[0].seconds))
    late = estimate._scratch(leader(), costs, [probe, *found], found[0].seconds + 12.0)
    assert late.seconds == pytest.approx(FORECAST.within(12.0))  # no more than there is


def test_the_last_part_is_expected_where_the_leaf_asks_for_it() -> None:
    part = replace(FORECAST, fixed=1.0)
    costs: Any = SimpleNamespace(whole=FORECAST, part=part, scratch=None)
    partial = advice(methods=["finetune"], settings={"finetune": {"depth": 0.34}})
    assert estimate._tuning(costs, partial) is part
    assert estimate._tuning(costs, advice()) is FORECAST


def test_disk_has_checkpoints_of_the_longest_training_alone(bert: str) -> None:
    seen = scene(bert, 20)
    backbone = seen.backbones[0].backbone
    sights: Any = SimpleNamespace(models=[SimpleNamespace(model="m", source=seen.backbones[0])])
    weights = 4.0 * sum(p.numel() for p in backbone.module.parameters())
    costs: Any = SimpleNamespace(
        whole=FORECAST, part=None, scratch=replace(FORECAST, fixed=3.0, checkpoint=10_000_000)
    )

    def disk(seconds: float) -> float:
        parts = [Estimate(what="s", method="from scratch", model="m", seconds=seconds)]
        found = estimate._disk(seen, sights, costs, advice(), parts) * 2.0**20
        return found - seen.test * (4.0 * backbone.width + 16)

    assert disk(EVERY + 2) == pytest.approx(2 * weights)  # the result, and the copy handed over
    assert disk(EVERY + 4) == pytest.approx(2 * weights + 10_000_000)
    assert disk(10 * EVERY) == pytest.approx(2 * weights + 20_000_000)  # two are kept


def test_co2_goes_by_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(100.0, time.monotonic() - 50.0, time.process_time() - 75.0)
    assert budget.busy == pytest.approx(1.5, rel=0.01)
    found = estimate.happened(advice(), [], budget, 2.0**20, Power(10.0, 480.0))
    assert found.happened and found.happened.disk == 1.0
    assert found.happened.grams == pytest.approx(75.0 / 3600 * 10 / 1000 * 480, rel=0.01)


def test_what_was_left_out_and_what_was_asked_are_told(tmp_path: Path, bert: str) -> None:
    parts = [
        Estimate(what="finetune of M", method="finetune", model="m", seconds=9.0),
        Estimate(what=estimate.ASKING, seconds=2.0, rests_on="pace"),
    ]
    told = estimate.happened(
        advice(estimates=parts, decided=True), [], Budget(9.0), 0.0, Power(), asking=3.0
    )
    rows = {one.what: one for one in compared(told)}
    assert rows["finetune of M"].happened == "left out"
    assert rows[estimate.ASKING].happened.startswith("3") and rows[estimate.ASKING].rests_on
    undecided = told.model_copy(update={"decided": False})
    assert compared(undecided)[0].happened == ""


def test_the_most_on_disk_counts(bert: str, tmp_path: Path) -> None:
    guide = Guide(scene(bert, 20))
    (tmp_path / "checkpoint").write_bytes(b"x" * 2**20)
    guide.weigh(tmp_path)
    (tmp_path / "checkpoint").unlink()
    found = guide.told([], tmp_path).happened
    assert found is not None and found.disk is not None and found.disk >= 1.0


def test_from_scratch_is_timed_as_it_is_trained(bert: str) -> None:
    seen = scene(bert)
    costs = Forecasts(seen, seen.backbones[0])
    assert costs.whole is not None and costs.scratch is not None
    assert costs.scratch.checkpoint > costs.whole.checkpoint
    assert costs.scratch.steps > costs.whole.steps  # 60 epochs at most beside a few
