"""Models in folders of this machine: `local:PATH`, or a plain path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.errors import ModelNotFound
from headstart.sources.backbone import Backbone, BackboneCard

PREFIX = "local:"


@dataclass(frozen=True, slots=True)
class Local:
    """Hugging Face folders anywhere on disk; it lists none, since they may lie anywhere."""

    name: str = "local"

    def list(self) -> list[BackboneCard]:
        return []

    def claims(self, id: str) -> bool:
        return id.startswith(PREFIX) or looks_like_path(id)

    def load(self, id: str, *, allow_pickle: bool = False) -> Backbone:
        from headstart.sources.folder import open_folder

        if not id.removeprefix(PREFIX):
            raise ModelNotFound("An empty path names no model; expected local:PATH.")
        return open_folder(path_of(id), id=id, source=self.name, allow_pickle=allow_pickle)


def path_of(id: str) -> Path:
    """Return the folder that `id` means, `~` opened."""
    path = Path(id.removeprefix(PREFIX))
    try:
        return path.expanduser()
    except RuntimeError:  # ~somebody who is not here
        return path


def looks_like_path(id: str) -> bool:
    """Whether `id` can only be a path: it is there, or is written as no hub id is."""
    if exists(id):
        return True
    return id.startswith((".", "/", "~")) or id.count("/") > 1 or "\\" in id or id.endswith("/")


def exists(id: str) -> bool:
    """Whether there is a file or folder of that name; an empty name means none."""
    try:
        return bool(id.removeprefix(PREFIX)) and path_of(id).exists()
    except (OSError, ValueError):  # longer than a name may be, or with a null byte
        return False


LOCAL = Local()
