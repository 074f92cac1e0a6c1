"""Plan, steps, store, executors and results."""

from recshield.matrix.executors import Executor
from recshield.matrix.results import Results

__all__ = ["Executor", "Results"]
