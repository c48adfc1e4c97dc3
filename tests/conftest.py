"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported anywhere: tests never reach for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets and weights beside the checkout; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"{SHARED} is absent: real data and models are not here")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the test session a feature store of its own, away from the person's.

    Of the session, since fixtures of modules run before those of single tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "headstart-cache"))
        yield


@pytest.fixture(scope="session")
def one_core() -> None:
    """Let Headstart see one core: training adds up in one order, so equal means equal bit by bit.

    (Several threads that share busy cores are also a hundred times slower on tiny models.)
    """
    import torch

    from headstart.compute.machine import machine

    torch.set_num_threads(1)
    if not hasattr(os, "sched_setaffinity"):
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        machine.cache_clear()
        machine()
    finally:
        os.sched_setaffinity(0, mine)
