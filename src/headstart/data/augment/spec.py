"""The small language of augmentations, for the command line and for recipes.

    flip,rotate:15,colour:0.3:hue=0,erase      names, then values by place or by name
    auto,erase                                 what AUTO has, then one more
    masked:"C:\\models\\bert, small":top=5       quotes around what holds , : or = ("" is a quote)

`none` is no augmentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

import numpy as np

from headstart.data.augment.base import Augmentation
from headstart.data.modality.base import Decoded
from headstart.errors import UsageError

NONE = "none"
AUTO_NAME = "auto"
# Light enough to leave every label as it is on most data; `headstart augment --show` lets one see.
# All values are written out: a recipe keeps its meaning when a default changes.
AUTO = {
    "image": "crop:0.35,flip:0.5,trivial:30",
    "text": "delete:0.1,swap:0.05",
    "audio": "gain:12,noise:10:40,shift:0.2,specaugment:0.2:0.2:2",
}


@dataclass(frozen=True, slots=True)
class Chain:
    """Augmentations of one modality, applied in order. `str(chain)` is its spec.

    `spec`: how it was written; "" lets `str` make one that leaves defaults out. For results that
    depend on no order of threads, give each example a generator of its own, made from seed, epoch
    and row.
    """

    modality: str
    augmentations: tuple[Augmentation, ...] = ()
    spec: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for one in self.augmentations:
            _check_modality(type(one), self.modality)
        if self.spec and _read(self.spec, self.modality) != self.augmentations:
            raise ValueError(f"Chain.spec {self.spec!r} does not say {self.augmentations}.")

    def __len__(self) -> int:
        return len(self.augmentations)

    def __str__(self) -> str:
        return self.spec or ",".join(spec_of(one) for one in self.augmentations) or NONE

    def example(self, decoded: Decoded, *, rng: np.random.Generator) -> Decoded:
        """Return a decoded example after every augmentation; same type, same size."""
        for one in self.augmentations:
            decoded = one.example(decoded, rng=rng)
        return decoded

    def batch(self, batch: dict[str, Any], *, rng: np.random.Generator) -> dict[str, Any]:
        """Return a preprocessed batch after every augmentation; same keys, shapes and order."""
        for one in self.augmentations:
            batch = one.batch(batch, rng=rng)
        return batch


def parse(spec: str, modality: str) -> Chain:
    """Return the chain that `spec` says.

    Raises UsageError for an unknown name (listing those there are), an augmentation of another
    modality, a value out of range or of another type, and quotes that do not close.
    """
    from headstart.data.modality import modality as known

    known(modality)
    items: list[str] = []
    for item in _split(spec, ","):
        name, mark, _ = item.partition(":")
        if mark and name.strip() in (AUTO_NAME, NONE):
            raise UsageError(f"Augmentation {name.strip()!r} takes no values, got {item!r}.")
        if item == AUTO_NAME:
            items += [AUTO[modality]] if modality in AUTO else []
        elif item != NONE:
            items.append(item)
    text = ",".join(items)
    return Chain(modality, _read(text, modality), text)


def _read(spec: str, modality: str) -> tuple[Augmentation, ...]:
    found = []
    for item in _split(spec, ","):
        name, *words = _split(item, ":")
        found.append(_made(kind_of(name, modality), [_word(word, spec) for word in words]))
    return tuple(found)


def kind_of(name: str, modality: str) -> type[Augmentation]:
    """Return the augmentation of that name. Raises UsageError: unknown, or of another modality."""
    from headstart.data.augment import registered

    known = registered()
    if name not in known:
        there = ", ".join(sorted(n for n, kind in known.items() if kind.modality == modality))
        raise UsageError(
            f"Unknown augmentation {name!r}; for {modality} there are: {there}; also {AUTO_NAME} "
            f"and {NONE}."
        )
    _check_modality(known[name], modality)
    return known[name]


def settings(kind: type[Augmentation]) -> list[Field[Any]]:
    """Return the fields that a spec may set, in order."""
    described: Any = kind
    return [one for one in fields(described) if one.metadata.get("spec", True)]


def spec_of(augmentation: Augmentation) -> str:
    """Return how a spec says this augmentation; what is at its default is left out.

    >>> from headstart.data.augment.image_geometry import Rotate
    >>> spec_of(Rotate(degrees=15, chance=0.5)), spec_of(Rotate(30))
    ('rotate:chance=0.5', 'rotate:30')
    """
    parts, placed = [augmentation.name], True
    for one in settings(type(augmentation)):
        value = getattr(augmentation, one.name)
        if one.default is not MISSING and value == one.default:
            placed = False
            continue
        parts.append(written(value) if placed else f"{one.name}={written(value)}")
    return ":".join(parts)


def _check_modality(kind: type[Augmentation], modality: str) -> None:
    if kind.modality != modality:
        from headstart.data.augment import registered

        there = sorted(n for n, other in registered().items() if other.modality == modality)
        raise UsageError(
            f"Augmentation {kind.name!r} is for {kind.modality}, and the data is {modality}; for "
            f"{modality} there are: {', '.join(there)}."
        )


def _split(spec: str, mark: str) -> list[str]:
    """Split at `mark` outside quotes, white space around it left out; "" gives nothing.

    Raises UsageError for an open quote and for an empty name.
    """
    parts, quoted = [""], False
    for letter in spec:
        quoted ^= letter == '"'
        if letter == mark and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    if quoted:
        raise UsageError(f"Augmentations {spec!r}: a quote does not close.")
    parts = [part.strip() for part in parts]
    if parts == [""]:
        return []
    if not parts[0] or (mark == "," and not all(parts)):
        raise UsageError(f"Augmentations {spec!r}: a name is missing; write them as a,b:1,c.")
    return parts


def _word(text: str, spec: str) -> tuple[str, str]:
    text = text.strip()
    named = re.match(r"(\w+)\s*=\s*", text)
    key, text = (named[1], text[named.end() :]) if named else ("", text)
    if text.startswith('"'):
        if len(text) < 2 or not text.endswith('"'):
            raise UsageError(f"Augmentations {spec!r}: something stands after a closing quote.")
        text = text[1:-1].replace('""', '"')
    return key, text


def _made(kind: type[Augmentation], words: Sequence[tuple[str, str]]) -> Augmentation:
    there = settings(kind)
    names = [one.name for one in there]
    given: dict[str, Any] = {}
    for place, (key, value) in enumerate(words):
        if not key and place >= len(names):
            raise UsageError(
                f"Augmentation {kind.name} takes at most {len(names)} values ({', '.join(names)}), "
                f"got {len(words)}."
            )
        name = key or names[place]
        if name not in names:
            raise UsageError(
                f"Augmentation {kind.name} has no setting {name!r}; it has: {', '.join(names)}."
            )
        if name in given:
            raise UsageError(f"Augmentation {kind.name}: {name} is given twice.")
        given[name] = _value(kind.name, there[names.index(name)], value)
    for one in there:
        if one.default is MISSING and one.name not in given:
            raise UsageError(
                f"Augmentation {kind.name} needs {one.name}; write {kind.name}:{one.name}=…"
            )
    return kind(**given)


def _value(owner: str, setting: Field[Any], text: str) -> Any:
    """Read a value by the type that its field is annotated with."""
    kind = setting.type if isinstance(setting.type, str) else setting.type.__name__
    if kind == "str":
        return text
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        wanted = "a whole number" if kind == "int" else "a number"
        raise UsageError(
            f"Augmentation {owner}: {setting.name} must be {wanted}, got {text!r}."
        ) from None


def written(value: Any) -> str:
    """Return a value as a spec says it, in quotes where it needs them."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    text = str(value)
    if isinstance(value, str) and (not text or text != text.strip() or re.search('[,:="]', text)):
        return '"' + text.replace('"', '""') + '"'
    return text
