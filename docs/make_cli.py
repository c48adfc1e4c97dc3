"""Write docs/cli.md from the help pages: `python docs/make_cli.py` (a test keeps it current)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
COMMANDS = (
    "transfer", "predict", "evaluate", "compare", "export", "advise", "rank", "models", "augment",
    "report", "demo",
)  # fmt: skip


def help_of(*command: str) -> str:
    """Return one help page, 80 columns wide, without colours."""
    plain = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "TERM": "dumb"}
    program = "import sys; sys.argv[0] = 'headstart'; from headstart.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--help"],
        capture_output=True, text=True, check=True, env=os.environ | plain,
    )  # fmt: skip
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def page() -> str:
    """Return the whole page."""
    parts = [
        "# The command line",
        "Made from the help pages by `python docs/make_cli.py`; change the words in "
        "`src/headstart/cli/`.\n\nExit codes: 0 done, 2 something to mend (one line on standard "
        "error says what), 130 stopped by Ctrl-C.",
        f"## headstart\n\n```text\n{help_of()}\n```",
    ]
    parts += [f"## headstart {name}\n\n```text\n{help_of(name)}\n```" for name in COMMANDS]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
