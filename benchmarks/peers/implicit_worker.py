"""implicit's BPR: lock-free plain SGD, one row after another. Arguments: rows.npz, dimensions, threads."""

from __future__ import annotations

import sys

import numpy as np
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix
from serve import serve

#: Epochs in one call, as in the other fast libraries.
EPOCHS = 10


def main() -> None:
    """Time epochs of a model that goes on from where it was."""
    path, dims, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    held = np.load(path)
    shape = (int(held["n_users"]), int(held["n_items"]))
    rows = csr_matrix((np.ones(len(held["users"]), np.float32), (held["users"], held["items"])), shape=shape)
    model = BayesianPersonalizedRanking(factors=dims, learning_rate=0.05, iterations=EPOCHS, num_threads=threads)
    taken: list[float] = []

    def epoch() -> float:
        # The callback hears the seconds of each epoch alone, without what a call of fit sets up.
        model.fit(rows, show_progress=False, callback=lambda *told: taken.append(told[1]))
        return sum(taken[-EPOCHS:]) / EPOCHS

    serve({"epoch": epoch})


if __name__ == "__main__":
    main()
