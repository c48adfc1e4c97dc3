"""Records: read for ever, described by the packaged schema, and broken files named in one line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import records_for_tests as samples
from headstart.errors import AlreadyOpened, RunError
from headstart.records import SCHEMA, Interval, RunRecord, Sealed, read_record
from headstart.report import schema

STORED = Path(__file__).parent / "data" / "record_schema_1.json"
SAMPLES = {
    "classification": samples.classification,
    "regression": samples.regression,
    "multi-label": samples.multi_label,
    "unfinished": samples.unfinished,
}


def test_the_packaged_schema_is_current() -> None:
    """Mend with: python -m headstart.report.schema"""
    assert schema.FILE.read_text(encoding="utf-8") == schema.schema_text()


@pytest.mark.parametrize("name", SAMPLES)
def test_records_fulfil_the_schema_and_come_back_equal(name: str, tmp_path: Path) -> None:
    record = SAMPLES[name]()
    raw = json.loads(record.to_json())
    jsonschema.Draft202012Validator.check_schema(schema.record_schema())
    jsonschema.validate(raw, schema.record_schema())
    path = tmp_path / "record.json"
    path.write_text(record.to_json(), encoding="utf-8")
    assert read_record(path) == record


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema",), None),
        (("verdict", "answer"), "maybe"),
        (("results", 0, "role"), "judge"),
        (("data", "counts", "test"), "many"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(
    place: tuple[str | int, ...], value: object, tmp_path: Path
) -> None:
    raw = json.loads(samples.classification().to_json())
    inner = raw
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, schema.record_schema())
    path = tmp_path / "record.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(RunError):
        read_record(path)


def test_the_record_has_the_documented_shape() -> None:
    raw = json.loads(samples.classification().to_json())
    assert raw["schema"] == 1
    assert raw["task"] == "classification"
    assert raw["chosen"] in {result["name"] for result in raw["results"]}
    assert raw["verdict"]["answer"] in ("helps", "no clear difference", "hurts")
    assert set(raw["verdict"]["difference"]) == {"value", "low", "high"}
    assert set(raw["results"][0]["metrics"]["accuracy"]) == {"value", "low", "high"}


def test_schema_1_is_read_for_ever() -> None:
    """The stored file was written once and must never be written again."""
    record = read_record(STORED)
    assert record.schema_version == SCHEMA
    assert record.chosen == "probe: mobilenet_v2_100_224"
    assert record.result("simple: colour-texture").role == "baseline"
    assert record.result(record.chosen).metrics["accuracy"] == Interval(
        value=0.9346, low=0.8954, high=0.9673
    )
    assert record.verdict is not None and record.verdict.answer == "helps"
    assert record.data.counts == {"train": 244, "validation": 49, "test": 153}
    assert record.data.quarantined == 1


def test_unknown_fields_of_a_newer_minor_version_survive(tmp_path: Path) -> None:
    raw = json.loads(samples.classification().to_json())
    raw["weather"] = {"rain": [1, 2.5, None]}
    raw["results"][1]["colour"] = "teal"
    raw["data"]["rights"] = "unknown"
    path = tmp_path / "record.json"
    path.write_text(json.dumps(raw))
    again = json.loads(read_record(path).to_json())
    assert again == raw


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[]", "no 'schema' number"),
        (b'{"schema": "one"}', "no 'schema' number"),
        (b'{"schema": 99}', "schema 99"),
        (b'{"schema": 1, "headstart": "0.1.0"}', "field"),
        (b'{"schema": 0}', "schema"),
    ],
)
def test_broken_files_are_named_in_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        read_record(path)
    message = str(caught.value)
    assert says in message and str(path) in message and "\n" not in message


def test_an_absent_record_asks_whether_it_is_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is .* a RUN folder\?"):
        read_record(tmp_path / "record.json")


def test_a_field_is_named_where_it_stands(tmp_path: Path) -> None:
    raw = json.loads(samples.classification().to_json())
    raw["results"][2]["metrics"]["accuracy"]["value"] = "high"
    path = tmp_path / "record.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(RunError, match=r"results\.2\.metrics\.accuracy\.value"):
        read_record(path)


def test_records_are_frozen_and_result_names_are_looked_up() -> None:
    record = samples.classification()
    with pytest.raises(Exception, match="frozen"):
        record.chosen = "another"  # type: ignore[misc]
    with pytest.raises(KeyError):
        record.result("no such result")


def test_sealed_targets_open_once() -> None:
    sealed = Sealed(np.array([1, 0, 1]))
    assert len(sealed) == 3 and "1, 0" not in repr(sealed)
    assert not any(isinstance(getattr(sealed, name), np.ndarray) for name in dir(sealed))
    assert sealed.open().tolist() == [1, 0, 1]
    with pytest.raises(AlreadyOpened):
        sealed.open()


def test_a_record_can_be_made_before_anything_is_measured() -> None:
    record = RunRecord(
        headstart="0.1.0",
        created="2026-01-01T00:00:00Z",
        task="classification",
        data=samples.data_facts(["a", "b"]),
    )
    assert record.status == "running" and record.schema_version == SCHEMA
    jsonschema.validate(json.loads(record.to_json()), schema.record_schema())
