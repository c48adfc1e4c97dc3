"""The JSON Schema of `record.json`; `python -m headstart.report.schema` writes the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.records import SCHEMA, RunRecord

FILE = Path(__file__).resolve().parents[1] / "record.schema.json"


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) that every record of the present version fulfils."""
    made = RunRecord.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": f"Headstart run record, schema {SCHEMA}",
        "required": sorted({*made["required"], "schema"}),
    }


def schema_text() -> str:
    """Return the file's content: indented, keys in a fixed order, a newline at the end."""
    return json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
    print(f"wrote {FILE}")
