"""The `recshield` command; heavy imports stand inside the commands."""

from __future__ import annotations

import sys

from recshield.cli.app import app

__all__ = ["main"]


def main() -> None:
    """Run the command line; a RecshieldError is one sentence and exit code 2."""
    try:
        app()
    except Exception as error:
        from recshield.core.errors import RecshieldError

        if not isinstance(error, RecshieldError):
            raise
        from rich.console import Console

        from recshield.report.text import safe

        Console(stderr=True).print(safe(f"error: {error}"), soft_wrap=True)
        sys.exit(2)
