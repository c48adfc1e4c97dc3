"""How the chosen result does on each group (patient, speaker, site), the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from headstart.records import GroupRow, RunRecord
from headstart.report import words
from headstart.report.ranked import chosen_result
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table


@dataclass(frozen=True, slots=True)
class Facts:
    """Groups of the test part; `apart` are those that are clearly worse than the whole."""

    result: str
    metric: str
    rows: tuple[GroupRow, ...]
    whole: float | None
    apart: tuple[str, ...]


def widened(count: int) -> float:
    """Return the factor that turns a 95 % interval into one for the worst of `count` groups.

    Of many groups that are alike some look bad by chance; this holds the chance that any does at
    5 % (Bonferroni), by the normal distribution.
    """
    normal = NormalDist()
    return normal.inv_cdf(1 - 0.025 / count) / normal.inv_cdf(0.975)


def collect(record: RunRecord) -> Facts | None:
    best = chosen_result(record)
    if best is None or not best.groups:
        return None
    metric = record.primary_metric
    whole = best.metrics[metric].value if metric in best.metrics else None
    lower = words.lower_is_better(metric)
    apart = []
    for row in best.groups:
        found = row.metrics.get(metric)
        if found is None or whole is None or found.low is None or found.high is None:
            continue
        factor = widened(len(best.groups))
        best_case = (found.low if lower else found.high) - found.value
        edge = found.value + factor * best_case
        if (edge > whole) if lower else (edge < whole):
            apart.append(row.group)
    return Facts(best.name, metric, tuple(best.groups), whole, tuple(apart))


TEMPLATE = """
<p>How <b>{{ facts.result }}</b> does on each group of the test part, worst first. Groups were never
parted between training and test.
{% if facts.apart %}<b>Clearly worse than the whole</b>: {{ facts.apart|join(", ") }}.
{%- else %}No group is clearly worse than the whole{% if whole %} ({{ whole }}){% endif %}.
{%- endif %} That goes by intervals widened for
{{ facts.rows|length|counted("group") }}: of many, some look bad by chance.</p>
{{ table }}
"""


def render(facts: Facts) -> str:
    columns = [Column("Group", numeric=False, first="ascending"), Column("Test examples"),
               Column(words.metric_title(facts.metric), first="ascending")]  # fmt: skip
    rows = []
    for row in facts.rows:
        found = row.metrics.get(facts.metric)
        cell = Cell(words.ABSENT, "not defined here") if found is None else Cell(
            words.measured_text(facts.metric, found), words.range_text(facts.metric, found),
            found.value,
        )  # fmt: skip
        tags = ("clearly worse",) if row.group in facts.apart else ()
        count = Cell(f"{row.count:,}", value=row.count)
        rows.append(Row((Cell(row.group, value=row.group), count, cell), tags=tags))
    whole = words.value_text(facts.metric, facts.whole) if facts.whole is not None else ""
    table = render_table(f"{words.metric_title(facts.metric)} of each group", columns, rows)
    return fill(TEMPLATE, facts=facts, whole=whole, table=table)


SECTION = Section("groups", "Group by group", collect, render)
