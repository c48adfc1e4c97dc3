"""What each augmentation of images and audio costs an example, beside decoding it.

Photographs of hymenoptera as they are decoded for a model of 224 px, and clips of instruments at
16 kHz. Best of three passes, one thread, `chance` 1 where there is one. `theirs` is decoding.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.fresh import SHARED
from bench.table import Row
from headstart.data.augment import BUILTIN, Chain, parse
from headstart.data.modality import InputSpec, modality

NAME = "augment"
FOLDERS = {
    "image": SHARED / "data/hymenoptera/train/ants",
    "audio": SHARED / "data/instruments/Clarinet",
}
EXAMPLES, PASSES = 30, 3


def run() -> list[Row]:
    rows = []
    for kind, folder in FOLDERS.items():
        paths = sorted(path for path in folder.iterdir() if path.is_file())[:EXAMPLES]
        known, spec = modality(kind), InputSpec(size=224)
        decoding = _milliseconds(lambda path, rng, k=known, s=spec: k.decode(path, s), paths)
        decoded = [known.decode(path, spec) for path in paths]
        auto = parse("auto", kind)
        chains = [Chain(kind, (_always(made),)) for made in BUILTIN if made.modality == kind]
        for chain in (*chains, auto):
            cost = _milliseconds(lambda one, rng, c=chain: _changed(c, one, rng), decoded)
            what = f"{kind}: {'auto' if chain is auto else chain}"
            rows.append(
                Row(
                    what=what, ours=cost, theirs=decoding, ratio=decoding / cost, target=None,
                    unit="ms",
                )
            )  # fmt: skip
        rows[-1] = dataclasses.replace(rows[-1], note=f"{_sizes(decoded)}; theirs: decoding")
    return rows


def _always(kind: Any) -> Any:
    fields = {field.name for field in dataclasses.fields(kind)}
    return kind(chance=1.0) if "chance" in fields else kind()


def _changed(chain: Chain, decoded: Any, rng: np.random.Generator) -> None:
    changed = chain.example(decoded, rng=rng)
    if chain.modality == "audio":
        chain.batch({"input_values": changed[None]}, rng=rng)


def _milliseconds(work: Callable[..., Any], given: Sequence[Any]) -> float:
    times = []
    for _ in range(PASSES):
        rng = np.random.default_rng(0)
        start = time.perf_counter()
        for one in given:
            work(one, rng)
        times.append((time.perf_counter() - start) / len(given) * 1000)
    return min(times)


def _sizes(decoded: Sequence[Any]) -> str:
    if isinstance(decoded[0], np.ndarray):
        return f"clips of {np.mean([len(one) for one in decoded]) / 16000:.1f} s on average"
    width, height = np.mean([one.size for one in decoded], axis=0)
    return f"{width:.0f} x {height:.0f} px on average"
