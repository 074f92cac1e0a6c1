"""Sequence models: `sasrec`, `gru4rec`, and the systems of the SAO paper."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Recommender
from recshield_sequence.gru4rec import GRU4Rec, GRU4RecConfig
from recshield_sequence.sasrec import SASRec, SASRecConfig

__all__ = ["GRU4Rec", "GRU4RecConfig", "SASRec", "SASRecConfig"]


@hookimpl
def recshield_recommenders() -> list[type[Recommender]]:
    """Return the models."""
    return [SASRec, GRU4Rec]


@hookimpl
def recshield_presets() -> dict[str, str]:
    """Return SAO as its paper has it, and as its published code does."""
    return {
        "asasrec-paper": "sasrec+advreg@sequence:eps=0.2,weight=1,epochs=60",
        "asasrec": "sasrec+advreg@items.target:eps=0.2,weight=1,epochs=60",
    }
