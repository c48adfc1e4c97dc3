"""Headstart: transfer learning that proves it helped.

    import headstart

    run = headstart.transfer("photos/", model="path/to/model")
    print(run.record.verdict.words)
    run.predict("new.jpg")

Public names are loaded when first used (PEP 562): importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headstart.errors import HeadstartError
    from headstart.run import Evaluation, Prediction, Run, resume, transfer

_FROM_RUN = ("Evaluation", "Prediction", "Run", "resume", "transfer")

__all__ = [
    "Evaluation",
    "HeadstartError",
    "Prediction",
    "Run",
    "__version__",
    "resume",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name == "HeadstartError":
        from headstart.errors import HeadstartError

        return HeadstartError
    if name in _FROM_RUN:
        from headstart import run

        return getattr(run, name)
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
