"""Every kind of model through the conformance suite: tiny ones, and the starters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

import headstart.sources as sources
from headstart.sources.backbone import Backbone
from headstart.testing.source import SourceConformance
from sources_for_tests import FAMILIES, examples, write_model


class OfTiny(SourceConformance):
    family: ClassVar[str]

    def load(self, folder: Path) -> Backbone:
        return sources.load(str(write_model(folder / "tiny", self.family)))

    def examples(self) -> list[Any]:
        return examples(FAMILIES[self.family][0])


class TestImage(OfTiny):
    family = "mobilenet_v2"
    close = 1e-4  # 50 random layers of batch norm amplify rounding; the real one gives 0


class TestImageTokens(OfTiny):
    family = "vit"


class TestText(OfTiny):
    family = "bert"


class TestTextCausal(OfTiny):
    family = "gpt2"


class TestEncoderOfTwo(OfTiny):
    family = "t5"


class TestTowerOfTwo(OfTiny):
    family = "clip"


class TestAudio(OfTiny):
    family = "wav2vec2"


class TestAudioFixedLength(OfTiny):
    family = "whisper"


class OfStarter(SourceConformance):
    starter: ClassVar[str]

    def load(self, folder: Path) -> Backbone:
        starter = sources.starter.find_starter(self.starter)
        if starter.find() is None:
            pytest.skip(f"{self.starter} is not installed")
        return sources.load(self.starter)

    def examples(self) -> list[Any]:
        return examples(sources.starter.find_starter(self.starter).modality)


class TestGlyphs(OfStarter):
    starter = "starter:glyphs"


class TestMinilm(OfStarter):
    starter = "starter:minilm"
