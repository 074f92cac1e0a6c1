"""cornac's BPR: plain SGD, one row after another. Arguments: rows.npz, dimensions, threads."""

from __future__ import annotations

import sys
import time

import cornac
import numpy as np
from serve import serve

#: Epochs in one call; a call of none more is taken off, so that what it sets up is not in the figure.
EPOCHS = 10


def main() -> None:
    """Time epochs as the difference of two fits."""
    path, dims, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    held = np.load(path)
    triples = [(int(user), int(item), 1.0) for user, item in zip(held["users"], held["items"], strict=True)]
    train = cornac.data.Dataset.from_uir(triples, seed=0)

    def fit(epochs: int) -> float:
        model = cornac.models.BPR(
            k=dims, max_iter=epochs, learning_rate=0.05, lambda_reg=0.01, num_threads=threads, verbose=False, seed=None
        )
        start = time.perf_counter()
        model.fit(train)
        return time.perf_counter() - start

    def epoch() -> float:
        few, many = fit(1), fit(1 + EPOCHS)
        return (many - few) / EPOCHS

    serve({"epoch": epoch})


if __name__ == "__main__":
    main()
