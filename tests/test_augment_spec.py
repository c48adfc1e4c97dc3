"""The language of augmentations: what it says, gives back and refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from headstart import plugins
from headstart.data.augment import AUTO, BUILTIN, Chain, named, parse, spec_of
from headstart.data.augment.base import OnExamples
from headstart.data.augment.image_colour import Colour, Erase
from headstart.data.augment.image_geometry import Flip, Rotate
from headstart.data.augment.text_models import Masked
from headstart.errors import PluginClash, UsageError
from headstart.testing.augment import rng, usual


def test_names_and_values_by_place_or_name() -> None:
    spec = "flip,rotate:15,colour:0.3:hue=0,erase:chance=1"
    chain = parse(spec, "image")
    assert chain.augmentations == (Flip(), Rotate(15), Colour(0.3, hue=0.0), Erase(chance=1.0))
    assert str(chain) == spec and len(chain) == 4


@pytest.mark.parametrize(
    ("spec", "modality"),
    [
        ("flip,rotate:15,colour:0.3,erase", "image"),
        (" flip , rotate : 15 ", "image"),
        ("auto,erase", "image"),
        ("auto", "text"),
        ("auto", "audio"),
        ("none", "audio"),
        ("", "text"),
        ('masked:"a,b:c=d ""e""":top=5,swap', "text"),
        ('backtranslate:x:y:ask_there="to German: "', "text"),
    ],
)
def test_round_trip(spec: str, modality: str) -> None:
    chain = parse(spec, modality)
    assert parse(str(chain), modality) == chain
    made = Chain(modality, chain.augmentations)  # without the words it came from
    assert parse(str(made), modality) == chain


def test_quotes_hold_whatever_a_path_may_have() -> None:
    for folder in ("plain/path", "C:\\models\\a, b", 'say "hello"', " spaced ", "a=b", "'"):
        one = Masked(folder, top=7)
        assert parse(spec_of(one), "text").augmentations == (one,)


def test_auto_is_written_out_and_none_is_nothing() -> None:
    assert str(parse("auto", "image")) == AUTO["image"]
    assert str(parse("none,flip", "image")) == "flip"
    assert str(parse("", "audio")) == "none" and len(parse("none", "audio")) == 0
    for modality, spec in AUTO.items():
        assert len(parse("auto", modality)) == len(spec.split(","))


def test_an_empty_chain_changes_nothing() -> None:
    for modality in ("image", "text", "audio"):
        chain, batch = parse("none", modality), {"x": np.zeros(2)}
        for decoded in usual(modality):
            assert chain.example(decoded, rng=rng(0)) is decoded
        assert chain.batch(batch, rng=rng(0)) is batch


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("fip", "there are: blur, colour, crop"),
        ("swap", "for text, and the data is image"),
        ("noise:20", "for audio, and the data is image"),
        ("rotate:999", "from 0 to 180, got 999"),
        ("rotate:nan", "from 0 to 180"),
        ("rotate:far", "must be a number, got 'far'"),
        ("rand:2.5", "whole number, got '2.5'"),
        ("rotate:1:1:1", "at most 2 values"),
        ("rotate:angle=3", "it has: degrees, chance"),
        ("rotate:3:degrees=3", "given twice"),
        ("flip,,erase", "a name is missing"),
        ("flip,", "a name is missing"),
        (":3", "a name is missing"),
        ('flip:"0.5', "a quote does not close"),
        ('flip:"0.5"x', "after a closing quote"),
        ("auto:3", "takes no values"),
        ("none:3", "takes no values"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(spec: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(spec, "image")
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_needed_is_named() -> None:
    with pytest.raises(UsageError, match="masked needs model"):
        parse("masked", "text")
    with pytest.raises(UsageError, match="Unknown modality 'smell'"):
        parse("auto", "smell")


def test_a_chain_is_of_one_modality_and_its_words_are_true() -> None:
    with pytest.raises(UsageError, match="for image"):
        Chain("audio", (Flip(),))
    with pytest.raises(ValueError, match="does not say"):
        Chain("image", (Flip(),), "erase")


def test_named_gives_the_class() -> None:
    assert named("flip", "image") is Flip
    with pytest.raises(UsageError, match="for image, and the data is text"):
        named("flip", "text")
    with pytest.raises(UsageError, match="Unknown augmentation 'flop'"):
        named("flop", "image")


def test_names_are_unlike_and_every_setting_has_a_range() -> None:
    assert len({kind.name for kind in BUILTIN}) == len(BUILTIN)
    for kind in BUILTIN:
        assert kind.__doc__ and kind.modality in AUTO


@dataclass(frozen=True)
class Fog(OnExamples):
    """Fog."""

    density: float = 0.5
    name: ClassVar[str] = "fog"
    modality: ClassVar[str] = "image"

    def example(self, decoded: Any, *, rng: np.random.Generator) -> Any:
        return decoded


def test_another_package_may_bring_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def load(self) -> type[Fog]:
            return Fog

    installed = {"headstart.augmentation": [Point()]}
    monkeypatch.setattr(plugins, "entry_points", lambda group: installed.get(group, []))
    assert parse("flip,fog:0.2", "image").augmentations == (Flip(), Fog(0.2))
    monkeypatch.setattr(Fog, "name", "flip")
    with pytest.raises(PluginClash):
        parse("flip", "image")


def test_one_generator_an_example_makes_threads_harmless() -> None:
    chain = parse("auto,erase", "image")
    images = usual("image")
    forward = [chain.example(image, rng=rng(k)).tobytes() for k, image in enumerate(images)]
    backward = [
        chain.example(image, rng=rng(k)).tobytes() for k, image in reversed([*enumerate(images)])
    ]
    assert forward == backward[::-1]
