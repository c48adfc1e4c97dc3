"""A recipe says everything that a run needs. TOML in and out; every run writes back its own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from headstart.errors import UsageError

SCHEMA = 1
PYTHON_OBJECTS = "python objects"


class DataRecipe(BaseModel):
    """Where the data is and how it is read. `source` is a path, or "python objects"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    test: str | None = None
    input: str | None = None
    target: str | None = None
    group: str | None = None
    task: str | None = None
    modality: str | None = None
    encoding: str = "utf-8"
    root: str | None = None


class Recipe(BaseModel):
    """One run. `methods`: settings by name of method or baseline, as the run resolved them."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    models: list[str] = Field(default_factory=list)
    method: str = "auto"
    budget: float = Field(default=600.0, gt=0, description="Seconds for the whole run.")
    seed: int = Field(default=0, ge=0)
    allow_pickle: bool = False
    auto_remedy: bool = False
    prefer: Literal["simpler", "best"] = "simpler"
    cv: int = Field(default=0, ge=0, description="Folds of a cross-validation; 0 for none.")
    cv_repeats: int = Field(default=3, ge=1, description="How often all folds are made anew.")
    seeds: int = Field(default=1, ge=1, description="Seeds that trained results are made with.")
    label_curve: bool = False
    track: list[str] = Field(default_factory=list)
    data: DataRecipe
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("cv")
    @classmethod
    def _folds(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one fold leaves nothing to train on; give 2 or more, or 0 for none")
        return value

    def anchored(self) -> Recipe:
        """Return the recipe with absolute paths, so that it runs from any folder."""
        places = {name: anchored(getattr(self.data, name)) for name in ("source", "test", "root")}
        data = self.data.model_copy(update=places)
        models = [anchored(model) for model in self.models]
        return self.model_copy(update={"data": data, "models": models})

    def to_toml(self) -> str:
        """Return the recipe as TOML; what is None is left out."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(by_alias=True, exclude_none=True))


def settings_of(settings: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Sort {"finetune.epochs": 3} by method. Raises UsageError for a name without a method."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in (settings or {}).items():
        method, dot, field = name.partition(".")
        if not (method and dot and field):
            raise UsageError(
                f"The setting {name!r} names no method; write for example finetune.epochs=3."
            )
        found.setdefault(method, {})[field] = value
    return found


def setting(text: str) -> tuple[str, Any]:
    """Return (name, value) of "finetune.epochs=3"; the value is TOML, or else plain text.

    >>> setting('finetune.techniques=["ema", "soup"]')
    ('finetune.techniques', ['ema', 'soup'])
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text!r} has no value; write for example finetune.epochs=3.")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value


def anchored(text: str | None) -> str | None:
    """Return a path that exists as an absolute one; anything else as it is."""
    if text is None or text == PYTHON_OBJECTS:
        return text
    if text.startswith("onnx:") or ".onnx#" in text:
        from headstart.sources.onnx import split_id

        place, output = split_id(text)
        tail = f"#{output}" if output else ""
        prefix = "onnx:" if text.startswith("onnx:") else ""
        return f"{prefix}{place.resolve()}{tail}" if place.exists() else text
    prefix = next((p for p in ("local:", "random:") if text.startswith(p)), "")
    path = Path(text.removeprefix(prefix)).expanduser()
    return f"{prefix}{path.resolve()}" if path.exists() else text


def read_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises UsageError that names the file and the field."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The recipe {path} cannot be read: {error}.") from None
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"The recipe {path}: {where}: {first['msg']}.") from None
