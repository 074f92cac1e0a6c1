"""The pieces of a run under pytest-benchmark: train, attack, rank, extract; on the CPU and where there is CUDA.

    pytest -n0 benchmarks --benchmark-only

The data is `amazon-video` where RECSHIELD_DATA names a folder, else `synthetic`; visual models are timed on the
embedded shop. Making what is timed, moving it and the first call, which compiles, stay outside; CUDA is synchronised.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import pytest
import torch

from recshield.bench.pieces import Piece, Scene
from recshield.bench.running import pieces, ready
from recshield.core.threads import threads

THREADS = 2
ROUNDS = 5
FACTORS = ("mf", "amf", "lightgcn", "neumf")
SEQUENCES = ("sasrec", "asasrec", "gru4rec")
VISUAL = ("vbpr-amr", "amr")
ATTACKS = {
    "factors": ("fgsm", "pgd"),
    "sequence": ("fgsm@sequence",),
    "visual": ("fgsm@item_features", "fgsm@item_images"),
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]
CASES = [
    (family, system, kind)
    for family, systems in (("factors", FACTORS), ("sequence", SEQUENCES), ("visual", VISUAL))
    for system in systems
    for kind in ("train", "rank", *ATTACKS[family], *(("extract",) if family == "visual" else ()))
]


@functools.cache
def _timed(family: str, system: str, device: str) -> dict[str, Piece]:
    request: dict[str, Any] = {
        "models": [system],
        "attacks": list(ATTACKS[family]),
        "device": device,
        "threads": THREADS,
    }
    if family == "visual":
        request |= {"dataset": "synthetic-fashion", "budget": ["item_features=l2:0.1", "item_images=linf:4/255"]}
    elif os.environ.get("RECSHIELD_DATA"):
        request |= {"dataset": "amazon-video"}
    else:
        request |= {"dataset": "synthetic"}
    prepared = ready(request)
    found = pieces(Scene(prepared, prepared.plan.data_keys[0]), [])
    return {one.attack.split(" on ")[0] or one.kind: one for one in found}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("family", "system", "kind"), CASES, ids=[f"{system}-{kind}" for _, system, kind in CASES])
def test_piece(benchmark: Any, family: str, system: str, kind: str, device: str) -> None:
    """Time one piece."""
    with threads(THREADS):
        piece = _timed(family, system, device)[kind]
        benchmark.group = piece.kind
        benchmark.extra_info |= {"examples": piece.examples, "device": device, "threads": THREADS}

        def work(call: Any) -> None:
            call()
            if device == "cuda":
                torch.cuda.synchronize()

        benchmark.pedantic(work, setup=lambda: ((piece.ready(),), {}), rounds=ROUNDS, iterations=1, warmup_rounds=1)
        assert len(benchmark.stats.stats.data) == ROUNDS
