"""A model as one ONNX graph: backbone, head and probabilities; equal to torch's, or refused.

Traced by torch's TorchScript exporter, as in `features.onnx`. A trace keeps what Python decided
for its two examples; so the graph is run on others, of other number and length, from the folder
that was written, before it is handed over.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.task import Task
from headstart.errors import HeadstartError, UsageError
from headstart.run.export_examples import AGREE, examples, gap
from headstart.run.export_onnx_read import FILE, read
from headstart.sources.oneline import one_line

if TYPE_CHECKING:
    from torch import nn

    from headstart.adapt import Adapted

FULL = "plain words of a long text " * 120  # as many tokens as the model takes
INSTEAD = "Take --to torchscript-free, which holds every model as it is."


def write(model: Adapted, folder: Path, licence: str) -> dict[str, Any]:
    """Write model.onnx and its preprocessing to `folder`; returns what was checked.

    Raises UsageError where the model cannot be had so, MissingExtra without onnx or onnxruntime.
    """
    from headstart.sources.graphs.read import need_packages
    from headstart.sources.loading import quiet

    need_packages()
    refused = f"{model.name!r} cannot be exported to onnx:"
    reason = _unsuited(model)
    if reason:
        raise UsageError(f"{refused} {reason} {INSTEAD}")
    backbone: Any = model.featuriser.backbone  # type: ignore[attr-defined]
    shown = examples(model.modality, backbone)
    try:
        with quiet():
            graph, facts = _made(model, backbone, folder, shown)
            facts |= {"licence": _licence(backbone, licence)}
            _put(graph, folder, facts)
            differences = _checked(model, backbone, folder, facts, shown)
    except HeadstartError:
        raise
    except Exception as error:  # of torch or ONNX Runtime: the person must hear of it
        kind = type(backbone.module).__name__
        raise UsageError(
            f"{refused} {kind} cannot be traced: {one_line(error)} {INSTEAD}"
        ) from None
    worst = max(differences.values())
    if not worst <= AGREE:
        raise UsageError(
            f"{refused} on made-up examples its outputs differ from the model's own by {worst:.1e} "
            f"of the largest, where {AGREE:.0e} is allowed. {INSTEAD}"
        )
    return facts | {"tolerance": AGREE, "difference": worst, "differences": differences}


def _made(
    model: Adapted, backbone: Any, folder: Path, shown: list[Any]
) -> tuple[Any, dict[str, Any]]:
    """Write the preprocessing; return the graph (a ModelProto) and what is to be known of it."""
    import onnx

    from headstart.sources.graphs.frozen import OnnxBackbone

    facts = _facts(model, backbone)
    if isinstance(backbone, OnnxBackbone):
        from headstart.run.export_onnx_grown import grown

        backbone.preparation.save(folder)
        graph, own = grown(model, backbone, outputs_of(model.task))
        return graph, facts | own
    _save_preparation(model.modality, backbone, folder)
    plan = _planned(model, backbone, [backbone.preprocess([one]) for one in shown])
    free = {name: list(axes) for name, axes in plan.free.items() if axes}
    graph = onnx.load_model_from_string(_traced(model, backbone, plan, shown))
    own = {"inputs": list(plan.inputs), "free": free, "apart": plan.apart}
    return graph, facts | own | {"preprocessing": _preparation(model.modality, backbone)}


def _unsuited(model: Adapted) -> str:
    """Return why there is no graph of this model; "" where there may be one."""
    from headstart.run.export_heads import head_module
    from headstart.sources.folder import TransformersBackbone
    from headstart.sources.graphs.frozen import OnnxBackbone
    from headstart.sources.graphs.read import MOST_BYTES

    backbone = getattr(model.featuriser, "backbone", None)
    if backbone is None:
        return "it uses no pretrained model, and hand-made features are Python code, no graph."
    if not isinstance(backbone, TransformersBackbone | OnnxBackbone):
        return "its backbone is neither a transformers model nor an ONNX graph."
    if sum(p.numel() for p in backbone.module.parameters()) * 4 > 0.98 * MOST_BYTES:
        return "its weights hold more than the 2 GiB that one ONNX file can."
    try:
        head_module(model.head)
    except UsageError as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the graph takes. `free`: by input, the axes of any length beside the first (n).

    `apart`: clips of unequal length are run apart, since padding would be heard.
    """

    inputs: tuple[str, ...]
    free: dict[str, tuple[int, ...]]
    apart: bool


def _planned(model: Adapted, backbone: Any, alone: list[dict[str, Any]]) -> Plan:
    """Axes that differ between examples of unequal size are free in the graph."""
    free = {
        name: tuple(
            at for at in range(1, value.ndim) if len({one[name].shape[at] for one in alone}) > 1
        )
        for name, value in alone[0].items()
    }
    apart = model.modality == "audio" and any(free.values())
    used = backbone.accepts | ({"attention_mask"} if not apart else set())
    names = tuple(name for name in free if name in used and not (apart and "mask" in name))
    return Plan(names, {name: free[name] for name in names}, apart)


def _traced(model: Adapted, backbone: Any, plan: Plan, shown: list[Any]) -> bytes:
    """Trace two examples: texts of unequal length, of other things twice the same."""
    import torch

    from headstart.features.onnx import OPSET
    from headstart.features.traced import silence

    two = shown[:2] if model.modality == "text" else [shown[1], shown[1]]
    batch = backbone.preprocess(two)
    outputs = outputs_of(model.task)
    axes = {name: {0: "n"} | {at: f"{name}_{at}" for at in plan.free[name]} for name in plan.inputs}
    file = io.BytesIO()
    with torch.no_grad(), silence():
        torch.onnx.export(
            _whole(model, backbone, plan.inputs), tuple(batch[name] for name in plan.inputs),
            file,  # type: ignore[arg-type]  # TorchScript's exporter writes into memory too
            dynamo=False, input_names=list(plan.inputs), output_names=outputs, opset_version=OPSET,
            dynamic_axes=axes | {name: {0: "n"} for name in outputs},
        )  # fmt: skip
    return file.getvalue()


def _whole(model: Adapted, backbone: Any, names: tuple[str, ...]) -> nn.Module:
    from torch import nn

    from headstart.features.traced import embedding_module
    from headstart.run.export_heads import activation, head_module

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = embedding_module(backbone, names)
            self.head = head_module(model.head)
            self.activate = activation(model.task.name)

        def forward(self, *values: Any) -> Any:
            raw = self.head(self.embed(*values).float())
            return raw if self.activate is None else (raw, self.activate(raw))

    return Whole().eval()


def outputs_of(task: Task) -> list[str]:
    return ["prediction"] if task.name == "regression" else ["logits", "probabilities"]


def _facts(model: Adapted, backbone: Any) -> dict[str, Any]:
    from headstart.features.onnx import OPSET
    from headstart.report.card_metadata import base_name

    return {
        "modality": model.modality, "task": model.task.name, "labels": list(model.task.labels),
        "name": model.name, "base_model": base_name(backbone.card.id), "opset": OPSET,
        "outputs": outputs_of(model.task), "grown": False,
    }  # fmt: skip


def _preparation(modality: str, backbone: Any) -> dict[str, Any]:
    """Return in numbers what has to be done to an example before the graph sees it."""
    made = backbone.preprocessing
    if modality == "text":
        return {"longest": made.longest, "tokenizer": type(made.tokenizer).__name__}
    if modality == "audio":
        return {"sampling_rate": backbone.spec.sampling_rate, "seconds": backbone.spec.seconds}
    names = ("size", "resample", "crop_size", "rescale_factor", "image_mean", "image_std")
    found = {name: getattr(made.processor, name, None) for name in names}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [float(one) for one in value]
    return {key: side for key, side in dict(value).items() if side is not None}


def _licence(backbone: Any, noted: str) -> str:
    return str(noted if noted != "unknown" else backbone.card.licence or noted)


def _save_preparation(modality: str, backbone: Any, folder: Path) -> None:
    """Write it; a tokenizer says how many tokens this model takes, its prompts not counted."""
    backbone.preprocessing.save(folder)
    if modality == "text":
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text("utf-8"))
        settings["model_max_length"] = backbone.preprocessing.longest
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _put(model: Any, folder: Path, facts: dict[str, Any]) -> None:
    """Write the file; labels, licence and preprocessing stand in its own metadata, too."""
    import onnx

    import headstart

    model.producer_name, model.producer_version = "headstart", headstart.__version__
    stated = {name: facts[name] for name in ("modality", "task", "labels", "licence", "base_model")}
    stated |= {"preprocessing": facts["preprocessing"]}
    settings = folder / "preprocessor_config.json"
    if settings.is_file():  # the key that `sources.onnx` reads
        stated["preprocessor_config"] = settings.read_text("utf-8")
    kept = [(e.key, e.value) for e in model.metadata_props if e.key not in stated]
    del model.metadata_props[:]
    for key, value in [*kept, *stated.items()]:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(model)
    (folder / FILE).write_bytes(model.SerializeToString(deterministic=True))


def _checked(
    model: Adapted, backbone: Any, folder: Path, facts: dict[str, Any], shown: list[Any]
) -> dict[str, float]:
    """Return the largest differences of what was written from the model, by what was given."""
    import torch

    found = read(folder, facts)
    shown = [*shown, FULL] if model.modality == "text" else shown

    def wanted(decoded: list[Any]) -> np.ndarray:
        with torch.inference_mode():
            features = backbone.embed(backbone.preprocess(decoded)).float().numpy()
        return model.head.outputs(features)

    alone = np.concatenate([wanted([one]) for one in shown])
    single = np.concatenate([found.raw([one]) for one in shown])
    # More at once than the two that were traced; what padding does to a text, it does to torch's.
    padded = wanted(shown) if model.modality == "text" else alone
    differences = {"alone": gap(single, alone), "together": gap(found.raw(shown), padded)}
    if len(facts["outputs"]) > 1:
        scores = model.task.kind.activate(alone)
        said = np.concatenate([found.run([one], facts["outputs"][1]) for one in shown])
        differences["probabilities"] = float(np.abs(said - scores).max())
    return differences
