"""Techniques that go with fine-tuning: what one may do, and how it is named in a recipe.

A technique is a frozen dataclass with a name, and fills one or more of the forms below; training
asks for them by form, never by name. A new one is a file in techniques/ and a line in its BUILTIN.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from headstart.adapt.adapter import Adapter
from headstart.adapt.parts import Part
from headstart.data.task import Task
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone

Criterion = Callable[[Tensor, Tensor], Tensor]  # outputs (n, k), targets -> losses (n,)
Mixed = tuple[Any, tuple[tuple[Tensor, float | Tensor], ...]]  # inputs, (targets, weight) …


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What a technique may look at: training targets only, as the loss takes them.

    `moving`: names of the stages that may move; None for all.
    """

    task: Task
    backbone: Backbone
    targets: Tensor  # of the training rows
    seed: int
    moving: tuple[str, ...] | None = None

    def may_move(self, stage: str) -> bool:
        """Whether a technique may change anything in that stage."""
        return self.moving is None or stage in self.moving


@dataclass(frozen=True, slots=True, eq=False)
class Reshaped:
    """What became of a backbone's module.

    `parts`: new names for a phase's rates. `instead`: whether these move in place of the stages.
    `restored` puts the module back into its own architecture, once it is trained. `adapter` takes
    out, before that, what is to be kept beside the model. `tokens`: places in front of a text that
    are used up.
    """

    parts: Mapping[str, Part] = field(default_factory=dict)
    instead: bool = False
    restored: Callable[[nn.Module], None] = lambda module: None
    adapter: Callable[[nn.Module], Adapter] | None = None
    tokens: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


class Technique(Protocol):
    """A frozen dataclass whose fields are its configuration, checked when it is made."""

    @property
    def name(self) -> str: ...


@runtime_checkable
class Reshapes(Protocol):
    """Changes the model before it is trained: adapters, dropout, what of it moves."""

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        """Change `module`, a copy that training owns, in place."""


@runtime_checkable
class ShapesLoss(Protocol):
    """Changes the loss of an example. `last`, where it has it and it is true: after all others."""

    def criterion(self, inner: Criterion, setting: Setting) -> Criterion: ...


@runtime_checkable
class Mixes(Protocol):
    """Mixes the examples of a batch. Draws from torch's generator, which the loop has seeded.

    `modalities` whose examples can be mixed; `whole`: only before the model, so that no frozen
    front may be run before.
    """

    modalities: ClassVar[tuple[str, ...]]
    whole: ClassVar[bool]

    def mix(self, inputs: Any, targets: Tensor) -> Mixed: ...


@runtime_checkable
class Penalises(Protocol):
    """Adds a number to the loss that depends on the weights alone.

    `towards_start`, where it has it and it is true: pulls weights towards the pretrained ones.
    """

    def penalty(self, model: nn.ModuleDict, setting: Setting) -> Callable[[], Tensor]:
        """Return the penalty of the model as it is when it is called; `model` is at its start."""


class Follower(Protocol):
    """Watches the weights go by; `weights` are those to validate and to keep."""

    def after(self, step: int) -> None: ...

    def weights(self) -> dict[str, Tensor]: ...

    def state(self) -> dict[str, Tensor]: ...

    def resume(self, state: dict[str, Tensor]) -> None: ...


@runtime_checkable
class Follows(Protocol):
    """Averages weights while they are trained."""

    def follow(self, model: nn.ModuleDict) -> Follower: ...


@runtime_checkable
class Blends(Protocol):
    """Makes one state of the best checkpoints. `keep`: how many of them it wants."""

    keep: int

    def blend(
        self, states: list[dict[str, Tensor]], key: Callable[[dict[str, Tensor]], tuple[float, ...]]
    ) -> tuple[dict[str, Tensor], tuple[int, ...]]:
        """Return the state to hand over, and which of `states` it is made of.

        `states`: the best first; `key`: smaller is better.
        """


FORMS = (Reshapes, ShapesLoss, Mixes, Penalises, Follows, Blends)


def parse(specs: Iterable[str], known: Iterable[type[Any]]) -> tuple[Technique, ...]:
    """Return the techniques that are written like "ema", "ema:0.99", "lora:rank=8,alpha=16".

    A value without a name is the first field's. Raises UsageError that lists what there is.
    """
    kinds = {kind.name: kind for kind in known}
    found: list[Technique] = []
    for spec in specs:
        name, _, settings = spec.strip().partition(":")
        if name not in kinds:
            raise UsageError(f"There is no technique {name!r}; known: {', '.join(sorted(kinds))}.")
        if name in [technique.name for technique in found]:
            raise UsageError(f"The technique {name!r} was named twice.")
        found.append(_made(kinds[name], settings, spec))
    return tuple(found)


def written(technique: Technique) -> str:
    """Return the spec of a technique, all its settings included: `parse` gives it back."""
    named = [f"{f.name}={_text(getattr(technique, f.name))}" for f in fields(technique)]  # type: ignore[arg-type]
    return f"{technique.name}:{','.join(named)}" if named else technique.name


def _made(kind: type[Any], settings: str, spec: str) -> Technique:
    names = [f.name for f in fields(kind)]
    values: dict[str, Any] = {}
    for position, piece in enumerate(part for part in settings.split(",") if part.strip()):
        name, equals, value = piece.partition("=")
        if not equals:
            name, value = (names[position] if position < len(names) else ""), piece
        if name.strip() not in names:
            takes = f"it takes {', '.join(names)}" if names else "it takes no settings"
            raise UsageError(f"Technique {spec!r}: {kind.name} has no {piece.strip()!r}; {takes}.")
        values[name.strip()] = _value(value.strip())
    try:
        made: Technique = kind(**values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Technique {spec!r}: {error}") from None
    return made


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.title() if text in ("true", "false") else text)
    except (ValueError, SyntaxError):
        return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
