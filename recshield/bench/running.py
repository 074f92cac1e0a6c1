"""Time the pieces of a request one after another."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from recshield.bench.clock import roofline, timed
from recshield.bench.figures import BenchFile, Figure, Size, TimedPart
from recshield.bench.pieces import Held, Piece, Scene, of_attack, of_system
from recshield.core.errors import BadValue, RecshieldError, in_one_line
from recshield.core.registry import registry
from recshield.core.threads import threads
from recshield.matrix.cells import Cell
from recshield.matrix.executors import Executor
from recshield.matrix.loading import Context
from recshield.run import Prepared, Silent, prepare

#: Steps that have to be there before anything is timed.
_BEFORE = ("data", "images", "features")
Heard = Callable[[Figure], None]


def bench(request: dict[str, Any], repeats: int = 5, heard: Heard | None = None) -> BenchFile:
    """Time an epoch of every system, its full ranking, its features and every attack on it.

    Args:
        request: arguments of `run.prepare`: models, attacks, dataset, budget, device, threads and more; one seed.
        repeats: after one call to warm up.
        heard: is told each figure as soon as it is known.

    Returns:
        The figures. What cannot be timed is named in `skipped`; the rest is timed.

    Raises:
        RecshieldError: bad input, or data that cannot be made ready.
    """
    if repeats < 1:
        raise BadValue(f"repeats is {repeats}; it is at least 1")
    prepared = ready(request)
    plan = prepared.plan
    skipped = [f"{skip.system} under {skip.attack}: {skip.reason}" for skip in plan.skips]
    found: list[Figure] = []
    device = plan.request.device
    with threads(plan.request.threads):
        limit = roofline(device)
        scene = Scene(prepared, plan.data_keys[0])
        for piece in pieces(scene, skipped):
            took = timed(piece.ready, repeats, device)
            floor = limit.seconds(piece.moved, piece.flops)
            figure = Figure(
                kind=piece.kind, system=piece.system, attack=piece.attack, parts=_timed(piece.parts),
                examples=piece.examples, floor=floor, **vars(took),
            )  # fmt: skip
            found.append(figure)
            if heard:
                heard(figure)
    info = scene.data.info
    return BenchFile(
        machine=machine(device),
        request={
            "dataset": info.name,
            "data": data_digest(prepared),
            "threads": str(plan.request.threads),
            "repeats": str(repeats),
        },
        size=Size(users=info.n_users, items=info.n_items, rows=info.n_interactions),
        bytes_per_s=limit.bytes_per_s,
        flops_per_s=limit.flops_per_s,
        figures=tuple(found),
        skipped=tuple(skipped),
    )


def data_digest(prepared: Prepared) -> str:
    """Return a hash of what decides about the rows: data set, files, filters, split and their seed."""
    source, seed = prepared.plan.request.source, prepared.plan.request.data_seed
    told = json.dumps([source.content(), seed], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _timed(parts: Sequence[Held]) -> tuple[TimedPart, ...]:
    return tuple(TimedPart(name=one["name"], target=one["target"], options=one["options"]) for one in parts)


def ready(request: dict[str, Any]) -> Prepared:
    """Return a request whose data, images and features are there; arguments and errors as for `bench`."""
    prepared = prepare(**{**request, "controls": "none"})
    wanted = {key: step for key, step in prepared.plan.steps.items() if step.kind in _BEFORE}
    runner: Executor = registry().get("executor", "local")()
    context = Context(prepared.plan.request.device, prepared.plan.request.threads)
    outcome = runner.run(wanted, prepared.store, context, 1, Silent())
    for reason in outcome.failed.values():
        raise RecshieldError(reason)
    return prepared


def pieces(scene: Scene, skipped: list[str]) -> Iterator[Piece]:
    """Yield every piece of work of a request; what cannot be timed is added to `skipped`."""
    seen: set[str] = set()
    for cell in scene.prepared.plan.main():
        if cell.attack is None and cell.system.name not in seen:
            seen.add(cell.system.name)
            yield from _each(functools.partial(of_system, scene, cell), cell.system.name, skipped)
    for cell in scene.prepared.plan.main():
        if cell.attack is not None and not cell.attack.members:
            label = f"{cell.system.name} under {cell.attack.text}"
            yield from _each(functools.partial(_one, scene, cell), label, skipped)


def _one(scene: Scene, cell: Cell) -> Iterator[Piece]:
    yield of_attack(scene, cell)


def _each(make: Callable[[], Iterator[Piece]], label: str, skipped: list[str]) -> Iterator[Piece]:
    try:
        yield from make()
    except RecshieldError as error:
        skipped.append(f"{label}: {in_one_line(error)}")


def machine(device: str) -> dict[str, str]:
    """Return what a figure depends on beside the request: processor, device and versions."""
    held = {
        "processor": _processor(), "system": platform.platform(), "python": platform.python_version(),
        "torch": torch.__version__, "device": device,
    }  # fmt: skip
    if device.startswith("cuda"):
        held["device"] = f"{device}: {torch.cuda.get_device_name(device)}"
    return held


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as stream:
            lines = (line.partition(":") for line in stream)
            return next(value.strip() for key, _, value in lines if key.strip() == "model name")
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
