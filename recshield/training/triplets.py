"""What models trained on triplets with BPR share: start values, batches, gathering, the loss, checks of settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch
from recshield.data.interactions import Dataset
from recshield.training.draws import epoch_triplets


def truncated_normal(rows: int, width: int, std: float, rng: Generator) -> Tensor:
    """Return (rows, width) draws cut at two standard deviations; the first rows do not depend on `rows`."""
    edge = math.erf(2 / math.sqrt(2))
    uniform = torch.rand((rows, width), generator=rng, dtype=torch.float64)
    return (torch.erfinv((uniform * 2 - 1) * edge) * math.sqrt(2) * std).float()


def triplet_batches(data: Dataset, rng: Generator, size: int) -> Iterator[Batch]:
    """Yield every training row once, in random order, with a fresh negative each."""
    triplets = epoch_triplets(data.train, rng.initial_seed(), 0)
    columns = [torch.from_numpy(part).long() for part in (triplets.users, triplets.positives, triplets.negatives)]
    for users, positives, negatives in zip(*(column.split(size) for column in columns), strict=True):
        yield Batch(users, positives, negatives)


def gather(table: Tensor, rows: Tensor) -> Tensor:
    """Return (len(rows), width) rows of a table; the gradient of a row that repeats is summed in a fixed order."""
    return torch.nn.functional.embedding(rows, table)


def bpr(margins: Tensor) -> Tensor:
    """Return the sum of -ln sigmoid(margin) (Rendle et al. 2009, arXiv:1205.2618, BPR-Opt)."""
    return torch.nn.functional.softplus(-margins).sum()


def check_settings(model: str, config: object, least: Mapping[str, int], positive: tuple[str, ...], l2: float) -> None:
    """Raise BadValue unless whole numbers reach their least value, others are above 0 and `l2` is at least 0."""
    for name, low in least.items():
        if getattr(config, name) < low:
            raise BadValue(f"model '{model}': {name} is {getattr(config, name)}; it is at least {low}")
    for name in positive:
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) > 0):
            raise BadValue(f"model '{model}': {name} is {getattr(config, name)}; it is a finite number above 0")
    if not (math.isfinite(l2) and l2 >= 0):
        raise BadValue(f"model '{model}': l2 is {l2}; it is a finite number of at least 0")
