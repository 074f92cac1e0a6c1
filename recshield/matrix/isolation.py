"""A random state of its own for every step, whatever ran before it in the process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Give the block seeded global generators, and put back what was there.

    First-party code draws from named generators. A third party's model may draw from the global ones (`nn.Embedding`
    and `nn.Dropout` do); this keeps its figures independent of what ran before.

    Args:
        seed: 63 bits.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - the global state is the point
    with torch.random.fork_rng(devices):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
