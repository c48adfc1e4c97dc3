"""95 % intervals from a stratified or cluster bootstrap.

The bootstrap gives the standard error se; the shape of the interval fits the scale of the metric:

- share, quotient: Wilson's score interval with v (1 - v) / se² as the number of examples. It stays
  inside [0, 1] and is honest where the bootstrap has nothing to vary: 50 right of 50 gives 0.93 to
  1, not 1 to 1. (Wilson 1927; effective size: Korn and Graubard, Survey Methodology 24, 1998.)
- area: a Student interval of the log odds (Pepe, 2003, section 5.2).
- correlation: a Student interval of Fisher's z = atanh r; of one that is perfect, Wilson's.
- loss, one minus loss: a Student interval of the logarithm of the loss, which is skewed.

Chosen by simulated coverage at n = 50, 200 and 1000 (a small one is in the tests): for n = 50 and
accuracy 0.92 and 0.99, percentiles cover 0.91 and 0.28, these intervals 0.94 and 0.96. No method
covers well a log loss whose mean is made by errors too rare to be in the sample.

A stratum of m examples is resampled by m - 1 draws that weigh m / (m - 1) each: its variance is
then unbiased in strata of few examples, where m plain draws understate it (Rao and Wu, JASA 83,
1988).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from headstart.evaluate.metrics import Metric, measurer, metric
from headstart.records import Interval, TaskFacts

RESAMPLES = 2000
LEVEL = 0.95
NORMAL = 1.959964  # the two-sided quantile of LEVEL
CELLS = 1 << 20  # weights held at once, so that a block stays near the processor
AREA_WORK = 4e9  # examples x columns x resamples spent on AUC; beyond, it gets fewer resamples
FEWEST = 200  # resamples that an AUC gets at least


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """Values of every metric of every model on the same resamples.

    values: model to metric to (b,), the j-th of all models from resample j. freedom: degrees of
    freedom of the standard errors. units: what was resampled, examples or whole groups.
    """

    values: Mapping[str, Mapping[str, np.ndarray]]
    freedom: int
    units: int
    n: int


def strata_of(truth: np.ndarray, kind: str) -> list[np.ndarray]:
    """Return the rows of each stratum: true classes, those of one example together; else all."""
    if kind != "classification":
        return [np.arange(len(truth))]
    order = np.argsort(truth, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(truth[order])) + 1)
    strata = [part for part in parts if len(part) > 1]
    single = [part for part in parts if len(part) == 1]
    return [*strata, np.concatenate(single)] if single else strata


def group_numbers(groups: np.ndarray) -> np.ndarray:
    """Number the groups in order of appearance, int (n,); an example of group None is its own."""
    seen: dict[object, int] = {}
    return np.array(
        [
            seen.setdefault(("alone", row) if group is None else ("group", group), len(seen))
            for row, group in enumerate(groups)
        ],
        dtype=np.int64,
    )


def summed(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return the sum (u,) of each group's values; the values (n,) where there are no groups.

    >>> summed(np.array([1, -1, 1]), np.array(["a", "a", None], object))
    array([0., 1.])
    """
    return values if groups is None else np.bincount(group_numbers(groups), weights=values)


def draw(
    strata: list[np.ndarray], n: int, *, rng: np.random.Generator, resamples: int
) -> Iterator[np.ndarray]:
    """Yield blocks of resampling weights (n, b); their columns sum to `resamples` in all.

    Every column gives each stratum its own size as total weight.
    """
    width = int(np.clip(CELLS // max(n, 1), 16, 256))
    for start in range(0, resamples, width):
        b = min(width, resamples - start)
        weights = np.ones((n, b))
        for rows in strata:
            m = len(rows)
            if m > 1:
                cells = rng.integers(0, m, size=(m - 1, b)) * b + np.arange(b)
                drawn = np.bincount(cells.ravel(), minlength=m * b).reshape(m, b)
                weights[rows] = drawn * (m / (m - 1))
        yield weights


def bootstrap(
    task: TaskFacts,
    truth: np.ndarray,
    scores: Mapping[str, np.ndarray],
    *,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Bootstrap:
    """Measure every metric of every model on the same resamples of the test examples.

    truth, scores[model]: as in `measure`, checked. groups: object (n,); then whole groups are
    resampled. Otherwise classification resamples within true classes, other tasks all examples.
    """
    n = len(truth)
    numbers = group_numbers(groups) if groups is not None else np.arange(n)
    units = int(numbers.max()) + 1
    clustered = units < n
    strata = [np.arange(units)] if clustered else strata_of(truth, task.kind)
    fine = {name for name in task.metrics if metric(name).scale == "area"}
    enough = max(FEWEST, int(AREA_WORK / (n * len(task.labels))))
    coarse = [name for name in task.metrics if name not in fine]
    every = {who: measurer(task.metrics, truth, s) for who, s in scores.items()}
    cheap = {who: measurer(coarse, truth, s) for who, s in scores.items()} if fine else every
    blocks: dict[str, dict[str, list[np.ndarray]]] = {
        who: {name: [] for name in task.metrics} for who in scores
    }
    done = 0
    for drawn in draw(strata, units, rng=rng, resamples=resamples):
        weights = drawn[numbers] if clustered else drawn
        for who, measured in (every if done < enough else cheap).items():
            for name, values in measured(weights).items():
                blocks[who][name].append(values)
        done += drawn.shape[1]
    joined = {
        who: {name: np.concatenate(parts) for name, parts in of.items()}
        for who, of in blocks.items()
    }
    return Bootstrap(joined, units - len(strata), units, n)


def quantile(freedom: int) -> float:
    """Student's two-sided 95 % quantile."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))


def standard_error(values: np.ndarray) -> float:
    """Standard deviation over resamples; nan where a metric is undefined in most of them."""
    finite = values[np.isfinite(values)]
    return float(finite.std()) if 2 * len(finite) > len(values) else float("nan")


def interval(
    of: Metric, value: float, values: np.ndarray, truth: np.ndarray, boot: Bootstrap
) -> Interval:
    """Return `value` with its 95 % interval from its resampled `values` (b,).

    Bounds are None where the data hold no information on the spread: a single example or group,
    a loss of exactly 0, a metric undefined in most resamples.
    """
    if of.scale in ("share", "quotient", "area"):
        low, high = _bounded(of, value, values, truth, boot)
    elif of.scale == "correlation":
        low, high = _correlation(of, value, values, truth, boot)
    elif of.scale == "loss":
        low, high = positive_bounds(value, values, boot.freedom)
    else:
        high, low = (1 - bound for bound in positive_bounds(1 - value, 1 - values, boot.freedom))
    return Interval(value=value).bounded(low, high)


def wilson(value: float, size: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share `value` in [0, 1] of `size` > 0 examples.

    >>> [round(bound, 3) for bound in wilson(1.0, 50, 1.96)]
    [0.929, 1.0]
    """
    if not size > 0:
        return float("nan"), float("nan")
    shrink = z * z / size
    centre = (value + shrink / 2) / (1 + shrink)
    half = np.sqrt(shrink * (value * (1 - value) + shrink / 4)) / (1 + shrink)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def width(units: int, n: int) -> float:
    """Return the quantile for Wilson's interval of a share: the normal one, Student's for groups.

    Of few groups the normal one is too sure: with 3 it gives 0.41 where 0.13 is the lower end.
    """
    return quantile(max(units - 1, 1)) if units < n else NORMAL


def margin(values: np.ndarray, groups: np.ndarray | None) -> float:
    """Return half of the 95 % interval of the mean of values (n,); inf where one unit is alone.

    Normal; of groups, object (n,), which are the units then, Student's.
    """
    parts = summed(values - values.mean(), groups)
    units, n = len(parts), len(values)
    if units < 2:
        return float("inf")
    error = np.sqrt(units / (units - 1) * np.square(parts).sum()) / n
    return float(width(units, n) * error)


def rests_on(of: Metric, truth: np.ndarray, boot: Bootstrap) -> float:
    """Number of independent units a metric rests on at best: groups count once."""
    return of.rests_on(truth) * boot.units / boot.n


def _bounded(
    of: Metric, value: float, values: np.ndarray, truth: np.ndarray, boot: Bootstrap
) -> tuple[float, float]:
    """Interval of a metric in [0, 1]."""
    size, error = rests_on(of, truth, boot), standard_error(values)
    student = quantile(max(boot.freedom, 1))
    spread = value * (1 - value)
    if boot.freedom < 1 or error == 0 or spread <= 0:
        return wilson(value, size, student)
    if of.scale == "area":
        odds, half = np.log(value / (1 - value)), student * error / spread
        low, high = 1 / (1 + np.exp(-(odds + np.array([-half, half]))))
        return float(low), float(high)
    # Classes without an error have no variance in the bootstrap; a mean over classes must not
    # seem to know more for it. Quotients take their variance from all predictions.
    most = size if of.scale == "share" else max(size, float(boot.n))
    return wilson(value, float(np.minimum(spread / error**2, most)), student)


def _correlation(
    of: Metric, value: float, values: np.ndarray, truth: np.ndarray, boot: Bootstrap
) -> tuple[float, float]:
    """Interval of a metric in [-1, 1]."""
    error, spread = standard_error(values), 1 - value**2
    student = quantile(max(boot.freedom, 1))
    if boot.freedom < 1 or error == 0 or spread <= 0:
        low, high = wilson((1 + value) / 2, rests_on(of, truth, boot), student)
        return 2 * low - 1, 2 * high - 1
    half = student * error / spread
    low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
    return float(low), float(high)


def positive_bounds(loss: float, losses: np.ndarray, freedom: int) -> tuple[float, float]:
    """Student interval of the logarithm of a loss; nan where it has none."""
    if loss <= 0 or freedom < 1:
        return float("nan"), float("nan")
    error = standard_error(np.log(np.where(losses > 0, losses, np.nan)))
    half = quantile(freedom) * error
    return float(loss * np.exp(-half)), float(loss * np.exp(half))
