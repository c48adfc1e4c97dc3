"""The ordered, freezable stages of any model: "stem", "block.0" … "block.n-1", "norm".

The blocks are the model's longest part: the list of modules that holds the most parameters
(`encoder.layer`, `layers`, `layer1` … `layer14`), where a list of stages that each hold a list of
blocks (ResNet, ConvNeXt, Swin) is opened once more. Everything else is placed by when it runs in
a trial forward pass, since the order of registration lies: wav2vec 2.0 registers its last norm
first, DeBERTa registers the table that feeds block 0 last.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headstart.sources.backbone import Stage

if TYPE_CHECKING:
    from torch import nn

INNER_LISTS = ("layers", "blocks")  # what stages call their list of blocks


def find_stages(module: nn.Module, run: Callable[[], Any]) -> tuple[Stage, ...]:
    """Return the stages of `module`; every parameter is in exactly one. `run` does one forward."""
    blocks = find_blocks(module)
    with record_order(module) as order:
        run()
    return make_stages(module, blocks, order)


def find_blocks(module: nn.Module) -> list[str]:
    """Return the names of the blocks of `module`, in order of registration; [] for none."""
    chains = list(_chains(module))
    if not chains:
        return []
    best = max(chains, key=lambda names: sum(_count(module.get_submodule(n)) for n in names))
    opened: list[str] = []
    for name in best:
        inner = _inner_list(module.get_submodule(name))
        opened.extend(f"{name}.{child}" for child in inner) if inner else opened.append(name)
    return [name for name in opened if _count(module.get_submodule(name))]


def _chains(module: nn.Module) -> Iterator[list[str]]:
    """Yield every candidate: lists of modules, and siblings that differ by a number at the end."""
    from torch import nn

    for name, parent in module.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(parent, (nn.ModuleList, nn.Sequential)):
            yield [prefix + child for child, _ in parent.named_children()]
            continue
        groups: dict[str, list[str]] = {}
        for child, _ in parent.named_children():
            numbered = re.fullmatch(r"(.*?)(\d+)", child)
            if numbered:
                groups.setdefault(numbered[1], []).append(prefix + child)
        yield from (names for names in groups.values() if len(names) > 1)


def _inner_list(block: nn.Module) -> list[str]:
    """Return the names of the blocks inside a stage, [] where `block` is itself a block."""
    from torch import nn

    if isinstance(block, nn.ModuleList):
        return [child for child, _ in block.named_children()]
    for name in INNER_LISTS:
        inner = getattr(block, name, None)
        if isinstance(inner, (nn.ModuleList, nn.Sequential)) and len(inner):
            alike = len({type(child) for child in inner}) == 1
            if alike and _count(inner) * 2 > _count(block):
                return [f"{name}.{child}" for child, _ in inner.named_children()]
    return []


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def record_order(module: nn.Module) -> Iterator[dict[str, int]]:
    """Note, for each named module, when it was first entered (0, 1, 2 …) while the body runs."""
    order: dict[str, int] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:  # it must return None: anything else would replace the input
            order.setdefault(name, len(order))

        return hook

    hooks = [m.register_forward_pre_hook(note(name)) for name, m in module.named_modules()]
    try:
        yield order
    finally:
        for hook in hooks:
            hook.remove()


def make_stages(module: nn.Module, blocks: list[str], order: dict[str, int]) -> tuple[Stage, ...]:
    """Put every parameter, and every module that runs, into the stage it belongs to."""
    blocks = sorted(blocks, key=lambda name: order.get(name, len(order)))
    starts = [order.get(name, len(order)) for name in blocks]
    names = ["stem", *(f"block.{i}" for i in range(len(blocks))), "norm"]

    def place(owner: str) -> int:
        for i, block in enumerate(blocks):
            if _inside(owner, block):
                return i + 1
        when = order.get(owner)
        if when is None:  # it never ran: a table used directly (stem), or an unused head (norm)
            return len(names) - 1 if re.search(r"pool|head|classifier", owner) else 0
        # Before all blocks, after all blocks, or between two: then it feeds the next one.
        before = bisect_left(starts, when)
        return before if before == 0 else before + 1

    parameters: list[list[str]] = [[] for _ in names]
    for name, _ in module.named_parameters():
        parameters[place(name.rpartition(".")[0])].append(name)
    tops: list[list[str]] = [[] for _ in names]
    for name in _tops(module, blocks, order):
        tops[place(name)].append(name)
    return tuple(
        Stage(name, tuple(parameters[i]), tuple(tops[i]))
        for i, name in enumerate(names)
        if parameters[i] or tops[i]
    )


def _tops(module: nn.Module, blocks: list[str], order: dict[str, int]) -> Iterator[str]:
    """Yield the highest modules that lie in one stage as a whole; together they are all leaves."""
    done: list[str] = []
    for name, child in module.named_modules():
        if not name or any(_inside(name, top) for top in done):
            continue
        holds_block = any(block != name and _inside(block, name) for block in blocks)
        only_a_list = name not in order and any(True for _ in child.children())
        if not holds_block and not only_a_list:
            done.append(name)
            yield name


def _inside(name: str, block: str) -> bool:
    return name == block or name.startswith(block + ".")
