"""Time an epoch of `sasrec` beside the same model padded, SAO in both variants and `gru4rec`, in one run.

    python benchmarks/sequences.py --data-dir DIR [--dataset amazon-video] [--threads 2] [--batches 0] [--repeats 3]

Every figure is a median of epochs that are interleaved, so that a machine that slows down slows all of them down. With
`--batches` an epoch is extrapolated from its first batches, which are drawn at random as all are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from recshield.core.interfaces import Access, Goal, Objective
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.catalogue import resolve
from recshield.data.splits import Split
from recshield.evaluation.ranking import rank
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.training import Adversarial, ModelLoss, evaluate
from recshield_sequence import GRU4Rec, GRU4RecConfig, SASRec, SASRecConfig
from recshield_sequence.batches import training_batches

Model = SASRec | GRU4Rec
Work = Callable[[], float]


def seconds(work: Work) -> float:
    """Return how long a call takes, times the factor that it returns."""
    start = time.perf_counter()
    factor = work()
    return (time.perf_counter() - start) * factor


def interleaved(repeats: int, works: dict[str, Work]) -> dict[str, float]:
    """Return the median seconds of each piece of work, run in turn."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in taken.items()}


def epoch_of(model: Model, split: Split, objective: Objective, n_batches: int, width: int = 0) -> Work:
    """Return an epoch, or its first batches and what the time of those is to be multiplied by."""
    train, config = split.dataset.train, model.config
    model.remember(split.dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, betas=(0.9, 0.98), fused=True)
    counter = itertools.count()

    def work() -> float:
        model.train()
        rng = generator(0, "epoch", next(counter))
        done = seen = 0
        for batch in training_batches(train, config.length, config.batch, rng, width):
            optimizer.zero_grad(set_to_none=True)
            evaluate(model, objective, batch).backward()
            optimizer.step()
            done, seen = done + 1, seen + len(batch.users.unique())
            if done == n_batches:
                break
        return float((train.indptr[1:] - train.indptr[:-1] > 1).sum()) / seen

    return work


def epochs(split: Split, n_batches: int, repeats: int) -> dict[str, float]:
    """Time an epoch of each kind."""
    config = SASRecConfig()

    def sasrec() -> SASRec:
        return SASRec(split.dataset.info, config, generator(0, "start"))

    plain, budget = ModelLoss(), Budget("l2", 0.2)
    works = {
        "sasrec": epoch_of(sasrec(), split, plain, n_batches),
        "sasrec_padded": epoch_of(sasrec(), split, plain, n_batches, config.length),
        "sao_paper": epoch_of(sasrec(), split, Adversarial(plain, "sequence", budget, 1.0), n_batches),
        "sao_code": epoch_of(sasrec(), split, Adversarial(plain, "items.target", budget, 1.0), n_batches),
        "gru4rec": epoch_of(
            GRU4Rec(split.dataset.info, GRU4RecConfig(), generator(0, "start")), split, plain, n_batches
        ),
    }
    return interleaved(repeats, works)


def serving(split: Split) -> dict[str, float]:
    """Time the full ranking of all users, and one gradient of the goal."""
    model = SASRec(split.dataset.info, SASRecConfig(), generator(0, "start"))
    model.remember(split.dataset)
    model.eval().requires_grad_(False)
    train = split.dataset.train
    access = Access.DATA | Access.GRADIENTS
    victim = TrainedVictim(model, train, degrade_pairs(train, 0), Goal(), "sequence", access)
    delta = victim.zeros()
    delta["sequence"][0] = 1e-3  # the gradient at zero is kept from the first time on

    def ranking() -> float:
        rank(model.scoring(), train, split.test)
        return 1.0

    def gradient() -> float:
        victim.ascend(delta)
        return 1.0

    gradient()  # draws the clean lists
    return interleaved(1, {"full_ranking": ranking, "attack_gradient": gradient})


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--dataset", default="amazon-video")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, default=0, help="batches per timed epoch; 0 = all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    split = resolve(asked.dataset, asked.data_dir).split()
    found = epochs(split, asked.batches, asked.repeats) | serving(split)
    ratios = {
        "padded / sasrec (at least 4)": found["sasrec_padded"] / found["sasrec"],
        "SAO, paper / sasrec (at most 3)": found["sao_paper"] / found["sasrec"],
        "SAO, code / sasrec (at most 3)": found["sao_code"] / found["sasrec"],
    }
    print(f"{asked.dataset}, {asked.threads} threads, median of {asked.repeats}, torch {torch.__version__}")
    for name, value in found.items():
        print(f"{name.replace('_', ' '):32} {value:9.3f} s")
    for name, value in ratios.items():
        print(f"{name:32} {value:9.2f}")
    if asked.json:
        held = {"machine": platform.platform(), "threads": asked.threads, "seconds": found, "ratios": ratios}
        asked.json.write_text(json.dumps(held, indent=1) + "\n")


if __name__ == "__main__":
    main()
