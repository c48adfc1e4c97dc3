"""What is handed over, the model as it came, and what the candidate is held against."""

from __future__ import annotations

import doctest
from dataclasses import dataclass, replace
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


def test_the_simpler_one_is_handed_over_where_no_difference_is_clear(many: Dataset) -> None:
    simple = entry(many, "simple", 9, role="baseline")
    probe = entry(many, "probe", 4)
    name, because = chosen(many, [simple, probe])
    assert name == "simple"
    assert "not clearly better" in because and "160 held-out training examples" in because
    assert "At most about" in because and "--prefer best hands 'probe' over" in because
    assert chosen(many, [simple, probe], prefer="best")[0] == "probe"


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


@pytest.fixture(scope="module")
def many() -> Dataset:
    return dataset("text", "classification", 160)


def pair(data: Dataset, won: int, lost: int, *, role: str = "candidate") -> list[Entry]:
    """A simpler result, and fine-tuning: right on `won` that it misses, wrong on `lost` more."""
    name = "probe" if role == "candidate" else "simple"
    simpler = entry(data, name, won, role=role)
    return [simpler, entry(data, "finetune", lost, trains=True, first=won)]


@pytest.mark.parametrize(
    ("won", "lost"), [(1, 0), (3, 0), (6, 4), (9, 4), (10, 7), (12, 5), (20, 15), (20, 13)]
)
def test_one_standard_error_decides_between_adapted_models(
    many: Dataset, won: int, lost: int
) -> None:
    """The error by hand: that of the mean gap within classes, and of one more pair each way."""
    gap = np.zeros(160)
    gap[:won], gap[won : won + lost] = 1, -1
    strata = [gap[many.targets == c] for c in range(3)]
    error = np.sqrt(sum(len(s) * s.var(ddof=1) for s in strata) / 160**2 + 2 / 162**2)
    assert abs(gap.mean() / error - 1) > 0.08  # no case so near that 500 resamples decide it
    name, because = chosen(many, pair(many, won, lost))
    assert name == ("finetune" if gap.mean() > error else "probe")
    told = float(because.split("with a standard error of ")[1].split(" points")[0])
    assert told == pytest.approx(100 * error, rel=0.12)  # 500 resamples
    more = "by more than one standard error" if name == "finetune" else "by no more than one"
    assert more in because and "decides between" in because
    assert chosen(many, pair(many, won, lost), prefer="best")[0] == "finetune"


def test_a_gain_that_5_percent_throws_away_is_kept_between_adapted_models(many: Dataset) -> None:
    """4 examples of 160, to none: p = 0.12."""
    name, because = chosen(many, pair(many, 4, 0))
    assert name == "finetune" and "+2.5 points with a standard error of" in because
    # Pretraining has a cost that a simple model has not: there the same lead is not enough.
    name, because = chosen(many, pair(many, 4, 0, role="baseline"))
    assert name == "simple" and "'finetune' is not clearly better than it" in because
    assert "p = 0.12" in because and "standard error" not in because


@pytest.mark.parametrize("wrong", [8, 4, 3])
def test_so_few_examples_cannot_say_that_things_are_even(wrong: int) -> None:
    """18 examples, the probe wrong on 3: not even 8 wrong are clearly more (p = 0.06)."""
    few = dataset("text", "classification", 18)
    simple, probe = entry(few, "simple", wrong, role="baseline"), entry(few, "probe", 3)
    name, because = chosen(few, [simple, probe])
    if wrong > 3:
        assert name == "probe" and "would miss a lead of 5 points" in because
        assert "18 held-out training examples" in because
    else:
        assert name == "simple" and "no adapted pretrained model does better" in because
    # Nothing speaks for a network from scratch beforehand: it has to be clearly better.
    scratch = entry(few, "from scratch", 3, role="baseline", trains=True)
    assert chosen(few, [simple, scratch])[0] == "simple"


def test_both_rules_are_told_where_both_decide(many: Dataset) -> None:
    probe, tuned = pair(many, 11, 4)
    simple = entry(many, "simple", 60, role="baseline")
    name, because = chosen(many, [simple, probe, tuned])
    assert name == "finetune"
    assert "for 'simple' on 160 held-out" in because and "very strong evidence" in because
    assert "It is ahead of 'probe', which is simpler" in because
    # Even with its probe, it gives way to that, not to the simple model, which the probe beats.
    assert chosen(many, [simple, *pair(many, 6, 5)])[0] == "probe"


def test_what_misses_a_rare_class_is_no_simpler_way_to_the_same(many: Dataset) -> None:
    """6 of 160 are of class 2: who misses them all and errs nowhere else is nearly as accurate."""
    targets = np.where(np.arange(160) < 6, 2, np.arange(160) % 2)
    data = replace(many, targets=targets)
    probe = entry(data, "probe", 4, first=50)
    misses = entry(data, "simple", 6, role="baseline")
    name, because = chosen(data, [misses, probe])
    assert name == "probe"
    label = data.task.labels[2]
    assert f"it misses the rare class {label!r} (6 of 6 held-out training examples right" in because
    assert "against 0, p = 0.031)" in because and "No clear difference" in because
    finds_one = entry(data, "simple", 5, role="baseline")
    assert chosen(data, [finds_one, probe])[0] == "simple", "5 of 5 is within chance"
    alike = replace(data, groups=np.array(["p"] * 6 + [None] * 154, object))
    assert "rare class" not in chosen(alike, [misses, probe])[1], "one group has one vote"
    common = entry(data, "simple", 8, role="baseline", first=50)
    assert chosen(data, [common, probe])[0] == "simple", "a common class is in the accuracy"


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


def test_what_another_one_beats_clearly_is_not_handed_over(many: Dataset) -> None:
    # Fine-tuning answered for 150 examples only, where the simple model is wrong on 3: too few to
    # beat it. It loses clearly to the probe on all 160.
    rows = np.arange(150)
    simple = entry(many, "simple", 13, role="baseline", first=147)
    probe, tuned = (
        entry(many, "probe", 2, first=149),
        entry(many, "finetune", 0, trains=True, rows=rows),
    )
    assert chosen(many, [simple, probe, tuned])[0] == "probe"
    # And where it leaves the probe behind too, the simple model is named, and why it is no choice.
    probe = entry(many, "probe", 3, first=147)
    name, because = chosen(many, [simple, probe, tuned])
    assert name == "finetune" and "No clear difference: accuracy 1.000 against 0.980" in because
    assert "'simple' is simpler, and yet no choice: 'probe' is clearly better than it" in because
    assert "(+6.2 points on held-out examples)" in because


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
    page = (run.path / "report.html").read_text()
    assert page.count("data:image/") >= 3  # the hardest test examples, as they look
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
