"""ONNX files as frozen backbones: `onnx:PATH`, `onnx:PATH#output`, or a path that ends in .onnx.

PATH is a file, or a folder with model.onnx and, for texts, a tokenizer. How models of TensorFlow,
PaddlePaddle and others come in: docs/onnx.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.errors import ModelNotFound
from headstart.sources.backbone import Backbone, BackboneCard

PREFIX = "onnx:"
ENDING = ".onnx"
PLACES = ("model.onnx", "onnx/model.onnx")  # in a folder, in this order
TORCH_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*")


@dataclass(frozen=True, slots=True)
class Onnx:
    """ONNX files anywhere on disk; it lists none, since they may lie anywhere."""

    name: str = "onnx"

    def list(self) -> list[BackboneCard]:
        return []

    def claims(self, id: str) -> bool:
        """Ids with the prefix, .onnx files, and folders that hold model.onnx and no other weights.

        Of a folder with both, the torch weights are taken: those can be trained.
        """
        place, _ = split_id(id)
        if id.startswith(PREFIX) or str(place).endswith(ENDING):
            return True
        return _is_folder(place) and is_graph_folder(place)

    def load(self, id: str, *, allow_pickle: bool = False) -> Backbone:
        from headstart.sources.graphs.frozen import open_graph
        from headstart.sources.graphs.read import need_packages

        if not id.removeprefix(PREFIX):
            raise ModelNotFound("An empty path names no model; expected onnx:PATH.")
        need_packages()
        place, output = split_id(id)
        return open_graph(find_file(place), id=id, source=self.name, output=output)


def split_id(id: str, folder: Path = Path()) -> tuple[Path, str | None]:
    """Return the path, from `folder`, and the named output; `#` may stand in either of them."""
    text = id.removeprefix(PREFIX)
    parts = text.split("#")
    splits = [("#".join(parts[:at]), "#".join(parts[at:])) for at in range(len(parts), 0, -1)]
    there = next(((p, o) for p, o in splits if p and _exists(folder / _path(p))), None)
    ends = next(((p, o) for p, o in splits if p.endswith(ENDING)), None)
    path, output = there or ends or (parts[0], "#".join(parts[1:]))
    return folder / _path(path), output or None


def find_file(place: Path) -> Path:
    """Return the ONNX file that a path means. Raises ModelNotFound."""
    if not place.is_dir():
        return place
    for name in PLACES:
        if (place / name).is_file():
            return place / name
    found = sorted(path.name for path in place.glob(f"*{ENDING}"))
    if len(found) == 1:
        return place / found[0]
    what = f"there are {', '.join(found[:6])}: name one" if found else "there is no .onnx file"
    raise ModelNotFound(f"{place} has no model.onnx; {what}.")


def is_graph_folder(folder: Path) -> bool:
    """Whether a folder's model is an ONNX file, and it holds no weights for torch."""
    there = any((folder / name).is_file() for name in PLACES)
    return there and not any(any(folder.glob(pattern)) for pattern in TORCH_WEIGHTS)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody who is not here
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return str(path) not in ("", ".") and path.exists()
    except (OSError, ValueError):  # longer than a name may be, or with a null byte
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


ONNX = Onnx()
