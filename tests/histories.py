"""Histories of different lengths, and sequence models that know them."""

from __future__ import annotations

import numpy as np

from recshield.core.seeds import generator
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield_sequence import GRU4Rec, GRU4RecConfig, SASRec, SASRecConfig
from recshield_sequence.sequential import Sequential

LENGTHS = (0, 1, 2, 3, 7, 12, 5, 1, 9, 4)


def ragged_data(lengths: tuple[int, ...] = LENGTHS, n_items: int = 40) -> Dataset:
    """Return users with histories of the lengths given; the first has none."""
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(len(lengths)), lengths)
    items = np.concatenate([rng.permutation(n_items)[:length] for length in lengths])
    train = Interactions.from_rows(users, items, len(lengths), n_items)
    return Dataset(
        DataInfo("ragged", len(lengths), n_items, len(train)), train, np.arange(len(lengths)), np.arange(n_items)
    )


def made(config: SASRecConfig | GRU4RecConfig, data: Dataset) -> Sequential:
    """Return a model that knows the data, at start values large enough for scores to differ."""
    kind = SASRec if isinstance(config, SASRecConfig) else GRU4Rec
    model = kind(data.info, config, generator(0, "start"))
    model.remember(data)
    return model.eval()
