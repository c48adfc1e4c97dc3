"""Data similarity: how far target features lie from what a model gives for its source data.

A reference keeps, for one model, the mean of its features on examples of its source data, their
main axes and the standard deviation along each: a few dozen kilobytes of safetensors, found by the
model's fingerprint. `recipes/reference_statistics.py` makes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from headstart.errors import TooFewExamples

AXES = 16  # few enough for a covariance from a hundred examples
RESAMPLES = 200
UNIT = "source SD"
SHIPPED = Path(__file__).with_name("references")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Statistics of source features. `axes` (r, d) orthonormal; `spread` (r,) > 0 along them.

    `floor`: the distance between two halves of the source examples themselves.
    """

    mean: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    count: int
    data: str
    floor: float

    @classmethod
    def of(
        cls, features: Float[np.ndarray, "n d"], data: str, *, rng: np.random.Generator
    ) -> Reference:
        """Summarise source features. Raises TooFewExamples for fewer than 2 r examples."""
        if len(features) < 4 * AXES:
            raise TooFewExamples(
                f"Reference statistics need at least {4 * AXES} source examples, got "
                f"{len(features)}. Name a folder with more of them."
            )
        order = rng.permutation(len(features))
        one, other = features[order[::2]], features[order[1::2]]
        floor = _summary(one, data, 0.0).distance(other)
        return _summary(features, data, floor)

    def whitened(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n r"]:
        """Return features along the axes, in standard deviations of the source."""
        found: np.ndarray = (features - self.mean) @ self.axes.T / self.spread
        return found

    def distance(self, features: Float[np.ndarray, "n d"]) -> float:
        """Return the Fréchet distance of two normal distributions, per axis.

        Range [0, inf), 0 for data like the source's; in standard deviations of the source (root
        mean square over the axes), so that models can be compared. In whitened axes the source is
        N(0, I), and d² = |m|² + trace(S) + r - 2 trace(S^½), less what n examples alone would
        give |m|². Source: Dowson and Landau, J. Multivariate Analysis 12, 1982.
        """
        return frechet(self.whitened(features))

    def interval(
        self, features: Float[np.ndarray, "n d"], *, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Return the 95 % interval of `distance` from a bootstrap of the target examples."""
        white, count = self.whitened(features), len(features)
        drawn = [frechet(white[rng.integers(0, count, count)], 2.0) for _ in range(RESAMPLES)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        value = frechet(white)
        return min(float(low), value), max(float(high), value)

    def save(self, path: Path) -> None:
        """Write one safetensors file, float16 where it loses nothing that counts."""
        arrays = {
            "mean": self.mean.astype(np.float32),
            "axes": self.axes.astype(np.float16),
            "spread": self.spread.astype(np.float32),
        }
        about = {"count": self.count, "data": self.data, "floor": self.floor}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, path, metadata={"reference": json.dumps(about)})


def _summary(features: np.ndarray, data: str, floor: float) -> Reference:
    table = np.asarray(features, np.float64)
    mean = table.mean(axis=0)
    _, values, axes = np.linalg.svd(table - mean, full_matrices=False)
    kept = min(AXES, int((values > 1e-6 * values[0]).sum()))
    spread = values[:kept] / np.sqrt(len(table) - 1)
    return Reference(mean, axes[:kept], spread, len(table), data, floor)


def frechet(white: Float[np.ndarray, "n r"], bias: float = 1.0) -> float:
    """Return the root of the Fréchet distance² per axis between rows (n, r) and N(0, I).

    `bias`: how often the variance of a mean is in |m|² for nothing: once, in a bootstrap twice.
    """
    count, axes = white.shape
    mean = white.mean(axis=0)
    centred = white - mean
    values = np.linalg.eigvalsh(centred.T @ centred / max(1, count - 1)).clip(min=0.0)
    apart = max(0.0, float(mean @ mean) - bias * float(values.sum()) / count)
    return float(np.sqrt((apart + ((np.sqrt(values) - 1.0) ** 2).sum()) / axes))


def find_reference(fingerprint: str, folders: tuple[Path, ...] = ()) -> Reference | None:
    """Return the stored statistics of the model with that fingerprint, None where there are none.

    Looked for in `folders`, in references/ of Headstart's cache folder, then in the package.
    """
    from headstart.features.store import cache_folder

    for folder in (*folders, cache_folder() / "references", SHIPPED):
        path = folder / f"{fingerprint}.safetensors"
        if path.is_file():
            return _read(path)
    return None


def _read(path: Path) -> Reference | None:
    """Read one file; a damaged one counts as none."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {})["reference"])
        return Reference(
            arrays["mean"], arrays["axes"], arrays["spread"],
            int(about["count"]), str(about["data"]), float(about["floor"]),
        )  # fmt: skip
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
