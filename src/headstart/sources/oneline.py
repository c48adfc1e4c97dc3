"""What a library said when it failed, as one line for a message of ours."""

from __future__ import annotations


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return the first sentence-like part of the error's text, its kind where it says nothing.

    A first line that ends in a colon announces the next, which is then taken too.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return f"{type(error).__name__}."
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    text = text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
    text = text.rstrip(",;:")
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
