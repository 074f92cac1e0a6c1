"""Text from data, plugins and paths made safe for a terminal."""

from __future__ import annotations

import unicodedata

from rich.text import Text


def plain(value: object) -> str:
    """Return text without control characters (escape sequences, line breaks, direction marks)."""
    return "".join(char if unicodedata.category(char)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for char in str(value))


def safe(value: object, style: str = "") -> Text:
    """Return plain text that rich prints as it is, markup off."""
    return Text(plain(value), style=style)
