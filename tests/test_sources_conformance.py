"""Every kind of model through the conformance suite: tiny ones of each modality."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

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
