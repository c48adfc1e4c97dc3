"""A conformance suite for modalities: inherit it, say what examples there are, run pytest.

class TestSonar(ModalityConformance):
    modality = SONAR
    def items(self, folder): return [write_ping(folder / f"{k}.ping", k) for k in range(6)]
    def garbage(self, folder): ...
    def hostile(self, folder): ...
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.data.dataset import Item
from headstart.data.modality.base import Decoded, InputSpec, Modality
from headstart.errors import Unreadable


class ModalityConformance:
    """What every modality must do; pytest hands each test a fresh folder."""

    modality: ClassVar[Modality]
    spec: ClassVar[InputSpec] = InputSpec()

    def items(self, folder: Path) -> Sequence[Item]:
        """Return at least 4 readable examples of different content, the same at each call."""
        raise NotImplementedError

    def garbage(self, folder: Path) -> Sequence[Item]:
        """Return examples that cannot be decoded: empty, truncated, of another kind, absent."""
        raise NotImplementedError

    def hostile(self, folder: Path) -> Sequence[Item]:
        """Return examples whose text or file name holds `HOSTILE`, readable or not."""
        raise NotImplementedError

    def test_it_has_a_name_and_lower_case_suffixes(self) -> None:
        assert self.modality.name.isidentifier(), self.modality.name
        assert isinstance(self.modality.suffixes, frozenset)
        for suffix in self.modality.suffixes:
            assert suffix.startswith(".") and suffix == suffix.lower(), suffix

    def test_same_content_gives_the_same_bytes(self, tmp_path: Path) -> None:
        first = [self.modality.read(item) for item in self.items(tmp_path)]
        again = [self.modality.read(item) for item in self.items(tmp_path)]
        assert all(type(content) is bytes and content for content in first)
        assert first == again, "read gave other bytes for the same content"
        assert len(set(first)) == len(first), "read gave the same bytes for different contents"

    def test_bytes_do_not_depend_on_the_file_name(self, tmp_path: Path) -> None:
        for item in self.items(tmp_path):
            if isinstance(item, Path):
                moved = item.with_name(f"moved-{item.name}")
                moved.write_bytes(item.read_bytes())
                assert self.modality.read(moved) == self.modality.read(item)

    def test_decoding_is_deterministic_and_leaves_the_item_alone(self, tmp_path: Path) -> None:
        for item in self.items(tmp_path):
            before = self.modality.read(item)
            first = self.modality.decode(item, self.spec)
            assert same(first, self.modality.decode(item, self.spec))
            assert self.modality.read(item) == before, "decode changed the example"

    def test_garbage_is_unreadable_with_a_short_reason(self, tmp_path: Path) -> None:
        garbage = self.garbage(tmp_path)
        assert len(garbage) > 0
        for item in garbage:
            try:
                got = self.modality.decode(item, self.spec)
            except Unreadable as error:
                reason = str(error)
            else:
                raise AssertionError(f"{item!r} was decoded to {got!r}; expected Unreadable")
            assert reason and "\n" not in reason and len(reason) <= 160, reason

    def test_read_raises_nothing_but_unreadable(self, tmp_path: Path) -> None:
        for item in self.garbage(tmp_path):
            try:
                assert isinstance(self.modality.read(item), bytes)
            except Unreadable as error:
                assert str(error)

    def test_simple_features_have_one_finite_row_an_example(self, tmp_path: Path) -> None:
        decoded = self._decoded(tmp_path)
        fitted = self.modality.fit_simple(decoded)
        whole = dense(fitted.transform(decoded))
        assert fitted.name and whole.dtype == np.float32
        assert whole.ndim == 2 and len(whole) == len(decoded)
        assert np.isfinite(whole).all()
        assert len(np.unique(whole, axis=0)) == len(decoded), "different examples look alike"
        apart = np.concatenate([dense(fitted.transform([one])) for one in decoded])
        np.testing.assert_allclose(apart, whole, atol=1e-6, err_msg="a row depends on other rows")

    def test_simple_features_survive_their_state(self, tmp_path: Path) -> None:
        decoded = self._decoded(tmp_path)
        fitted = self.modality.fit_simple(decoded[:-1])  # the last one was never seen
        settings, arrays = fitted.state()
        assert all(isinstance(a, np.ndarray) and a.dtype != object for a in arrays.values())
        settings = json.loads(json.dumps(settings, allow_nan=False))
        again = self.modality.simple_from_state(settings, arrays)
        assert again.name == fitted.name
        np.testing.assert_array_equal(
            dense(again.transform(decoded)), dense(fitted.transform(decoded))
        )

    def test_fitting_is_deterministic(self, tmp_path: Path) -> None:
        decoded = self._decoded(tmp_path)
        one, two = (self.modality.fit_simple(decoded).transform(decoded) for _ in range(2))
        np.testing.assert_array_equal(dense(one), dense(two))

    def test_show_is_self_contained_and_escaped(self, tmp_path: Path) -> None:
        garbage = [item for item in self.garbage(tmp_path) if not isinstance(item, Path)]
        for item in [*self.items(tmp_path), *self.hostile(tmp_path), *garbage]:
            fragment = self.modality.show(item)
            checker = Fragment()
            checker.feed(fragment)
            checker.close()
            assert checker.complaints == [], (checker.complaints, fragment[:300])
            assert not checker.open, f"never closed: {checker.open}"

    def _decoded(self, folder: Path) -> list[Decoded]:
        return [self.modality.decode(item, self.spec) for item in self.items(folder)]


# Put into texts and file names; it must reach the report as words, never as elements.
HOSTILE = "\"><script>alert(1)<img src=x onerror=alert(1)>'&amp;"

ALLOWED = frozenset(
    {"img", "audio", "source", "em", "strong", "small", "q", "p", "span", "div", "br", "pre"}
    | {"code", "figure", "figcaption", "svg", "g", "path", "polyline", "rect", "line", "title"}
)
VOID = frozenset({"img", "br", "source"})


class Fragment(HTMLParser):
    """Collects what must not stand in a report's fragment: scripts, handlers, outside links."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.complaints.append(f"element <{tag}>")
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.complaints.append(f"handler {name}")
            if name in ("src", "href", "data") and not (value or "").startswith("data:"):
                self.complaints.append(f"outside link {value!r}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.complaints.append(f"stray </{tag}>")


def dense(features: Any) -> np.ndarray:
    """Return features as an ndarray, whether they are one or a sparse matrix."""
    return features if isinstance(features, np.ndarray) else np.asarray(features.toarray())


def same(one: Decoded, other: Decoded) -> bool:
    """Tell whether two decoded examples are equal, element by element."""
    if type(one) is not type(other):
        return False
    return one == other if isinstance(one, str) else np.array_equal(one, other)
