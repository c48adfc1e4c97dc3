"""One forward pass written down as a list of torch operations, to be run again for other inputs.

What Python decided for the recorded batch stays decided: its shapes, its branches. So a tape holds
for batches of exactly that shape, and nothing may be recorded that reads numbers out of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

RANDOM = ("rand", "bernoulli", "multinomial", "normal_", "uniform_")
READS = ("_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero", "unique")


class NotRecorded(Exception):
    """The forward pass does something that a tape cannot say again."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A value by its number, where an operation takes it."""

    number: int


@dataclass(slots=True, eq=False)
class Step:
    """One operation. `args` and `kwargs` hold Refs for values; `out` are the numbers it makes."""

    op: Callable[..., Any]
    name: str  # for instance "aten::conv2d"
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: tuple[int, ...]
    single: bool = True  # the result is one tensor, not a tuple of them

    def reads(self) -> list[int]:
        """Return the numbers of the values it takes, once for every time."""
        found: list[int] = []
        _each_ref((self.args, tuple(self.kwargs.values())), found)
        return found


@dataclass(slots=True, eq=False)
class Tape:
    """Steps in order; `known` holds weights and whatever else depends on no input."""

    steps: list[Step]
    inputs: dict[str, int]  # name in the batch -> number
    output: int
    known: dict[int, torch.Tensor]
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def uses(self) -> dict[int, int]:
        """Return how often each value is read; the output once more."""
        count: dict[int, int] = {self.output: 1}
        for step in self.steps:
            for number in step.reads():
                count[number] = count.get(number, 0) + 1
        return count


def _each_ref(value: Any, found: list[int]) -> None:
    if isinstance(value, Ref):
        found.append(value.number)
    elif isinstance(value, (tuple, list)):
        for part in value:
            _each_ref(part, found)


def record(run: Callable[[dict[str, Any]], Any], batch: dict[str, Any]) -> Tape:
    """Run once and write down what torch did. Raises NotRecorded for what cannot be said again."""
    import torch

    book = _Book(batch)
    with torch.inference_mode(), book.mode():
        result = run(batch)
    output = book.number.get(id(result))
    if output is None or output in book.known:
        raise NotRecorded("the result was not made out of the inputs by torch")
    return Tape(book.steps, book.inputs, output, book.known, book.shapes)


class _Book:
    """What has been seen so far: tensors by identity, and the steps that made them."""

    def __init__(self, batch: dict[str, Any]) -> None:
        self.number: dict[int, int] = {}
        self.kept: list[Any] = []  # a freed tensor's identity would be given to another one
        self.known: dict[int, torch.Tensor] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.steps: list[Step] = []
        self.owners: dict[int, int] = {}  # address of a storage -> how many tensors look at it
        self.inputs = {name: self._new(value) for name, value in batch.items()}

    def mode(self) -> Any:
        from torch.utils._python_dispatch import TorchDispatchMode

        book = self

        class Writing(TorchDispatchMode):
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                kwargs = kwargs or {}
                result = func(*args, **kwargs)
                book.write(func, tuple(args), kwargs, result)
                return result

        return Writing()

    def _new(self, tensor: Any) -> int:
        number = len(self.kept)
        self.kept.append(tensor)
        self.number[id(tensor)] = number
        self.shapes[number] = tuple(tensor.shape)
        place = tensor.untyped_storage().data_ptr()
        self.owners[place] = self.owners.get(place, 0) + 1
        return number

    def _taken(self, value: Any) -> Any:
        """Return an argument with Refs for tensors; those from outside become known values."""
        import torch

        if isinstance(value, torch.Tensor):
            if id(value) not in self.number:
                self.known[self._new(value)] = value
            return Ref(self.number[id(value)])
        if isinstance(value, (tuple, list)):
            return type(value)(self._taken(part) for part in value)
        return value

    def write(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        import torch

        schema = func._schema
        base = schema.name.removeprefix("aten::")
        given = self._taken(args)
        named = {key: self._taken(value) for key, value in kwargs.items()}
        step = Step(func, schema.name, given, named, ())
        if not any(number not in self.known for number in step.reads()):
            if schema.is_mutable or any(word in base for word in RANDOM):
                raise NotRecorded(f"{base} on what is no input")
            for tensor in _tensors(result):
                if id(tensor) not in self.number:
                    self.known[self._new(tensor)] = tensor
            return
        drops = "dropout" in base and any(value is True for value in args[1:])
        if drops or base in READS or any(word in base for word in RANDOM):
            raise NotRecorded(f"{base} reads numbers out of a tensor, or draws them")
        if schema.is_mutable:
            step.op, step.name = self._without_writing(func, args)
        elif isinstance(result, torch.Tensor) and id(result) in self.number:
            return  # it gave back what it took
        tensors = _tensors(result)
        if not tensors or any(not isinstance(t, torch.Tensor) for t in tensors):
            raise NotRecorded(f"{base} gives something else than tensors")
        step.single = isinstance(result, torch.Tensor)
        step.out = tuple(self._new(tensor) for tensor in tensors)
        self.steps.append(step)

    def _without_writing(self, func: Any, args: tuple[Any, ...]) -> tuple[Any, str]:
        """Return relu for relu_, and so on, where nobody else looks at the memory written to."""
        import torch

        name = func._schema.name
        base = name.removeprefix("aten::")
        writes = [
            a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments
        ]
        plain = getattr(torch.ops.aten, base[:-1], None) if base.endswith("_") else None
        same = getattr(plain, func._overloadname, None)
        place = args[0].untyped_storage().data_ptr() if args else 0
        if same is None or writes.index(True) or sum(writes) > 1 or self.owners[place] > 1:
            raise NotRecorded(f"{base} writes into a tensor")
        self.owners[place] -= 1  # from here on the same memory is the new value
        return same, name[:-1]


def _tensors(result: Any) -> Sequence[Any]:
    return result if isinstance(result, (tuple, list)) else (result,)


def player(tape: Tape) -> Callable[[dict[str, Any]], Any]:
    """Return the function that runs the tape; each value is freed after its last use."""
    last: dict[int, int] = {}
    for at, step in enumerate(tape.steps):
        for number in (*step.reads(), *step.out):
            last[number] = at
    keep = {*tape.known, tape.output}
    program = [
        (step, [n for n in {*step.reads(), *step.out} if last[n] == at and n not in keep])
        for at, step in enumerate(tape.steps)
    ]

    def play(batch: dict[str, Any]) -> Any:
        values: dict[int, Any] = dict(tape.known)
        for name, number in tape.inputs.items():
            values[number] = batch[name]
        for step, dead in program:
            kwargs = {key: _filled(value, values) for key, value in step.kwargs.items()}
            result = step.op(*[_filled(value, values) for value in step.args], **kwargs)
            if step.single:
                values[step.out[0]] = result
            else:
                values.update(zip(step.out, result, strict=True))
            del result
            for number in dead:
                del values[number]
        return values[tape.output]

    return play


def _filled(value: Any, values: dict[int, Any]) -> Any:
    if isinstance(value, Ref):
        return values[value.number]
    if type(value) in (tuple, list):
        return [_filled(part, values) for part in value]
    return value
