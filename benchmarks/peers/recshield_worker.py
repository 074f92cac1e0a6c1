"""recshield's own epochs. Arguments: rows.npz, dimensions, threads, then the works that are wanted."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from serve import serve

from recshield.core.interfaces import Objective
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.training import Adversarial, ModelLoss, epoch_triplets, evaluate
from recshield.training.kernels import FactorTrainer
from recshield_factor import MF, MFConfig
from recshield_sequence import SASRec, SASRecConfig
from recshield_sequence.batches import training_batches

#: Epochs in one call where one takes less than a tenth of a second; the same for every library.
EPOCHS = 10


def read(path: str) -> Dataset:
    """Return the rows as a data set; they stand user by user, in the order of time."""
    held = np.load(path)
    counts = np.bincount(held["users"], minlength=int(held["n_users"]))
    train = Interactions(np.concatenate([[0], np.cumsum(counts)]), held["items"].astype(np.int32), int(held["n_items"]))
    info = DataInfo("rows", int(held["n_users"]), int(held["n_items"]), len(held["users"]))
    return Dataset(info, train, np.arange(info.n_users), np.arange(info.n_items))


def factors(data: Dataset, dims: int, **settings: float) -> Callable[[], float]:
    """Return an epoch of BPR, or with eps and weight of APR, its sampling in it."""
    model, counter = MF(data.info, MFConfig(dims=dims), generator(0, "start")), itertools.count()
    tables = [table.detach().numpy().copy() for table in (model.user, model.item)]
    trainer = FactorTrainer(tables[0], tables[1], 512, 0.05, 0.1, **settings)

    def epochs() -> float:
        start = time.perf_counter()
        for _ in range(EPOCHS):
            trainer.epoch(epoch_triplets(data.train, 0, next(counter)))
        return (time.perf_counter() - start) / EPOCHS

    return epochs


def sequences(data: Dataset, width: int = 0, objective: Objective | None = None) -> Callable[[], float]:
    """Return an epoch of SASRec; with a width every history is padded to it, as in published code."""
    config = SASRecConfig()
    model, counter = SASRec(data.info, config, generator(0, "start")), itertools.count()
    model.remember(data)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, betas=(0.9, 0.98), fused=True)

    def epoch() -> float:
        model.train()
        start = time.perf_counter()
        for batch in training_batches(
            data.train, config.length, config.batch, generator(0, "epoch", next(counter)), width
        ):
            optimizer.zero_grad(set_to_none=True)
            evaluate(model, objective or ModelLoss(), batch).backward()
            optimizer.step()
        return time.perf_counter() - start

    return epoch


def main() -> None:
    """Time what is asked for."""
    path, dims, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    data, budget = read(path), Budget("l2", 0.2)
    makers: dict[str, Callable[[], Callable[[], float]]] = {
        "bpr": lambda: factors(data, dims),
        "apr": lambda: factors(data, dims, eps_user=0.5, eps_item=0.5, weight=1.0),
        "sasrec": lambda: sequences(data),
        "padded": lambda: sequences(data, SASRecConfig().length),
        "sao": lambda: sequences(data, 0, Adversarial(ModelLoss(), "items.target", budget, 1.0)),
    }
    serve({name: makers[name]() for name in sys.argv[4:]})


if __name__ == "__main__":
    main()
