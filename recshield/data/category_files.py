"""Files that say which categories an item has: a table of `item,category`, and the genres of MovieLens."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recshield.core import settings
from recshield.core.errors import BadData
from recshield.data.categories import Categories
from recshield.data.plain import check, plain, stem

#: Item id as text -> its categories.
Memberships = Mapping[str, tuple[str, ...]]

_ITEMS = ("item", "itemid", "movie", "movieid", "sku", "product", "productid", "asin", "id")
_CATEGORIES = ("category", "categories", "genre", "genres", "label", "labels")
_NONE = {"", "(no genres listed)"}
_ADVICE = "write a header `item,category` and a row for each, several categories of an item as rows or as `a|b`"


def files_of(file: Path) -> tuple[Path, ...]:
    """Return the files behind a file of categories: itself, and the names of genres beside `u.item`."""
    return (file, file.with_name("u.genre")) if file.name == "u.item" else (file,)


def fingerprint(file: Path) -> str:
    """Return a hash of the names and bytes of a file of categories, or raise BadData."""
    total = hashlib.blake2b(digest_size=16)
    for one in files_of(file):
        check(one)
        with one.open("rb") as stream:
            total.update(one.name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def read_categories(file: Path) -> Memberships:
    """Return the categories of each item that a file names.

    Args:
        file: `u.item` (with `u.genre` beside it) or `movies.dat` of MovieLens; any other is a table with a header,
            perhaps packed with gzip.

    Raises:
        BadData: missing, unreadable or of another form; names the line.
    """
    rows = {"u.item": _ml_100k, "movies.dat": _ml_1m}.get(file.name, _table)(file)
    held: dict[str, dict[str, None]] = {}
    for item, names in rows:
        kept = held.setdefault(item, {})
        kept.update((name, None) for name in (one.strip() for one in names) if name not in _NONE)
    return {item: tuple(names) for item, names in held.items() if names}


def _lines(file: Path, encoding: str) -> Iterator[tuple[int, str]]:
    check(file)
    with file.open(encoding=encoding) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, line.rstrip("\n")


def _ml_100k(file: Path) -> Iterator[tuple[str, Iterable[str]]]:
    """Read `id|title|date|date|address|flag|flag...`; the flags stand in the order of `u.genre`."""
    names = [line.split("|")[0] for _, line in _lines(files_of(file)[1], "latin-1")]
    for number, line in _lines(file, "latin-1"):
        cells = line.split("|")
        flags = cells[5:]
        if len(flags) != len(names) or not set(flags) <= {"0", "1"}:
            raise BadData.at(file, number, f"{len(flags)} flags of genres", f"{len(names)} of 0 or 1, as u.genre says")
        yield cells[0].strip(), [name for name, flag in zip(names, flags, strict=True) if flag == "1"]


def _ml_1m(file: Path) -> Iterator[tuple[str, Iterable[str]]]:
    for number, line in _lines(file, "latin-1"):
        cells = line.split("::")
        if len(cells) != 3:
            raise BadData.at(file, number, f"{len(cells)} cells", "a line is item::title::genre|genre")
        yield cells[0].strip(), cells[2].split("|")


def _table(file: Path) -> Iterator[tuple[str, Iterable[str]]]:
    with plain(file) as text, text.open(encoding="utf-8-sig", newline="") as stream:
        reader: Any = ()
        try:
            header = stream.readline()
            separator = "\t" if stem(file).endswith(".tsv") else max(",;\t", key=header.count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=separator, strict=True)
            item, category = _places(file, [name.strip() for name in next(reader)])
            for cells in reader:
                if cells and len(cells) <= max(item, category):
                    raise BadData.at(file, reader.line_num, f"{len(cells)} cells", "as many as the header has")
                if cells:
                    yield cells[item].strip(), cells[category].split("|")
        except UnicodeDecodeError:
            raise BadData.at(file, None, "it is not UTF-8", _ADVICE) from None
        except csv.Error as error:
            raise BadData.at(file, reader.line_num, f"this is no table ({error})", _ADVICE) from None


def _places(file: Path, header: list[str]) -> tuple[int, int]:
    found = []
    for what, usual in (("item", _ITEMS), ("category", _CATEGORIES)):
        # The first usual name that is there: `item` before `id`.
        plain_names = ["".join(filter(str.isalnum, name)).lower() for name in header]
        known = [name for name in usual if name in plain_names]
        if not known:
            listed = ", ".join(repr(name[:60]) for name in header[:20])
            raise BadData.at(file, 1, f"no column is known to be the {what} among {listed}", _ADVICE)
        found.append(plain_names.index(known[0]))
    return found[0], found[1]


def align(
    held: Memberships, item_ids: NDArray[np.generic], where: str, facts: dict[str, str] | None = None
) -> Categories:
    """Return the categories of a catalogue's items; one that no item of it has is left out.

    Args:
        held: categories by item.
        item_ids: (n_items,) original ids; an item that `held` does not name has no category.
        where: they come from, for messages.
        facts: gets what was found, for people.

    Raises:
        BadData: no item of the catalogue has any; there are too many categories.
    """
    own = [held.get(str(item), ()) for item in item_ids]
    names = tuple(sorted({name for some in own for name in some}))
    if not names:
        raise BadData.at(where, None, f"none of the {len(item_ids)} items has a category here", "its ids are others")
    if len(names) > settings.CATEGORIES:
        raise BadData.at(where, None, f"the items have {len(names)} categories", f"at most {settings.CATEGORIES}")
    place = {name: number for number, name in enumerate(names)}
    labels = np.zeros((len(item_ids), len(names)), dtype=bool)
    for row, some in enumerate(own):
        labels[row, [place[name] for name in some]] = True
    if facts is not None:
        n_own = sum(bool(some) for some in own)
        facts["categories"] = f"{len(names)} categories, {n_own} of {len(own)} items have at least one"
        n_others = len(held) - n_own
        if n_others:
            facts["categories"] += f"; {n_others} more that are not in the catalogue are left aside"
    return Categories(names, labels)
