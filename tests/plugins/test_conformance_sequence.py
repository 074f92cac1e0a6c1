"""`sasrec` and `gru4rec` run the conformance kit."""

from __future__ import annotations

from recshield.testing import RecommenderTests
from recshield_sequence import GRU4Rec, GRU4RecConfig, SASRec, SASRecConfig

EXCUSED = {"batches_hold_every_row": "it reads the three most recent rows of each user"}


class TestSASRec(RecommenderTests):
    recommender = SASRec


class TestSASRecOfShortMemory(RecommenderTests):
    recommender = SASRec
    config = SASRecConfig(dims=8, length=3, blocks=1, heads=2, dropout=0.2, std=0.3, batch=16, lr=0.01)
    excused = EXCUSED


class TestGRU4Rec(RecommenderTests):
    recommender = GRU4Rec


class TestGRU4RecOfShortMemory(RecommenderTests):
    recommender = GRU4Rec
    config = GRU4RecConfig(dims=8, length=3, dropout=0.2, std=0.3, batch=16, lr=0.01)
    excused = EXCUSED
