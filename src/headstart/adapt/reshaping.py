"""What all techniques together have made of a backbone's module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from headstart.adapt import prompting
from headstart.adapt.adapter import Adapter
from headstart.adapt.loop import Phase, batch_norms
from headstart.adapt.parts import Part
from headstart.adapt.technique import Reshaped, Reshapes, Setting, Technique, written
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """The changes of a module, in the order in which they were made."""

    techniques: tuple[Technique, ...]
    changes: tuple[Reshaped, ...]

    @classmethod
    def of(cls, techniques: Sequence[Technique], module: nn.Module, setting: Setting) -> Together:
        """Let every technique that reshapes change `module`, in place."""
        changes = [t.reshape(module, setting) for t in techniques if isinstance(t, Reshapes)]
        module.eval()  # modules are born in training mode: a new one would draw before step 1
        return cls(tuple(techniques), tuple(changes))

    @property
    def parts(self) -> dict[str, Part]:
        return {name: part for one in self.changes for name, part in one.parts.items()}

    @property
    def instead(self) -> tuple[str, ...]:
        """Parts that move in place of the stages."""
        return tuple(name for one in self.changes if one.instead for name in one.parts)

    @property
    def facts(self) -> dict[str, Any]:
        found = {name: value for one in self.changes for name, value in one.facts.items()}
        if self.techniques:
            found["techniques"] = [written(technique) for technique in self.techniques]
        return found

    @property
    def adapter(self) -> Callable[[nn.Module], Adapter] | None:
        """What takes out the adapter to be kept."""
        return next((one.adapter for one in self.changes if one.adapter is not None), None)

    def fitting(self, backbone: Backbone) -> Backbone:
        """Return a backbone whose texts leave room for what stands before them."""
        tokens = sum(one.tokens for one in self.changes)
        return prompting.shortened(backbone, tokens) if tokens else backbone

    def restored(self, module: nn.Module) -> None:
        """Undo in reverse order what can be undone."""
        for one in reversed(self.changes):
            one.restored(module)

    def check(self, phases: Iterable[Phase], module: nn.Module) -> None:
        """Raise UsageError where an adapter to be saved alone would not be all that has changed.

        And for a pull towards pretrained weights where vectors are learned that never were any.
        """
        phases = tuple(phases)
        pulling = [t.name for t in self.techniques if getattr(t, "towards_start", False)]
        vectors = [name for one in self.changes if one.tokens for name in one.parts]
        if pulling and vectors:
            raise UsageError(
                f"{pulling[0]!r} pulls weights towards the pretrained ones, but the vectors of "
                f"{vectors[0]!r} start at random. Leave one of them out, or take 'lora'."
            )
        kept = [one for one in self.changes if one.adapter is not None]
        if len(kept) > 1:
            raise UsageError("Only one adapter can be saved; take save=merged for the other.")
        for one in kept:
            if one.tokens:  # saved beside a model that has all the rest
                continue
            moved = {part for phase in phases for part in phase.rates} - set(one.parts) - {"head"}
            norms = any(phase.norm != "frozen" for phase in phases) and any(batch_norms(module))
            if moved or norms:
                raise UsageError(
                    "save=adapter holds the adapter alone, but "
                    f"{', '.join(sorted(moved)) or 'the statistics of batch norm'} would change "
                    "too; take save=merged."
                )
