"""One entry of the catalogue, validated: what a TOML table of it may and must say."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from headstart.sources.backbone import Published

# What a checkpoint was trained for. Two names are those of Headstart's own tasks.
Task = Literal[
    "classification",
    "multi-label",
    "features",  # self-supervised: no labels, no head
    "image-text",
    "detection",
    "segmentation",
    "masked-words",
    "next-word",
    "sentence-similarity",
    "text-to-text",
    "translation",
    "speech-recognition",
    "speech-synthesis",
]
TASKS: tuple[str, ...] = get_args(Task)
# Downloads a month from the hub, by order of magnitude; for other places the nearest guess.
Use = Literal["10M+", "1M+", "100k+", "10k+", "1k+", "under 1k"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Count = Annotated[int, Field(gt=0, strict=True)]
Yes = Annotated[bool, Field(strict=True)]  # "no" in quotes is no answer
# Whatever of these is missing needs a reason in `unknown`.
EXPECTED = ("parameters", "operations", "published", "licence", "use", "width")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Example(_Strict):
    """The size of one example, as `operations` counts it: one of the three kinds."""

    pixels: tuple[Count, Count] | None = None  # height, width
    tokens: Count | None = None
    rate: Count | None = None  # Hz
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.rate is None) != (self.seconds is None):
            raise ValueError("rate (Hz) and seconds go together")
        if sum(kind is not None for kind in (self.pixels, self.tokens, self.rate)) != 1:
            raise ValueError("expected pixels = [height, width], or tokens, or rate and seconds")
        return self

    def __str__(self) -> str:
        if self.pixels:
            return f"{self.pixels[0]} x {self.pixels[1]} pixels"
        if self.tokens:
            return f"{self.tokens} tokens"
        return f"{self.seconds:g} s at {(self.rate or 0) / 1000:g} kHz"


class Build(_Strict):
    """How to build the architecture with random weights, to count its figures.

    `type`: a model_type of transformers, or of Headstart's own architectures. `settings`: the
    fields of its config that differ from the defaults. `whole`: the class of the checkpoint,
    head or decoder included.
    """

    type: Text
    settings: dict[str, Any] = {}
    whole: Text


class Entry(_Strict):
    """One pretrained model.

    Where the model `runs` in Headstart, `parameters`, `operations` and `width` are those of the
    part that Headstart uses, its encoder without a head; else of the whole model.
    `operations`: multiply-adds of matrix products and convolutions, for one example.
    `whole_parameters`: all that the checkpoint holds. `figures`: where they come from, if there
    is nothing to `build` them from. `unknown`: for each missing figure the reason.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z]+:\S+$")]
    also: tuple[Text, ...] = ()  # older ids of the same weights
    modality: Text
    family: Text
    task: Task
    runs: Yes = True
    why: str = ""  # why it does not run, and what would help
    example: Example
    parameters: Count | None = None
    operations: Count | None = None
    whole_parameters: Count | None = None
    width: Count | None = None
    figures: str = ""
    pretrained_on: Text
    labels: str = ""  # the name of a label set; "" where the checkpoint has no labelled head
    label_names: tuple[Text, ...] = ()  # or the labels themselves; filled in from the set
    published: tuple[Published, ...] = ()
    licence: str = ""
    use: Use | None = None
    use_date: str = ""
    note: str = ""
    unknown: dict[str, Text] = {}
    build: Build | None = None

    @property
    def source(self) -> str:
        """The part of the id before the colon."""
        return self.id.partition(":")[0]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in EXPECTED if not getattr(self, name)]
        for name in missing:
            if name not in self.unknown:
                raise ValueError(f"{name} is missing; give it, or a reason as unknown.{name}")
        for name in self.unknown:
            if name not in EXPECTED:
                raise ValueError(f"unknown.{name} is no figure; expected {', '.join(EXPECTED)}")
            if name not in missing:
                raise ValueError(f"{name} is given, so unknown.{name} cannot be")
        if self.runs == bool(self.why):
            raise ValueError("why goes with runs = false, and only with it")
        counted = self.parameters or self.operations
        if counted and self.build is None and not self.figures:
            raise ValueError('figures without build need their origin: figures = "..."')
        if (self.whole_parameters or self.parameters or 0) < (self.parameters or 0):
            raise ValueError("whole_parameters cannot be fewer than parameters, its part")
        if not all(isfinite(figure.value) for figure in self.published):
            raise ValueError("published: a value that is no finite number says nothing")
        if self.labels and self.label_names:
            raise ValueError("labels names a set, label_names lists them; give one of the two")
        if self.use and not self.use_date:
            raise ValueError('use needs use_date, for instance "2025"')
        return self
