"""From a request to cells and steps; pure: nothing is read, trained or written here."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recshield.core import settings
from recshield.core.errors import BadValue
from recshield.core.interfaces import Goal
from recshield.core.surfaces import covers
from recshield.data.catalogue import DataSource
from recshield.evaluation.ranking import NOTHING, Extras
from recshield.matrix.budgets import BudgetRequest, sizes_for
from recshield.matrix.cells import Cell, Needs, Skip
from recshield.matrix.systems import Overrides, Part, ResolvedSystem, is_fitted, resolve_system


@dataclass(frozen=True)
class Request:
    """What to cross, with every name resolved."""

    systems: tuple[ResolvedSystem, ...]
    attacks: tuple[Part, ...]
    source: DataSource
    budgets: tuple[BudgetRequest, ...]
    goals: tuple[str, ...] = (settings.GOAL,)
    seeds: tuple[int, ...] = settings.SEEDS
    data_seed: int = settings.DATA_SEED
    device: str = "cpu"
    threads: int = settings.THREADS
    overrides: Overrides = field(default_factory=dict)
    has_controls: bool = True
    extras: Extras = NOTHING


@dataclass(frozen=True)
class Step:
    """One piece of work, keyed by what goes into it.

    Attributes:
        kind: data, train, attack or measure.
        spec: all that the step reads, JSON.
        parents: keys of the steps it loads.
        label: for people.
    """

    kind: str
    spec: dict[str, Any]
    parents: tuple[str, ...]
    label: str
    key: str


@dataclass(frozen=True)
class CellSteps:
    """Keys of the steps behind one cell."""

    train: str
    attack: str
    measure: str


@dataclass
class Plan:
    """Cells, the steps behind them in an order that can be run, and what was skipped."""

    request: Request
    cells: list[Cell] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    steps_of: dict[str, CellSteps] = field(default_factory=dict)
    needs: dict[str, dict[str, str]] = field(default_factory=dict)  # cell -> role -> the cell that judges it
    skips: list[Skip] = field(default_factory=list)
    data_key: str = ""

    def main(self) -> list[Cell]:
        """Return the cells that were asked for."""
        return [cell for cell in self.cells if not cell.is_control]


def plan(request: Request, needs: Needs) -> Plan:
    """Return the cells and steps of a request, controls that `needs` asks for included.

    Raises:
        BadValue: two goals or sizes that cannot be; nothing can be measured.
    """
    made = Plan(request)
    planner = _Planner(made)
    made.data_key = planner.data()
    held: dict[str, Cell] = {}
    for cell in _main_cells(made):
        held.setdefault(cell.id, cell)
    if not held:
        reasons = "; ".join(f"{skip.system}: {skip.reason}" for skip in made.skips)
        raise BadValue(f"nothing is left to measure ({reasons}); see `recshield plugins`")
    for cell in list(held.values()):
        wanted = needs(cell) if cell.attack else {}
        made.needs[cell.id] = {role: other.id for role, other in wanted.items()}
        for other in wanted.values() if request.has_controls else ():
            for one in (other, other.clean()):
                held.setdefault(one.id, dataclasses.replace(one, is_control=True))
    made.cells = list(held.values())
    for cell in made.cells:
        made.steps_of[cell.id] = planner.cell(cell)
    return made


def _main_cells(made: Plan) -> Iterator[Cell]:
    request = made.request
    usable = []
    for system in request.systems:
        reason = _why_impossible(system)
        if reason:
            made.skips.append(Skip(system.name, "", reason))
        else:
            usable.append(system)
    for system in usable:
        for seed in request.seeds:
            yield Cell(system, seed)
    for system in usable:
        for attack in request.attacks:
            target = attack.target or system.default_target()
            reason = _why_untouchable(system, target)
            sizes = [] if reason else sizes_for(request.budgets, target)
            if not reason and not sizes:
                reason = f"no budget was given for '{target}'"
            if reason:
                made.skips.append(Skip(system.name, attack.text, reason))
            for norm, eps in sizes:
                for goal in request.goals:
                    for seed in request.seeds:
                        yield Cell(system, seed, attack, target, norm, eps, str(Goal.parse(goal)))


def _why_impossible(system: ResolvedSystem) -> str:
    exposed = system.recommender().exposes
    for defense in system.defenses:
        needs_surface = defense.plugin().default_target or defense.option("eps") is not None
        if needs_surface and not any(covers(defense.target, surface) for surface in exposed):
            have = ", ".join(exposed) or "none"
            wanted = f"'{defense.target}'" if defense.target else "any"
            model = system.model.name
            return f"defense '{defense.name}' needs a surface and model '{model}' has not {wanted} (it has: {have})"
    return ""


def _why_untouchable(system: ResolvedSystem, target: str) -> str:
    exposed = system.recommender().exposes
    if not exposed:
        return f"model '{system.model.name}' has no surface that can be touched"
    if not any(covers(target, surface) for surface in exposed):
        return f"model '{system.model.name}' has no surface '{target}'; it has: {', '.join(exposed)}"
    return ""


class _Planner:
    """Makes steps, each once."""

    def __init__(self, made: Plan) -> None:
        self.made = made
        self.request = made.request

    def _add(self, kind: str, spec: dict[str, Any], parents: Sequence[str], label: str, plugins: Sequence[Part]) -> str:
        content = {
            "kind": kind,
            "spec": spec,
            "parents": list(parents),
            "device": self.request.device,
            "dtype": "float32",
            "threads": self.request.threads,
            "machine": platform.machine(),
            "code": _code(tuple(sorted({part.plugin().__module__.split(".")[0] for part in plugins}))),
        }
        text = json.dumps(content, sort_keys=True, default=str)
        key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        if key not in self.made.steps:
            self.made.steps[key] = Step(kind, spec, tuple(dict.fromkeys(parents)), label, key)
        return key

    def data(self) -> str:
        """Plan reading and splitting."""
        source = self.request.source
        # Where the files lie does not matter, only what is in them.
        names = [Path(file).name for file in source.files]
        held = dataclasses.asdict(source) | {"files": names}
        spec: dict[str, Any] = {"source": held, "data_seed": self.request.data_seed}
        kind, name = ("reader", source.reader) if source.reader else ("dataset", source.name)
        key = self._add("data", spec, (), f"data {source.name}", (Part(kind, name, "", ()),))
        self.made.steps[key].spec["source"]["files"] = list(source.files)
        return key

    def system(self, system: ResolvedSystem, seed: int) -> tuple[dict[str, Any], list[str], list[Part]]:
        """Plan training; return how to load the system, the steps it loads, and the plugins involved."""
        plugins: list[Part] = [system.model, *system.defenses]
        data = self.made.data_key
        train = self._train(system.model, (), None, seed, 0, system.model.text)
        loads = [data, train]
        fitted: tuple[Part, ...] = ()
        serve: list[dict[str, Any]] = []
        depth = 0
        for defense in system.defenses:
            others: dict[str, Any] = {}
            for key, text in defense.systems().items():
                ref, parents, more = self.system(resolve_system(text, self.request.overrides), seed)
                others[key] = ref | {"name": text}
                loads += parents
                plugins += more
            if is_fitted(defense):
                if others:
                    raise BadValue(f"defense '{defense.name}': a defense that trains cannot name another system yet")
                base = train if defense.plugin().warm_start else None
                depth += base is not None
                # What acts from the start of training goes on acting in each warm-started part.
                parts = (*fitted, defense)
                fitted = parts if base is None else fitted
                train = self._train(system.model, parts, base, seed, depth, f"{system.model.text}+{defense.text}")
            serve.append({"part": _part_spec(defense), "systems": others})
        loads.append(train)
        return {"train": train, "model": _part_spec(system.model), "serve": serve, "seed": seed}, loads, plugins

    def _train(self, model: Part, fitted: tuple[Part, ...], base: str | None, seed: int, depth: int, label: str) -> str:
        spec = {
            "model": _part_spec(model),
            "defenses": [_part_spec(part) for part in fitted],
            "base": base,
            "data": self.made.data_key,
            "seed": seed,
            "depth": depth,
        }
        parents = [self.made.data_key, *([base] if base else [])]
        return self._add("train", spec, parents, f"train {label}, seed {seed}", (model, *fitted))

    def cell(self, cell: Cell) -> CellSteps:
        """Plan what a cell needs."""
        ref, loads, plugins = self.system(cell.system, cell.seed)
        data = self.made.data_key
        attack = ""
        if cell.attack is not None:
            attack = self._attack(cell, ref, loads, plugins)
        is_hashed = cell.attack is None or cell.eps.value == 0
        spec = {"system": ref, "data": data, "attack": attack or None, "hash": is_hashed}
        spec["extras"] = self.request.extras.content()
        parents = [*loads, *([attack] if attack else [])]
        measure = self._add("measure", spec, parents, f"measure {cell}", plugins)
        return CellSteps(ref["train"], attack, measure)

    def _attack(self, cell: Cell, ref: Mapping[str, Any], loads: Sequence[str], plugins: Sequence[Part]) -> str:
        assert cell.attack is not None
        parents, involved = list(loads), [*plugins, cell.attack]
        others: dict[str, Any] = {}
        wanted = dict(cell.attack.systems())
        if cell.eps.unit == "like":
            wanted["like"] = cell.eps.system
        for key, text in wanted.items():
            other, more_loads, more = self.system(resolve_system(text, self.request.overrides), cell.seed)
            others[key] = other | {"name": text}
            parents += more_loads
            involved += more
        spec = {
            "system": ref,
            "data": self.made.data_key,
            "attack": _part_spec(cell.attack),
            "systems": others,
            "target": cell.target,
            "norm": cell.norm,
            "eps": [cell.eps.value, cell.eps.unit],
            "goal": cell.goal,
            "seed": cell.seed,
            "data_seed": self.request.data_seed,
        }
        return self._add("attack", spec, parents, f"attack {cell}", involved)


def _part_spec(part: Part) -> dict[str, Any]:
    return {"kind": part.kind, **part.content()}


@functools.cache
def _code(plugins: tuple[str, ...]) -> str:
    """Return a hash of the versions and sources that a step's result can depend on."""
    total = hashlib.blake2b(digest_size=16)
    for name in ("torch", "numba", "numpy", "pyarrow"):
        total.update(f"{name}=={importlib.metadata.version(name)};".encode())
    own = ("core", "data", "training", "evaluation", "matrix")
    for module in (*(f"recshield.{part}" for part in own), *plugins):
        total.update(_source(module).encode())
    return total.hexdigest()


@functools.cache
def _source(module: str) -> str:
    """Return a hash of the Python files of a module or package."""
    found = importlib.import_module(module)
    home = Path(inspect.getfile(found))
    files = sorted(home.parent.rglob("*.py")) if home.name == "__init__.py" else [home]
    total = hashlib.blake2b(digest_size=16)
    for file in files:
        total.update(file.relative_to(home.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()
