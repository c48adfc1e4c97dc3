"""Freeze-aware training: what a frozen front gives is computed once, and only the back is run.

A model's own forward is kept. To capture, it is stopped where the first moving block begins and
the hidden state that arrives there is taken. To replay, the frozen modules are stepped over and
the kept state is put in at the same place; masks and positions are made by the model's own code
from the (small) inputs. A boundary is used only where a replay gives what the model gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.feed import MEMORY_SHARE, Feed
from headstart.compute.machine import machine, torch_device
from headstart.sources.backbone import Backbone, Batch

AGREE = 1e-5  # largest difference of a replayed embedding, relative to the largest value
CAPTURE = 32  # examples at once
SAMPLE = 4


class _Arrived(Exception):
    """Carries the hidden state out of a forward pass that need not go on."""

    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden


class _Mixed(Exception):
    """What arrives has not a state an example, each of the same shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Cached:
    """A batch whose frozen front has been run: the inputs, and the hidden state (n, ...)."""

    inputs: Batch
    hidden: Tensor
    boundary: Place

    def embed(self) -> Tensor:
        return self.boundary.embed(self)

    def to(self, device: torch.device, non_blocking: bool = False) -> Cached:
        """Return the batch on a device; what Accelerate asks of a batch of another type."""
        inputs = send_to_device(self.inputs, device, non_blocking=non_blocking)
        hidden = self.hidden.to(device, non_blocking=non_blocking)
        return Cached(inputs, hidden, self.boundary)


class Boundary:
    """The place before the first moving block of a backbone."""

    by_length = True  # a state has the length of its example, where examples have one

    def __init__(self, backbone: Backbone, stage: str) -> None:
        self.stage = stage
        self._backbone = backbone
        modules = dict(backbone.module.named_modules())
        names = [s.name for s in backbone.stages]
        at = names.index(stage)
        self._entry = modules[backbone.stages[at].modules[0]]
        self._front = [modules[name] for s in backbone.stages[:at] for name in s.modules]
        self._tuples: set[int] = set()  # front modules that return tuples

    def inputs(self, feed: Feed, rows: np.ndarray) -> Batch:
        """Return what the back still looks at: shapes, masks and positions."""
        return feed.shell(rows)

    def capture(self, inputs: Batch) -> Tensor:
        """Run the frozen front; returns the hidden state (n, ...)."""
        with ExitStack() as stack:
            for module in self._front:
                handle = module.register_forward_hook(self._note_kind)
                stack.callback(handle.remove)
            handle = self._entry.register_forward_pre_hook(_arrive, with_kwargs=True)
            stack.callback(handle.remove)
            stack.enter_context(torch.no_grad())
            try:
                self._backbone.embed(send_to_device(inputs, torch_device()))
            except _Arrived as arrived:
                return arrived.hidden.cpu()
        raise LookupError(f"the forward pass never came to {self.stage}")

    def _note_kind(self, module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, tuple):
            self._tuples.add(id(module))

    def embed(self, batch: Cached) -> Tensor:
        """Return embeddings (n, d) of a captured batch, differentiable in the back."""

        def put(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if args:
                return (batch.hidden, *args[1:]), kwargs
            return args, {**kwargs, next(iter(kwargs)): batch.hidden}

        with ExitStack() as stack:
            for module in self._front:
                stack.enter_context(_stepped_over(module, batch.hidden, id(module) in self._tuples))
            handle = self._entry.register_forward_pre_hook(put, with_kwargs=True)
            stack.callback(handle.remove)
            return self._backbone.embed(batch.inputs)


class End:
    """The place behind the last block: nothing of the backbone moves, embeddings are all."""

    stage = "head"
    by_length = False

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def inputs(self, feed: Feed, rows: np.ndarray) -> Batch:
        return {}

    def capture(self, inputs: Batch) -> Tensor:
        """Run the whole backbone; returns embeddings (n, d)."""
        with torch.no_grad():
            return self._backbone.embed(send_to_device(inputs, torch_device())).cpu()

    def embed(self, batch: Cached) -> Tensor:
        return batch.hidden


Place = Boundary | End


def _arrive(module: nn.Module, args: Any, kwargs: Any) -> Any:
    raise _Arrived((args[0] if args else next(iter(kwargs.values()))).detach())


@contextmanager
def _stepped_over(module: nn.Module, hidden: Tensor, as_tuple: bool) -> Iterator[None]:
    answer = (hidden,) if as_tuple else hidden
    object.__setattr__(module, "forward", lambda *args, **kwargs: answer)
    try:
        yield
    finally:
        object.__delattr__(module, "forward")


class Plain:
    """Batches that run the whole model."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    def batch(self, rows: np.ndarray) -> Batch | Cached:
        return self.feed.batch(rows)


class Replayed:
    """Batches from the boundary on. Examples of different lengths are kept each at its own."""

    def __init__(self, feed: Feed, boundary: Place, hidden: Tensor | list[Tensor]) -> None:
        self.feed = feed
        self._boundary = boundary
        self._hidden = hidden

    def batch(self, rows: np.ndarray) -> Cached:
        if isinstance(self._hidden, Tensor):
            hidden = self._hidden[torch.from_numpy(rows)]
            return Cached(self._boundary.inputs(self.feed, rows), hidden, self._boundary)
        inputs = self.feed.batch(rows)
        longest = int(inputs["attention_mask"].shape[1])
        first = self._hidden[int(rows[0])]
        hidden = first.new_zeros(len(rows), longest, first.shape[-1])
        for at, row in enumerate(rows):
            own = self._hidden[int(row)]
            hidden[at, : len(own)] = own
        return Cached(inputs, hidden, self._boundary)


Source = Plain | Replayed


def source_for(
    feed: Feed, backbone: Backbone, moving: Sequence[str], rows: np.ndarray,
    advance: Callable[[str], Any],
) -> tuple[Source, dict[str, Any]]:  # fmt: skip
    """Return batches from the boundary before the first stage with `moving` parameters, if sound.

    `moving`: names of parameters of the backbone's module. `rows`: all that will be asked for.
    Else whole batches; the second value says which, for the record.
    """
    names = [stage.name for stage in backbone.stages]
    if not moving and len(rows):
        end = End(backbone)
        with advance("the head") as step:
            return Replayed(feed, end, _captured(feed, end, rows, step)), {"boundary": end.stage}
    first = first_stage(backbone, moving)
    if first == 0 or not len(rows) or not names[first].startswith("block."):
        return Plain(feed), {}
    try:
        boundary = Boundary(backbone, names[first])
        sample = rows[:SAMPLE]
        hidden = boundary.capture(feed.batch(sample))
        if len(hidden) != len(sample):
            raise _Mixed
        if not _fits(hidden, len(rows)):
            return Plain(feed), {"boundary": "not cached: it would not fit into memory"}
        gap = _gap(feed, backbone, boundary, sample)
        if not gap <= AGREE:
            return Plain(feed), {"boundary": f"not cached: replay differs by {gap:.1e}"}
        with advance(names[first]) as step:
            kept = _captured(feed, boundary, rows, step)
    except _Mixed:
        return Plain(feed), {"boundary": "not cached: the model mixes examples on the way"}
    except Exception as error:
        # Any model code may stand in the way here; the plain path is always right.
        return Plain(feed), {"boundary": f"not cached: {type(error).__name__}"}
    return Replayed(feed, boundary, kept), {"boundary": names[first], "boundary_gap": gap}


def first_stage(backbone: Backbone, moving: Sequence[str]) -> int:
    """Return the number of the first stage that holds one of the parameters; 0 where none does."""
    for at, stage in enumerate(backbone.stages):
        owners = tuple(f"{name}." for name in stage.modules)
        if any(name in stage.parameters or name.startswith(owners) for name in moving):
            return at
    return 0


def _fits(hidden: Tensor, count: int) -> bool:
    return hidden[0].numel() * hidden.element_size() * count < MEMORY_SHARE * machine().memory


def _gap(feed: Feed, backbone: Backbone, boundary: Boundary, rows: np.ndarray) -> float:
    with torch.no_grad():
        whole = backbone.embed(send_to_device(feed.batch(rows), torch_device()))
        kept = _captured(feed, boundary, rows, lambda count: None)
        replayed = Replayed(feed, boundary, kept).batch(rows).to(torch_device()).embed()
    return float((whole - replayed).abs().max() / whole.abs().max().clamp_min(1e-12))


def _captured(
    feed: Feed, boundary: Place, rows: np.ndarray, step: Callable[[int], None]
) -> Tensor | list[Tensor]:
    """Return hidden states by row of the feed: stacked, or a list where lengths differ."""
    order = rows if feed.lengths is None else rows[np.argsort(feed.length_of(rows), kind="stable")]
    stacked: Tensor | None = None
    own: dict[int, Tensor] = {}
    for at in range(0, len(order), CAPTURE):
        chosen = order[at : at + CAPTURE]
        inputs = feed.batch(chosen)
        hidden = boundary.capture(inputs)
        if feed.lengths is None or not boundary.by_length:
            if hidden.shape != (len(chosen), *(hidden if stacked is None else stacked).shape[1:]):
                raise _Mixed  # as with clips of several patches, where the sample had none
            if stacked is None:
                stacked = hidden.new_zeros(int(rows.max()) + 1, *hidden.shape[1:])
                if hidden.ndim == 4:
                    stacked = stacked.contiguous(memory_format=torch.channels_last)
            stacked[torch.from_numpy(chosen)] = hidden
        else:
            lengths = inputs["attention_mask"].sum(dim=1)
            for position, row in enumerate(chosen):
                own[int(row)] = hidden[position, : int(lengths[position])].clone()
        step(len(chosen))
    if stacked is not None:
        return stacked
    empty = torch.empty(0)
    return [own.get(row, empty) for row in range(int(rows.max()) + 1)]
