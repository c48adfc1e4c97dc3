"""What follows or precedes a convolution becomes part of it, on a tape.

Padding with zeros, batch normalisation in eval mode, the activation and the residual sum each cost
a pass over memory of their own; oneDNN does all of them while it writes the convolution's result.
MobileNetV2 in transformers, 16 images, 2 cores: 64 ms of 151 are convolutions, 54 padding, 28
activations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.features.tape import Ref, Step, Tape

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False)
class Convolution:
    """A two-dimensional convolution and what was joined to it."""

    source: int
    out: int
    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]  # left, right, top, bottom
    dilation: tuple[int, int]
    groups: int
    other: int | None = None  # is added before the activation
    activation: tuple[str, list[Any], str] = ("none", [], "")


def activation(step: Step) -> tuple[str, list[Any], str] | None:
    """Return oneDNN's name of an activation, its numbers and its algorithm; None for others."""
    name, rest = step.name.removeprefix("aten::"), list(step.args[1:])
    if step.kwargs.keys() - {"approximate"} or any(isinstance(value, Ref) for value in rest):
        return None
    plain = {"relu": "relu", "silu": "swish", "hardswish": "hardswish", "sigmoid": "sigmoid",
             "hardsigmoid": "hardsigmoid", "tanh": "tanh"}  # fmt: skip
    if name in plain and not rest:
        return plain[name], [], ""
    if name == "relu6":
        return "hardtanh", [0.0, 6.0], ""
    if name == "hardtanh":
        low, high = [*rest, -1.0, 1.0][:2] if len(rest) != 1 else (rest[0], 1.0)
        return "hardtanh", [float(low), float(high)], ""
    if name == "leaky_relu":
        return "leaky_relu", [float(rest[0]) if rest else 0.01], ""
    if name == "gelu":
        return "gelu", [], step.kwargs.get("approximate", "none")
    return None


def pair(value: Any) -> tuple[int, int]:
    """Return an operation's number or list of one or two numbers as two.

    >>> pair(2), pair([1, 3])
    ((2, 2), (1, 3))
    """
    if isinstance(value, int):
        return value, value
    numbers = tuple(int(part) for part in value)
    return (numbers[0], numbers[-1])


def convolution(step: Step, tape: Tape) -> Convolution | None:
    """Read a step as a convolution whose weights are known; None for every other step."""
    if step.name != "aten::conv2d" or step.kwargs:
        return None
    given: list[Any] = [*step.args, *(None, 1, 0, 1, 1)[len(step.args) - 2 :]]
    source, weight, bias, stride, padding, dilation, groups = given
    if isinstance(padding, str) or weight.number not in tape.known:
        return None
    if bias is not None and bias.number not in tape.known:
        return None
    top, left = pair(padding)
    return Convolution(
        source=source.number, out=step.out[0], weight=tape.known[weight.number],
        bias=None if bias is None else tape.known[bias.number], stride=pair(stride),
        padding=(left, left, top, top), dilation=pair(dilation), groups=int(groups),
    )  # fmt: skip


def fuse(tape: Tape) -> list[Step | Convolution]:
    """Return the steps with convolutions that took up what stands around them."""
    uses = tape.uses()
    made: dict[int, Step | Convolution] = {}  # a value's number -> what makes it
    order: list[Step | Convolution] = []

    def free(number: int) -> Convolution | None:
        """The convolution that makes a value which nobody else reads, if nothing follows it yet."""
        found = made.get(number)
        if not isinstance(found, Convolution) or uses.get(number) != 1:
            return None
        return found if found.activation[0] == "none" else None

    for step in tape.steps:
        found = convolution(step, tape)
        if found is not None:
            _take_padding(found, made, uses, order)
        elif (joined := _joined(step, tape, free, order)) is not None:
            joined.out = step.out[0]
            made[joined.out] = joined
            continue
        for number in step.out:
            made[number] = found or step
        order.append(found or step)
    return order


def _take_padding(
    conv: Convolution, made: dict[int, Any], uses: dict[int, int], order: list[Any]
) -> None:
    step = made.get(conv.source)
    if not isinstance(step, Step) or not _zeros_around(step):
        return
    left, right, top, bottom = [*step.args[1], 0, 0][:4]
    if (left, top) != (right, bottom) and conv.dilation != (1, 1):
        return  # zeros in the kernel (fused.py) cannot stand for it
    has = conv.padding
    conv.padding = (has[0] + left, has[1] + right, has[2] + top, has[3] + bottom)
    conv.source = step.args[0].number
    if uses[step.out[0]] == 1:
        order.remove(step)
    else:
        uses[step.out[0]] -= 1
        uses[conv.source] += 1


def _zeros_around(step: Step) -> bool:
    """Whether a step pads pictures with zeros on their four sides, and cuts nothing off."""
    if step.name not in {"aten::pad", "aten::constant_pad_nd"} or step.kwargs:
        return False
    sides, rest = step.args[1], step.args[2:]
    filled_with_zeros = all(value in ("constant", None, 0) for value in rest)
    return filled_with_zeros and len(sides) in (2, 4) and min(sides) >= 0


def _joined(
    step: Step, tape: Tape, free: Callable[[int], Convolution | None], order: list[Any]
) -> Convolution | None:
    """Return the convolution that does this step from now on; None where there is none."""
    if step.name == "aten::batch_norm" and isinstance(step.args[0], Ref):
        found = free(step.args[0].number)
        if found is None or found.other is not None:
            return None
        return found if _take_norm(found, step, tape) else None
    kind = activation(step)
    if kind is not None:
        found = free(step.args[0].number)
        if found is None or (found.other is not None and kind[0] != "relu"):
            return None  # after a sum, torch offers no other activation
        found.activation = kind
        return found
    if step.name == "aten::add" and not step.kwargs and len(step.args) == 2:
        return _take_sum(step, tape, free, order)
    return None


def _take_norm(conv: Convolution, step: Step, tape: Tape) -> bool:
    """Fold a batch norm in eval mode into weight and bias; False where it learns or is unknown."""
    weight, bias, mean, variance, training, _, epsilon = step.args[1:8]
    named = [weight, bias, mean, variance]
    if training or not all(value is None or value.number in tape.known for value in named):
        return False
    if mean is None or variance is None:
        return False
    values = [None if value is None else tape.known[value.number].double() for value in named]
    scale = (values[3] + epsilon).rsqrt()  # type: ignore[operator]
    scale = scale if values[0] is None else scale * values[0]
    before = -values[2] if conv.bias is None else conv.bias.double() - values[2]  # type: ignore
    shift = before * scale + (0 if values[1] is None else values[1])
    dtype = conv.weight.dtype
    conv.weight = (conv.weight.double() * scale[:, None, None, None]).to(dtype)
    conv.bias = shift.to(dtype)
    return True


def _take_sum(
    step: Step, tape: Tape, free: Callable[[int], Convolution | None], order: list[Any]
) -> Convolution | None:
    one, other = step.args
    if not (isinstance(one, Ref) and isinstance(other, Ref)) or one == other:
        return None
    if tape.shapes[one.number] != tape.shapes[other.number]:
        return None
    for mine, added in ((other, one), (one, other)):
        found = free(mine.number)
        if found is not None and found.other is None and added.number not in tape.known:
            found.other = added.number
            order.remove(found)  # what is added may be made later than the convolution was
            order.append(found)
            return found
    return None
