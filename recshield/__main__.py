"""`python -m recshield` is the `recshield` command."""

from __future__ import annotations

from recshield.cli import main

if __name__ == "__main__":
    main()
