"""Attacks that ask and see no gradient: `nes` and `search` by scores, `nes-list` and `search-list` by ranked lists."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Attack
from recshield_query.estimate import NES, ListNES
from recshield_query.search import ListSearch, Search

__all__ = ["NES", "ListNES", "ListSearch", "Search"]


@hookimpl
def recshield_attacks() -> list[type[Attack]]:
    """Return the attacks."""
    return [NES, ListNES, Search, ListSearch]
