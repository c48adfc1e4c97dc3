"""How a run looks in a terminal: sentences, and bars only for what takes more than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PATIENCE = 2.0  # seconds before a bar appears


def quiet_libraries() -> None:
    """Keep other people's bars and advice out of our output."""
    import os

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@dataclass
class Screen:
    """Where a run is watched. `silent`: print nothing but errors."""

    silent: bool = False
    console: Console = field(init=False)

    def __post_init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def say(self, sentence: str) -> None:
        """Print one sentence, dimmed."""
        if not self.silent:
            self.console.print(sentence, style="dim", markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar with the time left, where somebody watches and it takes long enough."""
        if self.silent or not sys.stderr.isatty() or total <= 0:
            yield lambda count: None
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
        )
        task = bar.add_task(what, total=total)
        begun, shown = time.monotonic(), False

        def advance(count: int) -> None:
            nonlocal shown
            if not shown and time.monotonic() - begun > PATIENCE:
                shown = True
                bar.start()
            bar.update(task, advance=count)

        try:
            yield advance
        finally:
            if shown:
                bar.stop()
