"""The half of the benchmark that runs in a library's own environment: it times what it is told to, one call a line.

No recshield here: a peer's environment holds the peer alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping


def serve(works: Mapping[str, Callable[[], float]]) -> None:
    """Read names from the standard input, do that work, and answer each with the seconds it took."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(f"{works[line.strip()]()!r}\n")
        answers.flush()
