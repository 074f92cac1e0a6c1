"""File formats, one file each."""

from recshield.data.readers.adjacency import Adjacency
from recshield.data.readers.general import ParquetTable, TextTable
from recshield.data.readers.movielens import MovieLensCsv, MovieLensDat, MovieLensData
from recshield.data.readers.recbole import RecBole
from recshield.data.readers.sequences import SequenceText
from recshield.data.readers.split_pair import SplitPair

__all__ = [
    "Adjacency",
    "MovieLensCsv",
    "MovieLensDat",
    "MovieLensData",
    "ParquetTable",
    "RecBole",
    "SequenceText",
    "SplitPair",
    "TextTable",
]
