"""Count the figures of the catalogue again: `python recipes/catalogue.py [--write] [FILE …]`.

Builds each entry's architecture with random weights on torch's meta device and compares
parameters, operations, whole_parameters and width with what the file says. `--check`, the default,
prints what differs and ends with exit code 1 if anything does; `--write` puts the counted
figures into the file. Without FILE it takes the files of the package. About half a minute.
"""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.sources.catalogue import entries
from headstart.sources.catalogue.measure import measure
from headstart.sources.catalogue.read import HOME

Found = dict[str, int | None]


def differences(files: list[Path]) -> dict[str, Found]:
    """Return, for each entry with other figures than it says, those that were counted."""
    wrong = {}
    for entry in entries(files):
        if entry.build is None:
            continue
        counted = asdict(measure(entry))
        if any(getattr(entry, name) != value for name, value in counted.items()):
            wrong[entry.id] = counted
    return wrong


def corrected(text: str, wrong: dict[str, Found]) -> str:
    """Return the text of a catalogue file with these figures; an absent line is put in."""
    parts = re.split(r"(?m)^(?=\[\[model\]\])", text)
    for i, part in enumerate(parts):
        named = re.search(r'(?m)^id = "(.+)"$', part)
        for name, value in wrong.get(named[1] if named else "", {}).items():
            line = "" if value is None else f"{name} = {value:_}\n"
            part = re.sub(rf"(?m)^{name} = .*\n", "", part)
            part = re.sub(r"(?m)^(?=pretrained_on = )", line, part, count=1)
        parts[i] = part
    return "".join(parts)


def main(arguments: list[str]) -> int:
    """Check or write; return the exit code."""
    write = "--write" in arguments
    files = [Path(name) for name in arguments if not name.startswith("--")]
    wrong = differences(files)
    for id, counted in wrong.items():
        print(f"{id}: counted {', '.join(f'{name} {value}' for name, value in counted.items())}")
    if not wrong:
        print("Every figure is as counted.")
    if write and wrong:
        for path in files or sorted(HOME.glob("*.toml")):
            path.write_text(corrected(path.read_text("utf-8"), wrong), encoding="utf-8")
        return 0
    return int(bool(wrong))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HeadstartError as error:
        sys.exit(f"recipes/catalogue.py: {error}")
