"""Tables of any origin: CSV and TSV with a header, and Parquet; columns are named or recognised by their names."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from recshield.core import settings
from recshield.core.errors import BadData
from recshield.data.convert import RowFault, to_table
from recshield.data.plain import check, head, stem
from recshield.data.roles import find_roles, told
from recshield.data.table import ORDER_KEY, Reader, Table
from recshield.data.text_tables import guess_separator, read_text_table

_TEXT = (".csv", ".tsv")
_PARQUET = (".parquet",)


def _only(path: Path, endings: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the one file with such a name in a folder."""
    if not path.is_dir():
        return (path,) if stem(path).endswith(endings) and path.exists() else ()
    found = sorted(file for file in path.iterdir() if file.is_file() and stem(file).endswith(endings))
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:10])
        raise BadData.at(path, None, f"several tables: {names}", "name the file to read")
    return tuple(found)


class TextTable(Reader):
    """CSV, TSV and the like: a header, then rows; cells may be quoted.

    Where every column is named by a number, the file has no header, and the numbers are places, from 1.
    """

    name = "table-text"
    description = "*.csv, *.tsv: a header, then rows; ids may be text; no header where columns are named by place"
    priority = 400
    takes_columns = True

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the one table at `path`; any file that is no Parquet file where the columns were named."""
        if self.columns and path.is_file() and not stem(path).endswith(_PARQUET):
            return (path,)
        return _only(path, _TEXT)

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return its rows."""
        path = files[0]
        separator = "\t" if stem(path).endswith(".tsv") else guess_separator(head(path))
        roles = functools.partial(find_roles, path, named=self.columns, line=1)
        has_places = bool(self.columns) and all(name.isdecimal() for name in self.columns.values())
        table, header = read_text_table(path, separator, '"', roles, 0 if has_places else 1)
        table.facts.update(told(header, roles(header), self.columns))
        return table


class ParquetTable(Reader):
    """Parquet: ids are whole numbers or texts, times are numbers, timestamps, dates or ISO 8601 texts."""

    name = "table-parquet"
    description = "*.parquet: ids are whole numbers or text"
    priority = 410
    takes_columns = True

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the one Parquet file at `path`."""
        return _only(path, _PARQUET)

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return its rows."""
        path = files[0]
        check(path)
        try:
            file = parquet.ParquetFile(path)
            header = list(file.schema_arrow.names)
            roles = find_roles(path, header, self.columns, None)
            names = {role: header[place] for role, place in roles.items()}
            _check_size(path, file, list(names.values()))
            _check_kinds(path, file.schema_arrow, names)
            held = file.read(columns=list(names.values()))
        except (pa.ArrowException, OSError) as error:
            reason = str(error).split("\n")[0][:200]
            raise BadData.at(path, None, f"this is no sound Parquet file ({reason})", "write it again") from None
        if not held.num_rows:
            raise BadData.at(path, None, "the file has no row", "it needs at least one")
        is_ordered = (file.schema_arrow.metadata or {}).get(ORDER_KEY) != b"none"
        facts = told(header, roles, self.columns)
        if not is_ordered:
            facts["time"] = "none: neither times nor an order of the rows"
        try:
            table = to_table({role: held[name] for role, name in names.items()}, facts)
        except RowFault as fault:
            raise BadData(f"{path}, row {fault.row + 1}: {fault.wrong}; {fault.allowed}") from None
        return dataclasses.replace(table, is_ordered=is_ordered)


def _check_size(path: Path, file: parquet.ParquetFile, names: list[str]) -> None:
    """Refuse a small file that unpacks to too much."""
    n_rows = file.metadata.num_rows
    size = n_rows * 8 * len(names)
    wanted = set(names)
    for group in range(file.metadata.num_row_groups):
        held = file.metadata.row_group(group)
        for place in range(held.num_columns):
            column = held.column(place)
            size += column.total_uncompressed_size if column.path_in_schema in wanted else 0
    if size > settings.DATA_FILE_BYTES:
        allowed = f"at most {settings.DATA_FILE_BYTES} bytes are read"
        raise BadData.at(path, None, f"{n_rows} rows that unpack to {size} bytes", allowed)


def _check_kinds(path: Path, schema: pa.Schema, names: dict[str, str]) -> None:
    for role, name in names.items():
        kind = schema.field(name).type
        inner = kind.value_type if pa.types.is_dictionary(kind) else kind
        is_text = pa.types.is_string(inner) or pa.types.is_large_string(inner)
        is_whole = pa.types.is_integer(inner)
        is_number = (is_whole or pa.types.is_floating(inner) or pa.types.is_decimal(inner)) and inner is kind
        is_time = (pa.types.is_timestamp(kind) or pa.types.is_date(kind)) and inner is kind
        fits, allowed = {
            "user": (is_text or is_whole, "ids are whole numbers or text"),
            "item": (is_text or is_whole, "ids are whole numbers or text"),
            "rating": (is_number, "ratings are numbers"),
            "time": (
                is_number or is_time or (is_text and inner is kind),
                "times are numbers, timestamps or ISO 8601 text",
            ),
        }[role]
        if not fits:
            raise BadData.at(path, None, f"the column {name!r} for {role} is of type {kind}", allowed)
