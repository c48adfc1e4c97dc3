"""A conformance suite for adaptation methods and baselines: inherit it, name one, run pytest.

class TestMyMethod(MethodConformance):
    method = MyMethod(epochs=1)   # with settings that make it quick
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from headstart.adapt import Context, Method, Trained, carve, load_adapted, plan
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.data.dataset import Dataset, TestPart, Unlabelled
from headstart.data.task import Task
from headstart.errors import HeadstartError
from headstart.records import Sealed

if TYPE_CHECKING:
    from headstart.sources.backbone import Backbone

KINDS = ("classification", "multi-label", "regression")
COUNT = 30
PLENTY = 1e6  # seconds: the number of steps is bounded by the method's own settings


class MethodConformance:
    """What every way to get a model must do, for each kind of task."""

    method: ClassVar[Method]
    # Largest difference between two equal runs: threads may add up in another order.
    close: ClassVar[float] = 1e-3
    kinds: ClassVar[tuple[str, ...]] = KINDS  # of tasks that the method is for
    learns: ClassVar[bool] = True  # False for one that takes a model as it is

    def backbone(self) -> Backbone:
        """Return the backbone to adapt: of the images that `inputs` gives, unless overridden."""
        import headstart.sources as sources

        return sources.load("starter:glyphs")

    def inputs(self) -> Unlabelled:
        """Return COUNT different examples, the same at each call; thirds of them look alike."""
        rng = np.random.default_rng(0)
        items = [_picture(number % 3, rng) for number in range(COUNT)]
        digests = [hashlib.blake2b(item.tobytes(), digest_size=16).digest() for item in items]
        return Unlabelled(
            "image",
            items,
            [f"example {number}" for number in range(COUNT)],
            np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16),
        )

    def context(self, kind: str, *, seed: int = 0, own: bool = False) -> Context:
        """Return what the method is given; `own`: with validation rows of the data's own."""
        data = _data(self.inputs(), kind)
        rng = np.random.default_rng(1)
        validation = np.arange(20, COUNT) if own else carve(data, 0.3, rng=rng)
        folds = plan(data, validation if own else None, rng=rng)
        source = BackboneFeaturiser(self.backbone()) if self.method.uses_model else None
        return Context(
            data=data, folds=folds, validation=validation, seed=seed, seconds=PLENTY, source=source
        )

    @pytest.fixture(params=KINDS)
    def kind(self, request: pytest.FixtureRequest) -> str:
        """Return the kind of task."""
        if request.param not in self.kinds:
            pytest.skip(f"{self.method.name} is not for {request.param}")
        return str(request.param)

    def adapted(self, kind: str, *, own: bool = False) -> tuple[Context, Trained]:
        """Return a context and what the method made of it, made once a class."""
        made = vars(type(self)).get("_made")
        if made is None:
            made = {}
            type(self)._made = made  # type: ignore[attr-defined]
        if (kind, own) not in made:
            context = self.context(kind, own=own)
            made[kind, own] = context, self.method.adapt(context)
        found: tuple[Context, Trained] = made[kind, own]
        return found

    def test_it_is_a_frozen_dataclass_with_a_name(self) -> None:
        assert self.method.name and isinstance(self.method.name, str)
        assert isinstance(self.method.uses_model, bool) and isinstance(self.method.trains, bool)
        assert is_dataclass(self.method)
        for field in fields(self.method):
            with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
                setattr(self.method, field.name, None)
        assert type(self.method)(**_settings(self.method)) == self.method

    def test_it_answers_for_every_example(self, kind: str) -> None:
        context, trained = self.adapted(kind)
        scores = trained.adapted.scores(context.data.inputs)
        expected = (COUNT,) if kind == "regression" else (COUNT, context.data.task.outputs)
        assert scores.shape == expected
        assert np.isfinite(scores).all()
        if kind != "regression":
            assert (scores >= 0).all() and (scores <= 1).all()
        if kind == "classification":
            np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
        assert trained.adapted.name and trained.adapted.task == context.data.task
        assert len(context.data.task.kind.answer(scores, context.data.task.labels)) == COUNT

    def test_it_says_what_it_cost(self, kind: str) -> None:
        _, trained = self.adapted(kind)
        assert trained.seconds and all(s >= 0 for s in trained.seconds.values())
        assert int(self.learns) <= trained.parameters["trained"] <= trained.parameters["total"]

    @pytest.mark.parametrize("own", [False, True], ids=["carved", "own validation"])
    def test_held_outputs_are_for_rows_that_were_held_out(self, kind: str, own: bool) -> None:
        context, trained = self.adapted(kind, own=own)
        rows = trained.rows
        assert len(rows) and len(set(rows)) == len(rows)
        assert trained.outputs.shape == (len(rows), context.data.task.outputs)
        assert np.isfinite(trained.outputs).all()
        assert np.isfinite(trained.held_scores(rows[::-1])).all()
        if own or (self.method.trains and not getattr(self.method, "holds_out", False)):
            assert set(rows) <= set(context.validation)

    def test_same_seed_same_result(self, kind: str) -> None:
        context, trained = self.adapted(kind)
        again = self.method.adapt(self.context(kind))
        before = trained.adapted.scores(context.data.inputs)
        after = again.adapted.scores(context.data.inputs)
        np.testing.assert_allclose(after, before, atol=self.close * np.abs(before).max())
        np.testing.assert_array_equal(again.rows, trained.rows)

    def test_it_changes_nothing_that_it_was_given(self, kind: str) -> None:
        context = self.context(kind)
        before, targets = asdict(self.method), context.data.targets.copy()  # type: ignore[call-overload]
        weights = _weights(context)
        self.method.adapt(context)
        assert asdict(self.method) == before  # type: ignore[call-overload]
        np.testing.assert_array_equal(context.data.targets, targets)
        assert _weights(context) == weights, "the pretrained weights were changed in place"

    def test_it_leaves_the_global_generators_alone(self) -> None:
        import torch

        torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        self.method.adapt(self.context("classification"))
        assert torch.equal(torch.get_rng_state(), torch_before)
        assert repr(np.random.get_state()) == repr(numpy_before)  # noqa: NPY002

    def test_what_stands_still_is_unchanged_to_the_bit(self, kind: str) -> None:
        context, trained = self.adapted(kind)
        check_frozen(context, trained)

    def test_as_many_parameters_are_trained_as_it_says(self, kind: str) -> None:
        check_counted(*self.adapted(kind))

    def test_no_test_labels_can_be_reached(self) -> None:
        context, trained = self.adapted("classification")
        for thing in _reachable([context, trained]):
            assert not isinstance(thing, Sealed | TestPart), thing

    def test_saved_and_loaded_it_answers_the_same(self, kind: str, tmp_path: Path) -> None:
        context, trained = self.adapted(kind)
        check_saved(context, trained, tmp_path / "model")
        (tmp_path / "model").rename(tmp_path / "moved")
        again = load_adapted(tmp_path / "moved")
        assert (again.name, again.task) == (trained.adapted.name, trained.adapted.task)
        before = trained.adapted.scores(context.data.inputs)
        np.testing.assert_allclose(
            again.scores(context.data.inputs), before, atol=1e-5 * np.abs(before).max()
        )
        assert sorted(p.name for p in tmp_path.iterdir()) == ["moved"], "something half-written"
        pickles = [path for path in (tmp_path / "moved").rglob("*") if _pickled(path)]
        assert not pickles, pickles

    def test_nan_weights_are_an_error_or_do_not_matter(self, kind: str) -> None:
        import torch

        from headstart.sources.backbone import with_module

        if not self.method.uses_model:
            pytest.skip("no pretrained weights are used")
        context = self.context(kind)
        assert context.source is not None
        backbone = context.source.backbone
        with torch.no_grad():
            next(backbone.module.parameters()).fill_(float("nan"))
        broken = BackboneFeaturiser(with_module(backbone, backbone.module))
        try:
            trained = self.method.adapt(replace(context, source=broken))
        except HeadstartError as error:
            assert "NaN" in str(error)
        else:  # as with random weights instead
            assert np.isfinite(trained.adapted.scores(context.data.inputs)).all()


def check_frozen(
    context: Context, trained: Trained, may_move: Callable[[str], bool] | None = None
) -> set[str]:
    """Fail where a weight or a statistic differs that no phase moves; returns what differs.

    `may_move`: asked for the names of tensors; by default those of the stages in the schedule's
    rates. A model that began with random weights is left out.
    """
    featuriser = trained.adapted.featuriser
    if context.source is None or not isinstance(featuriser, BackboneFeaturiser):
        return set()
    if featuriser.backbone.card.note == "random weights":
        return set()
    before = context.source.backbone.module.state_dict()
    after = featuriser.backbone.module.state_dict()
    moved = {n for n, v in before.items() if not _equal(v, after[n])}
    allowed = may_move or _in_schedule(context.source.backbone, trained)
    wrong = sorted(name for name in moved if not allowed(name))
    assert not wrong, f"these should have stood still: {wrong[:5]}"
    return moved


def _equal(one: Any, other: Any) -> bool:
    import torch

    return torch.equal(one.float(), other.float())


def _in_schedule(backbone: Backbone, trained: Trained) -> Callable[[str], bool]:
    rates = {part for phase in trained.details.get("schedule", ()) for part in phase["rates"]}
    stages = [stage for stage in backbone.stages if stage.name in rates]
    parameters = {name for stage in stages for name in stage.parameters}
    inside = tuple(f"{name}." for stage in stages for name in stage.modules)
    return lambda name: name in parameters or name.startswith(inside)


def check_counted(context: Context, trained: Trained, own: Mapping[str, int] = {}) -> None:
    """Fail where `parameters` says another number than the schedule's parts have.

    `own`: the sizes of parts that are no stages. Methods that follow no schedule are left out.
    """
    schedule = trained.details.get("schedule")
    if not schedule or context.source is None or trained.details["ended"] != "all steps":
        return
    backbone = context.source.backbone
    sizes = {name: value.numel() for name, value in backbone.module.named_parameters()}
    parts = {s.name: sum(sizes[name] for name in s.parameters) for s in backbone.stages}
    outputs = context.data.task.outputs
    parts |= {"head": outputs * (backbone.width + 1)} | dict(own)
    moving = {part for phase in schedule for part in phase["rates"]}
    assert trained.parameters["trained"] == sum(parts[part] for part in moving)


def check_saved(context: Context, trained: Trained, folder: Path) -> None:
    """Fail where a saved model answers otherwise than the one that was saved."""
    trained.adapted.save(folder)
    again = load_adapted(folder)
    assert (again.name, again.task) == (trained.adapted.name, trained.adapted.task)
    before = trained.adapted.scores(context.data.inputs)
    np.testing.assert_allclose(
        again.scores(context.data.inputs), before, atol=1e-5 * np.abs(before).max()
    )


def _picture(kind: int, rng: np.random.Generator) -> np.ndarray:
    pixels = rng.integers(0, 90, (24, 24), dtype=np.uint8)
    where = rng.integers(4, 12)
    if kind < 2:  # a bar, lying or standing
        bar = pixels if kind else pixels.T
        bar[where : where + 4] = 230
    else:
        pixels[where : where + 8, where : where + 8] = 230
    return pixels


def _data(inputs: Unlabelled, kind: str) -> Dataset:
    third = np.arange(len(inputs)) % 3
    if kind == "classification":
        return Dataset("made", inputs, third, Task.of(kind, ("lying", "standing", "square")))
    if kind == "multi-label":
        targets = np.stack([third != 0, third == 2], axis=1).astype(np.int8)
        return Dataset("made", inputs, targets, Task.of(kind, ("upright", "square")))
    noise = np.random.default_rng(2).normal(0, 0.5, len(inputs))
    return Dataset("made", inputs, 100.0 + 20.0 * third + noise, Task.of(kind, ("size",)))


def _settings(method: Method) -> dict[str, Any]:
    return {f.name: getattr(method, f.name) for f in fields(method)}  # type: ignore[arg-type]


def _weights(context: Context) -> str:
    mixed = hashlib.blake2b(digest_size=16)
    if context.source is not None:
        for name, value in sorted(context.source.backbone.module.state_dict().items()):
            mixed.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return mixed.hexdigest()


def _reachable(things: list[Any], depth: int = 8) -> Iterator[Any]:
    """Walk through dataclasses, slots, lists and dictionaries."""
    seen: set[int] = set()
    waiting = [(thing, depth) for thing in things]
    while waiting:
        thing, left = waiting.pop()
        if id(thing) in seen or left == 0 or isinstance(thing, type | str | bytes | np.ndarray):
            continue
        seen.add(id(thing))
        yield thing
        inside: list[Any] = list(getattr(thing, "__dict__", {}).values())
        if is_dataclass(thing):
            inside += [getattr(thing, f.name, None) for f in fields(thing)]
        if isinstance(thing, dict):
            inside += list(thing.values())
        elif isinstance(thing, list | tuple | set):
            inside += list(thing)
        waiting += [(one, left - 1) for one in inside]


def _pickled(path: Path) -> bool:
    if not path.is_file():
        return False
    start = path.read_bytes()[:2]
    return path.suffix in {".bin", ".pt", ".pth", ".pkl", ".npz"} or start in (b"\x80\x02", b"PK")
