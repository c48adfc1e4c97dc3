"""Every technique over all modalities, two families each, and every task; what cannot be, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from adapt_for_tests import FAMILIES, KINDS, Models, context, few_strengths, holds
from headstart.adapt import Context
from headstart.adapt.finetune import FineTune
from headstart.adapt.technique import Mixes, Technique, parse
from headstart.adapt.techniques import BUILTIN
from headstart.errors import UsageError
from headstart.testing.method import check_counted, check_frozen

pytestmark = pytest.mark.usefixtures("one_core")

BASE: dict[str, Any] = {"epochs": 1, "batch": 8, "metric": "loss", "patience": 9}
RANK = 2
SPECS = (
    *(f"lora:rank={RANK}" if kind.name == "lora" else kind.name for kind in BUILTIN),
    f"lora:rank={RANK},rslora=true", f"lora:rank={RANK},dora=true",
)  # fmt: skip
PEFT = ("lora", "ia3")


def named(spec: str) -> Technique:
    return parse([spec], BUILTIN)[0]


def applicable(spec: str) -> tuple[str, ...]:
    """Return the families that a technique is for."""
    technique = named(spec)
    if technique.name == "drop-path":
        return ("convnext", "swin")  # two that have what it needs
    if technique.name in ("prompt", "prefix"):
        return ("bert", "distilbert")
    if technique.name == "dropout":
        return ("vit", "bert", "distilbert", "ast")
    if technique.name == "norm-only":
        return ("vit", "resnet", "bert", "distilbert", "ast")  # YAMNet's are folded
    if isinstance(technique, Mixes):
        return tuple(n for n, modality in FAMILIES.items() if modality in technique.modalities)
    return tuple(FAMILIES)


CASES = [(spec, family, kind) for spec in SPECS for family in applicable(spec) for kind in KINDS]
NOT_FOR = [(s, family) for s in SPECS for family in FAMILIES if family not in applicable(s)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    made = Models(tmp_path_factory.mktemp("models"))
    with few_strengths():
        yield made
    assert made.untouched() == list(made.opened), "a technique changed what it was given"


@pytest.mark.parametrize(("spec", "family", "task"), CASES, ids=["-".join(c) for c in CASES])
def test_techniques(models: Models, spec: str, family: str, task: str, tmp_path: Path) -> None:
    name = named(spec).name
    if name in PEFT:
        pytest.importorskip("peft")
    given = context(models.shared(family), task)
    method = FineTune(**BASE, techniques=(spec,), adapter_rate=1e-2)
    trained = method.adapt(given)
    holds(given, trained, tmp_path)
    assert parse(trained.details["techniques"], BUILTIN) == (named(spec),)
    if name in trained.details["phases"][-1]["rates"]:
        moved = check_frozen(given, trained, lambda tensor: may_move(name, tensor, given))
        assert bool(moved) == (name not in ("prompt", "prefix")) or not trained.details["best_step"]
        head = given.data.task.outputs * (models.shared(family).width + 1)
        expected = counted(spec, moved, models.shared(family))
        if trained.details["best_step"] or name not in PEFT:
            assert trained.parameters["trained"] == expected + head
    else:
        check_frozen(given, trained)
        check_counted(given, trained)
    turn = SPECS.index(spec)
    if (family, task) == (applicable(spec)[turn % len(applicable(spec))], KINDS[turn % 3]):
        again = method.adapt(context(models.shared(family), task))
        np.testing.assert_array_equal(again.outputs, trained.outputs)


def may_move(name: str, tensor: str, given: Context) -> bool:
    """What a technique in place of the stages may change, by the names of tensors."""
    assert given.source is not None
    module = given.source.backbone.module
    owner, _, last = tensor.rpartition(".")
    if name == "bitfit":
        return last == "bias"
    if name == "norm-only":
        return is_norm(module.get_submodule(owner)) and last in ("weight", "bias")
    kind = type(module.get_submodule(owner)).__name__
    return name in PEFT and kind in ("Linear", "Conv2d")


def is_norm(part: nn.Module) -> bool:
    return "norm" in type(part).__name__.lower()


def counted(spec: str, moved: set[str], backbone: Any) -> int:
    """Count by hand, by the papers, what a technique trains; of adapters, beside what has moved."""
    technique: Any = named(spec)
    sizes = {name: value.numel() for name, value in backbone.module.named_parameters()}
    if technique.name == "bitfit":
        return sum(size for name, size in sizes.items() if name.rpartition(".")[2] == "bias")
    if technique.name == "norm-only":
        owners = {n: backbone.module.get_submodule(n.rpartition(".")[0]) for n in sizes}
        return sum(size for name, size in sizes.items() if is_norm(owners[name]))
    blocks = sum(stage.name.startswith("block.") for stage in backbone.stages)
    if technique.name in ("prompt", "prefix"):
        return technique.tokens * backbone.width * (blocks if technique.name == "prefix" else 1)
    shapes = [backbone.module.state_dict()[n].shape for n in moved if n.endswith(".weight")]
    if technique.name == "ia3":  # keys, values: outputs; the layer that shrinks: its inputs
        return sum(o if len(rest) > 1 or o >= rest[0] else rest[0] for o, *rest in shapes)
    length = sum(shape[0] for shape in shapes) if technique.dora else 0
    return length + sum(RANK * (int(np.prod(rest)) + o) for o, *rest in shapes)


@pytest.mark.parametrize(("spec", "family"), NOT_FOR, ids=["-".join(c) for c in NOT_FOR])
def test_what_a_technique_is_not_for_is_refused(models: Models, spec: str, family: str) -> None:
    """By one line that names technique and model, before anything is trained."""
    given = context(models.shared(family), "classification")
    method = FineTune(**BASE, techniques=(spec,))
    for refused in (method.check, method.adapt):
        with pytest.raises(UsageError) as caught:
            refused(given)
        said = str(caught.value)
        assert spec in said and str(models.base / family) in said and "\n" not in said, said
        assert any(way in said for way in ("Leave it out", "leave", "Take", "take")), said


@pytest.mark.parametrize("family", FAMILIES)
def test_what_suits_is_not_refused_beforehand(models: Models, family: str) -> None:
    """`check` says nothing where `adapt` would go through, and changes nothing."""
    given = context(models.shared(family), "classification")
    for spec in (spec for spec in SPECS if family in applicable(spec)):
        if named(spec).name in PEFT:
            pytest.importorskip("peft")
        FineTune(**BASE, techniques=(spec,)).check(given)


@pytest.mark.parametrize("spec", ["prompt:2", "prefix:2"])
def test_l2_sp_is_refused_where_vectors_start_at_random(models: Models, spec: str) -> None:
    """There is no pretrained value to pull them to; see also the test of LoRA's factors."""
    given = context(models.shared("bert"), "classification")
    for order in ((spec, "l2-sp"), ("l2-sp", spec)):
        with pytest.raises(UsageError, match=r"'l2-sp' pulls .* vectors of '.*' start at random"):
            FineTune(**BASE, techniques=order).adapt(given)


@pytest.mark.parametrize("spec", [s for s in SPECS if named(s).name in PEFT and "rslora" not in s])
def test_l2_sp_pulls_to_the_pretrained_function(models: Models, spec: str) -> None:
    """So strong a pull that nothing may move leaves the pretrained embeddings as they were."""
    pytest.importorskip("peft")
    given = context(models.shared("bert"), "classification")
    assert given.source is not None
    before = given.source.features(given.data.inputs)
    found = []
    for more in ((), ("l2-sp:1000",)):
        method = FineTune(
            epochs=12, batch=8, patience=99, clip=0.0, adapter_rate=1e-2, weight_decay=0.0,
            techniques=(spec, *more),
        )  # fmt: skip
        trained = method.adapt(blind(given))
        after = trained.adapted.featuriser.features(given.data.inputs)
        found.append(float(np.abs(after - before).max() / np.abs(before).max()))
    assert found[1] < 0.1 * found[0] and found[0] > 1e-4, found


def blind(given: Context) -> Context:
    """Return the context without validation rows: the last state is handed over."""
    return replace(given, validation=np.empty(0, np.int64))


@pytest.mark.parametrize("spec", SPECS)
def test_nothing_is_drawn_before_the_first_step(models: Models, spec: str) -> None:
    """What a technique puts in begins in evaluation mode, as all of the model."""
    technique, family = named(spec), applicable(spec)[0]
    if technique.name in PEFT:
        pytest.importorskip("peft")
    given = context(models.shared(family), "classification")
    assert given.source is not None
    training = FineTune(techniques=(spec,)).training(given, given.source)
    assert not [name for name, part in training.backbone.module.named_modules() if part.training]
