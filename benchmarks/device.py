"""Time training, ranking, histories and attacks on images on a GPU, and hold what they give against the CPU.

    python benchmarks/device.py --data-dir DIR [--device cuda] [--epochs 1000] [--images 3160] [--json FILE]

Seconds are those of the wall clock with the device waited for; compilation is outside of them. With `--device cpu` the
same code runs on the CPU, to see that it runs: `--epochs 2 --images 8 --size 32x32 --extractor small-cnn`.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pixels import random_images
from spine import seconds

from recshield.core.extractors import Extractor
from recshield.core.interfaces import Access, Goal, Objective
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.catalogue import resolve
from recshield.data.interactions import DataInfo, Interactions
from recshield.data.splits import Split
from recshield.data.visual import IMAGES, Visual
from recshield.evaluation.ranking import Extras, device_users, rank
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.matrix.visuals import extract
from recshield.training import Adversarial, ModelLoss
from recshield_factor import MF, MFConfig
from recshield_gradient import PGD
from recshield_sequence import SASRec, SASRecConfig
from recshield_visual import VBPRAMR, ResNet50, ResNet50Config, SmallCNN, SmallCNNConfig, VBPRAMRConfig

Found = dict[str, float]
APR = Adversarial(ModelLoss(), "factors", Budget("l2", 0.5), 1.0)
SAO = Adversarial(ModelLoss(), "items.target", Budget("l2", 0.2), 1.0)


def waited(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a call, those included that the device still needs behind it."""

    def whole() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return seconds(whole)


def factorised(split: Split, device: torch.device, objective: Objective, epochs: int) -> tuple[MF, float]:
    """Return a trained model and the seconds of its training, behind two epochs that compile."""
    made = []
    for count in (2, epochs):
        model = MF(split.dataset.info, MFConfig(), generator(0, "start")).to(device)

        def fit(model: MF = model, count: int = count) -> None:
            model.fit(split.dataset, objective, generator(0, "fit"), epochs=count)

        made.append((model, waited(fit, device)))
    return made[-1]


def training(split: Split, device: torch.device, epochs: int) -> Found:
    """Time BPR and APR, and compare three epochs of APR with the CPU's."""
    found = {f"{epochs} epochs of BPR": factorised(split, device, ModelLoss(), epochs)[1]}
    found[f"{epochs} epochs of APR"] = factorised(split, device, APR, epochs)[1]
    here, there = (factorised(split, one, APR, 3)[0].cpu() for one in (torch.device("cpu"), device))
    gaps = [
        (one.detach() - other.detach()).abs().max()
        for one, other in zip(here.parameters(), there.parameters(), strict=True)
    ]
    return found | {"largest difference of a factor after 3 epochs of APR": float(max(gaps))}


def ranking(split: Split, device: torch.device, repeats: int) -> Found:
    """Time ranks and lists beside the bare product of the same shapes, and count ranks that differ from the CPU's."""
    train, test = split.dataset.train, split.test
    model = MF(split.dataset.info, MFConfig(std=1.0), generator(0, "start")).requires_grad_(False)
    on_cpu = rank(model.scoring(), train, test).ranks
    model.to(device)
    users = model.user.detach()[torch.from_numpy(test.users.astype(np.int64)).to(device)]

    def bare() -> None:
        for part in users.split(device_users(train.n_items)):
            part @ model.item.T

    works = {
        "bare product": bare,
        "ranks": lambda: rank(model.scoring(), train, test, device=device),
        "ranks and lists of 100": lambda: rank(model.scoring(), train, test, device=device, extras=Extras(100)),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            taken[name].append(waited(work, device))
    found = {name: float(np.median(values[1:])) for name, values in taken.items()}
    there = rank(model.scoring(), train, test, device=device).ranks
    return found | {"share of ranks that differ from the CPU's": float((there != on_cpu).mean())}


def histories(split: Split, device: torch.device, repeats: int) -> Found:
    """Time an epoch of SASRec and one of SAO, in turn."""
    taken: dict[str, list[float]] = {"an epoch of SASRec": [], "an epoch of SAO": []}
    for turn in range(repeats + 1):
        for name, objective in zip(taken, (ModelLoss(), SAO), strict=True):
            model = SASRec(split.dataset.info, SASRecConfig(), generator(0, "start")).to(device)

            def fit(model: SASRec = model, goal: Objective = objective, turn: int = turn) -> None:
                model.fit(split.dataset, goal, generator(turn, "fit"), epochs=1)

            taken[name].append(waited(fit, device))
    return {name: float(np.median(values[1:])) for name, values in taken.items()}


def images(count: int, size: tuple[int, int], device: torch.device, kind: str) -> Found:
    """Time ten steps of PGD on random images through an extractor with random weights."""
    with tempfile.TemporaryDirectory() as folder:
        held = random_images(count, size, Path(folder))
        if kind == "resnet50":
            config = ResNet50Config(weights="train", resize=0, crop=0)
            network: Extractor = ResNet50(size, 20, config, generator(0, "start"))
        else:
            network = SmallCNN(size, 20, SmallCNNConfig(), generator(0, "start"))
        network = network.to(device).eval().requires_grad_(False)
        raw = extract(network, held, device).cpu()
        visual = Visual(held, network, raw / raw.abs().max(), float(raw.abs().max()))
        rng = np.random.default_rng(1)
        rows = rng.integers(500, size=60_000), rng.integers(count, size=60_000)
        train = Interactions.from_rows(*rows, 500, count)
        info = DataInfo("random", 500, count, len(train), visual)
        model = VBPRAMR(info, VBPRAMRConfig(std=0.1), generator(0, "model")).to(device).eval().requires_grad_(False)

        def attacked(steps: int) -> None:
            goal = Goal(), IMAGES, Access.DATA | Access.GRADIENTS
            victim = TrainedVictim(model, train, degrade_pairs(train, 0), *goal)
            PGD(steps=steps).perturb(victim, Budget("linf", 4 / 255), generator(0, "attack"))

        attacked(1)
        taken = waited(lambda: attacked(10), device)
    return {"PGD-10 on images": taken, "images a second": count / taken}


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--dataset", default="amazon-video")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=3160)
    parser.add_argument("--size", default="224x224")
    parser.add_argument("--extractor", choices=("resnet50", "small-cnn"), default="resnet50")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    split = resolve(asked.dataset, asked.data_dir).split()
    height, width = (int(side) for side in asked.size.split("x"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.platform()
    print(f"{asked.dataset}, {name}, torch {torch.__version__}")
    found: Found = {}
    for part in (
        lambda: training(split, device, asked.epochs),
        lambda: ranking(split, device, asked.repeats),
        lambda: histories(split, device, asked.repeats),
        lambda: images(asked.images, (height, width), device, asked.extractor),
    ):
        some = part()
        found |= some
        for what, value in some.items():
            print(f"{what:52} {value:12.5g}", flush=True)
    found["ranks / bare product"] = found["ranks"] / found["bare product"]
    print(f"{'ranks / bare product':52} {found['ranks / bare product']:12.5g}")
    if asked.json:
        asked.json.write_text(
            json.dumps({"machine": name, "torch": torch.__version__, "found": found}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
