"""Where a training that is killed goes on: two checkpoints on disk, each whole or not there.

A checkpoint is a JSON page that names its safetensors files with their digests. Files are written
beside and renamed, the page last; the one before is removed only when the new one is there. What
does not match its digest is passed over, and it is said.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = 1
KEPT = 2  # checkpoints
EVERY = 30.0  # seconds between checkpoints: what is lost at most
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What a checkpoint holds: plain facts, and named groups of tensors."""

    facts: dict[str, Any]
    groups: dict[str, Tensors]


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of one training in one folder. `key` says what is trained, and how."""

    folder: Path
    key: str
    say: Callable[[str], None]
    every: float = EVERY
    _last: float = field(default_factory=time.monotonic)
    _failed: bool = False

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self.every

    def save(self, number: int, facts: dict[str, Any], groups: Mapping[str, Tensors]) -> None:
        """Write checkpoint `number`. A group that is on disk under its name is not written again.

        Groups whose name ends in "@n" never change. A full disk is said once; training goes on.
        """
        self._last = time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files = {name: self._written(name, number, group) for name, group in groups.items()}
            page = {"format": FORMAT, "key": self.key, "facts": facts, "files": files}
            _rename(self.folder / f"{number:08d}.json", json.dumps(page).encode())
            self._tidy()
        except (OSError, SafetensorError) as error:
            if not self._failed:
                reason = getattr(error, "strerror", None) or error
                self.say(
                    f"A checkpoint cannot be written to {self.folder}: {reason}. The training goes "
                    "on; if it is killed, it goes on from the checkpoint before."
                )
            self._failed = True

    def _written(self, name: str, number: int, group: Tensors) -> dict[str, str]:
        fixed = "@" in name
        path = self.folder / f"{name if fixed else f'{name}-{number:08d}'}.safetensors"
        if not (fixed and path.exists()):
            partial = path.with_name(f".{path.name}.partial")
            save_file({k: v.detach().cpu().contiguous() for k, v in group.items()}, partial)
            partial.replace(path)
        return {"file": path.name, "digest": _digest(path)}

    def _tidy(self) -> None:
        pages = sorted(self.folder.glob("*.json"))
        for page in pages[:-KEPT]:
            page.unlink()
        used = set()
        for page in pages[-KEPT:]:
            content = _read(page)
            used |= {one["file"] for one in (content or {"files": {}})["files"].values()}
        for path in [*self.folder.glob("*.safetensors"), *self.folder.glob(".*.partial")]:
            if path.name not in used:
                path.unlink()

    def load(self) -> Saved | None:
        """Return the newest checkpoint that is whole and of this training; None where none is."""
        for page in sorted(self.folder.glob("*.json"), reverse=True):
            content = _read(page)
            if content is not None and content.get("key") != self.key:
                continue
            found = _loaded(self.folder, content) if content else None
            if found is not None:
                return found
            self.say(
                f"The checkpoint {page.name} in {self.folder} is damaged; the one before is used."
            )
        return None


def _loaded(folder: Path, content: dict[str, Any]) -> Saved | None:
    groups: dict[str, Tensors] = {}
    try:
        for name, one in content["files"].items():
            if _digest(folder / one["file"]) != one["digest"]:
                return None
            groups[name] = load_file(folder / one["file"])
        return Saved(content["facts"], groups)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError):
        return None


def _read(page: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(page.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("format") == FORMAT else None


def _rename(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
