"""From columns of a table, texts or typed values, to rows; the first value that cannot be used is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recshield.data.ids import encode
from recshield.data.table import Table

_MAX_ID = 2**62
_MAX_LENGTH = 512  # characters of an id: arrays of texts are as wide as the longest
_MAX_NUMBER = float(np.finfo(np.float32).max)
_MAX_TIME = 2.0**62
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,5})?")

Array = NDArray[Any]


class RowFault(Exception):
    """A value that cannot be used: its row from 0, what is wrong, what is allowed."""

    def __init__(self, row: int, wrong: str, allowed: str) -> None:
        super().__init__(wrong)
        self.row, self.wrong, self.allowed = row, wrong, allowed


def to_table(columns: Mapping[str, pa.ChunkedArray], facts: dict[str, str]) -> Table:
    """Return the rows of columns called user, item, rating and time, the last two optional.

    Raises:
        RowFault: the first row with a value that cannot be used.
    """
    work = {"user": _ids, "item": _ids, "rating": _ratings, "time": _times}
    found: dict[str, Any] = {}
    faults: list[RowFault] = []
    for role, values in columns.items():
        try:
            found[role] = work[role](role, values)
        except RowFault as fault:
            faults.append(fault)
    if faults:
        raise min(faults, key=lambda fault: fault.row)
    (users, user_ids), (items, item_ids) = found["user"], found["item"]
    return Table(
        users, items, found.get("rating"), found.get("time"), facts=facts, user_ids=user_ids, item_ids=item_ids
    )


def _first(is_bad: Any) -> int:
    """Return the first place where a mask is true, or -1."""
    places = np.flatnonzero(np.asarray(is_bad))
    return int(places[0]) if len(places) else -1


def _check_nulls(role: str, values: pa.ChunkedArray) -> None:
    if values.null_count:
        row = _first(values.is_null().to_numpy())
        raise RowFault(row, f"{role} is missing", "every row has one")


def short(text: str) -> str:
    """Return a value for a message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


# ids


def _ids(role: str, values: pa.ChunkedArray) -> tuple[Array, Array | None]:
    """Return (ids, None) where all are whole numbers, else (places, texts)."""
    _check_nulls(role, values)
    kind = values.type
    if pa.types.is_integer(kind):
        whole = values.to_numpy()
        row = _first((whole < 0) | (whole > _MAX_ID))
        if row >= 0:
            raise _out_of_range(role, row, int(whole[row]))
        return whole.astype(np.int64), None
    if pa.types.is_dictionary(kind) and not _is_text(kind.value_type):
        return _ids(role, values.cast(kind.value_type))
    if not pa.types.is_dictionary(kind):
        values = values.cast(pa.large_string()).dictionary_encode()
    held = values.unify_dictionaries().combine_chunks()
    held = held.chunk(0) if isinstance(held, pa.ChunkedArray) else held
    codes, names = held.indices.to_numpy(zero_copy_only=False).astype(np.int64), held.dictionary.cast(pa.large_string())
    trimmed = pc.utf8_trim_whitespace(names)
    _check_texts(role, codes, trimmed)
    numbers = _whole_numbers(role, codes, trimmed)
    if numbers is not None:
        return numbers[codes], None
    texts, places = encode(np.arange(len(names)), trimmed.to_numpy(zero_copy_only=False).astype(np.str_))
    return places[codes], texts


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _out_of_range(role: str, row: int, value: int) -> RowFault:
    limit = "at least 0" if value < 0 else f"at most {_MAX_ID}"
    return RowFault(row, f"{role} is {value}", f"it must be {limit}")


def _first_row(codes: Array, bad: Any) -> int:
    """Return the first row whose text is among the bad ones, or -1."""
    is_bad = np.asarray(bad)
    return _first(is_bad[codes]) if is_bad.any() else -1


def _check_texts(role: str, codes: Array, names: pa.Array) -> None:
    for bad, wrong, allowed in (
        (pc.equal(names, ""), f"{role} is empty", "every row has one"),
        (pc.match_substring(names, "\0"), f"{role} holds a zero byte", "an id is a number or a text"),
        (pc.greater(pc.utf8_length(names), _MAX_LENGTH), f"{role} is too long", f"at most {_MAX_LENGTH} characters"),
    ):
        row = _first_row(codes, bad)
        if row >= 0:
            raise RowFault(row, wrong, allowed)


def _whole_numbers(role: str, codes: Array, names: pa.Array) -> Array | None:
    """Return ids as numbers where that loses nothing: no leading zeros or signs, and none too large."""
    if not pc.all(pc.match_substring_regex(names, r"^(0|-?[1-9][0-9]*)$")).as_py():
        return None
    try:
        numbers: Array = names.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    row = _first_row(codes, numbers < 0)
    if row >= 0:
        raise _out_of_range(role, row, int(numbers[codes[row]]))
    return None if numbers.max(initial=0) > _MAX_ID else numbers


# numbers


def _ratings(role: str, values: pa.ChunkedArray) -> NDArray[np.float32]:
    _check_nulls(role, values)
    numbers = _numbers(role, values)
    row = _first(~(np.abs(numbers) <= _MAX_NUMBER))  # true for NaN, too
    if row >= 0:
        finite = np.isfinite(numbers[row])
        raise RowFault(
            row,
            f"{role} is {short(str(values[row].as_py()))}",
            f"it must be at most {_MAX_NUMBER:.4g}" if finite else "it must be a finite number",
        )
    return numbers.astype(np.float32)


def _numbers(role: str, values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return texts or numbers as float64."""
    if not _is_text(values.type):
        return np.asarray(values.cast(pa.float64()).to_numpy())
    trimmed = pc.utf8_trim_whitespace(values)
    try:
        return np.asarray(trimmed.cast(pa.float64()).to_numpy())
    except pa.ArrowInvalid:
        pass
    for row, text in enumerate(trimmed.to_pylist()):
        if not _NUMBER.fullmatch(text):
            is_odd = text.lower().lstrip("+-") in ("nan", "inf", "infinity")
            wanted = "it must be a finite number" if is_odd else "it must be a number"
            raise RowFault(row, f"{role} is {short(text)}", wanted)
    return np.array([float(text) for text in trimmed.to_pylist()])


def _times(role: str, values: pa.ChunkedArray) -> Array:
    """Return seconds: int64 where all are whole, else float64."""
    _check_nulls(role, values)
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _seconds(values)
    if pa.types.is_integer(kind):
        return _checked_times(role, values.to_numpy())
    if not _is_text(kind):
        return _checked_times(role, values.cast(pa.float64()).to_numpy())
    trimmed = pc.utf8_trim_whitespace(values)
    if pc.all(pc.match_substring_regex(trimmed, r"^[0-9]{1,18}$")).as_py():
        return _checked_times(role, trimmed.cast(pa.int64()).to_numpy())
    if pc.all(pc.match_substring_regex(trimmed, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}")).as_py():
        dates = _dates(trimmed)
        if dates is not None:
            return dates
    return _slow_times(role, trimmed)


def _dates(texts: pa.ChunkedArray) -> Array | None:
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _seconds(texts.cast(kind))
        except pa.ArrowInvalid:
            continue
    return None


def _seconds(values: pa.ChunkedArray) -> Array:
    """Return timestamps or dates as seconds since 1970 (UTC where no zone is given)."""
    micro = values.cast(
        pa.timestamp("us", values.type.tz) if pa.types.is_timestamp(values.type) else pa.timestamp("us")
    )
    micros: NDArray[np.int64] = micro.cast(pa.int64()).to_numpy()
    return micros // 1_000_000 if not (micros % 1_000_000).any() else micros / 1e6


def _checked_times(role: str, times: Array) -> Array:
    row = _first(~((times >= 0) & (times <= _MAX_TIME)))  # true for NaN, too
    if row >= 0:
        raise RowFault(row, f"{role} is {times[row]:.15g}", "it must be a finite number of at least 0")
    is_whole = times.dtype.kind in "iu" or not (times % 1).any()
    return times.astype(np.int64 if is_whole else np.float64)


def _slow_times(role: str, texts: pa.ChunkedArray) -> Array:
    """Read numbers one by one, and name the first text that is neither a number nor a date like the others."""
    held = texts.to_pylist()
    wants_dates = "-" in held[0][1:]
    for row, text in enumerate(held):
        if wants_dates and _dates(pa.chunked_array([[held[0], text]])) is None:
            allowed = "it must be an ISO 8601 date or time like the first row's, for example 2024-01-31T12:00:00"
            raise RowFault(row, f"{role} is {short(text)}", allowed)
        if not wants_dates and not _NUMBER.fullmatch(text):
            raise RowFault(row, f"{role} is {short(text)}", "it must be seconds since 1970 or an ISO 8601 date")
    if wants_dates:  # every text can be read beside the first one, so all of them can
        raise RowFault(0, f"{role} is {short(held[0])}", "it must be an ISO 8601 date or time")
    return _checked_times(role, np.array([float(text) for text in held]))
