"""Checks of a named data set."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from recshield.data.table import NamedData, Table
from recshield.testing.declarations import (
    check_description_is_one_line,
    check_docstring_is_complete,
    check_name_can_be_written,
    said,
)
from recshield.testing.failures import applies_if, need
from recshield.testing.probes import disturbed_random_state, watched_random_state

Kind = type[NamedData]


def table_hash(table: Table) -> str:
    """Return a hash of every column of a table."""
    total = hashlib.blake2b()
    for spot in dataclasses.fields(table):
        held = getattr(table, spot.name)
        total.update(repr(held.tolist() if isinstance(held, np.ndarray) else held).encode())
    return total.hexdigest()


def need_rows(table: Any, who: str) -> None:
    """Raise CheckFailed unless a table has rows and its columns fit each other."""
    need(isinstance(table, Table), f"{who} returns {type(table).__name__}; expected a recshield.data.Table")
    need(len(table) > 0, f"{who} returns no row")
    for name in ("items", "ratings", "times", "is_test"):
        held = getattr(table, name)
        need(
            held is None or held.shape == table.users.shape,
            f"{who}: column '{name}' has shape {getattr(held, 'shape', None)} beside {len(table)} users; one per row",
        )
    for name in ("ratings", "times"):
        held = getattr(table, name)
        is_finite = held is None or bool(np.isfinite(held.astype(np.float64)).all())
        need(is_finite, f"{who}: column '{name}' holds values that are not finite; leave them out, or BadData")
    for name in ("user", "item"):
        places, ids = getattr(table, f"{name}s"), getattr(table, f"{name}_ids")
        if ids is None:
            need(places.dtype.kind in "iuU", f"{who}: {name} ids are {places.dtype}; use whole numbers, or {name}_ids")
        else:
            is_inside = places.dtype.kind in "iu" and int(places.min()) >= 0 and int(places.max()) < len(ids)
            need(
                is_inside and len(np.unique(ids)) == len(ids),
                f"{who}: column '{name}s' must hold places in '{name}_ids', whose entries are distinct",
            )


def _generated(dataset: Kind) -> None:
    applies_if(not dataset.folder, f"{said(dataset)} is read from files")


def check_licence_is_one_line(dataset: Kind) -> None:
    """`licence` is one line: who uses the data must know what is allowed."""
    text = getattr(dataset, "licence", None)
    is_line = isinstance(text, str) and bool(text.strip()) and "\n" not in text
    need(is_line, f"{said(dataset)}: licence is {text!r}; write one line")


def check_generates_rows(dataset: Kind) -> None:
    """A data set without a folder generates rows whose columns fit each other."""
    _generated(dataset)
    need_rows(dataset().generate(), f"{said(dataset)}: generate()")


def check_generates_the_same_each_time(dataset: Kind) -> None:
    """Two calls give the same rows, whatever the global generators say, which stay as they were."""
    _generated(dataset)
    found = []
    for disturbance in (1, 2):
        with disturbed_random_state(disturbance), watched_random_state(said(dataset)):
            found.append(table_hash(dataset().generate()))
    need(
        found[0] == found[1],
        f"{said(dataset)}: two calls of generate() differ; draw with a fixed seed",
    )


def check_users_can_be_held_out(dataset: Kind) -> None:
    """Some user has two different items, so that a test row can be cut and a training row stays."""
    _generated(dataset)
    table = dataset().generate()
    places = [np.unique(held, return_inverse=True)[1] for held in (table.users, table.items)]
    pairs = np.unique(np.stack(places), axis=1)
    most = int(np.unique(pairs[0], return_counts=True)[1].max())
    need(most >= 2, f"{said(dataset)}: no user has two items, so that nothing can be held out for a test")


def check_images_have_the_size(dataset: Kind) -> None:
    """Drawn images are (height, width, 3) uint8 of `image_size`, the same each time."""
    _generated(dataset)
    applies_if(dataset.image_size is not None, f"{said(dataset)} draws no images")
    table = dataset().generate()
    ids = table.items if table.item_ids is None else table.item_ids
    first = ids[0].item()
    held, again = dataset().draw(first), dataset().draw(first)
    wanted = (*(dataset.image_size or ()), 3)
    need(
        held.shape == wanted and held.dtype == np.uint8 and bool((held == again).all()),
        f"{said(dataset)}: draw() returns {held.dtype} of shape {held.shape}; expected uint8 of {wanted}, the same "
        "each time",
    )


def check_files_are_described(dataset: Kind) -> None:
    """A data set with a folder names who publishes it; what is fetched comes over https, with a hash.

    Prevents: other bytes under the same name.
    """
    applies_if(bool(dataset.folder), f"{said(dataset)} is generated")
    need(bool(dataset.publisher), f"{said(dataset)}: publisher is empty; name the page of who publishes the files")
    for one in dataset.downloads:
        need(
            not one.address or one.address.startswith("https://"),
            f"{said(dataset)}: '{one.address}' is no https address; files come over https",
        )


#: Every check of a named data set, in the order in which they run.
DATASET_CHECKS: tuple[Callable[..., None], ...] = (
    check_name_can_be_written,
    check_description_is_one_line,
    check_docstring_is_complete,
    check_licence_is_one_line,
    check_generates_rows,
    check_generates_the_same_each_time,
    check_users_can_be_held_out,
    check_images_have_the_size,
    check_files_are_described,
)
