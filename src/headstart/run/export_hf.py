"""A model as transformers' own class with its classifier layer: exactly equal, or refused."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.task import Task
from headstart.errors import RunError, UsageError
from headstart.run.export_answers import BATCH, answered
from headstart.run.export_examples import AGREE, examples, gap

if TYPE_CHECKING:
    from headstart.adapt import Adapted

INSTEAD = "Take --to torchscript-free, which holds every model as it is."
AUTO = {
    "image": "AutoModelForImageClassification",
    "text": "AutoModelForSequenceClassification",
    "audio": "AutoModelForAudioClassification",
}
PROBLEMS = {
    "classification": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}


def write(model: Adapted, folder: Path) -> dict[str, Any]:
    """Write the model to `folder`; returns what was checked. Raises UsageError where it cannot be.

    The scaling of a probe and its temperature are in the weights of its linear head already.
    """
    from headstart.sources.loading import quiet

    reason = _unsuited(model)
    if reason:
        raise UsageError(f"{model.name!r} cannot be exported to hf: {reason} {INSTEAD}")
    backbone: Any = model.featuriser.backbone  # type: ignore[attr-defined]
    with quiet():
        made = _built(model, backbone)
        alone, together = _gaps(model, backbone, made)
        if not alone <= AGREE:
            raise UsageError(
                f"{model.name!r} cannot be exported to hf: {type(made).__name__} does not put its "
                f"classifier straight on the features that this model uses ({backbone.pooling} "
                f"pooling), so that outputs would differ by {alone:.1e} of the largest. {INSTEAD}"
            )
        made.save_pretrained(folder)
        backbone.preprocessing.save(folder)
    return {
        "modality": model.modality, "task": model.task.name, "labels": list(model.task.labels),
        "name": model.name, "class": type(made).__name__, "tolerance": AGREE,
        "difference": alone, "difference_in_padded_batch": together, "batches": together <= AGREE,
    }  # fmt: skip


def _unsuited(model: Adapted) -> str:
    """Return why transformers has no class for this model; "" where it may have one."""
    from headstart.sources.folder import TransformersBackbone

    backbone = getattr(model.featuriser, "backbone", None)
    if backbone is None:
        return "it uses no pretrained model (hand-made features, or none), which they cannot hold."
    if not isinstance(backbone, TransformersBackbone):
        return "its backbone is no transformers model."
    if not type(backbone.whole).__module__.startswith("transformers."):
        return f"{type(backbone.whole).__name__} is an architecture of Headstart's own."
    if backbone.inside:
        return f"it uses only a part ({backbone.inside}) of {type(backbone.whole).__name__}."
    if model.head.kind != "linear":
        return f"its head is of kind {model.head.kind!r}, their classifier is a linear layer."
    if model.adapter is not None and not model.adapter.merged:
        return f"its adapter ({model.adapter.kind}) cannot be merged into the weights."
    return ""


def _built(model: Adapted, backbone: Any) -> Any:
    """Return transformers' model with the backbone's weights and the head in its classifier."""
    import torch
    import transformers

    config = copy.deepcopy(backbone.whole.config)
    labels = list(model.task.labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: at for at, label in enumerate(labels)}
    config.problem_type = PROBLEMS[model.task.name]
    if hasattr(config, "classifier_proj_size"):  # wav2vec 2.0: a projection that can be stepped by
        config.classifier_proj_size, config.use_weighted_layer_sum = backbone.width, False
    try:
        made = getattr(transformers, AUTO[model.modality]).from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
    except ValueError:
        kind = type(backbone.whole).__name__
        raise UsageError(f"transformers has no classifier of {kind}. {INSTEAD}") from None
    body = getattr(made, made.base_model_prefix)
    absent = body.load_state_dict(backbone.module.state_dict(), strict=False).missing_keys
    heads = [part for part in made.modules() if _takes(part, len(labels), backbone.width)]
    if not heads or any(not name.startswith("pooler.") for name in absent):
        raise UsageError(
            f"{model.name!r} cannot be exported to hf: {type(made).__name__} has no linear "
            f"classifier with a bias for features of width {backbone.width}. {INSTEAD}"
        )
    _fill(heads[-1], getattr(made, "projector", None), model.head.arrays())
    return made.eval()


def _takes(part: Any, outputs: int, width: int) -> bool:
    from torch import nn

    fits = isinstance(part, nn.Linear) and part.out_features == outputs
    return fits and part.bias is not None and part.in_features >= width


def _fill(layer: Any, projector: Any, head: dict[str, np.ndarray]) -> None:
    """Put weights (d, k) into a layer (k, D >= d): what comes after d (DINOv2) weighs nothing."""
    import torch

    weights, bias = torch.from_numpy(head["weights"].copy()), torch.from_numpy(head["bias"].copy())
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, : len(weights)] = weights.T
        layer.bias.copy_(bias)
        if projector is not None:
            torch.nn.init.eye_(projector.weight)
            projector.bias.zero_()


def _gaps(model: Adapted, backbone: Any, made: Any) -> tuple[float, float]:
    """Return the largest relative differences from our outputs: one example a batch; padded."""
    import torch

    decoded = examples(model.modality, backbone)
    batches = [backbone.preprocess([one]) for one in decoded]
    with torch.inference_mode():
        features = torch.cat([backbone.embed(batch) for batch in batches]).float().numpy()
        wanted = model.head.outputs(features)
        alone = np.concatenate([_logits(made, batch) for batch in batches])
        together = _logits(made, backbone.preprocess(decoded))
    return gap(alone, wanted), gap(together, wanted)


def _logits(made: Any, batch: dict[str, Any]) -> np.ndarray:
    accepts = inspect.signature(made.forward).parameters
    given = {name: value for name, value in batch.items() if name in accepts}
    found: np.ndarray = made(**given).logits.double().numpy()
    return found


@dataclass(frozen=True, slots=True, eq=False)
class HfModel:
    """An exported model as transformers runs it: no part of it comes from Headstart."""

    name: str
    modality: str
    task: Task
    whole: Any
    preprocessing: Any
    batch: int

    def scores(self, inputs: Unlabelled, *, progress: Progress = silent) -> np.ndarray:
        """Return what `Task.kind.activate` makes of the logits (n, k)."""
        import torch

        def raw(decoded: list[Any]) -> np.ndarray:
            return _logits(self.whole, self.preprocessing(decoded))

        with torch.inference_mode():
            return answered(
                raw, inputs, self.task, self.preprocessing.spec, name=self.name,
                progress=progress, batch=self.batch,
            )  # fmt: skip


def read(folder: Path, about: dict[str, Any]) -> HfModel:
    """Load an export with plain transformers. Raises RunError where it is damaged."""
    import torch
    import transformers

    from headstart.sources.loading import quiet
    from headstart.sources.preprocess import load_preprocess

    try:
        task = Task.of(about["task"], tuple(about["labels"]))
        with quiet():
            whole = getattr(transformers, AUTO[about["modality"]]).from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False,
                use_safetensors=True,
            )  # fmt: skip
            preprocessing = load_preprocess(about["modality"], folder, whole.config, whole)
        batch = BATCH if about["batches"] else 1
        name = about["name"]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise RunError(f"The export in {folder} is damaged: {error}. Export again.") from error
    return HfModel(name, about["modality"], task, whole.eval(), preprocessing, batch)
