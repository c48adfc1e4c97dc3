"""A loaded pretrained model, whatever it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from headstart.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from headstart.data.modality import Decoded, InputSpec

Batch = dict[str, Any]  # keyword arguments of the module: tensors with n first


@dataclass(frozen=True, slots=True)
class Published:
    """One figure that somebody published for these weights, and where it stands."""

    metric: str  # with its unit: "top-1 accuracy, %"
    value: float
    data: str  # what it was measured on
    source: str  # paper and table, or model card
    verified: bool = True  # somebody saw it there; else it was written down from memory


@dataclass(frozen=True, slots=True)
class BackboneCard:
    """What is known of a pretrained model before loading it.

    `available`: whether it can be had here and now. The fields after `note` come from the
    catalogue, and stay empty for a model that it does not know. `operations`: multiply-adds for
    one example of `example`'s size. `state`: see `catalogue.STATES`. `why`: why it cannot run.
    """

    id: str
    source: str
    modality: str
    architecture: str = ""
    parameters: int | None = None
    width: int | None = None  # of the embedding
    pretrained_on: str = ""
    labels: tuple[str, ...] = ()  # of the source task, where it has a head
    licence: str = ""
    available: bool = True
    note: str = ""  # for instance why it is not available
    family: str = ""
    task: str = ""  # what it was trained for
    operations: int | None = None
    example: str = ""  # "224 x 224 pixels", "128 tokens", "10 s at 16 kHz"
    label_set: str = ""  # name of the source task's labels, see `catalogue.label_set`
    published: tuple[Published, ...] = ()
    use: str = ""  # rough order of magnitude of downloads, with its date
    state: str = "here"
    runs: bool = True
    why: str = ""
    language: str = ""  # codes, as its own card states them

    @property
    def title(self) -> str:
        """The id as a table shows it: of a file or folder, its name alone."""
        if self.source == "onnx":
            from headstart.sources.onnx import split_id

            place, output = split_id(self.id)
            return f"{place.name}#{output}" if output else place.name
        return Path(self.id).name if self.source == "local" else self.id


@dataclass(frozen=True, slots=True)
class Stage:
    """One freezable part of a backbone, in forward order: "stem", "block.0" …, "norm".

    `parameters`: names in `module.named_parameters()`. `modules`: names of the top modules of the
    stage in `module.named_modules()` (to switch batch norm or dropout of the stage).
    """

    name: str
    parameters: tuple[str, ...]
    modules: tuple[str, ...] = field(default=())


class Backbone(Protocol):
    """The loaded model. `module` is a torch module whose forward takes a Batch.

    One that is not `trainable` is run by another runtime and stays frozen: its module has no
    parameters and it has no stages, `embed` gives no gradient, and `reinitialised` raises
    ModelError. All else holds for it too.
    """

    card: BackboneCard
    module: nn.Module
    width: int
    fingerprint: str  # of weights and preprocessing
    stages: tuple[Stage, ...]
    spec: InputSpec  # what decode must give
    trainable: bool

    def preprocess(self, decoded: Sequence[Decoded]) -> Batch:
        """Turn decoded examples into a batch, as the model was trained to see them."""

    def embed(self, batch: Batch) -> Tensor:
        """Return embeddings (n, width); differentiable; in the module's present mode."""

    def reinitialised(self, seed: int) -> Backbone:
        """Return the same architecture with random weights: the from-scratch baseline."""

    def save(self, folder: Path, *, unchanged: bool = False) -> None:
        """Write a folder that `load` of the local source reads (config, preprocessing, weights).

        `unchanged`: the caller knows that the weights are those of the origin, whose files may
        then be copied as they are.
        """


def need_trainable(backbone: Backbone) -> None:
    """Raise ModelError for a backbone that is run by another runtime than torch."""
    if not backbone.trainable:
        raise ModelError(
            f"{backbone.card.id} is run by another runtime than torch: it stays frozen and cannot "
            "be trained. Use --method probe, or name the model's Hugging Face folder."
        )


def running(backbone: Backbone, module: nn.Module) -> Backbone:
    """Return a backbone that runs `module` instead; everything else is shared.

    The fingerprint too: for a module that computes the same, or that is not extracted from.
    """
    import copy

    other = copy.copy(backbone)
    object.__setattr__(other, "module", module)
    return other


def with_module(backbone: Backbone, module: nn.Module) -> Backbone:
    """Return a backbone that runs `module`, everything else shared; its fingerprint is its own.

    For weights that were changed: features of the old ones must not be taken for theirs.
    """
    import hashlib

    mixed = hashlib.blake2b(backbone.fingerprint.encode(), digest_size=16)
    for name, value in sorted(module.state_dict().items()):
        mixed.update(name.encode())
        mixed.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    changed = running(backbone, module)
    object.__setattr__(changed, "fingerprint", mixed.hexdigest())
    return changed
