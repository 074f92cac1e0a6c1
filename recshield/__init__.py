"""recshield: attacks on recommender systems crossed with defenses, every figure with a credibility verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recshield.run import MatrixRun, run_matrix

__version__ = "0.1.0"
__all__ = ["MatrixRun", "__version__", "run_matrix"]


def __getattr__(name: str) -> Any:
    if name in ("MatrixRun", "run_matrix"):
        from recshield import run

        return getattr(run, name)
    raise AttributeError(f"module 'recshield' has no attribute '{name}'")
