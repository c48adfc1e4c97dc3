"""The starter models through the conformance suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

import headstart.sources as sources
from headstart.sources.backbone import Backbone
from headstart.sources.starter import find_starter
from headstart.testing.source import SourceConformance
from sources_for_tests import examples


class OfStarter(SourceConformance):
    starter: ClassVar[str]

    def load(self, folder: Path) -> Backbone:
        starter = find_starter(self.starter)
        if starter.find() is None:
            pytest.skip(f"{self.starter} is not installed")
        return sources.load(self.starter)

    def examples(self) -> list[Any]:
        return examples(find_starter(self.starter).modality)


class TestGlyphs(OfStarter):
    starter = "starter:glyphs"


class TestMinilm(OfStarter):
    starter = "starter:minilm"
