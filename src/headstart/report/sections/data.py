"""What was found in the data, what was decided about it, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.records import RunRecord
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table

SHOWN = 60  # classes in the table of counts

ORDER = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts a split and a class, everything that was inferred, and the examples not used."""

    name: str
    source: str
    modality: str
    fingerprint: str
    counts: tuple[tuple[str, int], ...]
    classes: int
    splits: tuple[str, ...]  # columns of by_class
    by_class: tuple[tuple[str, tuple[int, ...]], ...]  # the largest class first
    quarantined: int
    unlabelled: int
    said: tuple[str, ...]


def collect(record: RunRecord) -> Facts:
    data = record.data
    known = [name for name in ORDER if name in data.counts]
    names = [*known, *(name for name in data.counts if name not in ORDER)]
    splits = tuple(name for name in names if name in data.class_counts)
    labels = dict.fromkeys(label for s in splits for label in data.class_counts[s])
    by_class = [(x, tuple(data.class_counts[s].get(x, 0) for s in splits)) for x in labels]
    by_class.sort(key=lambda row: -sum(row[1]))
    return Facts(
        name=data.name,
        source=data.source,
        modality=data.modality,
        fingerprint=data.fingerprint,
        counts=tuple((name, data.counts[name]) for name in names),
        classes=len(record.labels) if record.task != "regression" else 0,
        splits=splits,
        by_class=tuple(by_class),
        quarantined=data.quarantined,
        unlabelled=data.unlabelled,
        said=tuple(data.said),
    )


TEMPLATE = """
<dl class="key">
{% for name, count in facts.counts %}
<div><dt>{{ name }}</dt><dd>{{ "{:,}".format(count) }}<small>examples</small></dd></div>
{% endfor %}
{% if facts.classes %}<div><dt>classes</dt><dd>{{ facts.classes }}</dd></div>{% endif %}
</dl>
{% if facts.quarantined or facts.unlabelled %}
<ul class="aside">
{% if facts.quarantined %}
<li><b>{{ facts.quarantined|counted("example") }} could not be read</b> and took no part.
<code>quarantine.csv</code> beside this page names each one and the reason.</li>
{% endif %}
{% if facts.unlabelled %}
<li><b>{{ facts.unlabelled|counted("example") }} had no label</b> and took no part.</li>
{% endif %}
</ul>
{% else %}<p>Every example could be read and had a label.</p>{% endif %}
{% if facts.said %}
<h3>What was worked out from the data</h3>
<ul>{% for line in facts.said %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}
{% if table %}
<details><summary>Examples of each class</summary>{{ table }}
{% if facts.by_class|length > shown %}<p>The {{ shown }} largest of {{ facts.by_class|length }}
classes.</p>{% endif %}</details>
{% endif %}
<dl class="pairs">
<div><dt>Data set</dt><dd>{{ facts.name }}</dd></div>
<div><dt>From</dt><dd><code>{{ facts.source }}</code></dd></div>
<div><dt>Kind</dt><dd>{{ facts.modality }}</dd></div>
<div><dt>Fingerprint</dt><dd><code>{{ facts.fingerprint }}</code></dd></div>
</dl>
"""


def render(facts: Facts) -> str:
    table = None
    if facts.by_class:
        columns = [Column("Class", numeric=False, first="ascending")]
        columns += [Column(name.capitalize()) for name in facts.splits]
        rows = [
            Row((Cell(label, value=label), *(Cell(f"{n:,}", value=n) for n in counts)))
            for label, counts in facts.by_class[:SHOWN]
        ]
        table = render_table("Examples of each class, by part", columns, rows)
    return fill(TEMPLATE, facts=facts, table=table, shown=SHOWN)


SECTION = Section("data", "The data", collect, render)
