"""Registers recshield's own readers and data sets, exactly as a third party would."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.data.fashion import SyntheticFashion
from recshield.data.publishers import published
from recshield.data.readers import (
    Adjacency,
    MovieLensCsv,
    MovieLensDat,
    MovieLensData,
    ParquetTable,
    RecBole,
    SequenceText,
    SplitPair,
    TextTable,
)
from recshield.data.synthetic import Synthetic
from recshield.data.table import NamedData, Reader


@hookimpl
def recshield_readers() -> list[type[Reader]]:
    """Return the file formats."""
    return [
        SplitPair,
        MovieLensData,
        MovieLensCsv,
        MovieLensDat,
        Adjacency,
        RecBole,
        SequenceText,
        TextTable,
        ParquetTable,
    ]


@hookimpl
def recshield_datasets() -> list[type[NamedData]]:
    """Return the named data sets."""
    return [Synthetic, SyntheticFashion, *published()]
