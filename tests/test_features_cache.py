"""The cache commands, the bound, and a store of a million rows."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import UsageError
from headstart.features import store as stores
from headstart.features.store import Store, bound, clear, entries, evict


def filled(root: Path, key: str, count: int = 10) -> Store:
    digests = np.random.default_rng(len(key)).integers(0, 256, (count, 16), dtype=np.uint8)
    store = Store(key, 4, root=root, about={"backbone": "tiny", "engine": "fp32"})
    store.append(digests, np.ones((count, 4), np.float32))
    return store


def test_cache_ls_and_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    for key in ("aaa-fp32", "bbb-fp32", "ccc-fp32"):
        filled(tmp_path / "features", key)
    runner = CliRunner()
    shown = runner.invoke(app, ["cache", "ls"]).output
    assert "aaa-fp32" in shown and "tiny" in shown
    rows = json.loads(runner.invoke(app, ["cache", "ls", "--json"]).output)
    assert {row["key"]: row["rows"] for row in rows} == {
        "aaa-fp32": 10, "bbb-fp32": 10, "ccc-fp32": 10,
    }  # fmt: skip
    said = runner.invoke(app, ["cache", "clear", "aaa"]).output
    assert "Removed aaa-fp32: 10 rows." in said and "MB freed" in said
    assert {entry.key for entry in entries()} == {"bbb-fp32", "ccc-fp32"}
    for wrong in (["cache", "clear"], ["cache", "clear", "zzz"]):
        assert isinstance(runner.invoke(app, wrong).exception, UsageError)
    assert len(list(entries())) == 2
    assert runner.invoke(app, ["cache", "clear", "--all"]).exit_code == 0
    assert not list(entries())


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 20 * 2**30), ("500", 500), ("2KB", 2048), ("1.5 GB", 3 * 2**29), ("1GiB", 2**30)],
)
def test_the_bound_is_read_from_the_environment(
    text: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_BOUND", text)
    assert bound() == size


def test_a_bound_that_is_no_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_BOUND", "much")
    with pytest.raises(UsageError, match="500MB or 20GB"):
        bound()


def test_eviction_keeps_what_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_BOUND", "1")
    filled(tmp_path, "used")
    filled(tmp_path, "other")
    assert evict(root=tmp_path, keep="used") == ["other"]
    assert [entry.key for entry in clear(None, tmp_path)] == ["used"]


def test_a_large_gather_is_mapped_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "IN_MEMORY", 1000)
    monkeypatch.setattr(stores, "READ", 7)
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 256, (100, 16), dtype=np.uint8)
    rows = rng.normal(size=(100, 4)).astype(np.float32)
    store = Store("k", 4, root=tmp_path)
    for at in range(0, 100, 30):
        store.append(digests[at : at + 30], rows[at : at + 30])
    before = sorted(store.folder.iterdir())
    order = rng.permutation(100)
    found = store.gather(digests[order])
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, rows[order])
    assert sorted(store.folder.iterdir()) == before


def test_a_million_rows_are_looked_up_in_seconds(tmp_path: Path) -> None:
    count = 1_000_000
    digests = np.random.default_rng(0).integers(0, 256, (count, 16), dtype=np.uint8)
    digests[:, 15] = 0  # trailing zeros are part of a key
    start = time.process_time()
    store = Store("k", 1, root=tmp_path)
    for at in range(0, count, 10_000):
        store.append(digests[at : at + 10_000], np.full((10_000, 1), at, np.float32))
    again = Store("k", 1, root=tmp_path)
    assert not len(again.missing(digests))
    found = again.gather(digests[::-1])
    assert time.process_time() - start < 10  # a loop over rows takes many times that
    assert found[0, 0] == count - 10_000 and found[-1, 0] == 0
