"""The training loop: what stands still, what moves, how it learns, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import headstart.sources as sources
from headstart.adapt.finetune import FineTune, norm_of
from headstart.adapt.loop import Diverged, Phase, Step, model_of, train
from headstart.adapt.method import Context
from headstart.adapt.objective import task_loss
from headstart.adapt.parts import Parts
from headstart.adapt.rates import share
from headstart.adapt.targets import ScaledLinear
from headstart.compute.threads import threads
from headstart.data.task import Task
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone, Batch
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")

THREE = Task.of("classification", ("a", "b", "c"))
GOLDEN = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base = tmp_path_factory.mktemp("models")
    return {family: str(write_model(base / family, family)) for family in ("vit", "resnet")}


class Bench:
    """A backbone with a head and endless batches of noise whose class is its brightness."""

    def __init__(self, backbone: Backbone, *, seed: int = 0) -> None:
        self.backbone = backbone
        self.head = ScaledLinear(torch.zeros(backbone.width), torch.ones(backbone.width), 3)
        with torch.no_grad():
            self.head.linear.weight.fill_(0.01)
            self.head.linear.bias.zero_()
        self.model = model_of(backbone, self.head)
        self.batches = self._batches(np.random.default_rng(seed))

    def _batches(self, rng: np.random.Generator) -> Iterator[tuple[Batch, Tensor]]:
        while True:
            targets = np.arange(9) % 3
            noise = rng.normal(0, 0.5, (9, 3, 32, 32)) + (targets - 1)[:, None, None, None]
            yield (
                {"pixel_values": torch.from_numpy(noise.astype(np.float32))},
                torch.from_numpy(targets),
            )

    def phase(self, steps: int, rates: dict[str, float], **more: Any) -> Phase:
        return Phase(name="p", steps=steps, rates=rates, loss=task_loss(THREE, self.backbone),
                     **more)  # fmt: skip

    def train(self, *phases: Phase, seed: int = 0) -> list[Step]:
        return list(self.steps(*phases, seed=seed))

    def steps(self, *phases: Phase, seed: int = 0) -> Iterator[Step]:
        parts = Parts.of(self.model, self.backbone)
        return train(self.model, parts, phases, lambda at, used: self.batches, seed=seed)

    def state(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_what_stands_still_is_unchanged_to_the_bit(folders: dict[str, str], family: str) -> None:
    bench = Bench(sources.load(folders[family]))
    stage = next(s for s in reversed(bench.backbone.stages) if s.name.startswith("block."))
    before = bench.state()
    bench.train(bench.phase(3, {stage.name: 1e-2, "head": 1e-2}))
    allowed = {f"backbone.{name}" for name in stage.parameters}
    allowed |= {"head.linear.weight", "head.linear.bias"}
    assert moved(before, bench.state()) == allowed  # neither other weights nor any statistics
    counted = {n for n, p in bench.model.named_parameters() if p.requires_grad}
    assert counted == allowed
    assert not bench.model.training


def test_batch_norm_learns_statistics_only_where_the_phase_says_so(folders: dict[str, str]) -> None:
    def statistics(**more: Any) -> set[str]:
        bench = Bench(sources.load(folders["resnet"]))
        before = bench.state()
        rates = {stage.name: 1e-4 for stage in bench.backbone.stages}
        bench.train(bench.phase(2, rates | {"head": 1e-3}, **more))
        return {name for name in moved(before, bench.state()) if "running" in name}

    assert statistics() == set()
    assert len(statistics(norm="trained")) > 10


def test_phases_freeze_again_what_the_next_one_does_not_move(folders: dict[str, str]) -> None:
    bench = Bench(sources.load(folders["vit"]))
    bench.train(bench.phase(2, {"block.0": 1e-3}))
    before = bench.state()
    steps = bench.train(bench.phase(2, {"head": 1e-3}))
    assert moved(before, bench.state()) == {"head.linear.weight", "head.linear.bias"}
    assert [step.number for step in steps] == [1, 2]


def test_numbers_go_on_over_phases_and_name_them(folders: dict[str, str]) -> None:
    bench = Bench(sources.load(folders["vit"]))
    phases = [replace(bench.phase(2, {"head": 1e-3}), name=name) for name in ("one", "two")]
    steps = bench.train(*phases)
    assert [(s.number, s.phase) for s in steps] == [(1, "one"), (2, "one"), (3, "two"), (4, "two")]


def test_an_unknown_stage_is_named_with_those_there_are(folders: dict[str, str]) -> None:
    bench = Bench(sources.load(folders["vit"]))
    with pytest.raises(UsageError, match=r"block\.9.*block\.1"):
        bench.train(bench.phase(1, {"block.9": 1e-3}))


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_the_loss_falls(folders: dict[str, str], family: str) -> None:
    bench = Bench(sources.load(folders[family]))
    rates = {stage.name: 1e-3 for stage in bench.backbone.stages} | {"head": 1e-2}
    losses = [step.loss for step in bench.train(bench.phase(40, rates))]
    assert losses[0] == pytest.approx(np.log(3), abs=0.1)  # the head starts indifferent
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_a_head_alone_learns_as_adamw_by_hand(folders: dict[str, str]) -> None:
    """One step of AdamW: every weight goes by the rate times the sign of its gradient."""
    bench = Bench(sources.load(folders["vit"]))
    with torch.no_grad():  # no class is answered rightly enough for a gradient of zero
        bench.head.linear.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
    before = bench.state()
    bench.train(bench.phase(1, {"head": 0.01}, weight_decay=0.5, warm_up=1.0))
    after = bench.state()
    bias = (after["head.linear.bias"] - before["head.linear.bias"])[[0, 2]]
    np.testing.assert_allclose(bias, [-0.01, 0.01], rtol=1e-3)  # a vector: not decayed
    weight, old = after["head.linear.weight"], before["head.linear.weight"]
    np.testing.assert_allclose((weight - old * (1 - 0.01 * 0.5)).abs(), 0.01, rtol=1e-2)


def test_schedule_climbs_then_falls_along_a_cosine() -> None:
    shares = [share("cosine", i, 100, 0.1) for i in range(100)]
    np.testing.assert_allclose(shares[:10], np.arange(1, 11) / 10)
    falling = np.asarray(shares[10:])
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(90) / 90))
    np.testing.assert_allclose(falling, expected, atol=1e-12)
    assert min(shares) > 0 and max(shares) == 1
    assert share("cosine", 0, 1, 0.1) == 1  # a single step is taken at the full rate


def test_dropout_follows_the_seed_alone(tmp_path: Path) -> None:
    folder = str(write_model(tmp_path / "vit", "vit", hidden_dropout_prob=0.4))

    def losses(seed: int, disturb: bool = False) -> list[float]:
        bench = Bench(sources.load(folder))
        if disturb:
            torch.manual_seed(999)
        rates = {stage.name: 1e-3 for stage in bench.backbone.stages} | {"head": 1e-3}
        return [step.loss for step in bench.train(bench.phase(4, rates), seed=seed)]

    assert losses(1) == losses(1, disturb=True)
    assert losses(1) != losses(2)
    bench = Bench(sources.load(folder))
    before = torch.get_rng_state()
    bench.train(bench.phase(2, {"head": 1e-3}))
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_that_is_no_number_raises_before_it_does_harm(folders: dict[str, str]) -> None:
    bench = Bench(sources.load(folders["vit"]))
    good = task_loss(THREE, bench.backbone)

    def breaks(model: Any, inputs: Batch, targets: Tensor, progress: float) -> Tensor:
        return good(model, inputs, targets, progress) * (float("nan") if progress >= 0.5 else 1.0)

    phase = replace(bench.phase(4, {"head": 1e-3}), loss=breaks)
    seen = []
    with pytest.raises(Diverged, match="step 3 of phase 'p'"):
        for step in bench.steps(phase):
            seen.append((step, bench.state()))  # noqa: PERF401 - it raises on the way
    assert [step.number for step, _ in seen] == [1, 2]
    assert not moved(seen[-1][1], bench.state())


def fine_tuning(backbone: Backbone) -> list[float]:
    """Losses of both phases of fine-tuning, 20 steps in all, on fixed batches."""
    bench = Bench(backbone, seed=3)
    context = Context(data=_Kind(), folds=None, validation=np.empty(0, int), seed=0, seconds=1.0)  # type: ignore[arg-type]
    phases = FineTune(rate=1e-3, unfreeze="last-first", decay=0.85).phases(backbone, context, 20)
    assert [phase.name for phase in phases] == ["last stages", "all stages"]
    with threads(1):
        return [step.loss for step in bench.train(*phases)]


class _Kind:
    task = THREE


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_golden_curve(folders: dict[str, str], family: str) -> None:
    """The losses as they were recorded; `python tests/test_adapt_loop.py` records them anew."""
    recorded = json.loads((GOLDEN / f"golden_finetune_{family}.json").read_text())
    backbone = sources.load(folders[family])
    weights = sum(float(p.detach().double().abs().sum()) for p in backbone.module.parameters())
    if weights != pytest.approx(recorded["weights"], rel=1e-6):
        pytest.skip("this version of torch or transformers draws other random weights")
    np.testing.assert_allclose(fine_tuning(backbone), recorded["losses"], atol=1e-5)


def test_fine_tuning_moves_later_stages_more(folders: dict[str, str]) -> None:
    backbone = sources.load(folders["vit"])
    context = Context(data=_Kind(), folds=None, validation=np.empty(0, int), seed=0, seconds=1.0)  # type: ignore[arg-type]
    first, rest = FineTune(unfreeze="last-first", decay=0.85).phases(backbone, context, 10)
    assert (first.steps, rest.steps) == (3, 7)
    assert set(first.rates) < set(rest.rates)
    assert set(rest.rates) == {stage.name for stage in backbone.stages} | {"head"}
    ordered = [rest.rates[stage.name] for stage in backbone.stages]
    assert ordered == sorted(ordered) and len(set(ordered)) == len(ordered)


def test_norms_are_told_apart(folders: dict[str, str]) -> None:
    assert norm_of(sources.load(folders["vit"]).module) == "layer"
    assert norm_of(sources.load(folders["resnet"]).module) == "batch"
    assert norm_of(torch.nn.Linear(2, 2)) == "none"


if __name__ == "__main__":
    import tempfile

    for family in ("vit", "resnet"):
        with tempfile.TemporaryDirectory() as place:
            backbone = sources.load(str(write_model(Path(place), family)))
            found = sum(
                float(p.detach().double().abs().sum()) for p in backbone.module.parameters()
            )
            facts = {"weights": found, "losses": fine_tuning(backbone)}
        (GOLDEN / f"golden_finetune_{family}.json").write_text(json.dumps(facts, indent=1) + "\n")
