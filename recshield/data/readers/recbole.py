"""RecBole's atomic files: tabs, and a header that carries types, `user_id:token`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recshield.core.errors import BadData
from recshield.data.plain import stem
from recshield.data.table import Reader, Table
from recshield.data.text_tables import read_text_table

_ROLES = {"user_id": "user", "item_id": "item", "rating": "rating", "timestamp": "time"}
_KINDS = {"user": "token", "item": "token", "rating": "float", "time": "float"}


class RecBole(Reader):
    """One `*.inter` file; further columns are left alone."""

    name = "recbole"
    description = "*.inter: user_id:token, item_id:token, rating:float, timestamp:float (tabs, typed header)"
    priority = 200

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the one `*.inter` at `path`."""
        if not path.is_dir():
            return (path,) if stem(path).endswith(".inter") and path.exists() else ()
        found = sorted(file for file in path.iterdir() if file.is_file() and stem(file).endswith(".inter"))
        if len(found) > 1:
            names = ", ".join(file.name for file in found[:10])
            raise BadData.at(path, None, f"several files: {names}", "name the file to read")
        return tuple(found)

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return its rows."""
        path = files[0]

        def roles(header: Sequence[str]) -> dict[str, int]:
            return _roles(path, header)

        return read_text_table(path, "\t", None, roles)[0]


def _roles(path: Path, header: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, cell in enumerate(header):
        name, colon, kind = cell.strip().partition(":")
        if not colon or kind not in ("token", "token_seq", "float", "float_seq"):
            raise BadData.at(
                path,
                1,
                f"the header holds {cell[:60]!r}",
                "each name carries token, token_seq, float or float_seq: user_id:token",
            )
        role = _ROLES.get(name)
        if role is None:
            continue
        if role in found:
            raise BadData.at(path, 1, f"the header holds {name!r} twice", "each name stands once")
        if kind != _KINDS[role]:
            raise BadData.at(path, 1, f"the header holds {cell!r}", f"it must be '{name}:{_KINDS[role]}'")
        found[role] = place
    for name in ("user_id", "item_id"):
        if _ROLES[name] not in found:
            listed = ", ".join(header)[:200]
            raise BadData.at(path, 1, f"the header has no '{name}:token'", f"it must hold one; it holds: {listed}")
    return found
