"""Model cards as the hub's own library reads them, and what a person must find in them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData

import records_for_tests as samples
from headstart.records import Cost, RunRecord
from headstart.report.card import model_card
from headstart.report.card_metadata import licence_fields, metadata, plain_id


def read(record: RunRecord, library: str = "headstart") -> ModelCardData:
    data = ModelCard(model_card(record, library=library), ignore_metadata_errors=False).data
    assert isinstance(data, ModelCardData)
    return data


def noted(record: RunRecord, **details: Any) -> RunRecord:
    """The record, with something in the details of the result that was chosen."""
    results = [
        r.model_copy(update={"details": r.details | details}) if r.name == record.chosen else r
        for r in record.results
    ]
    return record.model_copy(update={"results": results})


RECORDS = {"classification": samples.classification, "regression": samples.regression}


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("library", ["headstart", "transformers", "onnx"])
def test_the_hub_library_reads_every_field_as_it_was_meant(kind: str, library: str) -> None:
    record = RECORDS[kind]()
    data = read(record, library)
    assert data.to_dict() == metadata(record, library=library)
    chosen = record.result(str(record.chosen))
    values = {(one.metric_type, str(one.metric_args)): one for one in data.eval_results or []}
    assert len(values) == len(chosen.metrics)  # no two are one
    for one in data.eval_results or []:
        assert isinstance(one, EvalResult)
        assert one.metric_value in {found.value for found in chosen.metrics.values()}
        assert (one.dataset_name, one.dataset_split) == (record.data.name, "test")
    assert data.library_name == library and record.task in (data.tags or [])
    assert data.model_name == f"{record.data.name} ({record.chosen})"


def test_metrics_have_the_names_of_the_hub() -> None:
    data = read(samples.classification())
    assert data.metrics == [
        "accuracy", "balanced_accuracy", "f1", "precision", "recall", "roc_auc", "log_loss"
    ]  # fmt: skip
    averages = [r.metric_args for r in data.eval_results or [] if r.metric_type == "f1"]
    assert averages == [{"average": "macro"}, {"average": "weighted"}]
    assert read(samples.regression()).metrics == ["r_squared", "mae", "rmse"]


def test_what_is_known_of_the_pretrained_model_is_said() -> None:
    record = samples.regression()
    probe = next(r.name for r in record.results if r.method == "probe")
    record = record.model_copy(update={"chosen": probe})
    told = noted(record, licence="apache-2.0", language="[en, de]", pretrained_on="reviews")
    data = read(told)
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.license == "apache-2.0" and data.language == ["en", "de"]
    assert data.datasets == [plain_id(record.data.name)]
    plain = read(record)
    assert plain.license == "unknown" and plain.language is None


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mit", {"license": "mit"}),
        ('"Apache-2.0"', {"license": "apache-2.0"}),
        ("see LICENSE", {"license": "other", "license_name": "see-license"}),
    ],
)
def test_licences_are_those_of_the_hub(name: str, fields: dict[str, str]) -> None:
    assert licence_fields(name) == fields
    assert read(noted(samples.classification(), licence=name)).to_dict().items() >= fields.items()


def test_carbon_is_said_where_the_record_has_it() -> None:
    advice = samples.advice(happened=Cost(seconds=353.7, grams=1.2345678))
    record = samples.classification(advice=advice)
    told = read(record).to_dict()["co2_eq_emissions"]
    assert told["emissions"] == 1.2346 and told["hardware_used"] == "cpu, 2 cores"
    assert advice.assumption in told["source"]
    assert "About 1.2 g of CO2" in model_card(record)
    assert "co2_eq_emissions" not in read(samples.regression()).to_dict()


def test_a_person_finds_numbers_with_intervals_data_and_cost() -> None:
    record = samples.classification()
    text = model_card(record)
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections == [
        "Did transfer help?", "Evaluation", "Intended use", "How to use", "Limits",
        "Training data", "Cost", "Licence",
    ]  # fmt: skip
    assert "| Accuracy | 88.2 % (84.9 to 91.5) |" in text.replace("\xa0", " ")
    assert "3,068 examples for train, 341 examples for validation, 372 examples for test" in text
    assert "dress 260, hat 243" in text and "12 examples had no label" in text
    assert "The whole run: 5 min 54 s (cpu, 2 cores)." in text.replace("\xa0", " ")
    assert "2,236,682 were trained" in text
    assert record.data.source not in text  # where it lay on somebody's disk
    assert "../shared" not in text and "the pretrained model mobilenet\\_v2" in text


@pytest.mark.parametrize(
    ("library", "words"),
    [("headstart", "headstart predict"), ("onnx", "`logits` and `probabilities`")],
)
def test_it_says_how_to_use_it(library: str, words: str) -> None:
    assert words in model_card(samples.classification(), library=library)


@pytest.mark.parametrize("name", ['a | b\n---\n# "x": [y](z)', "données", "---", "a--b..c"])
def test_any_name_of_data_reads_back(name: str) -> None:
    record = samples.classification()
    record = record.model_copy(update={"data": record.data.model_copy(update={"name": name})})
    data = read(record)
    assert (data.eval_results or [])[0].dataset_name == name
    for one in data.datasets or []:
        assert re.fullmatch(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?", one)
        assert "--" not in one and ".." not in one


def test_an_unfinished_run_has_no_results() -> None:
    data = read(samples.unfinished())
    assert data.eval_results is None and data.metrics is None
