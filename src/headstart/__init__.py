"""Headstart: transfer learning that proves it helped."""

from __future__ import annotations

__version__ = "0.1.0"
