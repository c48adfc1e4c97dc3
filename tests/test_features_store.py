"""The feature store: nothing runs twice, nothing is half there, whoever else writes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import RunError
from headstart.features.store import Store, entries, evict


def digests(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)


def rows(count: int, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, width)).astype(np.float32)


def test_what_was_written_is_read_in_any_order(tmp_path: Path) -> None:
    keys, values = digests(50), rows(50)
    store = Store("k", 4, root=tmp_path)
    for at in range(0, 50, 13):
        store.append(keys[at : at + 13], values[at : at + 13])
    order = np.random.default_rng(1).permutation(50)
    order = np.concatenate([order, order[:7]])  # some twice
    for seen in (store, Store("k", 4, root=tmp_path)):
        np.testing.assert_array_equal(seen.gather(keys[order]), values[order])
        assert not len(seen.missing(keys))


def test_one_whole_shard_is_memory_mapped(tmp_path: Path) -> None:
    keys, values = digests(20), rows(20)
    store = Store("k", 4, root=tmp_path)
    store.append(keys, values)
    assert isinstance(store.gather(keys), np.memmap)
    np.testing.assert_array_equal(store.gather(keys), values)
    np.testing.assert_array_equal(store.gather(keys[::-1]), values[::-1])


def test_missing_lists_each_content_once(tmp_path: Path) -> None:
    keys = digests(5)
    store = Store("k", 4, root=tmp_path)
    store.append(keys[1:2], rows(1))
    asked = keys[[0, 1, 2, 0, 2, 3]]
    assert store.missing(asked).tolist() == [0, 2, 5]
    with pytest.raises(KeyError):
        store.gather(asked)


WRITER = """
import sys, time, numpy as np
from pathlib import Path
from headstart.features.store import Store
root, seed, go = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
(go.parent / f"ready{seed}").touch()
while not go.exists():
    time.sleep(0.001)
everything = np.random.default_rng(0).integers(0, 256, (200, 16), dtype=np.uint8)
store = Store("k", 4, root=root)
for at in np.random.default_rng(seed).permutation(200).reshape(40, 5):
    store.append(everything[at], everything[at, :4].astype(np.float32))
    store.refresh()
    assert not len(store.missing(everything[at]))
print(len(everything) - len(store.missing(everything)))
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    go = tmp_path / "go"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "root"), str(seed), str(go)],
                         stdout=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]  # fmt: skip
    end = time.monotonic() + 30
    while not all((tmp_path / f"ready{seed}").exists() for seed in (1, 2)):
        assert time.monotonic() < end
        time.sleep(0.005)
    go.touch()
    for writer in writers:
        out, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0 and int(out) == 200
    keys = digests(200)
    np.testing.assert_array_equal(
        Store("k", 4, root=tmp_path / "root").gather(keys), keys[:, :4].astype(np.float32)
    )
    assert not list((tmp_path / "root").rglob("*.partial"))


@pytest.mark.parametrize("harm", ["rows gone", "rows short", "keys cut", "other width", "pickle"])
def test_a_damaged_shard_is_extracted_again(harm: str, tmp_path: Path) -> None:
    keys, values = digests(6), rows(6)
    store = Store("k", 4, root=tmp_path)
    store.append(keys[:3], values[:3])
    store.append(keys[3:], values[3:])
    shard = next(p for p in store.folder.glob("*.keys.npy") if np.load(p).tobytes() ==
                 keys[:3].tobytes())  # fmt: skip
    values_file = shard.with_name(shard.name.replace("keys", "rows"))
    if harm == "rows gone":
        values_file.unlink()
    elif harm == "rows short":
        values_file.write_bytes(values_file.read_bytes()[:-7])
    elif harm == "keys cut":
        shard.write_bytes(shard.read_bytes()[:40])
    elif harm == "other width":
        np.save(values_file, rows(3, 5))
    else:
        np.save(values_file, np.array([{"a": 1}] * 3, dtype=object), allow_pickle=True)
    again = Store("k", 4, root=tmp_path)
    assert again.missing(keys).tolist() == [0, 1, 2]
    again.append(keys[:3], values[:3])
    np.testing.assert_array_equal(again.gather(keys), values)


def test_a_full_disk_leaves_no_half_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, values = digests(6), rows(6)
    store = Store("k", 4, root=tmp_path)
    store.append(keys[:3], values[:3])
    before = sorted(store.folder.iterdir())
    real, count = np.save, 0

    def full(*arguments: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count == 2:  # the rows are there, the keys do not fit any more
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments, **options)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(RunError, match="No space left on device"):
        store.append(keys[3:], values[3:])
    monkeypatch.undo()
    assert sorted(store.folder.iterdir()) == before
    assert Store("k", 4, root=tmp_path).missing(keys).tolist() == [3, 4, 5]


def test_least_recently_used_keys_are_evicted(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        store = Store(name, 4, root=tmp_path, about={"backbone": name})
        store.append(digests(100), rows(100))
        moment = time.time() - 1000 * age
        os.utime(store.folder, (moment, moment))
    known = list(entries(tmp_path))
    assert [entry.key for entry in known] == ["old", "middle", "new"]
    assert {entry.rows for entry in known} == {100}
    assert known[0].about == {"backbone": "old"}
    size = known[0].size
    assert evict(10 * size, tmp_path) == []
    Store("old", 4, root=tmp_path).touch()
    assert evict(2 * size + 100, tmp_path) == ["middle"]
    assert evict(0, tmp_path) == ["new", "old"]
    assert not list(tmp_path.iterdir())
