"""File formats, one file each."""

from recshield.data.readers.movielens import MovieLensCsv, MovieLensData
from recshield.data.readers.split_pair import SplitPair

__all__ = ["MovieLensCsv", "MovieLensData", "SplitPair"]
