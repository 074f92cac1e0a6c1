"""The pieces of work that are timed: what steps of a plan do, without their files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from recshield.bench.clock import Work
from recshield.bench.work import acting
from recshield.core.errors import BadValue, RecshieldError
from recshield.core.interfaces import Attack, Goal, Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.interactions import Dataset
from recshield.data.visual import IMAGES, Visual
from recshield.evaluation.ranking import rank
from recshield.matrix.cells import Cell
from recshield.matrix.fitting import Training, part_of, training
from recshield.matrix.loading import Context, load_data
from recshield.matrix.systems import make
from recshield.matrix.victims import TrainedVictim, degrade_pairs, oracle_pairs
from recshield.matrix.visuals import extract, with_visual
from recshield.run import Prepared

Held = Mapping[str, Any]
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Piece:
    """One piece of work.

    Attributes:
        kind: `train`, `attack`, `rank` or `extract`.
        system: as asked for.
        attack: with its budget, or "".
        parts: model, defenses that act in its training, then the attack; or the extractor alone.
        ready: returns what is timed, new for each call: an attack's victim keeps the gradient at the clean point.
        examples: training rows, pairs, users or images that one call handles.
        moved: bytes of the rows that it reads and writes; 0 = not known.
        flops: operations in float32 of its inner products; 0 = not known.
    """

    kind: Literal["train", "attack", "rank", "extract"]
    system: str
    ready: Callable[[], Work]
    examples: int
    parts: Sequence[Held]
    attack: str = ""
    moved: float = 0.0
    flops: float = 0.0


class Scene:
    """Data of a plan, and its systems after one epoch: enough to time them, not to measure them."""

    def __init__(self, prepared: Prepared, key: str) -> None:
        self.prepared, self.device = prepared, torch.device(prepared.plan.request.device)
        self.data, self.test = load_data(prepared.store.need(key))
        self._models: dict[str, Recommender] = {}

    def _spec(self, key: str) -> Held:
        spec: Held = self.prepared.plan.steps[key].spec
        if len(spec["parts"]) > 1:
            raise BadValue("a benchmark times one value of each option; name one in place of several")
        return spec

    def parts(self, key: str) -> list[Held]:
        """Return the model and the defenses that act in a training step."""
        return acting(self.prepared.plan.steps, key)

    def visual(self, key: str) -> Dataset:
        """Return the data as the system of a training step reads it."""
        context = Context(str(self.device), self.prepared.plan.request.threads)
        return with_visual(self.data, self._spec(key)["visual"], self.prepared.store, context)

    def extractor(self, key: str) -> Held:
        """Return the extractor of a system that reads images."""
        held: Held = self._spec(key)["visual"]["extractor"]
        return held

    def training(self, key: str) -> Training:
        """Return a training step before its first epoch; what it goes on from has had one."""
        spec = self._spec(key)
        base = spec["base"]
        state = self._trained(base).state_dict() if base else None
        made = training(self.parts(key), state, self.visual(key), spec["seed"])
        made.model.to(self.device)
        return made

    def _trained(self, key: str) -> Recommender:
        if key not in self._models:
            made = self.training(key)
            made.model.fit(made.data, made.objective, generator(0, "bench", "fit"), 1)
            self._models[key] = made.model.eval()
        return self._models[key]

    def system(self, cell: Cell) -> Recommender:
        """Return the system of a cell after one epoch, its defenses' `serve` applied."""
        plan = self.prepared.plan
        model = self._trained(plan.steps_of[cell.id].train).requires_grad_(False)
        for held in plan.steps[plan.steps_of[cell.id].measure].spec["system"]["serve"]:
            if held["systems"]:
                raise BadValue(f"defense '{held['part']['name']}' names a system; a benchmark trains none")
            model = make(part_of(held["part"]), {}).serve(model)
        return model.eval()


def of_system(scene: Scene, cell: Cell) -> Iterator[Piece]:
    """Yield an epoch of training, a full ranking, and the features of all images where the system reads any."""
    key, name = scene.prepared.plan.steps_of[cell.id].train, cell.system.name
    made = scene.training(key)
    count = iter(range(10**9))

    def epoch() -> Work:
        rng = generator(next(count), "bench", "epoch")
        return lambda: made.model.fit(made.data, made.objective, rng, 1)

    parts = scene.parts(key)
    yield Piece("train", name, epoch, len(made.data.train), parts, moved=_moved(made))
    model = scene.system(cell)
    users = len(scene.test.users)
    flops = 2.0 * users * scene.data.info.n_items * _width(model)
    yield Piece("rank", name, lambda: lambda: _ranked(model, scene), users, parts, flops=flops)
    held = scene.visual(key).info.visual
    if held is not None:
        yield Piece("extract", name, lambda: lambda: _extracted(held, scene), len(held.images), [scene.extractor(key)])


def of_attack(scene: Scene, cell: Cell) -> Piece:
    """Return one perturbation by the attack of a cell."""
    assert cell.attack is not None
    plan = scene.prepared.plan
    spec = plan.steps[plan.steps_of[cell.id].attack].spec
    if spec["systems"] or "source" in spec:
        raise BadValue(f"attack '{cell.attack.text}' names a system; a benchmark trains none for it")
    made = make(part_of(spec["attack"]), {})
    goal, seed = Goal.parse(spec["goal"]), spec["data_seed"]
    train = scene.data.train
    pairs = oracle_pairs(train, scene.test, seed) if goal.oracle else degrade_pairs(train, seed)
    model = scene.system(cell)

    def victim() -> TrainedVictim:
        return TrainedVictim(model, train, pairs, goal, spec["target"], type(made).access, seed)

    budget = Budget(spec["norm"], cell.eps.resolve(victim().mean_norm(spec["norm"]), None))

    def ready() -> Work:
        held = victim()
        return lambda: _perturbed(made, held, budget)

    at = f"{cell.attack.text} on {cell.target} at {cell.norm}:{cell.eps}"
    acting_there = [*scene.parts(plan.steps_of[cell.id].train), {**spec["attack"], "target": spec["target"]}]
    return Piece("attack", cell.system.name, ready, len(pairs), acting_there, at)


def _extracted(visual: Visual, scene: Scene) -> object:
    return extract(visual.extractor, visual.images, scene.device)


def _perturbed(made: Attack, victim: TrainedVictim, budget: Budget) -> object:
    with torch.no_grad():
        return made.perturb(victim, budget, generator(0, "bench", "attack"))


def _ranked(model: Recommender, scene: Scene) -> object:
    with torch.no_grad():
        return rank(model.scoring(), scene.data.train, scene.test, device=scene.device)


def _moved(made: Training) -> float:
    """Return the bytes of all rows that the batches of one epoch read, once in and once out; 0 where it has none."""
    widths = {one.name: math.prod(one.shape[1:]) for one in made.model.surfaces if one.name != IMAGES}
    try:
        batches = list(made.model.batches(made.data, generator(0, "bench", "batches")))
    except (NotImplementedError, RecshieldError):  # it is not trained batch by batch
        return 0.0
    read = [(name, len(rows)) for batch in batches for name, rows in made.model.rows(batch).items()]
    return 2.0 * _FLOAT * sum(widths.get(name, 0) * count for name, count in read)


def _width(model: Recommender) -> int:
    """Return the length of the vectors whose inner products are the scores; 0 where there are none."""
    widths = [one.shape[-1] for one in model.surfaces if one.name.startswith("factors.")]
    return max(widths, default=0)
