"""Tables and matrices from Python: written once as Parquet below the cache folder, named by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from scipy import sparse

from recshield.core.compiled import cache_folder
from recshield.core.errors import BadData, OutputRefused
from recshield.core.settings import CACHE_VARIABLE
from recshield.data.roles import Columns, columns_texts, find_roles, read_columns_option
from recshield.data.table import ORDER_KEY


class ArrowLike(Protocol):
    """A table that can give itself as an Arrow table, as those of Polars can."""

    def to_arrow(self) -> Any:
        """Return a pyarrow.Table."""


#: What `run_matrix` takes in place of a name: a pandas, Arrow or Polars table, or a SciPy matrix of users x items.
Frame: TypeAlias = "pd.DataFrame | pa.Table | ArrowLike | sparse.sparray | sparse.spmatrix"


def as_file(frame: Frame, columns: Columns = ()) -> Path:
    """Return a Parquet file with the rows of a table or matrix; the same content gives the same file.

    Args:
        frame: a table with a column each for user and item, and perhaps rating and time; or a sparse matrix, whose
            stored entries are rows: row number = user, column number = item, value = rating.
        columns: role -> name of its column in a table.

    Raises:
        BadData: no such table, or a column is missing or of a type that cannot be written.
        OutputRefused: the cache folder cannot be written.
    """
    table = _matrix(frame, columns) if sparse.issparse(frame) else _table(frame, columns)
    table = table.combine_chunks()
    folder = cache_folder() / "frames"
    target = folder / f"frame-{_key(table)}.parquet"
    draft = folder / f"{target.stem}-{os.getpid()}-{uuid.uuid4().hex[:8]}.unfinished"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            parquet.write_table(table, draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise OutputRefused(
            f"the table cannot be kept in {folder} ({error.strerror}); name another folder with {CACHE_VARIABLE}"
        ) from None
    return target


def _matrix(matrix: Any, columns: Columns) -> pa.Table:
    if columns:
        raise BadData("a sparse matrix has no columns to name; leave columns out")
    held = sparse.coo_array(sparse.csr_array(matrix))  # in order of users and items, entries that stand twice summed
    if not held.nnz:
        raise BadData("the sparse matrix has no stored entry; it needs at least one")
    made = pa.table(
        {
            "user": held.coords[0].astype(np.int64),
            "item": held.coords[1].astype(np.int64),
            "rating": held.data.astype(np.float64),
        }
    )
    return made.replace_schema_metadata({ORDER_KEY: b"none"})


def _table(frame: Any, columns: Columns) -> pa.Table:
    try:
        if isinstance(frame, pd.DataFrame):
            frame = frame.rename(columns=str)
            whole = None
        else:
            whole = frame if isinstance(frame, pa.Table) else frame.to_arrow()
    except AttributeError:
        raise BadData(
            f"a data set of type {type(frame).__name__} is not known; give a name, a path, a pandas, Polars or Arrow "
            "table, or a SciPy sparse matrix"
        ) from None
    header = list(frame.columns) if whole is None else list(whole.column_names)
    roles = find_roles(Path("table"), header, read_columns_option(columns_texts(columns)), None)
    held = {role: frame.iloc[:, place] if whole is None else whole.column(place) for role, place in roles.items()}
    made = {}
    for role, values in held.items():
        try:
            made[role] = _decoded(pa.chunked_array([pa.Array.from_pandas(values)]) if whole is None else values)
        except (pa.ArrowException, UnicodeEncodeError, TypeError, ValueError) as error:
            reason = str(error).split("\n")[0][:200]
            raise BadData(
                f"table: the column {header[roles[role]]!r} for {role} cannot be read ({reason}); "
                "it holds values of one type: whole numbers or text for ids, numbers for ratings"
            ) from None
    return pa.table(made).replace_schema_metadata(None)


def _decoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in the plain form of its type, so that the same values give the same bytes."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    with contextlib.suppress(AttributeError):  # older versions of pyarrow have no string views
        if pa.types.is_string_view(kind):
            return values.cast(pa.large_string())
    if pa.types.is_string(kind):
        return values.cast(pa.large_string())
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return values.cast(pa.int64())
    return values.cast(pa.float64()) if pa.types.is_floating(kind) else values


def _key(table: pa.Table) -> str:
    """Return a hash of names, types, values and what is said of the order."""
    total = hashlib.blake2b(digest_size=8)
    total.update(str(table.schema.metadata).encode())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    total.update(sink.getvalue())
    return total.hexdigest()
