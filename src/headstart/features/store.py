"""Features on disk, so that no frozen part runs twice over one example.

A store is a folder a key (the fingerprint of weights, preprocessing, pooling and precision). In
it lie append-only shards: `<name>.rows.npy` (m, d) float32 and `<name>.keys.npy` (m, 16) uint8,
the content digests. A shard exists from the moment its keys file is renamed into place, so a
killed extraction keeps whole shards, and two processes never write to one file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import RunError, UsageError

DEFAULT_BOUND = 20 * 2**30  # bytes on disk before the least recently used keys are evicted
IN_MEMORY = 256 * 2**20  # bytes of features that are handed out in memory; more comes mapped
READ = 65536  # rows copied at a time
KEY = np.dtype("S16")  # numpy sorts and compares these; equal length, so padding plays no part


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


@dataclass(frozen=True, slots=True)
class _Shard:
    """One file of rows. It is opened when it is read: a mapping that stays costs a descriptor."""

    path: Path
    first: int  # row, counted over all shards
    count: int

    @property
    def places(self) -> np.ndarray:
        return np.arange(self.first, self.first + self.count)

    def rows(self) -> np.ndarray:
        mapped: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return mapped


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
        self._seen: set[str] = set()  # names of shards
        self._shards: list[_Shard] = []
        self._total = 0  # rows of all shards
        self._fresh: list[np.ndarray] = []  # keys of shards that are not in the index yet
        self._keys = np.empty(0, KEY)  # sorted, each once
        self._places = np.empty(0, np.int64)  # of each key: row, counted over all shards
        self.refresh()

    @property
    def engine(self) -> str:
        """The engine that made these features, as the folder says it."""
        return str(self._read_about().get("engine", ""))

    @property
    def agreement(self) -> float:
        """Lowest cosine of these features with fp32 on a sample, as the folder says it."""
        return float(self._read_about().get("agreement", 1.0))

    def _read_about(self) -> dict[str, Any]:
        return _about_of(self.folder) or self._about

    def refresh(self) -> None:
        """Learn of shards that were written since, by this process or another."""
        if not self.folder.is_dir():
            return
        for keys_file in sorted(self.folder.glob("*.keys.npy")):
            name = keys_file.name.removesuffix(".keys.npy")
            if name not in self._seen:
                self._learn(name)

    def _learn(self, name: str) -> None:
        path = self.folder / f"{name}.rows.npy"
        try:
            keys = np.load(self.folder / f"{name}.keys.npy", allow_pickle=False)
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        except (OSError, ValueError):
            return  # evicted meanwhile, or damaged: extracted again
        if shape != (len(keys), self.width) or keys.shape[1:] != (16,):
            return
        self._seen.add(name)
        self._shards.append(_Shard(path, self._total, len(keys)))
        self._total += len(keys)
        self._fresh.append(_as_keys(keys))

    def _index(self) -> None:
        """Take what was learnt into the sorted index; the first row of a content stays."""
        if not self._fresh:
            return
        first = self._total - sum(map(len, self._fresh))
        keys = np.concatenate([self._keys, *self._fresh])
        places = np.concatenate([self._places, np.arange(first, self._total)])
        self._keys, chosen = np.unique(keys, return_index=True)
        self._places = places[chosen]
        self._fresh = []

    def _find(self, keys: np.ndarray) -> np.ndarray:
        """Return the place of each key, -1 where there is none."""
        self._index()
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._places[at], -1)

    def missing(self, digests: np.ndarray) -> np.ndarray:
        """Return the positions in `digests` (n, 16) that have no features, each content once."""
        keys = _as_keys(digests)
        absent = np.flatnonzero(self._find(keys) < 0)
        _, first = np.unique(keys[absent], return_index=True)
        return np.sort(absent[first])

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
            raise self._full(error) from error
        self._learn(name)

    def _full(self, error: OSError) -> RunError:
        return RunError(
            f"The feature store {self.folder} cannot be written: {error.strerror or error}. "
            "Free some space, or name another folder in HEADSTART_CACHE."
        )

    def gather(self, digests: np.ndarray) -> np.ndarray:
        """Return the features (n, width) float32 of `digests`, in that order.

        One whole shard in its own order comes memory-mapped, and so do more than IN_MEMORY bytes:
        from a file without a name, that is gone with the array. Raises KeyError for absent ones.
        """
        places = self._find(_as_keys(digests))
        if (places < 0).any():
            raise KeyError(f"{int((places < 0).sum())} examples have no features in {self.folder}")
        for shard in self._shards:
            if len(places) == shard.count and np.array_equal(places, shard.places):
                return shard.rows()
        out = self._room(len(places))
        order = np.argsort(places, kind="stable")  # each shard is opened once, read forwards
        ends = np.searchsorted(places[order], [shard.first for shard in self._shards] + [np.inf])
        for shard, start, end in zip(self._shards, ends, ends[1:], strict=False):
            for at in range(start, end, READ):
                chosen = order[at : min(at + READ, end)]
                out[chosen] = shard.rows()[places[chosen] - shard.first]
        return out

    def _room(self, count: int) -> np.ndarray:
        size = 4 * count * self.width
        if size <= IN_MEMORY or not hasattr(os, "posix_fallocate"):
            return np.empty((count, self.width), np.float32)
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk says so here
                return np.memmap(file, np.float32, "r+", shape=(count, self.width))
        except OSError as error:
            raise self._full(error) from error

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
        yield Entry(
            key=folder.name,
            about=_about_of(folder),
            rows=sum((f.stat().st_size - 128) // 16 for f in files if f.match("*.keys.npy")),
            size=sum(f.stat().st_size for f in files),
            used=folder.stat().st_mtime,
        )


def bound() -> int:
    """Return the bytes that the store may hold: $HEADSTART_CACHE_BOUND, or 20 GiB.

    Written as 500MB or 20GB, a thousand being 1024. Raises UsageError for anything else.

    >>> bound() > 0
    True
    """
    text = os.environ.get("HEADSTART_CACHE_BOUND", "").strip()
    if not text:
        return DEFAULT_BOUND
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.lower())
    if not found:
        raise UsageError(
            f"HEADSTART_CACHE_BOUND={text!r} is no size; write for example 500MB or 20GB."
        )
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2] or " "))


def evict(limit: int | None = None, root: Path | None = None, keep: str = "") -> list[str]:
    """Remove least recently used keys until the store has at most `limit` bytes; returns them.

    `limit`: `bound()` where it is not given. `keep`: a key in use, which stays in any case.
    """
    root = root or cache_folder() / "features"
    known = list(entries(root))
    excess = sum(entry.size for entry in known) - (bound() if limit is None else limit)
    gone = []
    for entry in known:
        if excess <= 0:
            break
        if entry.key != keep:
            remove(entry, root)
            excess -= entry.size
            gone.append(entry.key)
    return gone


def remove(entry: Entry, root: Path | None = None) -> None:
    """Remove one key of the store with all its shards."""
    shutil.rmtree((root or cache_folder() / "features") / entry.key, ignore_errors=True)


def clear(start: str | None, root: Path | None = None) -> list[Entry]:
    """Remove the keys that begin with `start`, all for None; returns them. Raises UsageError."""
    if start == "":
        raise UsageError("Say what to remove: a key of headstart cache ls, or --all.")
    found = [e for e in entries(root) if start is None or e.key.startswith(start)]
    if start is not None and not found:
        raise UsageError(f"The feature store has no key {start!r}; see headstart cache ls.")
    for entry in found:
        remove(entry, root)
    return found


def listed(found: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return entries as plain values: key, backbone, engine, rows, size (bytes), used (local)."""
    return [
        {
            "key": entry.key,
            "backbone": str(entry.about.get("backbone", "")),
            "engine": str(entry.about.get("engine", "")),
            "rows": entry.rows,
            "size": entry.size,
            "used": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used)),
        }
        for entry in found
    ]


def _as_keys(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests, dtype=np.uint8).reshape(-1, 16).view(KEY)[:, 0]


def _about_of(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    partial.write_bytes(content)
    partial.replace(path)
