"""A conformance suite for sources: inherit it, say what to load and show it, run pytest.

class TestMySource(SourceConformance):
    def load(self, folder): return MY_SOURCE.load("mine:small")
    def examples(self): return [decoded, decoded, …]   # of unequal size, four or more
    trainable = False                                  # for what another runtime than torch runs
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from headstart.data.modality.base import Decoded
from headstart.errors import ModelError
from headstart.sources.backbone import Backbone

if TYPE_CHECKING:
    from torch import Tensor


class SourceConformance:
    """What every loaded model must do."""

    # Largest difference in an embedding that company in the batch may make, in float32.
    close: ClassVar[float] = 1e-5
    # Whether the weights can be trained; what only such a backbone can do is skipped otherwise.
    trainable: ClassVar[bool] = True
    has_files: ClassVar[bool] = True  # of its own weights, which a copy may take as they are

    def load(self, folder: Path) -> Backbone:
        """Return the model; `folder` is empty and writable, for sources that need files."""
        raise NotImplementedError

    def examples(self) -> Sequence[Decoded]:
        """Return at least 4 decoded examples of different content, the same at each call."""
        raise NotImplementedError

    @pytest.fixture
    def backbone(self, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
        """Return the model, loaded once a class; a test that changes it loads its own."""
        own = type(self)
        if "loaded" not in vars(own):
            own.loaded = self.load(tmp_path_factory.mktemp("source"))  # type: ignore[attr-defined]
        loaded: Backbone = own.loaded  # type: ignore[attr-defined]
        return loaded

    def needs_training(self) -> None:
        """Skip a test of what only a trainable backbone can do."""
        if not self.trainable:
            pytest.skip("this backbone is declared frozen (trainable = False)")

    def test_it_says_what_it_is(self, backbone: Backbone) -> None:
        card = backbone.card
        assert card.id and card.source and card.architecture and card.available
        assert card.modality in {"image", "text", "audio"}
        assert card.width == backbone.width > 0
        assert card.parameters and card.parameters > 0
        assert backbone.fingerprint and not backbone.module.training
        assert backbone.trainable == self.trainable

    def test_parameters_are_counted(self, backbone: Backbone) -> None:
        self.needs_training()
        counted = sum(p.numel() for p in backbone.module.parameters())
        assert backbone.card.parameters == counted

    def test_a_frozen_one_refuses_to_be_trained(self, backbone: Backbone) -> None:
        if self.trainable:
            pytest.skip("this backbone can be trained")
        assert backbone.stages == () and not list(backbone.module.parameters())
        assert not backbone.embed(backbone.preprocess(self.examples())).requires_grad
        with pytest.raises(ModelError, match="cannot be trained"):
            backbone.reinitialised(0)

    def test_weights_are_float32(self, backbone: Backbone) -> None:
        self.needs_training()
        import torch

        dtypes = {p.dtype for p in backbone.module.parameters()}
        assert dtypes == {torch.float32}, dtypes

    def test_embeddings_have_the_promised_shape(self, backbone: Backbone) -> None:
        examples = self.examples()
        found = _embed(backbone, examples)
        assert tuple(found.shape) == (len(examples), backbone.width)
        assert bool(found.isfinite().all()), "an embedding is not finite"
        assert float(found.std(0).max()) > 1e-4, "all examples have the same embedding"

    def test_a_batch_has_one_row_an_example(self, backbone: Backbone) -> None:
        import torch

        examples = self.examples()
        batch = backbone.preprocess(examples)
        for name, value in batch.items():
            assert isinstance(value, torch.Tensor), name
            assert len(value) == len(examples), name

    def test_eval_mode_is_deterministic(self, backbone: Backbone) -> None:
        assert _far(_embed(backbone, self.examples()), _embed(backbone, self.examples())) == 0

    def test_company_in_the_batch_changes_nothing(self, backbone: Backbone) -> None:
        import torch

        together = _embed(backbone, self.examples())
        alone = torch.cat([_embed(backbone, [example]) for example in self.examples()])
        assert _far(together, alone) < self.close, "padding or neighbours leak into an embedding"

    def test_order_is_kept(self, backbone: Backbone) -> None:
        backwards = _embed(backbone, list(self.examples())[::-1])
        assert _far(backwards.flip(0), _embed(backbone, self.examples())) < self.close

    def test_stages_cover_each_parameter_once(self, backbone: Backbone) -> None:
        self.needs_training()
        listed = [name for stage in backbone.stages for name in stage.parameters]
        assert sorted(listed) == sorted(name for name, _ in backbone.module.named_parameters())
        names = [stage.name for stage in backbone.stages]
        blocks = [name for name in names if name.startswith("block.")]
        assert blocks == [f"block.{i}" for i in range(len(blocks))]
        order = [name for name in ("stem", *blocks, "norm") if name in names]
        assert names == order, names
        known = dict(backbone.module.named_modules())
        assert all(name in known for stage in backbone.stages for name in stage.modules)

    def test_gradients_reach_every_block(self, backbone: Backbone) -> None:
        self.needs_training()
        import torch

        backbone.module.zero_grad(set_to_none=True)
        found = backbone.embed(backbone.preprocess(self.examples()))
        # Not a plain sum, whose gradient is zero through a last layer norm.
        weights = torch.linspace(-1, 1, backbone.width).cos()
        (found * weights).square().sum().backward()
        parameters = dict(backbone.module.named_parameters())
        moved = {
            stage.name: any(parameters[name].grad is not None for name in stage.parameters)
            for stage in backbone.stages
            if stage.name.startswith("block.") and stage.parameters
        }
        backbone.module.zero_grad(set_to_none=True)
        assert all(moved.values()), moved

    def test_train_mode_works_and_leaves_no_trace_in_eval_mode(self, tmp_path: Path) -> None:
        self.needs_training()
        backbone = self.load(tmp_path)
        backbone.module.train()
        found = backbone.embed(backbone.preprocess(self.examples()))
        assert bool(found.isfinite().all())
        assert found.requires_grad

    def test_saved_and_opened_it_is_the_same(self, backbone: Backbone, tmp_path: Path) -> None:
        from headstart.sources import reopen

        for name, unchanged in (("copied", True), ("written", False)):
            backbone.save(tmp_path / name, unchanged=unchanged)
            opened = reopen(tmp_path / name, id=backbone.card.id)
            assert _far(_embed(opened, self.examples()), _embed(backbone, self.examples())) == 0
            assert opened.spec == backbone.spec
            copied = unchanged and self.has_files
            assert opened.fingerprint == backbone.fingerprint or not copied
            assert [s.name for s in opened.stages] == [s.name for s in backbone.stages]
            pickles = [p for p in (tmp_path / name).rglob("*") if p.suffix in {".bin", ".pt"}]
            assert not pickles, pickles

    def test_trained_weights_are_saved(self, tmp_path: Path) -> None:
        self.needs_training()
        import torch

        from headstart.sources.local import LOCAL

        (tmp_path / "model").mkdir()
        backbone = self.load(tmp_path / "model")
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in backbone.module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.01)
        backbone.save(tmp_path / "trained")
        opened = LOCAL.load(str(tmp_path / "trained"))
        assert _far(_embed(opened, self.examples()), _embed(backbone, self.examples())) == 0

    def test_reinitialised_is_random_and_reproducible(self, backbone: Backbone) -> None:
        self.needs_training()
        import torch

        before = torch.get_rng_state()
        one, same, other = (backbone.reinitialised(seed) for seed in (1, 1, 2))
        assert bool((torch.get_rng_state() == before).all()), "the global generator was moved"
        assert _far(_weights(one), _weights(same)) == 0
        assert _far(_weights(one), _weights(other)) > 0
        assert _far(_weights(one), _weights(backbone)) > 0
        assert one.fingerprint == same.fingerprint
        assert len({one.fingerprint, other.fingerprint, backbone.fingerprint}) == 3
        assert one.width == backbone.width and one.stages == backbone.stages
        assert tuple(_embed(one, self.examples()).shape) == (len(self.examples()), one.width)


def _embed(backbone: Backbone, examples: Sequence[Decoded]) -> Tensor:
    import torch

    with torch.no_grad():
        return backbone.embed(backbone.preprocess(examples))


def _far(left: Tensor, right: Tensor) -> float:
    return float((left - right).abs().max())


def _weights(backbone: Any) -> Tensor:
    import torch

    return torch.cat([p.detach().flatten() for p in backbone.module.parameters()])
