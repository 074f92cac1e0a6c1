"""Attacks on images: CPU seconds, memory, and the gradient through `lower` against the plain way.

    python benchmarks/pixels.py speed --images 3160 --size 96x64
    python benchmarks/pixels.py memory --images 2500 5000 --size 224x224
    python benchmarks/pixels.py naive --images 800 --size 64x64
    python benchmarks/pixels.py extract --images 192 --size 224x224 --threads 2

Images are random, as are the weights of extractor and model; neither cost hangs on them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from spine import interleaved

from recshield.core.interfaces import Access, Goal
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, View
from recshield.data.images import Images
from recshield.data.interactions import DataInfo, Interactions
from recshield.data.visual import IMAGES, Visual, image_chunks
from recshield.matrix.realised import realise
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.matrix.visuals import extract
from recshield_gradient import FGM, PGD
from recshield_visual import VBPRAMR, ResNet18, ResNet18Config, SmallCNN, SmallCNNConfig, VBPRAMRConfig

_EPS = Budget("linf", 4 / 255)
_USERS, _ROWS = 500, 60_000


def random_images(count: int, size: tuple[int, int], folder: Path) -> Images:
    """Return random images of a size, kept in a file of the folder."""
    rng = np.random.default_rng(0)
    path = folder / "images.npy"
    held = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *size, 3))
    for row in range(count):
        held[row] = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    held.flush()
    del held
    return Images(np.load(path, mmap_mode="r"), np.ones(count, dtype=bool))


def _victim(count: int, size: tuple[int, int], folder: Path) -> tuple[TrainedVictim, VBPRAMR, Interactions]:
    images = random_images(count, size, folder)
    extractor = SmallCNN(size, 20, SmallCNNConfig(), generator(0, "start"))
    extractor.eval().requires_grad_(False)
    raw = extract(extractor, images, torch.device("cpu"))
    visual = Visual(images, extractor, raw / raw.abs().max(), float(raw.abs().max()))
    rng = np.random.default_rng(1)
    rows = (rng.integers(_USERS, size=_ROWS), rng.integers(count, size=_ROWS))
    train = Interactions.from_rows(*rows, _USERS, count)
    model = VBPRAMR(DataInfo("random", _USERS, count, _ROWS, visual), VBPRAMRConfig(std=0.1), generator(0, "model"))
    model.eval().requires_grad_(False)
    access = Access.DATA | Access.GRADIENTS
    return TrainedVictim(model, train, degrade_pairs(train, 0), Goal(), IMAGES, access), model, train


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def speed(count: int, size: tuple[int, int], folder: Path) -> None:
    """Print CPU seconds of FGSM and of PGD with ten steps."""
    victim, model, train = _victim(count, size, folder)
    for attack in (FGM(), PGD()):
        access = Access.DATA | Access.GRADIENTS
        fresh = TrainedVictim(model, train, degrade_pairs(train, 0), Goal(), IMAGES, access)
        seconds = _cpu(lambda attack=attack, fresh=fresh: attack.perturb(fresh, _EPS, generator(0, "attack")))
        print(f"{attack.name}: {seconds:.1f} CPU s on {count} images of {size[0]} x {size[1]}")
    del victim


class _Peak(threading.Thread):
    """Looks at the anonymous memory of this process twenty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0

    def run(self) -> None:
        while True:
            text = Path("/proc/self/status").read_text(encoding="ascii")
            held = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon"))
            self.bytes = max(self.bytes, held)
            time.sleep(0.05)


def memory(count: int, size: tuple[int, int], folder: Path) -> None:
    """Print the peak of anonymous memory of FGSM, its projection, and the saved images."""
    peak = _Peak()
    peak.start()
    victim, model, _ = _victim(count, size, folder)
    start = time.perf_counter()
    delta = FGM().perturb(victim, _EPS, generator(0, "attack"))[IMAGES]
    (folder / "out").mkdir()
    realise(model, delta, folder / "out")
    seconds = time.perf_counter() - start
    print(f"{count} images of {size[0]} x {size[1]}: RssAnon at most {peak.bytes / 2**20:.0f} MiB, {seconds:.0f} s")


def naive(count: int, size: tuple[int, int], folder: Path) -> None:
    """Print the difference of the two gradients and the ratio of their times."""
    victim, model, train = _victim(count, size, folder)
    delta = victim.zeros()[IMAGES]
    pairs = degrade_pairs(train, 0)
    start = time.perf_counter()
    gradient = victim.ascend({IMAGES: delta})[1][IMAGES]
    ours = time.perf_counter() - start
    start = time.perf_counter()
    leaf = delta.clone().requires_grad_()
    for batch in pairs.batches(torch.device("cpu"), 512):
        items = torch.cat([batch.positives, batch.negatives]).unique()
        part = model.loss(batch, model.lower(View({IMAGES: leaf[items]}, {IMAGES: items})))
        (part / len(pairs)).backward()
    plain = time.perf_counter() - start
    assert leaf.grad is not None
    error = float((gradient - leaf.grad).abs().max() / leaf.grad.abs().max())
    print(f"largest difference {error:.1e} of the largest value; {ours:.1f} s by lower, {plain:.1f} s plainly, "
          f"{plain / ours:.0f} x")  # fmt: skip


def extraction(count: int, size: tuple[int, int], folder: Path) -> None:
    """Print the seconds of extraction by ResNet-18 beside those of its bare forward pass, in turns."""
    images = random_images(count, size, folder)
    config = ResNet18Config(weights="train", resize=0, crop=0)
    network = ResNet18(size, 2, config, generator(0, "start")).eval().requires_grad_(False)
    # What the network itself reads, in the same chunks.
    chunks = []
    for part in image_chunks(count):
        pixels = images.read(torch.arange(part.start, part.stop))
        chunks.append((pixels - network.mean) / network.deviation)

    def bare() -> None:
        with torch.no_grad():
            for chunk in chunks:
                network.network(chunk)

    def whole() -> None:
        extract(network, images, torch.device("cpu"))

    taken = interleaved(5, bare=bare, whole=whole)
    bare_s, whole_s = taken["bare"], taken["whole"]
    print(f"ResNet-18 on {count} images of {size[0]} x {size[1]}: {whole_s:.2f} s, bare forward pass {bare_s:.2f} s, "
          f"{whole_s / bare_s:.2f} x; {count / whole_s:.0f} images a second")  # fmt: skip


def main() -> None:
    """Run one benchmark; each size of `memory` has a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "naive", "extract"))
    parser.add_argument("--images", type=int, nargs="+", default=[800])
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    height, width = (int(side) for side in asked.size.split("x"))
    if len(asked.images) > 1:
        for count in asked.images:
            shared = [asked.what, "--images", str(count), "--size", asked.size, "--threads", str(asked.threads)]
            subprocess.run([sys.executable, __file__, *shared], check=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        works = {"speed": speed, "memory": memory, "naive": naive, "extract": extraction}
        works[asked.what](asked.images[0], (height, width), Path(folder))


if __name__ == "__main__":
    main()
