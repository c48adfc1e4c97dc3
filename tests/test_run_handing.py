"""What is handed over, the model as it came, and what the candidate is held against."""

from __future__ import annotations

import doctest
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapt_for_tests import dataset
from headstart.adapt import Trained, unadapted
from headstart.data.dataset import Dataset
from headstart.run.choosing import Entry
from headstart.run.finishing import rivals_of
from headstart.run.handing import complexity, handed_over
from runs_for_tests import run_quickly, write_photos
from sources_for_tests import write_headed


@dataclass(frozen=True)
class Made:
    name: str
    trains: bool = False
    uses_model: bool = True


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset("text", "classification", 60)


def entry(
    data: Dataset, name: str, wrong: int, *, role: str = "candidate", trains: bool = False,
    first: int = 0, rows: Any = None,
) -> Entry:  # fmt: skip
    """A result that is wrong on `wrong` examples from `first` on, of those it was asked about."""
    rows = np.arange(len(data)) if rows is None else np.asarray(rows, np.int64)
    bad = np.arange(first, first + wrong)
    said = np.where(np.isin(rows, bad), (data.targets[rows] + 1) % 3, data.targets[rows])
    adapted: Any = type("Named", (), {"name": name, "task": data.task})()
    trained = Trained(adapted, rows, 9.0 * np.eye(3)[said], {}, {}, {})
    return Entry(role, "m" if role == "candidate" else None, Made(name, trains), trained)


def chosen(data: Dataset, entries: list[Entry], **options: Any) -> tuple[str, str]:
    found = handed_over(entries, data, rng=np.random.default_rng(0), **options)
    return found.chosen.name, found.because


def test_the_simpler_one_is_handed_over_where_no_difference_is_clear(data: Dataset) -> None:
    simple = entry(data, "simple", 8, role="baseline")
    probe = entry(data, "probe", 4)
    name, because = chosen(data, [simple, probe])
    assert name == "simple"
    assert "not clearly better" in because and "60 held-out training examples" in because
    assert "At most about" in because and "--prefer best hands 'probe' over" in because
    assert chosen(data, [simple, probe], prefer="best")[0] == "probe"


def test_a_clear_lead_is_handed_over_with_its_reason(data: Dataset) -> None:
    simple = entry(data, "simple", 20, role="baseline")
    name, because = chosen(data, [simple, entry(data, "probe", 2)])
    assert name == "probe" and because.startswith("it is clearly better than every simpler result")
    assert "very strong evidence" in because


def test_negative_transfer_hands_the_baseline_over(data: Dataset) -> None:
    simple = entry(data, "simple", 2, role="baseline")
    name, because = chosen(data, [simple, entry(data, "probe", 25)])
    assert name == "simple" and "no adapted pretrained model does better" in because
    assert "Negative transfer: accuracy 0.583 against 0.967 for 'simple'" in because


def test_a_network_from_scratch_must_be_clearly_better_too(data: Dataset) -> None:
    rows = np.arange(20)
    simple, probe = entry(data, "simple", 12, role="baseline"), entry(data, "probe", 1)
    scratch = entry(data, "from scratch", 0, role="baseline", trains=True, rows=rows)
    assert chosen(data, [simple, scratch, probe])[0] == "probe"


def test_a_constant_answer_is_no_model_to_fall_back_on(data: Dataset) -> None:
    few = data.take(np.arange(6))
    constant = entry(few, "majority", 3, role="baseline")
    name, because = chosen(few, [constant, entry(few, "probe", 1)])
    assert name == "probe" and because.startswith("it is the best on held-out examples")


def test_what_another_one_beats_clearly_is_not_handed_over(data: Dataset) -> None:
    # Fine-tuning answered for 12 examples only: too few to beat the simple model, which loses
    # clearly to the probe on all 60.
    rows = np.arange(12)
    simple = entry(data, "simple", 20, role="baseline", first=9)
    probe, tuned = entry(data, "probe", 2), entry(data, "finetune", 0, trains=True, rows=rows)
    assert chosen(data, [simple, probe, tuned])[0] == "probe"


def test_what_the_advice_favours_stays(data: Dataset) -> None:
    tuned = entry(data, "finetune", 3, trains=True)
    name, because = chosen(
        data, [entry(data, "probe", 4), tuned], favoured="finetune", because="it pays elsewhere"
    )
    assert name == "finetune" and "it pays elsewhere" in because


def test_nothing_held_out_is_said(data: Dataset) -> None:
    simple = entry(data, "simple", 0, role="baseline", rows=[])
    name, because = chosen(data, [simple, entry(data, "probe", 0, rows=[])])
    assert name == "probe" and "too few examples to hold any out" in because


def test_what_was_trained_is_held_against_its_probe(data: Dataset) -> None:
    simple, probe = entry(data, "simple", 1, role="baseline"), entry(data, "probe", 1)
    tuned = entry(data, "finetune", 1, trains=True)
    assert rivals_of(tuned, [simple], [probe, tuned]) == [simple, probe]
    assert rivals_of(probe, [simple], [probe, tuned]) == [simple]
    assert [complexity(e) for e in (simple, probe, tuned)] == [1, 3, 4]


def test_names_are_matched() -> None:
    assert doctest.testmod(unadapted).failed == 0
    assert unadapted.matched(("cat", "ox"), ("cat", "dog")) is None
    assert unadapted.matched(("cat",), ("cat", "Cat")) is None  # which of the two?
    assert unadapted.matched(("a", "A "), ("a", "b")) is None  # one class for two labels


def test_a_model_that_knows_the_classes_is_a_baseline_as_it_came(tmp_path: Path) -> None:
    import torch
    from transformers import ViTForImageClassification

    from headstart import sources
    from headstart.adapt import Context

    write_headed(tmp_path / "vit", ("Green", "grass", "blue", "RED"))
    model = ViTForImageClassification.from_pretrained(tmp_path / "vit")
    run = run_quickly(
        write_photos(tmp_path / "photos", 8), tmp_path / "run", model=str(tmp_path / "vit"),
        method="probe",
    )  # fmt: skip
    found = next(r for r in run.record.results if r.method == "unadapted")
    assert found.role == "baseline" and found.parameters["trained"] == 0
    assert found.name in [c.against for c in run.record.comparisons]
    # Independently: the whole model's logits of the three classes that it shares with the data.
    backbone = sources.load(str(tmp_path / "vit"))
    from PIL import Image

    pictures = [Image.open(p).convert("RGB") for p in sorted((tmp_path / "photos/red").iterdir())]
    with torch.inference_mode():
        logits = model.eval()(pixel_values=backbone.preprocess(pictures)["pixel_values"]).logits
    wanted = logits[:, [2, 0, 3]].softmax(1).numpy()  # blue, green, red

    import pandas as pd

    table = pd.read_parquet(run.path / "predictions.parquet").set_index("id")
    paths = [f"red/{p.name}" for p in sorted((tmp_path / "photos/red").iterdir())]
    shared = [i for i in table.index if i in paths]
    assert shared
    for id in shared:
        scores = table.loc[id, f"scores: {found.name}"]
        assert scores == pytest.approx(wanted[paths.index(id)], abs=2e-3)
    assert not unadapted.Unadapted().knows(
        Context(dataset("image", "regression", 8), None, np.empty(0, int), 0, 1.0)
    )
