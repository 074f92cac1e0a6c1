"""The `recshield` command; heavy imports stand inside the commands."""

from __future__ import annotations

import sys
from typing import Any

from recshield.cli.app import app

__all__ = ["main"]


def _unraisable(found: Any) -> None:
    """Print what was raised where nothing can catch it, but for llvmlite's half-made handles.

    Ctrl-C may arrive while Numba compiles; a handle that was being made then fails in its `__del__`, which Python would
    print with a traceback above the sentence that says how to go on.
    """
    if not str(getattr(found.object, "__module__", "")).startswith("llvmlite."):
        sys.__unraisablehook__(found)


def main() -> None:
    """Run the command line; a RecshieldError is one sentence and exit code 2."""
    before, sys.unraisablehook = sys.unraisablehook, _unraisable
    is_interrupted = False
    try:
        app()
    except SystemExit as left:
        is_interrupted = left.code == 130
        raise
    except Exception as error:
        from recshield.core.errors import RecshieldError

        if not isinstance(error, RecshieldError):
            raise
        from rich.console import Console

        from recshield.report.text import safe

        Console(stderr=True).print(safe(f"error: {error}"), soft_wrap=True)
        sys.exit(2)
    finally:
        # What was half made when Ctrl-C came may go only after this, with the interpreter.
        if not is_interrupted:
            sys.unraisablehook = before
