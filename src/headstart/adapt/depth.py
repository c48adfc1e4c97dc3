"""How much of a backbone moves, and in which order: depth, unfreezing, and rates by stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from headstart.adapt.loop import NORMS
from headstart.adapt.rates import SHAPES
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone

Unfreeze = Literal["last-first", "together", "gradual", "head-first"]
UNFREEZE: tuple[str, ...] = get_args(Unfreeze)
GROUPS = 4  # steps of gradual unfreezing, at most


def moving_stages(backbone: Backbone, depth: str | float) -> list[str]:
    """Return the names of the stages that may move, in forward order.

    `depth`: "all"; "head" (none); a stage's name: it and all behind it; a whole number: so many
    of the last blocks; a share in (0, 1): of the blocks. Raises UsageError that says what there is.
    """
    names = [stage.name for stage in backbone.stages]
    blocks = [name for name in names if name.startswith("block.")]
    if depth == "all":
        return names
    if depth == "head":
        return []
    if isinstance(depth, str) and not _number(depth):
        if depth not in names:
            raise UsageError(f"There is no stage {depth!r}; there are {', '.join(names)}.")
        return names[names.index(depth) :]
    value = float(depth)
    count = round(value * len(blocks)) if 0 < value < 1 else int(value)
    if value < 0 or (value >= 1 and value != int(value)):
        raise UsageError(
            f"depth must be a stage, a number of blocks, or a share in (0, 1), got {depth!r}."
        )
    if count > len(blocks):
        raise UsageError(
            f"{count} blocks shall move, but {backbone.card.id} has {len(blocks)}: "
            f"{', '.join(blocks) or 'none that can be told apart'}."
        )
    if not count:
        return names[names.index("norm") :] if "norm" in names else []
    return names[names.index(blocks[-count]) :]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def rates_by_stage(backbone: Backbone, rate: float, decay: float) -> dict[str, float]:
    """Return the rate of each stage: `rate` for the last, each earlier one `decay` of the next.

    Discriminative learning rates: Howard and Ruder, ACL 2018.
    """
    names = [stage.name for stage in backbone.stages]
    return {name: rate * decay**back for back, name in enumerate(reversed(names))}


def stretches(
    unfreeze: str, names: Sequence[str], last: float, first: float
) -> list[tuple[str, float, list[str]]]:
    """Return (title, share of the steps, stages that move) of each phase; the head always moves.

    "together": one phase. "last-first": the `last` share of the blocks for the `first` share of
    the steps, then all. "head-first": the head alone, then all. "gradual": a group of blocks more
    at a time, from the last one on (Howard and Ruder, ACL 2018).
    """
    if unfreeze not in UNFREEZE:
        raise UsageError(f"unfreeze must be one of {', '.join(UNFREEZE)}, got {unfreeze!r}.")
    everything = list(names)
    if unfreeze == "together" or not everything:
        return [("all stages" if everything else "head", 1.0, everything)]
    if unfreeze == "head-first":
        return [("head", first, []), ("all stages", 1 - first, everything)]
    blocks = [name for name in everything if name.startswith("block.")]
    if unfreeze == "last-first":
        late = set(blocks[len(blocks) - max(1, round(last * len(blocks))) :]) | {"norm"}
        part = [name for name in everything if name in late]
        return [("last stages", first, part), ("all stages", 1 - first, everything)]
    groups = min(GROUPS, max(1, len(blocks)))
    found = []
    for group in range(1, groups + 1):
        count = round(len(blocks) * group / groups)
        start = everything.index(blocks[-count]) if count and group < groups else 0
        found.append((f"last {count} blocks", 1 / groups, everything[start:]))
    found[-1] = ("all stages", *found[-1][1:])
    return found


def checked_schedule(schedule: Sequence[Any], known: Sequence[str]) -> list[dict[str, Any]]:
    """Return the phases of a recipe's schedule. Raises UsageError that names the entry."""
    found = []
    for number, entry in enumerate(schedule, 1):
        where = f"The schedule's phase {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("rates"), dict):
            raise UsageError(f"{where} needs a table 'rates' of parts and learning rates.")
        unknown = set(entry) - {"name", "share", "rates", "shape", "warm_up", "norm"}
        if unknown:
            raise UsageError(f"{where} has no {', '.join(sorted(unknown))}.")
        absent = sorted(set(entry["rates"]) - set(known))
        if absent:
            raise UsageError(f"{where} moves {absent[0]!r}; there are {', '.join(known)}.")
        if not 0 < float(entry.get("share", 0)) <= 1:
            raise UsageError(f"{where} needs a 'share' of the steps in (0, 1].")
        check_entry(entry, where)
        found.append({"name": f"phase {number}"} | entry)
    names = [entry["name"] for entry in found]
    if len(set(names)) < len(names):
        raise UsageError("The schedule's phases need different names.")
    return found


def check_entry(entry: dict[str, Any], where: str) -> None:
    """Raise UsageError for values of a schedule's phase that cannot be."""
    for part, rate in entry["rates"].items():
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate >= 0:
            raise UsageError(f"{where}: the rate of {part!r} must be a number >= 0, got {rate!r}.")
    for name, known in (("shape", SHAPES), ("norm", NORMS)):
        if name in entry and entry[name] not in known:
            raise UsageError(f"{where}: {name} must be one of {', '.join(known)}.")
    warm_up = entry.get("warm_up", 0.0)
    if isinstance(warm_up, bool) or not isinstance(warm_up, int | float) or not 0 <= warm_up <= 1:
        raise UsageError(f"{where}: warm_up must be in [0, 1], got {warm_up!r}.")
