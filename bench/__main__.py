"""Run the benchmarks: `python -m bench [NAME ...] [--json FILE]`."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from pathlib import Path
from types import ModuleType

import bench
from bench.table import Row, show, write_json


def modules() -> dict[str, ModuleType]:
    """Return the benchmarks of this folder by NAME: modules that have NAME and run()."""
    found = {}
    for info in pkgutil.iter_modules(bench.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"bench.{info.name}")
        if hasattr(module, "NAME") and hasattr(module, "run"):
            found[module.NAME] = module
    return found


def main() -> int:
    known = modules()
    parser = argparse.ArgumentParser(prog="python -m bench", description=bench.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    rows: list[Row] = []
    for name in options.names or known:
        start = time.perf_counter()
        found = known[name].run()
        print(f"== {name} ({time.perf_counter() - start:.0f} s)\n{show(found)}\n", flush=True)
        rows += found
        if options.json:
            write_json(rows, options.json)
    return 0 if all(row.met is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
