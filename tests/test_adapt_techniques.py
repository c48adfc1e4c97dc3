"""Every technique against an independent reference: a loop by hand, torch's own, a closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from adapt_for_tests import Models, context
from headstart.adapt.boundary import Boundary, Cached
from headstart.adapt.finetune import FineTune
from headstart.adapt.loop import model_of
from headstart.adapt.objective import objective
from headstart.adapt.targets import ScaledLinear
from headstart.adapt.technique import Setting, parse, written
from headstart.adapt.techniques import BUILTIN, techniques
from headstart.adapt.techniques.balance import ClassWeights, LogitAdjustment
from headstart.adapt.techniques.dropout import Dropout, DropPath, Path
from headstart.adapt.techniques.ema import Ema
from headstart.adapt.techniques.mixing import CutMix, Mixup
from headstart.adapt.techniques.penalties import L1, L2SP
from headstart.adapt.techniques.smoothing import Smoothing
from headstart.adapt.techniques.soup import Soup, mean
from headstart.adapt.techniques.subset import BitFit, NormOnly
from headstart.compute.precision import FP32
from headstart.data.task import Task
from headstart.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_core")

CLASSES = Task.of("classification", ("a", "b", "c", "d"))
LABELS = Task.of("multi-label", ("a", "b", "c", "d"))
NUMBER = Task.of("regression", ("size",))
RNG = np.random.default_rng(7)
OUTPUTS = torch.from_numpy(RNG.normal(0, 2, (12, 4)))
ANSWERS = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
MANY = (torch.arange(12)[:, None] % torch.tensor([2, 3, 4, 6]) == 0).to(torch.int8)
SIZES = torch.from_numpy(RNG.normal(0, 1, 12))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


def setting(task: Task, targets: Tensor, backbone: Any = None) -> Setting:
    return Setting(task, backbone, targets, seed=0)


def criterion(technique: Any, task: Task, targets: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    found: Callable[[Tensor, Tensor], Tensor] = technique.criterion(
        task.kind.losses, setting(task, targets)
    )
    return found


# --- how they are written -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BUILTIN, ids=lambda kind: kind.name)
def test_what_is_written_is_parsed_again(kind: type[Any]) -> None:
    plain = kind()
    assert parse([written(plain)], BUILTIN) == (plain,)
    assert parse([kind.name], BUILTIN) == (plain,)
    assert hash(plain) == hash(kind())
    changed = {}
    for field in fields(kind):
        value = getattr(plain, field.name)
        if isinstance(value, bool):
            changed[field.name] = not value
        elif isinstance(value, int):
            changed[field.name] = value + 1
        elif isinstance(value, float):
            changed[field.name] = value / 2 + 0.05
        else:
            changed[field.name] = {"where": "attention", "save": "adapter"}[field.name]
    other = kind(**changed)
    assert parse([written(other)], BUILTIN) == (other,)


WRONG = [
    "lora:rank=0", "lora:rank=2.5", "lora:alpha=0", "lora:dropout=1", "lora:where=(", "lora:save=x",
    "lora:dora=maybe", "lora:width=3", "ia3:save=all", "prompt:0", "prompt:tokens=1.5", "prefix:-1",
    "dropout:1", "dropout:-0.1", "drop-path:1", "l1:0", "l2-sp:-1", "smoothing:0", "smoothing:1",
    "mixup:0", "cutmix:-1", "class-weights:0", "class-weights:1.5", "logit-adjustment:0", "ema:1",
    "ema:0", "soup:1", "bitfit:3", "norm-only:all=1", "smoothing:many", "nothing", "mixup:nan",
]  # fmt: skip


@pytest.mark.parametrize("spec", WRONG)
def test_wrong_settings_are_an_error_that_names_them(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        techniques([spec])
    assert spec.partition(":")[0] in str(caught.value)
    with pytest.raises(UsageError):
        FineTune(techniques=(spec,))
    assert {s.partition(":")[0] for s in WRONG} >= {kind.name for kind in BUILTIN}


def test_a_technique_is_named_once() -> None:
    with pytest.raises(UsageError, match="named twice"):
        techniques(["ema", "ema:0.5"])


# --- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_smoothing_is_torchs_own(share: float) -> None:
    found = criterion(Smoothing(share=share), CLASSES, ANSWERS)(OUTPUTS, ANSWERS)
    wanted = functional.cross_entropy(
        OUTPUTS, ANSWERS, label_smoothing=share, reduction="none"
    )  # fmt: skip
    torch.testing.assert_close(found, wanted)


def test_smoothing_of_labels_is_that_of_two_classes_each() -> None:
    found = criterion(Smoothing(share=0.2), LABELS, MANY)(OUTPUTS, MANY)
    pairs = torch.stack([torch.zeros_like(OUTPUTS), OUTPUTS], dim=2).reshape(-1, 2)
    wanted = functional.cross_entropy(
        pairs, MANY.long().reshape(-1), label_smoothing=0.2, reduction="none"
    )
    torch.testing.assert_close(found, wanted.reshape(12, 4).mean(dim=1))


@pytest.mark.parametrize("technique", [Smoothing(), ClassWeights(), LogitAdjustment()])
def test_regression_is_left_as_it_is(technique: Any) -> None:
    found = criterion(technique, NUMBER, SIZES)(OUTPUTS[:, :1], SIZES)
    torch.testing.assert_close(found, (OUTPUTS[:, 0] - SIZES) ** 2)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_class_weights_by_a_loop(power: float) -> None:
    found = criterion(ClassWeights(power=power), CLASSES, ANSWERS)(OUTPUTS, ANSWERS)
    raw = [(12 / (4 * (c == ANSWERS).sum().item())) ** power for c in range(4)]
    scale = sum(raw[int(a)] for a in ANSWERS) / 12
    weights = torch.tensor(raw, dtype=torch.float64) / scale
    wanted = functional.cross_entropy(OUTPUTS, ANSWERS, weight=weights, reduction="none")
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    totals = [weights[c] * (c == ANSWERS).sum() for c in range(4)]
    if power == 1.0:
        np.testing.assert_allclose(totals, 3.0, rtol=1e-6)  # every class counts the same


def test_class_weights_of_labels_are_torchs_pos_weight() -> None:
    found = criterion(ClassWeights(), LABELS, MANY)(OUTPUTS, MANY)
    counts = MANY.double().sum(dim=0)
    positive, negative = 12 / (2 * counts), 12 / (2 * (12 - counts))
    each = functional.binary_cross_entropy_with_logits(
        OUTPUTS, MANY.double(), pos_weight=positive / negative, reduction="none"
    )
    torch.testing.assert_close(found, (each * negative).mean(dim=1), rtol=1e-6, atol=1e-6)


def test_class_weights_bear_labels_that_all_or_none_have() -> None:
    constant = torch.tensor([[1, 0]] * 5, dtype=torch.int8)
    task = Task.of("multi-label", ("always", "never"))
    losses = criterion(ClassWeights(), task, constant)(torch.zeros(5, 2), constant)
    assert torch.isfinite(losses).all()
    absent = criterion(ClassWeights(), CLASSES, torch.tensor([0, 0, 1]))
    assert torch.isfinite(absent(OUTPUTS, ANSWERS)).all()


def test_weights_and_smoothing_go_together_as_torchs_do() -> None:
    weighted = ClassWeights().criterion(LABELS.kind.losses, setting(LABELS, MANY))
    found = Smoothing(share=0.2).criterion(weighted, setting(LABELS, MANY))(OUTPUTS, MANY)
    counts = MANY.double().sum(dim=0)
    positive, negative = 12 / (2 * counts), 12 / (2 * (12 - counts))
    each = functional.binary_cross_entropy_with_logits(
        OUTPUTS, MANY * 0.8 + 0.1, pos_weight=positive / negative, reduction="none"
    )
    torch.testing.assert_close(found, (each * negative).mean(dim=1), rtol=1e-6, atol=1e-6)


def test_logit_adjustment_by_its_equation() -> None:
    found = criterion(LogitAdjustment(tau=1.5), CLASSES, ANSWERS)(OUTPUTS, ANSWERS)
    prior = np.asarray([7, 4, 3, 2]) / 16  # one example more a class
    for row in range(12):
        shifted = OUTPUTS[row].numpy() + 1.5 * np.log(prior)
        wanted = -shifted[ANSWERS[row]] + np.log(np.exp(shifted).sum())
        assert found[row] == pytest.approx(wanted, rel=1e-6)


def test_logit_adjustment_is_seen_by_all_others(models: Models) -> None:
    backbone = models("vit")
    model = model_of(backbone, ScaledLinear(torch.zeros(16), torch.ones(16), 4))
    batch = {"pixel_values": torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))}
    with torch.no_grad():
        outputs = model["head"](backbone.embed(batch))
        prior = torch.tensor([7, 4, 3, 2]) / 16
        wanted = functional.cross_entropy(outputs + prior.log(), ANSWERS, label_smoothing=0.1)
        for order in (("smoothing", "logit-adjustment"), ("logit-adjustment", "smoothing")):
            loss = objective(techniques(order), model, setting(CLASSES, ANSWERS, backbone), FP32)
            torch.testing.assert_close(loss(model, batch, ANSWERS, 0.0), wanted)


# --- mixing ---------------------------------------------------------------------------------------


def drawn(seed: int, alpha: float, count: int) -> tuple[float, Tensor]:
    torch.manual_seed(seed)
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return share, torch.randperm(count)


def test_mixup_by_a_loop() -> None:
    pictures = torch.randn(6, 3, 4, 4)
    targets = torch.arange(6)
    with torch.random.fork_rng(devices=[]):
        share, order = drawn(3, 0.2, 6)
        torch.manual_seed(3)
        mixed, pairs = Mixup().mix({"pixel_values": pictures}, targets)
    for row in range(6):
        wanted = share * pictures[row] + (1 - share) * pictures[order[row]]
        torch.testing.assert_close(mixed["pixel_values"][row], wanted)
    assert torch.equal(pairs[0][0], targets) and torch.equal(pairs[1][0], targets[order])
    assert pairs[0][1] == pytest.approx(share) and pairs[1][1] == pytest.approx(1 - share)


def test_mixup_of_targets_is_the_loss_of_mixed_targets() -> None:
    """Cross-entropy is linear in its target, so weighing two losses is mixing the targets."""
    share = 0.3
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    losses = CLASSES.kind.losses
    found = share * losses(OUTPUTS, ANSWERS) + (1 - share) * losses(OUTPUTS, ANSWERS[order])
    hot = functional.one_hot(ANSWERS, 4).double()
    wanted = functional.cross_entropy(
        OUTPUTS, share * hot + (1 - share) * hot[order], reduction="none"
    )
    torch.testing.assert_close(found, wanted)


def test_mixed_sounds_last_as_long_as_the_longer_one() -> None:
    waves = torch.ones(2, 8)
    mask = torch.tensor([[1] * 8, [1] * 3 + [0] * 5])
    with torch.random.fork_rng(devices=[]):
        seed = next(s for s in range(50) if drawn(s, 0.2, 2)[1].tolist() == [1, 0])
        torch.manual_seed(seed)
        given = {"attention_mask": mask, "input_values": waves * mask}
        mixed, _ = Mixup().mix(given, torch.arange(2))
    assert mixed["attention_mask"].tolist() == [[1] * 8] * 2
    assert mixed["input_values"].shape == (2, 8)


def test_mixup_of_a_frozen_front_mixes_its_outputs(models: Models) -> None:
    backbone = models("vit")
    boundary = Boundary(backbone, "block.1")
    pictures = {"pixel_values": torch.randn(4, 3, 32, 32)}
    hidden = boundary.capture(pictures)
    with torch.random.fork_rng(devices=[]):
        share, order = drawn(5, 0.4, 4)
        torch.manual_seed(5)
        mixed, _ = Mixup(alpha=0.4).mix(Cached(pictures, hidden, boundary), torch.arange(4))
    torch.testing.assert_close(mixed.hidden, share * hidden + (1 - share) * hidden[order])
    assert mixed.embed().shape == (4, backbone.width)


def test_cutmix_by_a_loop() -> None:
    pictures = torch.arange(5.0)[:, None, None, None].expand(5, 3, 8, 10).clone()
    with torch.random.fork_rng(devices=[]):
        _, order = drawn(11, 1.0, 5)
        torch.manual_seed(11)
        mixed, pairs = CutMix().mix({"pixel_values": pictures}, torch.arange(5))
    for row in range(5):
        own = (mixed["pixel_values"][row] == row).double().mean()
        if order[row] != row:
            assert pairs[0][1] == pytest.approx(float(own))  # by area
            assert set(mixed["pixel_values"][row].unique().tolist()) <= {row, int(order[row])}
    assert 0 < pairs[0][1] < 1
    assert torch.equal(pictures[2], torch.full((3, 8, 10), 2.0)), "the batch itself was changed"


@pytest.mark.parametrize(
    ("spec", "family"), [("mixup", "bert"), ("cutmix", "bert"), ("cutmix", "ast")]
)
def test_mixing_of_another_modality_is_refused_at_once(
    models: Models, spec: str, family: str
) -> None:
    given = context(models(family), "classification")
    with pytest.raises(UsageError, match=f"{spec}.*is for .*image"):
        FineTune(techniques=(spec,)).adapt(given)


def test_only_one_technique_mixes(models: Models) -> None:
    with pytest.raises(UsageError, match="mixup and cutmix"):
        FineTune(techniques=("mixup", "cutmix")).adapt(context(models("vit"), "classification"))


def test_cutmix_trains_where_a_front_is_frozen(models: Models) -> None:
    """Pictures are cut before the model, though its first half could be run ahead."""
    method = FineTune(epochs=1, batch=8, techniques=("cutmix",), unfreeze="last-first")
    trained = method.adapt(context(models("vit"), "classification"))
    assert trained.details["boundaries"] == {}
    assert trained.details["ended"] == "all steps"


# --- penalties ------------------------------------------------------------------------------------


def test_l1_and_l2_sp_in_closed_form(models: Models) -> None:
    backbone = models("vit")
    head = ScaledLinear(torch.zeros(16), torch.ones(16), 4)
    model = model_of(backbone, head)
    one = L1(weight=0.3).penalty(model, setting(CLASSES, ANSWERS, backbone))
    assert float(one()) == pytest.approx(0.3 * float(head.linear.weight.abs().sum()))
    away = L2SP(weight=0.5).penalty(model, setting(CLASSES, ANSWERS, backbone))
    moving = list(backbone.module.parameters())[-1]
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is moving)
    assert float(away()) == 0
    with torch.no_grad():
        moving.add_(0.1)
        head.linear.weight.add_(1.0)  # not the head's
    loss = away()
    assert float(loss) == pytest.approx(0.5 * 0.5 * 0.01 * moving.numel(), rel=1e-4)
    loss.backward()
    torch.testing.assert_close(moving.grad, torch.full_like(moving, 0.05), rtol=1e-4, atol=1e-6)


# --- averages -------------------------------------------------------------------------------------


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 2)
        self.still = nn.Parameter(torch.full((4,), 0.1))


def test_ema_by_a_loop_and_batch_norm_with_it() -> None:
    model = nn.ModuleDict({"backbone": Small()})
    follower = Ema(decay=0.6).follow(model)
    weight = model["backbone"].linear.weight
    average, statistics = weight.detach().clone(), torch.zeros(3)
    for step in range(1, 12):
        with torch.no_grad():
            weight.copy_(torch.full_like(weight, float(step)))
            model["backbone"].norm.running_mean.fill_(step * 2.0)
            model["backbone"].norm.num_batches_tracked += 1
        follower.after(step)
        decay = min(0.6, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * step
        statistics = decay * statistics + (1 - decay) * step * 2.0
    found = follower.weights()
    torch.testing.assert_close(found["backbone.linear.weight"], average)
    torch.testing.assert_close(found["backbone.norm.running_mean"], statistics)
    assert int(found["backbone.norm.num_batches_tracked"]) == 11
    assert torch.equal(found["backbone.still"], torch.full((4,), 0.1))  # to the bit
    again = Ema(decay=0.6).follow(model)
    again.resume({name: value.clone() for name, value in follower.state().items()})
    torch.testing.assert_close(again.weights()["backbone.linear.weight"], average)


def test_the_average_is_what_is_handed_over(models: Models) -> None:
    """Without validation rows the last average is the result: by a loop over the raw weights."""
    given = context(models("vit"), "classification")
    settings: dict[str, Any] = {"epochs": 2, "batch": 10, "unfreeze": "together", "metric": "loss"}
    raw = FineTune(**settings, techniques=("ema:0.5",)).adapt(given)
    plain = FineTune(**settings).adapt(given)
    assert raw.details["curve"][0] == plain.details["curve"][0] | {
        "seconds": raw.details["curve"][0]["seconds"]
    }
    assert raw.details["curve"][-1]["loss"] == pytest.approx(plain.details["curve"][-1]["loss"])
    assert raw.details["curve"][-1]["validation"] != plain.details["curve"][-1]["validation"]


def test_ema_measures_batch_norm_for_its_own_weights(models: Models) -> None:
    """Recalibrated statistics belong to the average, not to the weights that were passed by."""
    given = context(models("resnet"), "classification")
    given = replace(given, validation=np.empty(0, np.int64))  # the last state is handed over
    method = FineTune(
        epochs=2, batch=7, rate=5e-2, techniques=("ema:0.9",), norm="recalibrated", metric="loss",
        unfreeze="together",
    )  # fmt: skip
    trained = method.adapt(given)
    assert trained.details["best_step"] > 0
    module = trained.adapted.featuriser.backbone.module  # type: ignore[attr-defined]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
            part.train()
    backbone = trained.adapted.featuriser.backbone  # type: ignore[attr-defined]
    rows = given.training
    with torch.no_grad():
        for at in range(0, len(rows) - len(rows) % 7, 7):
            pictures = [_opened(given.data.inputs.items[row]) for row in rows[at : at + 7]]
            backbone.embed(backbone.preprocess(pictures))
    for name, value in module.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-4)


def _opened(item: Any) -> Any:
    from headstart.data.modality import InputSpec, modality

    return modality("image").decode(item, InputSpec(size=32))


def test_a_greedy_soup_by_hand() -> None:
    states = [{"w": torch.tensor([v]), "n": torch.tensor(k)} for k, v in enumerate((1.0, 3.0, 8.0))]

    def key(state: dict[str, Tensor]) -> tuple[float, ...]:
        return (abs(float(state["w"]) - 2.0),)

    soup, taken = Soup().blend(states, key)
    assert float(soup["w"]) == 2.0 and taken == (0, 1)  # with the third it would be 4
    assert int(soup["n"]) == 0
    alone, taken = Soup().blend([states[0], states[2]], lambda s: (abs(float(s["w"]) - 1.0),))
    assert taken == (0,) and float(alone["w"]) == 1.0


def test_what_stands_still_is_the_same_in_a_soup() -> None:
    still = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(torch.stack([still] * 3).mean(dim=0), still)  # that is why
    assert torch.equal(mean([{"w": still.clone()} for _ in range(3)])["w"], still)


def test_a_soup_says_what_it_is_made_of(models: Models) -> None:
    given = context(models("vit"), "classification")
    method = FineTune(
        epochs=6, batch=10, rate=3e-3, techniques=("soup:3",), metric="loss", patience=9,
        unfreeze="together",
    )  # fmt: skip
    trained = method.adapt(given)
    steps = trained.details["blended"]
    assert steps == "no better than the best checkpoint" or (
        len(steps) >= 2 and steps[0] == trained.details["best_step"]
    )
    # What is said to be held is what the model says.
    found = trained.adapted.outputs(given.data.take(trained.rows).inputs)
    np.testing.assert_allclose(found, trained.outputs, atol=2e-2 * np.abs(found).max())


# --- noise ----------------------------------------------------------------------------------------


def test_dropout_reaches_all_that_the_backbone_has(models: Models) -> None:
    backbone = models("bert")
    found = Dropout(p=0.35).reshape(backbone.module, setting(CLASSES, ANSWERS, backbone))
    layers = [part for part in backbone.module.modules() if isinstance(part, nn.Dropout)]
    assert layers and all(layer.p == 0.35 for layer in layers)
    assert found.facts["dropout_layers"] == len(layers)
    with pytest.raises(UsageError, match="no dropout"):
        other = models("yamnet")
        Dropout().reshape(other.module, setting(CLASSES, ANSWERS, other))


def test_dropout_changes_training_alone(models: Models) -> None:
    given = context(models("bert"), "classification")
    settings: dict[str, Any] = {"epochs": 1, "batch": 8, "rate": 1e-12, "head_rate": 1e-12}
    noisy = FineTune(**settings, techniques=("dropout:0.5",)).adapt(given)
    plain = FineTune(**settings).adapt(given)
    np.testing.assert_allclose(noisy.outputs, plain.outputs, rtol=1e-3, atol=1e-3)
    assert noisy.details["curve"][-1]["loss"] > plain.details["curve"][-1]["loss"]
    subset = FineTune(**settings, techniques=("bitfit", "dropout:0.5"), adapter_rate=1e-12)
    assert subset.adapt(given).details["curve"][-1]["loss"] > plain.details["curve"][-1]["loss"]


def test_paths_are_dropped_by_example_and_made_up_for() -> None:
    path = Path(0.25).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        out = path(torch.ones(20000, 2, 2))
    by_example = out.reshape(20000, 4)
    np.testing.assert_allclose(by_example.unique(), [0, 4 / 3], rtol=1e-6)
    assert torch.equal(by_example.amin(dim=1), by_example.amax(dim=1))
    assert float(out.mean()) == pytest.approx(1.0, abs=0.02)
    assert torch.equal(path.eval()(out), out)


@pytest.mark.parametrize("family", ["convnext", "swin"])
def test_drop_path_rises_over_the_blocks_and_leaves_no_trace(models: Models, family: str) -> None:
    from sources_for_tests import write_model

    if not (models.base / family).exists():
        write_model(models.base / family, family)
    backbone = models(family)
    before = {name: type(part) for name, part in backbone.module.named_modules()}
    found = DropPath(p=0.3).reshape(backbone.module, setting(CLASSES, ANSWERS, backbone))
    shares = [part.drop_prob for part in backbone.module.modules() if hasattr(part, "drop_prob")]
    count = found.facts["drop_path_layers"]
    assert count == len(shares) > 1
    np.testing.assert_allclose(shares, np.linspace(0, 0.3, count))
    found.restored(backbone.module)
    if not any("DropPath" in kind.__name__ for kind in before.values()):
        assert {name: type(part) for name, part in backbone.module.named_modules()} == before
    with pytest.raises(UsageError, match="no stochastic depth"):
        other = models("bert")
        DropPath().reshape(other.module, setting(CLASSES, ANSWERS, other))


# --- subsets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["vit", "resnet", "bert"])
def test_bitfit_and_norm_only_move_what_they_say(models: Models, family: str) -> None:
    backbone = models(family)
    names = dict(backbone.module.named_parameters())
    biases = BitFit().reshape(backbone.module, setting(CLASSES, ANSWERS, backbone))
    assert set(biases.parts["bitfit"].parameters) == {n for n in names if n.endswith(".bias")}
    norms = NormOnly().reshape(backbone.module, setting(CLASSES, ANSWERS, backbone))
    kinds = (nn.LayerNorm, nn.BatchNorm2d)
    wanted = {
        f"{owner}.{name}" for owner, part in backbone.module.named_modules()
        if isinstance(part, kinds) for name, _ in part.named_parameters()
    }  # fmt: skip
    assert wanted and set(norms.parts["norm-only"].parameters) == wanted


def test_a_subset_stays_within_the_depth(models: Models) -> None:
    given = context(models("vit"), "classification")
    method = FineTune(epochs=1, batch=8, techniques=("bitfit",), depth=1)
    trained = method.adapt(given)
    assert given.source is not None
    origin = given.source.backbone.module.state_dict()
    found = trained.adapted.featuriser.backbone.module.state_dict()  # type: ignore[attr-defined]
    moved = {name for name, value in origin.items() if not torch.equal(value, found[name])}
    assert all("layers.0." not in name and "layer.0." not in name for name in moved)
    assert trained.details["boundaries"]["adapters"]["boundary"] == "block.1"


def test_dropout_is_off_where_a_forward_calls_it_as_a_function(tmp_path: Any) -> None:
    """Whisper's layers hand their share to functional dropout; another's is a layer of its own."""
    import headstart.sources as sources
    from headstart.adapt.techniques.dropout import without_dropout
    from sources_for_tests import write_model

    module: Any = sources.load(str(write_model(tmp_path / "whisper", "whisper"))).module
    layer: Any = next(part for part in module.modules() if "EncoderLayer" in type(part).__name__)
    layer.dropout, layer.activation_dropout = 0.5, 0.5
    layer.train()
    hidden = torch.ones(1, 4, layer.embed_dim)

    def once() -> torch.Tensor:
        out = layer(hidden, attention_mask=None)
        found: torch.Tensor = out[0] if isinstance(out, tuple) else out
        return found

    assert not torch.equal(once(), once())
    without_dropout(module)
    assert torch.equal(once(), once())
