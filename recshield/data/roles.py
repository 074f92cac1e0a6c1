"""Which column of a table is the user, the item, the time and the rating: as the user names them, or by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from recshield.core.errors import BadData, BadSpec, UnknownOption

#: Columns as `user=uid,item=sku`, as a list of `ROLE=NAME`, or as a mapping.
Columns = Mapping[str, str] | Sequence[str] | str

#: Role -> names that are recognised, in lower case, without `_`, `-`, `.` and spaces.
USUAL: dict[str, tuple[str, ...]] = {
    "user": ("user", "userid", "uid", "reviewerid", "customerid", "visitorid"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "sku", "product", "productid", "asin"),
    "rating": ("rating", "ratings", "score", "stars", "overall"),
    "time": ("time", "timestamp", "ts", "datetime", "date", "unixreviewtime"),
}
_NEEDED = ("user", "item")


def columns_texts(columns: Columns) -> tuple[str, ...]:
    """Return `ROLE=NAME` for each column that the user named.

    Raises:
        BadSpec: a piece that is no `ROLE=NAME`, or a role that stands twice.
        UnknownOption: a role that there is none of.
    """
    if isinstance(columns, Mapping):
        pieces = [f"{role}={name}" for role, name in columns.items()]
    else:
        pieces = columns.split(",") if isinstance(columns, str) else list(columns)
    found: dict[str, str] = {}
    for piece in (piece for piece in pieces if piece.strip()):
        role, equals, name = (part.strip() for part in piece.partition("="))
        if not equals or not name:
            raise BadSpec(f"columns: '{piece}' cannot be read; write ROLE=NAME, for example user=uid,item=sku")
        if role not in USUAL:
            raise UnknownOption.among("--columns", role, {key: f"such as {names[1]}" for key, names in USUAL.items()})
        if role in found:
            raise BadSpec(f"columns: '{role}' stands twice; name one column for it")
        found[role] = name
    return tuple(f"{role}={name}" for role, name in found.items())


def read_columns_option(texts: Sequence[str]) -> dict[str, str]:
    """Return role -> name from what `columns_texts` gave."""
    pairs = (text.partition("=") for text in texts)
    return {role: name for role, _, name in pairs}


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]", "", name).lower()


def find_roles(path: Path, header: Sequence[str], named: Mapping[str, str], line: int | None) -> dict[str, int]:
    """Return role -> place of its column.

    Args:
        path: for messages.
        header: names of the columns.
        named: role -> name, as the user gave them; the rest is recognised by its usual names.
        line: of the header, for messages.

    Raises:
        BadData: a column is missing, stands twice, or could be one of several.
    """
    listed = ", ".join(repr(name) for name in header[:30]) + (", ..." if len(header) > 30 else "")
    found: dict[str, int] = {}
    for role in USUAL:
        wanted = named.get(role)
        places = [
            place
            for place, name in enumerate(header)
            if (name == wanted if wanted is not None else _plain(name) in USUAL[role] and place not in found.values())
        ]
        names = {header[place] for place in places}
        if len(places) > 1 and len(names) == 1:
            raise BadData.at(path, line, f"the column {header[places[0]]!r} stands twice", "each name stands once")
        if len(places) > 1:
            either = " or ".join(repr(header[place]) for place in places)
            allowed = f"say which with --columns {role}=NAME; columns: {listed}"
            raise BadData.at(path, line, f"the {role} could be {either}", allowed)
        if not places and wanted is not None:
            raise BadData.at(path, line, f"there is no column {wanted!r} for {role}", f"columns: {listed}")
        if not places and role in _NEEDED:
            raise BadData.at(
                path,
                line,
                f"no column is known to be the {role}",
                f"name it with --columns {role}=NAME; columns: {listed}",
            )
        if places:
            found[role] = places[0]
    if len(set(found.values())) < len(found):
        raise BadData.at(path, line, "one column has two roles", f"name one column for each; columns: {listed}")
    return found


def told(header: Sequence[str], roles: Mapping[str, int], named: Mapping[str, str]) -> dict[str, str]:
    """Return what to tell the user of the columns that were taken."""
    text = ", ".join(f"{role}={header[place]}" for role, place in roles.items())
    absent = [role for role in USUAL if role not in roles]
    if set(roles) - set(named):
        text += "; recognised by their names, --columns names others"
    facts = {"columns": text + (f"; no {' and no '.join(absent)}" if absent else "")}
    if "time" in absent:
        facts["time"] = "no column of times: the order of the rows is taken for the order of time"
    return facts
