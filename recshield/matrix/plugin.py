"""Registers recshield's own executor, exactly as a third party would."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.matrix.executors import Executor, Local


@hookimpl
def recshield_executors() -> list[type[Executor]]:
    """Return the executors."""
    return [Local]
