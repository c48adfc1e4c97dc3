"""Architectures that transformers does not know, written natively; one file each.

Importing this room imports nothing heavy and registers nothing.
"""

from __future__ import annotations


def register_all() -> None:
    """Make transformers' Auto classes know every architecture here; again changes nothing."""
    from headstart.sources.architectures import glyphs, yamnet

    glyphs.register()
    yamnet.register()
