"""Adapters of the peft library and prompts: merged, saved alone, and read by peft itself."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adapt_for_tests import Models, context
from headstart.adapt import Trained, load_adapted, progressing
from headstart.adapt.adapter import Adapter
from headstart.adapt.boundary import Plain
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.finetune import FineTune
from headstart.adapt.gradient import fit
from headstart.adapt.loop import model_of
from headstart.adapt.parts import Parts
from headstart.adapt.peft_layers import merge
from headstart.adapt.targets import ScaledLinear
from headstart.adapt.technique import Setting
from headstart.adapt.techniques.ia3 import Ia3
from headstart.adapt.techniques.lora import Lora
from headstart.adapt.techniques.prompts import Prefix, Prompt
from headstart.data.task import Task
from headstart.errors import MissingExtra, ModelError, RunError, UsageError
from headstart.sources.backbone import Backbone, running
from sources_for_tests import examples, write_model

pytestmark = pytest.mark.usefixtures("one_core")
pytest.importorskip("peft", reason="the extra headstart[peft] is not installed")

TASK = Task.of("classification", ("a", "b", "c"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


def family(models: Models, name: str) -> Backbone:
    """Return a model of `name`, which need not be one of the six."""
    if not (models.base / name).exists() and name in ("gpt2", "t5", "roberta", "mobilenet_v2"):
        write_model(models.base / name, name)
    return models(name)


def reshaped(technique: Any, backbone: Backbone, *, stir: bool = True) -> Any:
    """Let a technique change the module; `stir`: as if it had been trained."""
    setting = Setting(TASK, backbone, torch.tensor([0, 1, 2]), seed=3)
    found = technique.reshape(backbone.module, setting)
    names = dict(backbone.module.named_parameters())
    rng = torch.Generator().manual_seed(5)
    for part in found.parts.values():
        for name in part.parameters if stir else ():
            with torch.no_grad():
                noise = torch.randn(names[name].shape, generator=rng)
                names[name].add_(0.1 * noise)
    return found


def embedded(backbone: Backbone) -> Tensor:
    batch = backbone.preprocess(examples(backbone.card.modality))
    kind = next(backbone.module.parameters()).dtype
    batch = {n: v.to(kind) if v.is_floating_point() else v for n, v in batch.items()}
    with torch.no_grad():
        return backbone.embed(batch)


LORAS = [Lora(rank=4), Lora(rank=2, rslora=True, dropout=0.3), Lora(rank=3, dora=True), Ia3()]


@pytest.mark.parametrize("technique", LORAS, ids=["lora", "rslora", "dora", "ia3"])
@pytest.mark.parametrize("name", ["vit", "resnet", "mobilenet_v2", "bert", "gpt2", "t5", "yamnet"])
def test_merged_is_the_same_function(models: Models, name: str, technique: Any) -> None:
    backbone = family(models, name)
    plain, before = embedded(backbone), dict(backbone.module.named_modules())
    kinds = {part: type(before[part]) for part in before}
    keys = list(backbone.module.state_dict())
    found = reshaped(technique, backbone)
    if name == "mobilenet_v2":  # seventeen random blocks make much of any rounding
        backbone.module.double()
    adapted = embedded(backbone)
    assert (adapted - plain).abs().max() > 1e-3 * plain.abs().max()
    found.restored(backbone.module)
    merged = embedded(backbone)
    assert (merged - adapted).abs().max() < 1e-4 * adapted.abs().max()
    assert {part: type(p) for part, p in backbone.module.named_modules()} == kinds
    assert list(backbone.module.state_dict()) == keys
    assert not hasattr(backbone.module, "peft_config")


@pytest.mark.parametrize("name", ["vit", "resnet", "bert"])
@pytest.mark.parametrize("technique", [*LORAS[:3:2], Ia3()], ids=["lora", "dora", "ia3"])
def test_it_starts_as_the_pretrained_function(models: Models, name: str, technique: Any) -> None:
    backbone = models(name)
    plain = embedded(backbone)
    reshaped(technique, backbone, stir=False)
    torch.testing.assert_close(embedded(backbone), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_lora_by_its_equation(models: Models, scaled: bool) -> None:
    backbone = models("bert")
    name = "encoder.layer.0.attention.self.query"
    weight = backbone.module.get_submodule(name).weight.detach().clone()
    technique = Lora(rank=4, alpha=6.0, rslora=scaled, where=r"layer\.0.*query")
    found = reshaped(technique, backbone)
    own = {n.split("lora_")[1][0]: p for n, p in backbone.module.named_parameters() if "lora_" in n}
    assert len(found.parts["lora"].parameters) == 2 == len(own)
    wanted = weight + 6.0 / (2.0 if scaled else 4.0) * own["B"].detach() @ own["A"].detach()
    merge(backbone.module)
    torch.testing.assert_close(backbone.module.get_submodule(name).weight.detach(), wanted)


def test_dora_leaves_out_layers_with_filters_of_zeros(models: Models) -> None:
    """As MobileNet v2 has them: their direction would be 0 / 0."""
    backbone = models("resnet")
    name = "encoder.stages.1.layers.0.layer.0.convolution"
    with torch.no_grad():
        backbone.module.get_submodule(name).weight[3].zero_()  # type: ignore[index,operator]
    found = reshaped(Lora(dora=True), backbone, stir=False)
    assert found.facts == {"lora_layers": 6, "dora_left_out": 1}
    assert torch.isfinite(embedded(backbone)).all()
    other = models("resnet")
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.zero_()
    with pytest.raises(UsageError, match=r"filters of zeros.*dora=false"):
        reshaped(Lora(dora=True), other)


def test_a_model_that_gives_no_numbers_is_no_traceback(models: Models) -> None:
    given = context(models("resnet"), "classification")
    method = FineTune(epochs=1, batch=8, techniques=("lora",))
    assert given.source is not None
    training = method.training(given, given.source)
    with torch.no_grad():
        next(training.backbone.module.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="before it is trained"):
        fit(training, given)


def test_where_says_which_layers(models: Models) -> None:
    def layers(where: str, name: str = "vit", **more: Any) -> set[str]:
        backbone = family(models, name)
        found = reshaped(Lora(where=where), backbone, stir=False)
        return {n.split(".lora_")[0] for n in found.parts["lora"].parameters}

    everything, attention = layers("linear"), layers("attention")
    assert attention < everything == layers("auto")
    assert all("attention" in name for name in attention)
    assert len(everything) == 2 * 6 and len(attention) == 2 * 4  # q, k, v, o; and two more a block
    convolutions = layers("convolutions", "resnet")
    assert convolutions == layers("auto", "resnet") > layers("linear", "resnet")
    mobile = family(models, "mobilenet_v2")
    depthwise = {
        name for name, part in mobile.module.named_modules()
        if isinstance(part, nn.Conv2d) and part.groups > 1
    }  # fmt: skip
    assert depthwise and not depthwise & layers("auto", "mobilenet_v2")
    backbone = models("vit")
    setting = Setting(TASK, backbone, torch.tensor([0]), seed=0, moving=("block.1", "norm"))
    found = Lora().reshape(backbone.module, setting)
    inside = tuple(f"{name}." for s in backbone.stages if s.name == "block.1" for name in s.modules)
    assert all(name.startswith(inside) for name in found.parts["lora"].parameters)


ERRORS = [
    ("lora:where=attention", "resnet", r"'lora' finds no layer .*resnet.*\(Conv2d\)"),
    (
        "lora:where=nowhere",
        "bert",
        r"'lora' finds no layer .*bert.*query \(Linear\).* and \d+ more",
    ),
    ("lora:where=convolutions", "bert", "finds no layer"),
    ("lora:where=LayerNorm", "bert", "finds no layer"),
    ("prompt", "vit", "'prompt' puts vectors before a text; .* model of image"),
    ("prefix", "ast", "'prefix' puts vectors before a text; .* model of audio"),
    ("prompt:60", "bert", "60 vectors leave no room for a text of at most 64 tokens"),
    ("lora;ia3", "bert", "'ia3' cannot go with another adapter"),
    ("prompt;prefix", "bert", "'prefix' cannot go with another prompt"),
    ("lora:save=adapter;bitfit", "bert", "save=adapter holds the adapter alone, but bitfit"),
]


@pytest.mark.parametrize(("specs", "name", "message"), ERRORS, ids=[e[0] for e in ERRORS])
def test_what_cannot_be_is_a_clear_error(
    models: Models, specs: str, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        FineTune(techniques=tuple(specs.split(";"))).adapt(context(models(name), "classification"))


def test_statistics_of_batch_norm_are_no_part_of_an_adapter(models: Models) -> None:
    given = context(models("resnet"), "classification")
    method = FineTune(techniques=("lora:save=adapter",), norm="trained")
    with pytest.raises(UsageError, match="statistics of batch norm"):
        method.adapt(given)


def test_without_peft_the_install_line_is_named(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    install = r"peft is missing; run: pip install 'headstart\[peft\]'"
    with pytest.raises(MissingExtra, match=install):
        reshaped(Lora(), models("vit"))


def trained_with(
    models: Models, name: str, spec: str, *, blind: bool = False, **more: Any
) -> tuple[Any, Trained]:
    """Train; `blind`: without validation rows, so that the last state is handed over."""
    given = context(models(name), "classification")
    if blind:
        given = replace(given, validation=np.empty(0, np.int64))
    settings: dict[str, Any] = {"epochs": 2, "batch": 8, "adapter_rate": 3e-2, "metric": "loss"}
    method = FineTune(**{**settings, **more}, techniques=(spec,))
    return given, method.adapt(given)


CASES = [("bert", "lora:rank=4,save=adapter"), ("resnet", "lora:rank=3,dora=true,save=adapter"),
         ("vit", "ia3:adapter"), ("bert", "prompt:5"), ("distilbert", "prefix:3"),
         ("bert", "prefix:2")]  # fmt: skip


@pytest.mark.parametrize(("name", "spec"), CASES, ids=[" ".join(case) for case in CASES])
def test_saved_and_loaded_with_the_adapter_alone(
    models: Models, name: str, spec: str, tmp_path: Path
) -> None:
    given, trained = trained_with(models, name, spec)
    outputs = trained.adapted.outputs(given.data.inputs)
    close = 3e-2 * abs(outputs).max()
    np.testing.assert_allclose(outputs[trained.rows], trained.outputs, atol=close)
    trained.adapted.save(tmp_path / "model")
    again = load_adapted(tmp_path / "model")
    np.testing.assert_allclose(again.outputs(given.data.inputs), outputs, atol=1e-4)
    again.save(tmp_path / "again")  # a loaded model is a whole one
    third = load_adapted(tmp_path / "again").outputs(given.data.inputs)
    np.testing.assert_allclose(third, outputs, atol=1e-4)

    alone = Adapter.load(tmp_path / "model" / "adapter")
    base = BackboneFeaturiser(alone.onto(models(name)))
    found = trained.adapted.head.outputs(base.features(given.data.inputs))
    np.testing.assert_allclose(found, outputs, atol=1e-4 * np.abs(outputs).max())
    needed = "prompt" in spec or "prefix" in spec
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    assert about["format"] == (2 if needed else 1)
    assert about["adapter"]["merged"] == (not needed)
    assert trained.details["adapter_bytes"] == alone.size < trained.details["model_bytes"] / 2
    kept = tmp_path / "model" / "adapter" / "adapter_model.safetensors"
    assert kept.stat().st_size >= alone.size


@pytest.mark.parametrize(("name", "spec"), CASES[:4], ids=[" ".join(case) for case in CASES[:4]])
def test_peft_itself_reads_what_is_saved(
    models: Models, name: str, spec: str, tmp_path: Path
) -> None:
    import peft

    given, trained = trained_with(models, name, spec, epochs=1)
    trained.adapted.save(tmp_path / "model")
    origin = models(name)
    batch = origin.preprocess([_opened(given.data.inputs, row) for row in range(4)])
    theirs = peft.PeftModel.from_pretrained(
        copy.deepcopy(origin.module), str(tmp_path / "model" / "adapter")
    ).eval()
    with torch.no_grad():
        known = ("pixel_values", "input_ids", "attention_mask")
        accepted = {k: v for k, v in batch.items() if k in known}
        hidden = theirs(**accepted).last_hidden_state
        if spec.startswith("prompt"):
            hidden = hidden[:, 5:]
        module = trained.adapted.featuriser.backbone.module  # type: ignore[attr-defined]
        own = module(**accepted).last_hidden_state
    if "attention_mask" in batch:
        mask = batch["attention_mask"][:, :, None]
        hidden, own = hidden * mask, own * mask
    torch.testing.assert_close(own, hidden, rtol=1e-4, atol=1e-4 * float(hidden.abs().max()))


def _opened(inputs: Any, row: int) -> Any:
    from headstart.data.modality import InputSpec, modality

    return modality(inputs.modality).decode(inputs.items[row], InputSpec(size=32))


@pytest.mark.parametrize(
    "technique", [Prompt(tokens=3), Prefix(tokens=2)], ids=["prompt", "prefix"]
)
@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "gpt2", "t5"])
def test_pooling_ignores_the_vectors_and_padding(models: Models, name: str, technique: Any) -> None:
    backbone = family(models, name)
    plain = embedded(backbone)
    reshaped(technique, backbone)
    texts = examples("text")
    together = embedded(backbone)
    assert together.shape == plain.shape and (together - plain).abs().max() > 1e-4
    with torch.no_grad():
        alone = torch.cat([backbone.embed(backbone.preprocess([text])) for text in texts])
        batch = backbone.preprocess(texts[:1])
        hidden = backbone.module(**batch).last_hidden_state  # as long as the text
        torch.testing.assert_close(hidden.mean(dim=1), together[:1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    twin = running(backbone, copy.deepcopy(backbone.module))  # a copy owns its vectors
    with torch.no_grad():
        vectors: Any = twin.module.headstart_prompts.vectors  # type: ignore[union-attr]
        vectors.copy_(torch.linspace(-1, 1, vectors.numel()).reshape(vectors.shape))
    torch.testing.assert_close(embedded(backbone), together)
    assert (embedded(twin) - together).abs().max() > 1e-3


def test_numbers_of_trained_parameters(models: Models) -> None:
    head = 3 * 16 + 3
    linear = [(16, 16)] * 4 + [(16, 32), (32, 16)]
    for spec, wanted in (
        ("lora:rank=4", 2 * sum(4 * (a + b) for a, b in linear)),
        ("lora:rank=4,dora=true", 2 * sum(4 * (a + b) + b for a, b in linear)),
        ("ia3", 2 * (16 + 16 + 32)),
        ("prompt:5", 5 * 16),
        ("prefix:5", 2 * 5 * 16),
    ):
        _, trained = trained_with(models, "bert", spec, epochs=1)
        assert trained.parameters["trained"] == wanted + head, spec


@pytest.mark.parametrize("spec", ["lora:where=attention", "ia3", "prompt:3"])
def test_what_an_adapter_does_not_touch_is_unchanged(models: Models, spec: str) -> None:
    given, trained = trained_with(models, "bert", spec, blind=True)
    assert given.source is not None
    origin = given.source.backbone.module.state_dict()
    found = trained.adapted.featuriser.backbone.module.state_dict()  # type: ignore[attr-defined]
    moved = {name for name, value in origin.items() if not torch.equal(value, found[name])}
    parts = {"lora:where=attention": ("attention",), "ia3": ("key", "value", "output.dense"),
             "prompt:3": ()}[spec]  # fmt: skip
    assert bool(moved) == bool(parts)
    assert all(any(part in name for part in parts) for name in moved), moved
    assert all("LayerNorm" not in name and "embeddings" not in name for name in moved)


def test_the_boundary_lies_before_the_first_adapter(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = r"lora:where=layer\.1\..*"
    _, cached = trained_with(models, "bert", spec)
    assert cached.details["boundaries"]["adapters"]["boundary"] == "block.1"
    monkeypatch.setattr(progressing, "source_for", lambda feed, *rest: (Plain(feed), {}))
    _, whole = trained_with(models, "bert", spec)
    assert whole.details["boundaries"] == {}
    for one, other in zip(cached.details["curve"], whole.details["curve"], strict=True):
        assert one["validation"] == pytest.approx(other["validation"], rel=1e-4)
    np.testing.assert_allclose(cached.outputs, whole.outputs, rtol=1e-3, atol=1e-3)


def test_l2_sp_pulls_a_low_rank_update_to_nothing(models: Models) -> None:
    """Not to the random start of its first factor."""
    from headstart.adapt.techniques.penalties import L2SP

    backbone = models("bert")
    found = reshaped(Lora(), backbone, stir=False)
    model = model_of(backbone, ScaledLinear(torch.zeros(16), torch.ones(16), 3))
    Parts.of(model, backbone, found.parts)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name)
    penalty = L2SP(weight=0.5).penalty(model, None)  # type: ignore[arg-type]
    factors = [p for name, p in model.named_parameters() if ".lora_A." in name]
    assert factors
    expected = 0.25 * sum(float(p.detach().square().sum()) for p in factors)
    assert penalty().item() == pytest.approx(expected, rel=1e-5)  # the other factor starts at 0
    with torch.no_grad():
        for parameter in factors:
            parameter.zero_()
    assert penalty().item() == 0.0


def test_stages_are_found_beside_adapters(models: Models) -> None:
    """A schedule may move a stage whose layers an adapter has wrapped."""
    backbone = models("bert")
    found = reshaped(Lora(), backbone, stir=False)
    model = model_of(backbone, ScaledLinear(torch.zeros(16), torch.ones(16), 3))
    names = dict(model.named_parameters())
    parts = Parts.of(model, backbone, found.parts)
    assert all(name in names for stage in backbone.stages for name in parts.parameters(stage.name))
    schedule = ({"share": 1.0, "rates": {"lora": 1e-3, "block.1": 1e-4, "head": 1e-3}},)
    _, trained = trained_with(models, "bert", "lora", schedule=schedule, epochs=1)
    assert trained.details["ended"] == "all steps"


def test_a_damaged_or_strange_adapter_is_refused(models: Models, tmp_path: Path) -> None:
    _, trained = trained_with(models, "bert", "lora:save=adapter", epochs=1)
    assert trained.adapted.adapter is not None
    folder = tmp_path / "adapter"
    trained.adapted.adapter.save(folder)
    with pytest.raises(RunError, match=r"does not fit .*vit"):
        Adapter.load(folder).onto(models("vit"))
    (folder / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        Adapter.load(folder)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(RunError, match=r"no adapter_config\.json"):
        Adapter.load(folder)
