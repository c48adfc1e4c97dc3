"""Open any Hugging Face folder as a Backbone: config.json, safetensors and preprocessing files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.data.modality.base import Decoded, InputSpec
from headstart.errors import ModelError
from headstart.sources.backbone import BackboneCard, Batch, Stage
from headstart.sources.cards import read_card
from headstart.sources.oneline import one_line
from headstart.sources.pooling import choose_pooling, pool, step_mask
from headstart.sources.preprocess import Preprocess, load_preprocess
from headstart.sources.safety import FolderFiles, look_into, read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

# Files of the origin that a saved model keeps beside what save_pretrained writes.
KEPT = ("README*", "LICEN[CS]E*", "NOTICE*", "1_Pooling/config.json")


@dataclass(eq=False)  # not frozen only because Backbone's attributes are plain ones
class TransformersBackbone:
    """A transformers model behind the Backbone protocol; change none of its attributes.

    `module` is the part that embeds (for CLIP the vision tower, for T5 the encoder); `whole` is
    the model that it is part of, which `save` writes. `fingerprint` is that of the weights as
    they were opened or drawn: a module trained since then needs to be saved and opened again.
    `accepts`: the arguments of the module's forward. `by_length`: see `embed`.
    """

    card: BackboneCard
    module: nn.Module
    width: int
    fingerprint: str
    stages: tuple[Stage, ...]
    spec: InputSpec
    pooling: str
    preprocessing: Preprocess
    whole: Any  # a PreTrainedModel
    inside: str  # name of `module` inside `whole`; "" where they are one
    accepts: frozenset[str]
    by_length: bool
    origin: Path | None
    copyable: bool  # the origin's safetensors are these weights
    trainable: bool = True

    def preprocess(self, decoded: Sequence[Decoded]) -> Batch:
        """Turn decoded examples into a batch, as the model was trained to see them."""
        batch = self.preprocessing(decoded)
        # attention_mask stays even where forward has no use for it: pooling has.
        keep = self.accepts | {"attention_mask"}
        return {name: value for name, value in batch.items() if name in keep}

    def embed(self, batch: Batch) -> Tensor:
        """Return embeddings (n, width); differentiable; in the module's present mode.

        wav2vec 2.0 models with group norm average over time before they know of any mask, so that
        padding would change the result: there each length runs without its padding (`by_length`).
        """
        mask = batch.get("attention_mask")
        if not self.by_length or mask is None or bool(mask.all()):
            return _embed(self.module, self.accepts, self.pooling, batch)
        import torch

        lengths = mask.sum(1)
        rows, parts = [], []
        for length in torch.unique(lengths):
            chosen = torch.nonzero(lengths == length)[:, 0]
            cut = {name: value[chosen, : int(length)] for name, value in batch.items()}
            rows.append(chosen)
            parts.append(_embed(self.module, self.accepts, self.pooling, cut))
        return torch.cat(parts)[torch.argsort(torch.cat(rows))]

    def reinitialised(self, seed: int) -> TransformersBackbone:
        """Return the same architecture with random weights: the from-scratch baseline."""
        from headstart.sources.catalogue.match import blank
        from headstart.sources.loading import drop_untrained_pooler, fingerprint_state, new_model

        whole = new_model(self.whole, seed)
        module = whole.get_submodule(self.inside) if self.inside else whole
        drop_untrained_pooler(module)
        whole = whole.to(next(self.module.parameters()).device)
        return replace(
            self,
            card=replace(blank(self.card), note="random weights"),
            module=module,
            whole=whole,
            fingerprint=fingerprint_state(module, f"{self.card.id}:{self.pooling}"),
            copyable=False,
        )

    def save(self, folder: Path, *, unchanged: bool = False) -> None:
        """Write a folder that `open_folder` reads, with the licence and README of the origin.

        Weights go out in float32, as they are now. A caller who knows that the module is as it was
        opened says `unchanged=True`: then the origin's files are copied, with equal fingerprint.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if unchanged and self.origin is not None and self.copyable:
            files = look_into(self.origin)
            for path in (files.folder / "config.json", *files.preprocessing, *_weights(files)):
                _copy(path, self.origin, folder)
        else:
            from headstart.sources.loading import quiet

            with quiet():
                self.whole.save_pretrained(folder, state_dict=self._state())
                self.preprocessing.save(folder)
        if self.origin is not None:
            for pattern in KEPT:
                for path in self.origin.glob(pattern):
                    _copy(path, self.origin, folder)

    def _state(self) -> dict[str, Tensor]:
        """Return the tensors of `whole`, those of `module` (which may be a copy) put in.

        What the architecture has no place for is saved by whoever added it to the module.
        """
        prefix = f"{self.inside}." if self.inside else ""
        now = {prefix + name: value for name, value in self.module.state_dict().items()}
        return {name: now.get(name, value) for name, value in self.whole.state_dict().items()}


def open_folder(
    path: Path, *, id: str, source: str, allow_pickle: bool = False
) -> TransformersBackbone:
    """Open the Hugging Face folder at `path`: float32, eval mode, quiet; no code of it is run.

    Raises ModelNotFound, UnsafeWeights or ModelError, each with one line that says what to do.
    """
    files = look_into(path, allow_pickle=allow_pickle)
    from headstart.sources import loading
    from headstart.sources.architectures import register_all
    from headstart.sources.catalogue.refuse import refuse_architecture

    with loading.quiet():
        register_all()
        config = loading.load_config(files)
        if source != "run":  # what a run saved was opened before
            refuse_architecture(config.model_type, path)
        whole, missing = loading.load_model(files, config)
        tower, modality = loading.choose_tower(whole, path)
        inside = loading.name_of(tower, whole)
        loading.refuse_missing(missing, tower, inside, path)
        preprocessing = load_preprocess(modality, path, tower.config, tower)
        return _assemble(files, whole, tower, inside, modality, preprocessing, id, source)


def _assemble(
    files: FolderFiles,
    whole: nn.Module,
    tower: nn.Module,
    inside: str,
    modality: str,
    preprocessing: Preprocess,
    id: str,
    source: str,
) -> TransformersBackbone:
    """Run one example through the model: gives pooling, width and the order of the stages."""
    import torch

    from headstart.sources.catalogue.match import informed
    from headstart.sources.loading import fingerprint_files
    from headstart.sources.stages import find_stages

    accepts = _arguments(tower)
    seen: list[Any] = []

    def run() -> None:
        batch = preprocessing([preprocessing.example])
        with torch.no_grad():
            seen.append((batch, tower(**_accepted(batch, accepts))))

    try:
        stages = find_stages(tower, run)
    except Exception as error:
        # Whatever the model does with its own preprocessing's output, the person must hear of it.
        raise ModelError(
            f"{files.folder}: {type(tower).__name__} fails on what its own preprocessing gives: "
            f"{one_line(error)} Check its preprocessing files against config.json."
        ) from None
    batch, output = seen[0]
    pooling = choose_pooling(modality, tower, output, text_cls=wants_cls(files.folder))
    width = int(_pooled(tower, pooling, batch, output).shape[1])
    card = replace(
        read_card(files.folder, id=id, source=source),
        modality=modality,
        architecture=type(tower).__name__,
        parameters=sum(parameter.numel() for parameter in tower.parameters()),
        width=width,
        available=True,
        note="",
    )
    card = informed(card, whole.config)
    return TransformersBackbone(
        card=card,
        module=tower,
        width=width,
        fingerprint=fingerprint_files(files, pooling),
        stages=stages,
        spec=preprocessing.spec,
        pooling=pooling,
        preprocessing=preprocessing,
        whole=whole,
        inside=inside,
        accepts=accepts,
        by_length=getattr(tower.config, "feat_extract_norm", "") == "group",
        origin=files.folder,
        copyable=not files.pickled,
    )


def _embed(module: nn.Module, accepts: frozenset[str], pooling: str, batch: Batch) -> Tensor:
    more = {"output_hidden_states": True} if pooling == "layers" else {}
    return _pooled(module, pooling, batch, module(**_accepted(batch, accepts), **more))


def _pooled(module: nn.Module, pooling: str, batch: Batch, output: Any) -> Tensor:
    mask = batch.get("attention_mask")
    if pooling in ("mean", "layers"):
        mask = step_mask(module, mask, output.last_hidden_state.shape[1])
    return pool(pooling, output, mask)


def _accepted(batch: Batch, accepts: frozenset[str]) -> Batch:
    return {name: value for name, value in batch.items() if name in accepts}


def _arguments(module: nn.Module) -> frozenset[str]:
    import inspect

    forward: Callable[..., Any] = module.forward
    return frozenset(inspect.signature(forward).parameters)


def wants_cls(folder: Path) -> bool:
    """Whether sentence-transformers' pooling settings say that the first token counts."""
    path = folder / "1_Pooling" / "config.json"
    return path.is_file() and bool(read_json(path).get("pooling_mode_cls_token"))


def _weights(files: FolderFiles) -> list[Path]:
    return [*files.weights, *files.folder.glob("model.safetensors.index.json")]


def _copy(path: Path, origin: Path, folder: Path) -> None:
    if path.is_file():
        target = folder / path.relative_to(origin)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
