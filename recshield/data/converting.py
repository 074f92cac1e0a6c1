"""Write the rows of a data set as one file: Parquet, CSV, or the `.inter` file of RecBole."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from recshield.core.errors import BadValue, OutputRefused

if TYPE_CHECKING:
    import pyarrow as pa

    from recshield.data.table import Table

_FORMATS = (".parquet", ".csv", ".inter")
#: Column -> name and type in a RecBole file. Source: recbole.io/docs/user_guide/data/atomic_files.html.
_RECBOLE = {
    "user": "user_id:token",
    "item": "item_id:token",
    "rating": "rating:float",
    "time": "timestamp:float",
    "is_test": "is_test:float",
}


def check_target(target: Path, *, overwrites: bool) -> None:
    """Raise where rows cannot be written to `target`; nothing is written.

    Raises:
        BadValue: the ending names no format.
        OutputRefused: the file is there already, or its folder is not.
    """
    if target.suffix not in _FORMATS:
        raise BadValue(f"target '{target}' names no format; allowed endings: {', '.join(_FORMATS)}")
    if target.is_dir():
        raise OutputRefused(f"{target} is a folder; name a file")
    if target.exists() and not overwrites:
        raise OutputRefused(f"{target} is there already; name another file, or overwrite it with --force")
    if not target.absolute().parent.is_dir():
        raise OutputRefused(f"{target.absolute().parent} is no folder; make it first")


def write_rows(table: Table, target: Path, *, overwrites: bool = False) -> None:
    """Write user, item, and where the data set has them rating, time and is_test; whole or not at all.

    Args:
        table: rows in file order.
        target: its ending names the format: `.parquet`, `.csv` or `.inter`.
        overwrites: an existing file is replaced.

    Raises:
        BadValue: the ending names no format, or one that cannot say that rows have no order.
        OutputRefused: the file is there already or cannot be written.
    """
    check_target(target, overwrites=overwrites)
    if not table.is_ordered and target.suffix != ".parquet":
        raise BadValue(f"these rows have no order in time, which '{target.suffix}' cannot say; write a .parquet file")
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        _write(_columns(table), draft, target.suffix)
        if overwrites:
            draft.replace(target)
        else:
            _give_name(draft, target)
    except FileExistsError:
        raise OutputRefused(f"{target} is there already; name another file, or overwrite it with --force") from None
    except OSError as error:
        raise OutputRefused(f"{target} cannot be written ({error.strerror or error}); name another file") from None
    finally:
        draft.unlink(missing_ok=True)


def _give_name(draft: Path, target: Path) -> None:
    """Name a file that must be new; a file system without links cannot tell whether another process was faster."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:
        draft.rename(target)


def _columns(table: Table) -> pa.Table:
    import pyarrow as pa

    from recshield.data.table import ORDER_KEY

    held = {
        "user": table.users if table.user_ids is None else table.user_ids[table.users],
        "item": table.items if table.item_ids is None else table.item_ids[table.items],
        "rating": table.ratings,
        "time": table.times,
        "is_test": table.is_test,
    }
    rows = pa.table({name: values for name, values in held.items() if values is not None})
    return rows if table.is_ordered else rows.replace_schema_metadata({ORDER_KEY: b"none"})


def _write(rows: pa.Table, draft: Path, ending: str) -> None:
    import pyarrow as pa
    from pyarrow import csv, parquet

    if ending == ".parquet":
        parquet.write_table(rows, draft)
        return
    if ending == ".inter":
        if "is_test" in rows.column_names:
            place = rows.column_names.index("is_test")
            rows = rows.set_column(place, "is_test", rows["is_test"].cast(pa.int8()))
        rows = rows.rename_columns([_RECBOLE[name] for name in rows.column_names])
    separator = "\t" if ending == ".inter" else ","
    with draft.open("wb") as stream:
        stream.write((separator.join(rows.column_names) + "\n").encode())
        csv.write_csv(rows, stream, csv.WriteOptions(include_header=False, delimiter=separator))
