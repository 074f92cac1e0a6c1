"""Published tables as requests with tolerances: the files beside this one, read, run and compared."""

from recshield.papers.reading import find, listed
from recshield.papers.reproducing import Reproduction, reproduce
from recshield.papers.tables import Paper

__all__ = ["Paper", "Reproduction", "find", "listed", "reproduce"]
