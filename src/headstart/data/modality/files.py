"""Reading files of examples, bounded in size."""

from __future__ import annotations

from pathlib import Path

from headstart.errors import Unreadable

MAX_BYTES = 512 * 1024 * 1024  # of a file


def check_file(path: Path) -> None:
    """Raise Unreadable, with a reason that names no path, where a file cannot be an example."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(error) from None
    if not path.is_file():
        raise Unreadable("not a file")
    if size == 0:
        raise Unreadable("zero bytes")
    if size > MAX_BYTES:
        raise Unreadable(f"{size:,} bytes is more than the bound of {MAX_BYTES:,}")


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that was checked. Raises Unreadable."""
    check_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> Unreadable:
    return Unreadable((error.strerror or type(error).__name__).lower())
