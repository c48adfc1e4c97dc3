"""How numbers and names are written for people: three significant digits, intervals beside them.

Metrics that are shares of examples are written in per cent, and differences of them in points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from headstart.records import Interval, RunRecord

SPACE = "\u00a0"  # keeps a number and its unit on one line
MINUS = "\u2212"
ABSENT = "–"

TITLES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "r2": "R²",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "ece": "Calibration error",
}
AVERAGES = ("macro", "micro", "weighted", "samples")
SHARES = ("accuracy", "f1", "precision", "recall", "specificity")
LOWER_IS_BETTER = frozenset({"log_loss", "mae", "mse", "rmse", "ece", "brier", "median_absolute"})


def metric_title(name: str) -> str:
    """Return a metric's name as a heading shows it.

    >>> metric_title("f1_macro"), metric_title("roc_auc"), metric_title("balanced_accuracy")
    ('F1 (macro)', 'ROC AUC', 'Balanced accuracy')
    """
    if name in TITLES:
        return TITLES[name]
    stem, _, average = name.rpartition("_")
    if stem and average in AVERAGES:
        return f"{metric_title(stem)} ({average})"
    plain = name.replace("_", " ").strip()
    return plain[:1].upper() + plain[1:]


def is_share(metric: str) -> bool:
    """Say whether the metric is a share of examples in [0, 1], to be written in per cent."""
    return metric != "average_precision" and any(part in metric for part in SHARES)


def lower_is_better(metric: str) -> bool:
    return metric in LOWER_IS_BETTER or metric.endswith(("_loss", "_error"))


def _decimals(value: float, digits: int = 3) -> int:
    """Return how many decimals show `digits` significant digits of `value`, at most 6."""
    if value == 0 or not math.isfinite(value):
        return digits - 1
    return min(6, digits - 1 - math.floor(math.log10(abs(value))))


def _fixed(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return ABSENT
    rounded = round(value, decimals)
    text = f"{abs(rounded):,.{max(decimals, 0)}f}"
    return f"{MINUS}{text}" if rounded < 0 else text


def interval_decimals(interval: Interval) -> int:
    """Return how many decimals a measured value deserves.

    Three significant digits, but beyond the third decimal only what two digits of the interval's
    width bear out: 0.007 (-0.018 to 0.033), never 0.00700.
    """
    decimals = _decimals(interval.value)
    if interval.low is None or interval.high is None:
        return decimals
    width = abs(interval.high - interval.low)
    return min(decimals, max(3, _decimals(width, 2))) if math.isfinite(width) else decimals


def written(value: float, decimals: int) -> str:
    """Write a number with that many decimals (below zero: rounded to tens, hundreds …)."""
    return f"{value:.3g}" if abs(value) >= 1e7 else _fixed(value, decimals)


def number(value: float | None, like: float | None = None) -> str:
    """Write a number with three significant digits, or with the decimals of the number `like`.

    >>> number(0.98765), number(12345.6), number(-0.5), number(None)
    ('0.988', '12,300', '−0.500', '–')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    return written(value, _decimals(value if like is None else like))


def per_cent(share: float, *, unit: bool = True) -> str:
    """Write a share in [0, 1] in per cent with one decimal.

    >>> per_cent(0.9412, unit=False), per_cent(1.0, unit=False)
    ('94.1', '100')
    """
    if not math.isfinite(share):
        return ABSENT
    text = "100" if share == 1.0 else _fixed(100 * share, 1)
    return f"{text}{SPACE}%" if unit else text


def value_text(metric: str, value: float | None) -> str:
    """Write a metric's value, without interval."""
    if value is None:
        return ABSENT
    return per_cent(value) if is_share(metric) else number(value)


def measured_text(metric: str, interval: Interval) -> str:
    """Write the value of an interval with as many digits as its width bears out."""
    if is_share(metric) or not math.isfinite(interval.value):
        return value_text(metric, interval.value)
    return written(interval.value, interval_decimals(interval))


def range_text(metric: str, interval: Interval) -> str:
    """Write the 95 % interval as "92.8 to 95.3"; empty where there is none."""
    if interval.low is None or interval.high is None:
        return ""
    if is_share(metric):
        return f"{per_cent(interval.low, unit=False)} to {per_cent(interval.high, unit=False)}"
    decimals = interval_decimals(interval)
    return f"{written(interval.low, decimals)} to {written(interval.high, decimals)}"


def interval_text(metric: str, interval: Interval) -> str:
    """Write a value and its interval: "94.1 % (92.8 to 95.3)"."""
    between = range_text(metric, interval)
    return measured_text(metric, interval) + (f" ({between})" if between else "")


def difference_text(metric: str, difference: Interval) -> tuple[str, str]:
    """Return (size, its 95 % interval or ""): ("+10.2 points", "5.1 to 15.3")."""
    scale = 100 if is_share(metric) else 1
    value = difference.value * scale
    decimals = (1 if abs(value) >= 1 else 2) if is_share(metric) else interval_decimals(difference)
    text = written(value, decimals)
    sign = "+" if value > 0 and any(digit in text for digit in "123456789") else ""
    size = sign + text + (f"{SPACE}points" if is_share(metric) else "")
    if difference.low is None or difference.high is None:
        return size, ""
    low, high = (written(edge * scale, decimals) for edge in (difference.low, difference.high))
    return size, f"{low} to {high}"


def duration(seconds: float) -> str:
    """Write seconds as people say them.

    >>> duration(0.234), duration(42.4), duration(192), duration(3840)
    ('0.23\\xa0s', '42\\xa0s', '3\\xa0min 12\\xa0s', '1\\xa0h 4\\xa0min')
    """
    if seconds < 10:
        return f"{seconds:.2f}{SPACE}s" if seconds < 1 else f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60}{SPACE}s"
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60}{SPACE}min"


def making(seconds: Mapping[str, float]) -> float:
    """Return the seconds that a result took to make: all stages but predicting the test part.

    >>> making({"extract": 1.5, "fit": 0.5, "predict": 3.0})
    2.0
    """
    return sum(took for stage, took in seconds.items() if stage != "predict")


def counted(count: int, thing: str, plural: str = "") -> str:
    """Write a count with its noun.

    >>> counted(1, "class", "classes"), counted(12000, "example")
    ('1 class', '12,000 examples')
    """
    return f"{count:,} {thing if count == 1 else plural or thing + 's'}"


def headline(record: RunRecord) -> str:
    """Return the verdict in two or three words; the state of the run where there is none."""
    if record.status == "running":
        return "Still running"
    if record.status == "interrupted":
        return "Interrupted"
    if record.verdict is None:
        return "No verdict"
    answers = {"helps": "Transfer helps", "hurts": "Transfer hurts"}
    return answers.get(record.verdict.answer, "No clear difference")


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def without_headline(sentence: str, headline: str) -> str:
    """Drop the headline where the sentence begins with it and a colon: it stands above already."""
    start, colon, rest = sentence.partition(": ")
    if colon and start.casefold() == headline.casefold():
        return rest[:1].upper() + rest[1:]
    return sentence


def test_opened(record: RunRecord) -> bool:
    """Say whether anything in the record was measured on the sealed test part."""
    return any(result.metrics for result in record.results)


test_opened.__test__ = False  # type: ignore[attr-defined]  # for pytest: this is no test


def state_words(record: RunRecord) -> str:
    """Say plainly what an unfinished record is worth; empty for a finished one."""
    if record.status == "done":
        return ""
    state = (
        "This run is still going, or it was killed without a word."
        if record.status == "running"
        else "This run was interrupted before it was done."
    )
    if test_opened(record):
        return f"{state} The test part had been opened; what was measured by then is shown."
    return f"{state} The test part was not opened, so nothing here says yet how good a model is."
