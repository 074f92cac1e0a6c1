"""Time one epoch, one attack gradient and one full ranking side by side with their floors, in one run.

    python benchmarks/spine.py --data-dir DIR [--dataset amazon-video] [--threads 2] [--repeats 7] [--json FILE]

Every figure is a median; each pair that a ratio is taken of is interleaved, so that a machine that slows down slows
both down.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from recshield.core.interfaces import Access, Batch, Goal
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.catalogue import resolve
from recshield.data.splits import Split
from recshield.evaluation.ranking import rank
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.training import Adversarial, ModelLoss, epoch_triplets, evaluate
from recshield.training.kernels import FactorTrainer
from recshield_factor import MF, MFConfig
from recshield_gradient import PGD

Work = Callable[[], object]


def seconds(work: Work) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(repeats: int, **works: Work) -> dict[str, float]:
    """Return the median seconds of each piece of work, run in turn after one warm-up each."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in taken.items()}


def epochs(split: Split, repeats: int) -> dict[str, float]:
    """Time sampling, a BPR epoch and an APR epoch (both with sampling)."""
    train = split.dataset.train
    model = MF(split.dataset.info, MFConfig(), generator(0, "start"))
    counter = iter(range(10**9))

    def epoch_of(**settings: float) -> Work:
        tables = [table.detach().numpy().copy() for table in (model.user, model.item)]
        trainer = FactorTrainer(tables[0], tables[1], 512, 0.05, 0.1, **settings)
        return lambda: trainer.epoch(epoch_triplets(train, 0, next(counter)))

    return interleaved(
        repeats,
        sampling=lambda: epoch_triplets(train, 0, next(counter)),
        bpr_epoch=epoch_of(),
        apr_epoch=epoch_of(eps_user=0.5, eps_item=0.5, weight=1.0),
    )


def plain_epoch(split: Split, n_batches: int) -> dict[str, float]:
    """Time BPR and APR epochs done the plain way (autograd, dense Adagrad), extrapolated from some batches."""
    triplets = epoch_triplets(split.dataset.train, 0, 0)
    columns = [torch.from_numpy(part).long() for part in (triplets.users, triplets.positives, triplets.negatives)]
    batches = [Batch(*parts) for parts in zip(*(column.split(512) for column in columns), strict=True)]
    found = {}
    for name, objective in (
        ("plain_bpr_epoch", ModelLoss()),
        ("plain_apr_epoch", Adversarial(ModelLoss(), "factors", Budget("l2", 0.5), 1.0)),
    ):
        model = MF(split.dataset.info, MFConfig(), generator(0, "start"))
        optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05, initial_accumulator_value=0.1)
        start = time.perf_counter()
        for batch in batches[:n_batches]:
            optimizer.zero_grad()
            evaluate(model, objective, batch).backward()
            optimizer.step()
        found[name] = (time.perf_counter() - start) * len(batches) / n_batches
    return found


def ranking(split: Split, repeats: int) -> dict[str, float]:
    """Time the full ranking of all users, and the bare chunked matrix product under it."""
    model = MF(split.dataset.info, MFConfig(std=1.0), generator(0, "start")).requires_grad_(False)
    users, items = model.user.detach(), model.item.detach()

    def bare() -> None:
        for part in users.split(128):
            part @ items.T

    def full() -> None:
        rank(model.scoring(), split.dataset.train, split.test)

    return interleaved(repeats, bare_product=bare, full_ranking=full)


def attack(split: Split, repeats: int) -> dict[str, float]:
    """Time one gradient of the attacked loss over three triplets per training row, and PGD with 25 steps from it."""
    train = split.dataset.train
    model = MF(split.dataset.info, MFConfig(std=1.0), generator(0, "start")).requires_grad_(False)
    access = Access.DATA | Access.GRADIENTS
    pairs = degrade_pairs(train, 0)

    def aimed() -> TrainedVictim:
        return TrainedVictim(model, train, pairs, Goal(), "factors", access)

    victim = aimed()
    delta = {name: torch.full_like(held, 1e-3) for name, held in victim.zeros().items()}  # at zero it is kept
    return interleaved(
        repeats,
        attack_gradient=lambda: victim.ascend(delta),
        pgd_25=lambda: PGD(steps=25).perturb(aimed(), Budget("l2", 0.5), generator(0, "pgd")),
    )


def help_page(repeats: int) -> dict[str, float]:
    """Time `recshield --help` as a process."""
    command = [sys.executable, "-m", "recshield", "--help"]
    return interleaved(repeats, help_page=lambda: subprocess.run(command, capture_output=True, check=True))


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--dataset", default="amazon-video")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--plain-batches", type=int, default=40)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    split = resolve(asked.dataset, asked.data_dir).split()
    found = epochs(split, asked.repeats) | plain_epoch(split, asked.plain_batches) | ranking(split, asked.repeats)
    found |= attack(split, asked.repeats) | help_page(asked.repeats)
    ratios = {
        "APR epoch / BPR epoch": found["apr_epoch"] / found["bpr_epoch"],
        "plain BPR epoch / BPR epoch": found["plain_bpr_epoch"] / found["bpr_epoch"],
        "plain APR epoch / APR epoch": found["plain_apr_epoch"] / found["apr_epoch"],
        "PGD-25 / one gradient": found["pgd_25"] / found["attack_gradient"],
        "full ranking / bare product": found["full_ranking"] / found["bare_product"],
    }
    print(f"{asked.dataset}, {asked.threads} threads, median of {asked.repeats}, torch {torch.__version__}")
    for name, value in found.items():
        print(f"{name.replace('_', ' '):32} {value:9.4f} s")
    for name, value in ratios.items():
        print(f"{name:32} {value:9.2f}")
    if asked.json:
        held = {"machine": platform.platform(), "threads": asked.threads, "seconds": found, "ratios": ratios}
        asked.json.write_text(json.dumps(held, indent=1) + "\n")


if __name__ == "__main__":
    main()
