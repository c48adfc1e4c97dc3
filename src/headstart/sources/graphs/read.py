"""Read an ONNX file: nothing outside its folder is opened, no library of operators is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.errors import MissingExtra, ModelError, ModelNotFound, UnsafeWeights
from headstart.sources.oneline import one_line

# Operators that come with ONNX Runtime itself; those of other domains would be code of a stranger.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
MOST_BYTES = 2**31 - 1  # what one protobuf message can hold
EXTERNAL = 1  # TensorProto.EXTERNAL


def need_packages() -> None:
    """Raise MissingExtra where onnx or onnxruntime is absent."""
    from importlib.util import find_spec

    for package in ("onnx", "onnxruntime"):
        try:
            there = find_spec(package) is not None
        except ValueError:  # stands in sys.modules as None
            there = False
        if not there:
            raise MissingExtra(package, "onnx")


def read_graph(path: Path) -> Any:
    """Return the ModelProto of `path`, with its external data inside.

    Raises MissingExtra, ModelNotFound, UnsafeWeights (data outside the folder) or ModelError (no
    ONNX file, more than 2 GiB, operators of a custom library).
    """
    need_packages()
    import onnx

    if not path.is_file():
        raise ModelNotFound(f"There is no ONNX file {path}. Check the path.")
    size = path.stat().st_size
    _refuse_large(path, size)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError, of one of its three implementations
        raise ModelError(
            f"{path} ({size} bytes) is no ONNX file: {one_line(error)} Fetch or export it again."
        ) from None
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise ModelError(
            f"{path} ({size} bytes) is no ONNX file: it holds no graph. Fetch or export it again."
        )
    if any(isinstance(text, bytes) for text in _texts(model)):  # protobuf's way to say: no UTF-8
        raise ModelError(f"{path} is damaged: a name in it is no text. Fetch or export it again.")
    _refuse_libraries(model, path)
    _take_in(model, path, size)
    return model


def _texts(message: Any) -> Iterator[Any]:
    """Yield every string of the message and of those inside it."""
    for field, value in message.ListFields():
        many = value if hasattr(value, "append") or hasattr(value, "add") else [value]
        if field.type == field.TYPE_STRING:
            yield from many
        elif field.type == field.TYPE_MESSAGE:
            for one in many:
                yield from _texts(one)


def _refuse_large(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise ModelError(
            f"{path} and its data hold {size / 2**30:.1f} GiB; ONNX models are read up to 2 GiB. "
            "Export it in float16, or use its Hugging Face folder."
        )


def _refuse_libraries(model: Any, path: Path) -> None:
    own = {function.domain for function in model.functions}
    for node in messages(model, "NodeProto"):
        if node.domain not in DOMAINS | own:
            raise ModelError(
                f"{path} uses the operator {node.domain}::{node.op_type}, which needs a library of "
                "custom operators; Headstart loads none. Export it with standard operators."
            )


def _take_in(model: Any, path: Path, size: int) -> None:
    """Read external tensors into the model, from plain files in its folder and nowhere else."""
    tensors = [t for t in messages(model, "TensorProto") if t.data_location == EXTERNAL]
    for tensor in tensors:
        about = {entry.key: entry.value for entry in tensor.external_data}
        file = _inside(path, about.get("location", ""))
        try:
            offset, length = int(about.get("offset", 0)), int(about.get("length", -1))
        except ValueError:
            raise ModelError(f"{path}: tensor {tensor.name!r} has a broken offset.") from None
        there = file.stat().st_size
        length = there - offset if length < 0 else length
        size += length
        _refuse_large(path, size)
        if offset < 0 or offset + length > there or length < _least_bytes(tensor):
            raise ModelError(
                f"{file} ({there} bytes) is too short for {path.name}: tensor {tensor.name!r} "
                f"ends at {offset + length}. Fetch it again."
            )
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        del tensor.external_data[:]
        tensor.data_location = 0


def _least_bytes(tensor: Any) -> int:
    """Return bytes of the tensor at half a byte (int4) an element: the least there can be."""
    return int(math.prod(tensor.dims)) // 2


def _inside(path: Path, location: str) -> Path:
    """Return the data file that a tensor of the model at `path` names. Raises where it is outside.

    Links are followed first: a link in the folder that leads out of it is outside.
    """
    folder = path.parent.resolve()
    named = Path(location)
    outside = not location or named.is_absolute() or ".." in named.parts or "\0" in location
    file = folder / ("" if outside else location)
    if outside or not file.resolve().is_relative_to(folder):
        # The cache of the Hugging Face hub keeps a model's files as links into its own blobs.
        if not outside and _of_hub(file, folder):
            return file
        raise UnsafeWeights(
            f"{path} wants its data from {location!r}, outside its own folder {folder}; Headstart "
            "does not read there. Put the data beside the model and export it again."
        )
    if not file.is_file():
        raise ModelError(f"{folder} lacks the data file {location} of {path.name}. Fetch it again.")
    return file


def _of_hub(file: Path, folder: Path) -> bool:
    """Whether `file` is a link from a snapshot of the hub's cache to blobs of the same model."""
    for above in folder.parents:
        if above.name == "snapshots":
            return file.is_file() and file.resolve().is_relative_to(above.parent / "blobs")
    return False


def messages(message: Any, kind: str) -> Iterator[Any]:
    """Yield every message of that kind at any depth: in functions, branches and loops too."""
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        many = value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]
        for one in many:
            if one.DESCRIPTOR.name == kind:
                yield one
            yield from messages(one, kind)
