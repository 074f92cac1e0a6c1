"""Interactions, readers, splits and the names of data sets."""

from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.data.splits import Split
from recshield.data.table import NamedData, Reader, Table

__all__ = ["DataInfo", "Dataset", "HeldOut", "Interactions", "NamedData", "Reader", "Split", "Table"]
