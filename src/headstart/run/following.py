"""What to do next, as a command that can be copied."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def transfer_command(data: Any, models: list[str], options: Mapping[str, Any]) -> str:
    """Return the `headstart transfer` that goes on with the same data; "" for Python objects.

    `options`: by name, as the caller was given them; those that are None or False are left out.

    >>> transfer_command("my photos", ["a/b"], {"task": None, "budget": "5m", "seed": 0})
    "headstart transfer 'my photos' --model a/b --budget 5m"
    """
    if not isinstance(data, str | Path):
        return ""
    words = ["headstart", "transfer", str(data)]
    for model in models:
        words += ["--model", model]
    for name, value in options.items():
        if value is None or value is False or USUAL.get(name) == value:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, list) else str(value))
    return shlex.join(words)


# What transfer takes where an option is left out.
USUAL = {"budget": "10m", "encoding": "utf-8", "seed": 0}
