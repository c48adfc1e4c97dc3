"""The RUN folder: files are written beside their place and renamed, so none is half there."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.load import Quarantined
from headstart.errors import RunError, UsageError
from headstart.records import RunRecord, read_record

RECORD, RECIPE, REPORT = "record.json", "recipe.toml", "report.html"
EXPORTED = "export.json"  # says what an export is; a RUN folder has none
EXAMPLES = "examples.json"  # id to the HTML fragment that shows it: of the hardest test examples


class RunFolder:
    """Writes the files of one run. Raises RunError when the disk is full or not writable."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def check(path: Path) -> None:
        """Raises UsageError where a folder with content stands already."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(
                f"--out {path} exists already. Name another folder, or continue it with "
                f"--resume {path}."
            )

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a new folder. Raises UsageError where one with content stands already."""
        cls.check(path)
        folder = cls(path)
        folder._guarded(lambda: path.mkdir(parents=True, exist_ok=True))
        return folder

    @property
    def candidates(self) -> Path:
        """Folder of finished candidates, kept until the run is done."""
        return self.path / "candidates"

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file whole, or not at all."""
        data = content.encode("utf-8") if isinstance(content, str) else content
        target = self.path / name
        partial = target.with_name(f".{target.name}.partial")

        def put() -> None:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)

        self._guarded(put, partial)

    def log(self, event: str, **facts: Any) -> None:
        """Append one line to log.jsonl."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts}

        def put() -> None:
            with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

        self._guarded(put)

    def write_record(self, record: RunRecord) -> None:
        self.write(RECORD, record.to_json())

    def read(self) -> RunRecord:
        return read_record(self.path / RECORD)

    def write_quarantine(self, rows: Iterable[Quarantined]) -> None:
        """Write quarantine.csv: id, reason; only its header where all is well."""
        text = io.StringIO()
        out = csv.writer(text)
        out.writerow(["id", "reason"])
        out.writerows([row.id, row.reason] for row in rows)
        self.write("quarantine.csv", text.getvalue())

    def write_predictions(
        self, ids: Sequence[str], columns: dict[str, Any], scores: dict[str, np.ndarray]
    ) -> None:
        """Write predictions.parquet: id, `columns`, and a column of scores a result."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table: dict[str, Any] = {"id": list(map(str, ids))}
        table |= {name: list(values) for name, values in columns.items()}
        for name, values in scores.items():
            flat = values.astype(np.float32)
            table[f"scores: {name}"] = list(flat) if flat.ndim == 2 else flat
        sink = io.BytesIO()
        pq.write_table(pa.table(table), sink)
        self.write("predictions.parquet", sink.getvalue())

    def _guarded(self, action: Any, partial: Path | None = None) -> None:
        try:
            action()
        except OSError as error:
            if partial is not None:
                partial.unlink(missing_ok=True)
            raise RunError(
                f"{self.path} cannot be written: {error.strerror or error}. What was finished is "
                "kept. Free some space, or name another folder with --out."
            ) from error
