"""The ground: time, threads, randomness, the machine."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from headstart.compute import machine as machine_room
from headstart.compute.budget import Budget, Stopwatch, seconds_of
from headstart.compute.machine import FAST, machine, measured_bf16_gain
from headstart.compute.precision import precision_for
from headstart.compute.progress import silent
from headstart.compute.randomness import rng_for, seed_for, torch_rng_for
from headstart.compute.threads import SMALL, threads, threads_for
from headstart.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), (" 2 M ", 120),
     (7, 7), (0.5, 0.5)],
)  # fmt: skip
def test_durations(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 parsecs", "-5", "-5m", 0, -1, float("nan"), "0s"])
def test_no_durations(text: str | float) -> None:
    with pytest.raises(UsageError, match="--budget"):
        seconds_of(text)


def test_a_budget_runs_down_to_zero() -> None:
    budget = Budget(0.05)
    first = budget.left
    assert 0 < first <= 0.05
    time.sleep(0.06)
    assert budget.left == 0 and budget.spent >= 0.06


def test_a_stopwatch_adds_up_even_through_errors() -> None:
    watch = Stopwatch()
    with watch.time("a"):
        time.sleep(0.01)
    with pytest.raises(KeyError), watch.time("a"):
        time.sleep(0.01)
        raise KeyError
    assert watch.seconds["a"] >= 0.02 and set(watch.seconds) == {"a"}


def test_purposes_have_streams_of_their_own() -> None:
    assert seed_for(0, "a") == seed_for(0, "a")
    seeds = {seed_for(seed, purpose) for seed in range(50) for purpose in ("a", "b", "c")}
    assert len(seeds) == 150 and all(0 <= seed < 2**63 for seed in seeds)
    one, two = rng_for(1, "x").normal(size=1000), rng_for(1, "y").normal(size=1000)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1
    np.testing.assert_array_equal(one, rng_for(1, "x").normal(size=1000))


def test_no_global_generator_is_moved() -> None:
    before = torch.get_rng_state()
    first = torch.rand(3, generator=torch_rng_for(1, "x"))
    assert torch.equal(first, torch.rand(3, generator=torch_rng_for(1, "x")))
    assert torch.equal(before, torch.get_rng_state())


def test_threads_are_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_small_work_runs_on_one_thread() -> None:
    assert threads_for(SMALL / 2) == 1
    assert threads_for(SMALL * 2) == machine().cores


def test_the_machine_is_looked_at_once_and_tells_plain_facts() -> None:
    assert machine() is machine()
    facts = machine().facts()
    assert facts["cores"] >= 1 and facts["memory_gib"] > 0.1
    assert facts["device"] in {"cpu", "cuda", "mps"}


def test_the_allocator_is_told_without_torch() -> None:
    program = (
        "import sys\nfrom headstart.compute.allocator import keep_memory\n"
        "kept = keep_memory(); assert 'torch' not in sys.modules\n"
        "import platform; assert kept == (platform.libc_ver()[0] == 'glibc')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_silent_progress_takes_any_advance() -> None:
    with silent("anything", 3) as advance:
        advance(1)
        advance(100)


@pytest.mark.parametrize(
    ("flags", "gain", "fast"),
    [({"avx512_bf16"}, 3.2, True), ({"amx_bf16"}, FAST, True), ({"avx512_bf16"}, 0.55, False),
     ({"avx512_vnni"}, None, False)],
)  # fmt: skip
def test_bf16_is_fast_where_it_was_measured_to_be(
    flags: set[str], gain: float | None, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gain` None: nothing is measured where the hardware lacks it."""
    if machine().device != "cpu":
        pytest.skip("measured on CPUs only")

    def measured() -> float:
        assert gain is not None
        return gain

    monkeypatch.setattr(machine_room, "_cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(machine_room, "measured_bf16_gain", measured)
    found = machine_room.machine.__wrapped__()
    assert found.fast_bf16 is fast
    assert found.facts()["bf16_gain"] == (gain or 0.0) and found.facts()["fast_bf16"] is fast
    monkeypatch.setattr("headstart.compute.precision.machine", lambda: found)
    assert precision_for(torch.nn.Linear(8, 8)).bf16 is fast
    assert not precision_for(torch.nn.Conv2d(3, 8, 3)).bf16


def test_the_measurement_is_a_ratio_of_paces() -> None:
    assert 0.01 < measured_bf16_gain() < 100
