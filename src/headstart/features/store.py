"""Features on disk, so that no frozen part runs twice over one example.

A store is a folder a key (the fingerprint of weights, preprocessing, pooling and precision). In
it lie append-only shards: `<name>.rows.npy` (m, d) float32 and `<name>.keys.npy` (m, 16) uint8,
the content digests. A shard exists from the moment its keys file is renamed into place, so a
killed extraction keeps whole shards, and two processes never write to one file.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import RunError

DEFAULT_BOUND = 20 * 2**30  # bytes on disk before the least recently used keys are evicted


def cache_folder() -> Path:
    """Return the folder of everything cached: $HEADSTART_CACHE, else the user's cache folder."""
    named = os.environ.get("HEADSTART_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "headstart"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one key of the store holds, for `headstart cache ls`."""

    key: str
    about: dict[str, Any]
    rows: int
    size: int  # bytes
    used: float  # seconds since the epoch


class Store:
    """Features by content digest, for one key.

    >>> import tempfile
    >>> store = Store("k", 2, root=Path(tempfile.mkdtemp()))
    >>> digests = np.arange(32, dtype=np.uint8).reshape(2, 16)
    >>> store.append(digests[:1], np.ones((1, 2), np.float32))
    >>> store.missing(digests).tolist()
    [1]
    """

    def __init__(
        self, key: str, width: int, *, root: Path | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self.width = width
        self.folder = (root or cache_folder() / "features") / key
        self._about = about or {}
        self._shards: dict[str, np.ndarray] = {}  # name -> memory-mapped rows
        self._index: dict[bytes, tuple[str, int]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Learn of shards that were written since, by this process or another."""
        if not self.folder.is_dir():
            return
        for keys_file in sorted(self.folder.glob("*.keys.npy")):
            name = keys_file.name.removesuffix(".keys.npy")
            if name in self._shards:
                continue
            try:
                keys = np.load(keys_file, allow_pickle=False)
                rows = np.load(self.folder / f"{name}.rows.npy", mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError):
                continue  # evicted meanwhile, or damaged: extracted again
            if rows.shape != (len(keys), self.width):
                continue
            self._shards[name] = rows
            flat = np.ascontiguousarray(keys).tobytes()
            for row in range(len(keys)):
                self._index.setdefault(flat[16 * row : 16 * row + 16], (name, row))

    def missing(self, digests: np.ndarray) -> np.ndarray:
        """Return the positions in `digests` (n, 16) that have no features, each content once."""
        seen: set[bytes] = set()
        rows = []
        for row, digest in enumerate(_keys_of(digests)):
            if digest not in self._index and digest not in seen:
                seen.add(digest)
                rows.append(row)
        return np.asarray(rows, dtype=np.int64)

    def append(self, digests: np.ndarray, rows: np.ndarray) -> None:
        """Write one shard: digests (m, 16) uint8 and rows (m, width).

        Raises RunError when the disk is full or the folder cannot be written.
        """
        name = uuid.uuid4().hex
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            about = self.folder / "about.json"
            if not about.exists():
                _write_whole(about, json.dumps(self._about, indent=2).encode())
            for kind, array in (("rows", rows.astype(np.float32, copy=False)), ("keys", digests)):
                partial = self.folder / f".{name}.{kind}.partial"
                with partial.open("wb") as file:
                    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
                partial.replace(self.folder / f"{name}.{kind}.npy")
        except OSError as error:
            for left in self.folder.glob(f"*{name}*"):
                left.unlink(missing_ok=True)
            raise RunError(
                f"The feature store {self.folder} cannot be written: {error.strerror or error}. "
                "Free some space, or name another folder in HEADSTART_CACHE."
            ) from error
        self.refresh()

    def gather(self, digests: np.ndarray) -> np.ndarray:
        """Return the features (n, width) float32 of `digests`, in that order.

        One whole shard in its own order comes memory-mapped. Raises KeyError for absent ones.
        """
        places = [self._index[digest] for digest in _keys_of(digests)]
        names = {name for name, _ in places}
        if len(names) == 1:
            shard = self._shards[next(iter(names))]
            if len(places) == len(shard) and all(row == i for i, (_, row) in enumerate(places)):
                return shard
        by_shard: dict[str, tuple[list[int], list[int]]] = {}
        for position, (name, row) in enumerate(places):
            to, at = by_shard.setdefault(name, ([], []))
            to.append(position)
            at.append(row)
        out = np.empty((len(places), self.width), np.float32)
        for name, (to, at) in by_shard.items():
            out[to] = self._shards[name][at]
        return out

    def touch(self) -> None:
        """Say that this key was used now, so that it is evicted last."""
        if self.folder.is_dir():
            os.utime(self.folder)


def entries(root: Path | None = None) -> Iterator[Entry]:
    """Walk the keys of a store, least recently used first."""
    root = root or cache_folder() / "features"
    folders = [f for f in root.iterdir() if f.is_dir()] if root.is_dir() else []
    for folder in sorted(folders, key=lambda f: f.stat().st_mtime):
        files = [f for f in folder.iterdir() if f.is_file()]
        about = folder / "about.json"
        yield Entry(
            key=folder.name,
            about=json.loads(about.read_text()) if about.exists() else {},
            rows=sum((f.stat().st_size - 128) // 16 for f in files if f.match("*.keys.npy")),
            size=sum(f.stat().st_size for f in files),
            used=folder.stat().st_mtime,
        )


def evict(bound: int = DEFAULT_BOUND, root: Path | None = None) -> list[str]:
    """Remove least recently used keys until the store has at most `bound` bytes; returns them."""
    root = root or cache_folder() / "features"
    known = list(entries(root))
    excess = sum(entry.size for entry in known) - bound
    gone = []
    for entry in known:
        if excess <= 0:
            break
        shutil.rmtree(root / entry.key, ignore_errors=True)
        excess -= entry.size
        gone.append(entry.key)
    return gone


def _keys_of(digests: np.ndarray) -> Iterator[bytes]:
    flat = np.ascontiguousarray(digests, dtype=np.uint8).tobytes()
    return (flat[i : i + 16] for i in range(0, len(flat), 16))


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    partial.write_bytes(content)
    partial.replace(path)
