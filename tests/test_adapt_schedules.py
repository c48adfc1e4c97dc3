"""How much moves, when, and at which rate: depth, schedules, accumulation, cycles, range test."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from adapt_for_tests import Models, context
from headstart.adapt.depth import checked_schedule, moving_stages, stretches
from headstart.adapt.finetune import FineTune, rate_for
from headstart.adapt.loop import Phase, model_of, train
from headstart.adapt.objective import task_loss
from headstart.adapt.parts import Parts
from headstart.adapt.range_test import MARGIN, STEPS, bursting, chosen
from headstart.adapt.targets import ScaledLinear
from headstart.data.task import Task
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone

pytestmark = pytest.mark.usefixtures("one_core")
TASK = Task.of("classification", ("a", "b", "c"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


# --- depth ----------------------------------------------------------------------------------------


def test_depth_by_name_count_and_share(models: Models) -> None:
    vit, resnet = models("vit"), models("resnet")
    everything = [stage.name for stage in resnet.stages]
    assert everything[:4] == ["stem", "block.0", "block.1", "block.2"]
    after = everything[4:]  # a norm, where there is one
    assert moving_stages(resnet, "all") == everything
    assert moving_stages(resnet, "head") == []
    assert moving_stages(resnet, "block.1") == ["block.1", "block.2", *after]
    assert moving_stages(resnet, 2) == moving_stages(resnet, "2") == ["block.1", "block.2", *after]
    assert moving_stages(resnet, 0.34) == ["block.2", *after]
    assert moving_stages(resnet, 0.67) == ["block.1", "block.2", *after]
    assert moving_stages(vit, 0) == ["norm"]
    assert moving_stages(vit, 2)[0] == "block.0"


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        ("block.7", r"no stage 'block\.7'; there are stem, block\.0, block\.1, norm"),
        (3, r"3 blocks shall move, but .*vit has 2: block\.0, block\.1"),
        ("5", "5 blocks shall move"),
        (-1, "depth must be a stage, a number of blocks, or a share"),
        (1.5, "depth must be"),
    ],
)
def test_a_depth_that_cannot_be(models: Models, depth: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        moving_stages(models("vit"), depth)
    with pytest.raises(UsageError, match=message):
        FineTune(depth=depth, epochs=1).adapt(context(models("vit"), "classification"))


def test_only_what_is_deep_enough_moves(models: Models) -> None:
    given = context(models("vit"), "classification")
    trained = FineTune(epochs=1, batch=8, depth=1, rate=1e-2, metric="loss").adapt(given)
    assert given.source is not None
    origin = given.source.backbone
    last = next(stage for stage in origin.stages if stage.name == "block.1").parameters
    norm = next(stage for stage in origin.stages if stage.name == "norm").parameters
    sizes = {name: value.numel() for name, value in origin.module.named_parameters()}
    head = 3 * 16 + 3
    assert trained.parameters["trained"] == sum(sizes[n] for n in (*last, *norm)) + head
    schedule = trained.details["schedule"]
    assert set(schedule[-1]["rates"]) == {"block.1", "norm", "head"}


def test_gradual_unfreezing_adds_blocks_from_the_last_on() -> None:
    names = ["stem", *(f"block.{i}" for i in range(8)), "norm"]
    found = stretches("gradual", names, 0.34, 0.3)
    assert [title for title, _, _ in found] == [
        "last 2 blocks", "last 4 blocks", "last 6 blocks", "all stages",
    ]  # fmt: skip
    assert [own[0] for _, _, own in found] == ["block.6", "block.4", "block.2", "stem"]
    assert all(own[-1] == "norm" for _, _, own in found)
    assert sum(share for _, share, _ in found) == pytest.approx(1)
    first, then = stretches("head-first", names, 0.34, 0.25)
    assert first[1:] == (0.25, []) and then[1:] == (0.75, names)


# --- schedules ------------------------------------------------------------------------------------


SETTINGS: dict[str, Any] = {"epochs": 3, "batch": 8, "metric": "loss", "patience": 9}


@pytest.mark.parametrize("unfreeze", ["gradual", "last-first", "head-first"])
def test_a_schedule_from_a_recipe_is_used_as_written(models: Models, unfreeze: str) -> None:
    given = context(models("vit"), "classification")
    first = FineTune(**SETTINGS, unfreeze=unfreeze, shape="one-cycle", norm="trained").adapt(given)
    written = tomllib.loads(tomli_w.dumps({"schedule": first.details["schedule"]}))["schedule"]
    again = FineTune(**SETTINGS, schedule=tuple(written)).adapt(given)
    assert again.details["schedule"] == first.details["schedule"]
    assert again.details["phases"] == first.details["phases"]
    assert [e.get("loss") for e in again.details["curve"]] == [
        e.get("loss") for e in first.details["curve"]
    ]
    np.testing.assert_array_equal(again.outputs, first.outputs)


def test_an_edited_schedule_is_honoured(models: Models) -> None:
    given = context(models("vit"), "classification")
    schedule: list[dict[str, Any]] = [
        {"name": "one", "share": 0.5, "rates": {"head": 1e-2}, "shape": "constant"},
        {"name": "two", "share": 0.5, "rates": {"block.0": 1e-2}, "shape": "linear", "warm_up": 0},
    ]
    trained = FineTune(**SETTINGS, schedule=tuple(schedule)).adapt(given)
    phases = trained.details["phases"]
    assert [(p["name"], p["rates"]) for p in phases] == [(e["name"], e["rates"]) for e in schedule]
    assert abs(phases[0]["steps"] - phases[1]["steps"]) <= 1
    assert trained.details["schedule"][1]["shape"] == "linear"
    assert given.source is not None
    origin = given.source.backbone
    found = trained.adapted.featuriser.backbone.module.state_dict()  # type: ignore[attr-defined]
    moved = {n for n, v in origin.module.state_dict().items() if not torch.equal(v, found[n])}
    allowed = next(stage for stage in origin.stages if stage.name == "block.0").parameters
    assert moved <= set(allowed)
    assert schedule[0] == {
        "name": "one", "share": 0.5, "rates": {"head": 1e-2}, "shape": "constant",
    }, "the recipe was changed"  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"share": 1.0}, "needs a table 'rates'"),
        ({"share": 0, "rates": {"head": 1e-3}}, "needs a 'share'"),
        ({"share": 1.0, "rates": {"block.9": 1e-3}}, r"moves 'block\.9'; there are stem, block\.0"),
        ({"share": 1.0, "rates": {"head": "fast"}}, "the rate of 'head' must be a number"),
        ({"share": 1.0, "rates": {"head": -1.0}}, "the rate of 'head' must be a number >= 0"),
        ({"share": 1.0, "rates": {"head": 1e-3}, "shape": "square"}, "shape must be one of cosine"),
        ({"share": 1.0, "rates": {"head": 1e-3}, "norm": "off"}, "norm must be one of frozen"),
        ({"share": 1.0, "rates": {"head": 1e-3}, "warm_up": 2}, "warm_up must be in"),
        ({"share": 1.0, "rates": {"head": 1e-3}, "speed": 2}, "has no speed"),
    ],
)
def test_a_schedule_that_cannot_be_names_the_entry(
    models: Models, entry: dict[str, Any], message: str
) -> None:
    good = {"name": "good", "share": 1.0, "rates": {"head": 1e-3}}
    names = [stage.name for stage in models("vit").stages]
    with pytest.raises(UsageError, match=f"phase 2.*{message}"):
        checked_schedule([good, entry], [*names, "head"])
    with pytest.raises(UsageError, match="different names"):
        checked_schedule([good, good], [*names, "head"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"epochs": 1.5}, {"batch": 0}, {"accumulate": 0}, {"head_rate": 0},
        {"decay": -1}, {"patience": -1}, {"views": -1}, {"weight_decay": -0.1}, {"clip": -1},
        {"rate": 0}, {"rate": "fast"}, {"rate": True}, {"first": 1.5}, {"warm_up": -0.1},
        {"shape": "square"}, {"norm": "off"}, {"metric": "f1"}, {"unfreeze": "never"},
        {"adapter_rate": float("nan")},
    ],
)  # fmt: skip
def test_wrong_settings_name_the_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"FineTune\.{next(iter(wrong))}"):
        FineTune(**wrong)


def test_a_whole_number_is_a_rate_too(models: Models) -> None:
    phases = FineTune(rate=1).phases(models("vit"), context(models("vit"), "classification"), 10)
    assert phases[-1].rates["norm"] == 1.0


# --- accumulation and cycles ----------------------------------------------------------------------


def trained_on(backbone: Backbone, size: int, phase: Phase) -> tuple[torch.Tensor, list[float]]:
    """Train on 48 examples in batches of `size`; returns all weights, and the losses."""
    rng = np.random.default_rng(0)
    pictures = torch.from_numpy(rng.normal(0, 1, (48, 3, 32, 32)).astype(np.float32))
    targets = torch.from_numpy(np.arange(48) % 3)
    head = ScaledLinear(torch.zeros(16), torch.ones(16), 3)
    with torch.no_grad():
        head.linear.weight.copy_(torch.linspace(-1, 1, 48).reshape(3, 16))
        head.linear.bias.zero_()
    model = model_of(backbone, head)
    pairs = [
        ({"pixel_values": pictures[at : at + size]}, targets[at : at + size])
        for at in range(0, 48, size)
    ]
    parts = Parts.of(model, backbone)
    steps = list(train(model, parts, (phase,), lambda at, used: iter(pairs), seed=0))
    flat = torch.cat([value.detach().flatten() for value in model.state_dict().values()])
    return flat, [step.loss for step in steps]


def test_two_half_batches_are_one_whole_batch(models: Models) -> None:
    def run(size: int, accumulate: int) -> tuple[torch.Tensor, list[float]]:
        backbone = models("vit")
        rates = {stage.name: 1e-3 for stage in backbone.stages} | {"head": 1e-3}
        phase = Phase(
            name="p", steps=4, rates=rates, loss=task_loss(TASK, backbone), accumulate=accumulate
        )
        return trained_on(backbone, size, phase)

    whole, losses = run(12, 1)
    halves, same = run(6, 2)
    np.testing.assert_allclose(same, losses, rtol=1e-6)
    # AdamW divides by the gradient's size, so that rounding counts where there is none.
    assert (halves - whole).abs().max() < 1e-4
    assert (halves - whole).abs().mean() < 1e-6


def test_accumulated_gradients_are_those_of_the_whole_batch(models: Models) -> None:
    gradients = []
    for size, accumulate in ((12, 1), (6, 2), (4, 3)):
        backbone = models("vit")
        rates = {stage.name: 0.0 for stage in backbone.stages}
        phase = Phase(
            name="p", steps=1, rates=rates, loss=task_loss(TASK, backbone), accumulate=accumulate,
            clip=0.0,
        )  # fmt: skip
        trained_on(backbone, size, phase)
        gradients.append(
            torch.cat(
                [p.grad.flatten() for p in backbone.module.parameters() if p.grad is not None]
            )
        )
    for found in gradients[1:]:
        assert (found - gradients[0]).abs().max() < 1e-6 * gradients[0].abs().max() + 1e-7


def test_fine_tuning_accumulates(models: Models) -> None:
    given = context(models("vit"), "classification")
    one = FineTune(epochs=2, batch=8, unfreeze="together").adapt(given)
    two = FineTune(epochs=2, batch=8, accumulate=2, unfreeze="together").adapt(given)
    assert two.details["batch"] == 4
    assert two.details["steps_planned"] == pytest.approx(one.details["steps_planned"], abs=1)
    assert len(two.details["curve"]) == pytest.approx(len(one.details["curve"]), abs=1)


def test_one_cycle_cycles_rate_and_beta(models: Models) -> None:
    backbone = models("vit")
    phase = Phase(
        name="p", steps=20, rates={"head": 1e-3}, loss=task_loss(TASK, backbone),
        shape="one-cycle", warm_up=0.25,
    )  # fmt: skip
    model = model_of(backbone, ScaledLinear(torch.zeros(16), torch.ones(16), 3))
    pair = {"pixel_values": torch.zeros(3, 3, 32, 32)}, torch.tensor([0, 1, 2])
    rates, betas = [], []
    for step in train(
        model, Parts.of(model, backbone), (phase,), lambda at, used: iter([pair] * 20), seed=0
    ):
        group = step.optimiser.param_groups[0]
        rates.append(group["lr"])
        betas.append(group["betas"][0])
    peak = int(np.argmax(rates))
    assert peak == 4 and rates[peak] == pytest.approx(1e-3)
    assert betas[peak] == pytest.approx(0.85) == min(betas)
    assert betas[-1] > 0.94 and betas[0] > 0.93
    np.testing.assert_allclose(betas, 0.95 - 0.1 * np.asarray(rates) / 1e-3, atol=1e-12)


# --- the range test -------------------------------------------------------------------------------


def curve(best: float, burst: float | None) -> tuple[tuple[float, float], ...]:
    """A loss that falls from 2 to 1 around the rate `best`, and bursts from `burst` on."""
    rates = 10.0 ** (np.arange(STEPS) / 10 - 6)
    losses = 1 + 1 / (1 + (rates / best) ** 2)
    if burst is not None:
        losses = losses + 30 * np.clip(np.log10(rates / burst), 0, None)
    return tuple(zip(rates.tolist(), losses.tolist(), strict=True))


def test_the_rate_is_where_the_loss_falls_steepest() -> None:
    found = chosen(curve(1e-3, 1e-1), usual=1.0)
    assert 7e-4 < found.rate < 1.5e-3 and "steepest" in found.reason
    assert found.bursts_at == pytest.approx(2e-1, rel=0.8)


def test_a_tenth_of_where_it_bursts_is_the_limit() -> None:
    found = chosen(curve(1e-3, 2e-3), usual=1.0)
    assert found.bursts_at is not None and found.rate == pytest.approx(found.bursts_at / MARGIN)
    level = tuple((rate, 1.0) for rate, _ in curve(1.0, None))
    flat = chosen(level, usual=3e-4)
    assert flat.rate == 3e-4 and "hardly falls" in flat.reason and flat.bursts_at is None
    bursting_early = tuple((rate, 1.0 if rate < 1e-4 else 50.0) for rate, _ in level)
    assert chosen(bursting_early, usual=3e-4).rate < 3e-4
    assert chosen(level[:5], usual=3e-4).reason == "the usual one: the test was too short"
    ended = chosen(level[:30], usual=1.0, finite=False)
    assert ended.rate == pytest.approx(level[29][0] / MARGIN)
    assert bursting(np.ones(9)) is None


@pytest.mark.parametrize("spec", ["", "lora"])
def test_fine_tuning_takes_the_rate_of_the_test(models: Models, spec: str) -> None:
    if spec:
        pytest.importorskip("peft")
    given = context(models("vit"), "classification")
    heard: list[str] = []
    method = FineTune(rate="test", epochs=2, batch=8, techniques=(spec,) if spec else ())
    assert given.source is not None
    weights = {n: v.clone() for n, v in given.source.backbone.module.state_dict().items()}
    before = torch.get_rng_state()
    trained = method.adapt(replace(given, say=heard.append))
    assert torch.equal(before, torch.get_rng_state())
    assert all(
        torch.equal(value, weights[name])
        for name, value in given.source.backbone.module.state_dict().items()
    )
    facts = trained.details["range_test"]
    assert 1e-7 <= facts["rate"] <= 1.0 and len(facts["curve"]) <= STEPS
    tested = [entry["rate"] for entry in facts["curve"]]
    assert tested == sorted(tested)
    assert trained.details["phases"][-1]["rates"]["lora" if spec else "norm"] == facts["rate"]
    assert any("learning rate" in line for line in heard)
    same = method.adapt(given)
    assert same.details["range_test"] == facts
    plain = FineTune(
        epochs=2, batch=8, techniques=method.techniques,
        **{"adapter_rate" if spec else "rate": facts["rate"]},
    ).adapt(given)  # fmt: skip
    np.testing.assert_array_equal(plain.outputs, trained.outputs)  # the test leaves no trace


def test_what_a_range_test_cannot_do(models: Models) -> None:
    given = context(models("vit"), "classification")
    with pytest.raises(UsageError, match="the head alone moves"):
        FineTune(rate="test", depth="head").adapt(given)
    hurried = FineTune(rate="test", epochs=1, batch=8).adapt(replace(given, seconds=1e-3))
    assert "took all its time" in hurried.details["range_test"]["reason"]
    assert hurried.details["range_test"]["rate"] == rate_for(models("vit"))
    schedule = ({"share": 1.0, "rates": {"head": 1e-3}},)
    written = FineTune(rate="test", epochs=1, batch=8, schedule=schedule).adapt(given)
    assert "range_test" not in written.details
