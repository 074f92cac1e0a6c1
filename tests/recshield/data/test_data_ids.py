"""Ids are counted in ascending order, whatever they are, and come back from what is stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recshield.data.ids import encode, pack, unpack

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5)


@given(values=st.lists(st.one_of(st.integers(0, 30), st.integers(0, 2**62)), max_size=50))
def test_numbers_are_counted_as_numpy_counts_them(values):
    ids, codes = encode(np.array(values, np.int64))
    expected, places = np.unique(np.array(values, np.int64), return_inverse=True)
    assert ids.tolist() == expected.tolist()
    assert codes.tolist() == places.tolist()


@given(values=st.lists(TEXT, min_size=1, max_size=50))
def test_texts_are_counted_in_ascending_order(values):
    ids, codes = encode(np.array(values))
    assert ids.tolist() == sorted(set(values))
    assert ids[codes].tolist() == values


def test_names_that_no_row_has_are_left_out():
    ids, codes = encode(np.array([3, 1, 3]), np.array(["d", "c", "b", "a"]))
    assert ids.tolist() == ["a", "c"]
    assert codes.tolist() == [0, 1, 0]


@given(values=st.lists(TEXT, min_size=1, max_size=20))
def test_texts_come_back_from_numbers(values):
    ids = np.array(values)
    held = pack("user_ids", ids)
    assert all(array.dtype.kind in "iu" for array in held.values())
    assert unpack("user_ids", held).tolist() == values


@pytest.mark.parametrize("ids", [np.arange(3), np.array([7], np.int32)])
def test_numbers_are_stored_as_they_are(ids):
    assert unpack("x", pack("x", ids)).tolist() == ids.tolist()
