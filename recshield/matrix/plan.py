"""From a request to cells and steps; pure: nothing is read, trained or written here."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recshield.core import settings
from recshield.core.errors import BadData, BadValue
from recshield.core.interfaces import Goal
from recshield.matrix.budgets import sizes_for
from recshield.matrix.cells import Cell, Needs, Skip
from recshield.matrix.code import code_hash
from recshield.matrix.reasons import (
    dataset_extractor,
    is_visual,
    why_blind,
    why_impossible,
    why_not_at,
    why_not_from,
    why_untouchable,
    with_stages,
)
from recshield.matrix.request import Request
from recshield.matrix.systems import Part, ResolvedSystem, is_fitted, resolve_extractor, resolve_system, variants


@dataclass(frozen=True)
class Step:
    """One piece of work, keyed by what goes into it.

    Attributes:
        kind: data, select, train, import, attack or measure.
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
    """Keys of the steps behind one cell; an ensemble's cell has no attack and no measure step of its own."""

    data: str
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
    data_keys: list[str] = field(default_factory=list)  # one per fold
    members: dict[str, list[str]] = field(default_factory=dict)  # ensemble's cell -> the cells of its members

    def main(self) -> list[Cell]:
        """Return the cells that were asked for."""
        return [cell for cell in self.cells if not cell.is_control]


def plan(request: Request, needs: Needs, further: Needs | None = None) -> Plan:
    """Return the cells and steps of a request, controls that `needs` asks for included.

    Cells that `further` asks for are planned for a full audit alone; where a run happens to hold them, they serve.

    Raises:
        BadValue: two goals or sizes that cannot be; nothing can be measured.
    """
    made = Plan(request)
    planner = _Planner(made)
    made.data_keys = [planner.data(fold) for fold in range(request.source.folds())]
    held: dict[str, Cell] = {}
    for cell in _main_cells(made):
        held.setdefault(cell.id, cell)
    if not held:
        reasons = "; ".join(f"{skip.system}: {skip.reason}" for skip in made.skips)
        raise BadValue(f"nothing is left to measure ({reasons}); see `recshield plugins`")
    mains = list(held.values())
    members = [(one, True) for cell in mains for one in cell.members() if one.id not in held]
    for cell, is_member in [*((cell, False) for cell in mains), *members]:
        wanted = dict(needs(cell, is_member)) if cell.attack else {}
        more = dict(further(cell, is_member)) if further and cell.attack else {}
        made.needs[cell.id] = {role: other.id for role, other in (wanted | more).items()}
        wanted |= more if request.is_full else {}
        for other in wanted.values() if request.has_controls else ():
            for one in (other, other.clean()):
                held.setdefault(one.id, dataclasses.replace(one, is_control=True))
    for cell in list(held.values()):
        for one in cell.members():
            held.setdefault(one.id, one)
    made.cells = list(held.values())
    for cell in made.cells:
        made.steps_of[cell.id] = planner.cell(cell)
        made.members[cell.id] = [one.id for one in cell.members()]
    return made


def _main_cells(made: Plan) -> Iterator[Cell]:
    request = made.request
    usable = []
    for system in request.systems:
        reason = why_impossible(system) or why_blind(system, request)
        if reason:
            made.skips.append(Skip(system.name, "", reason))
        else:
            usable.append(system)
    folds = range(len(made.data_keys))
    for system in usable:
        for fold, seed in itertools.product(folds, request.seeds):
            yield Cell(system, seed, fold=fold)
    for system in usable:
        for attack, stage in with_stages(request):
            target = attack.target or system.default_target()
            reason = why_untouchable(system, target) or why_not_at(stage, system, target)
            reason = reason or why_not_from(attack.source, stage, system, target)
            sizes = [] if reason else sizes_for(request.budgets, target)
            if not reason and not sizes:
                reason = f"no budget was given for '{target}'"
            if reason:
                made.skips.append(Skip(system.name, attack.text, reason))
            for norm, eps in sizes:
                for goal, fold, seed in itertools.product(request.goals, folds, request.seeds):
                    yield Cell(system, seed, attack, target, norm, eps, str(Goal.parse(goal)), stage, fold)


PartSpecs = list[list[dict[str, Any]]]


@dataclass(frozen=True)
class _Trained:
    """Keys of a training and of the selections behind it, and the parts that its facts can name."""

    train: str
    selects: tuple[str, ...]
    identity: str
    acting: PartSpecs
    chosen: PartSpecs


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
            "code": code_hash(tuple(sorted({part.plugin().__module__.split(".")[0] for part in plugins}))),
        }
        text = json.dumps(content, sort_keys=True, default=str)
        key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        if key not in self.made.steps:
            self.made.steps[key] = Step(kind, spec, tuple(dict.fromkeys(parents)), label, key)
        return key

    def data(self, fold: int) -> str:
        """Plan reading and splitting."""
        source = self.request.source
        # Where the files lie does not matter, only what is in them.
        spec: dict[str, Any] = {"source": source.content(), "data_seed": self.request.data_seed, "fold": fold}
        kind, name = ("reader", source.reader) if source.reader else ("dataset", source.name)
        label = f"data {source.name}" + (f", fold {fold}" if fold else "")
        key = self._add("data", spec, (), label, (Part(kind, name, "", ()),))
        self.made.steps[key].spec["source"] = dataclasses.asdict(source)
        return key

    def visual(self, system: ResolvedSystem, fold: int) -> dict[str, Any]:
        """Plan the image store and the features of a visual model; return how to load them, {} for another model."""
        request, data = self.request, self.made.data_keys[fold]
        source = request.source.images
        if not is_visual(system) or source is None:
            return {}
        named = system.model.option("extractor") or dataset_extractor(request.source) or settings.EXTRACTOR
        extractor = resolve_extractor(named, request.overrides)
        config = extractor.plugin().config_type(**dict(extractor.options))
        held: dict[str, Any] = {"images": source.content(), "data": data}
        images = self._add("images", held, [data], f"images {request.source.name}", ())
        self.made.steps[images].spec.update(images=dataclasses.asdict(source), name=images)
        part = part_spec(extractor)
        spec = {"extractor": part, "data": data, "images": images, "data_seed": request.data_seed}
        made_of = spec | {"weights": extractor.plugin().fingerprint(config)}
        features = self._add("features", made_of, [data, images], f"features {extractor.text}", (extractor,))
        return {"images": images, "features": features, "extractor": part, "data_seed": request.data_seed}

    def system(
        self, system: ResolvedSystem, seed: int, fold: int, poison: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], list[str], list[Part]]:
        """Plan training; return how to load the system, the steps it loads, and the plugins involved.

        `poison` is the key of an attack step whose images take the place of the clean ones, before training, and a hash
        of what was asked of it.
        """
        plugins: list[Part] = [system.model, *system.defenses]
        data = self.made.data_keys[fold]
        visual = self.visual(system, fold)
        behind = [visual["images"], visual["features"]] if visual else []
        if poison:
            visual, behind = visual | poison, [*behind, poison["poison"]]
        shared = {"data": data, "seed": seed, "visual": visual}
        trained = self._train((system.model,), None, shared, 0, system.model.text)
        loads = [data, trained.train, *behind]
        acting: tuple[Part, ...] = (system.model,)  # what acts from the start of training
        serve: list[dict[str, Any]] = []
        depth = 0
        for defense in system.defenses:
            others: dict[str, Any] = {}
            for key, text in defense.systems().items():
                other = resolve_system(text, self.request.overrides)
                ref, parents, more = self.system(other, seed, fold)
                others[key] = ref | {"name": text}
                loads += parents
                plugins += more
            if is_fitted(defense):
                if others:
                    raise BadValue(f"defense '{defense.name}': a defense that trains cannot name another system yet")
                label = f"{system.model.text}+{defense.text}"
                if defense.plugin().warm_start:
                    depth += 1
                    trained = self._train((*acting, defense), trained, shared, depth, label)
                else:
                    acting = (*acting, defense)
                    trained = self._train(acting, None, shared, depth, label)
            serve.append({"part": part_spec(defense), "systems": others})
        loads.append(trained.train)
        return {"train": trained.train, "serve": serve, "seed": seed, "visual": visual}, loads, plugins

    def _train(
        self, parts: tuple[Part, ...], base: _Trained | None, given: Mapping[str, Any], depth: int, label: str
    ) -> _Trained:
        """Plan one training, and before it the selection of its epochs and choices.

        A warm-started one takes its model and what acts on it from its base, and adds its last part.
        """
        request = self.request
        data, seed, visual = given["data"], given["seed"], given["visual"]
        varied = variants(parts if base is None else parts[-1:])
        if len(varied) > 1 and request.selection is None:
            raise BadValue(f"'{label}' leaves a choice open; --select METRIC says what it is chosen by")
        own = [[part_spec(part) for part in one] for one in varied]
        acting = own if base is None else base.acting
        chosen = own if base is None else [[*before, *one] for before in base.chosen for one in own]
        identity = self._identity(own, base, given, depth)
        if identity in request.imports:
            key = self._import(identity, data, label, parts, acting, chosen)
            return _Trained(key, (), identity, acting, chosen)
        shared = {**given, "depth": depth}
        selects = tuple(self._select(one, base, shared, label, parts) for one in varied) if request.selection else ()
        spec = shared | {
            "parts": own,
            "base": base.train if base else None,
            "selects": list(selects),
            "selected_on": request.selection.rows if request.selection else "",
            "identity": identity,
        }
        if request.curve:
            spec["curve"] = {
                "every": request.curve,
                "metrics": list(request.curve_metrics),
                "data_seed": request.data_seed,
            }
        parents = [data, *_keys(visual), *([base.train] if base else []), *selects]
        poisoned = " on attacked images" if "poison" in visual else ""
        key = self._add("train", spec, parents, f"train {label}, seed {seed}{poisoned}", parts)
        return _Trained(key, selects, identity, acting, chosen)

    def _identity(self, parts: PartSpecs, base: _Trained | None, given: Mapping[str, Any], depth: int) -> str:
        """Return a hash of what was asked for, whatever code and data it ran with."""
        selection = dataclasses.asdict(self.request.selection) if self.request.selection else None
        named = ("extractor", "data_seed", "poisoned_by")
        visual = {key: held for key, held in given["visual"].items() if key in named}
        asked = [parts, base.identity if base else "", given["seed"], depth, selection, visual]
        text = json.dumps(asked, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _import(
        self, identity: str, data: str, label: str, parts: Sequence[Part], acting: PartSpecs, chosen: PartSpecs
    ) -> str:
        """Plan the taking over of saved weights in place of a training."""
        held = self.request.imports[identity]
        if held.facts.get("acting") not in acting or held.facts.get("chosen") not in chosen:
            raise BadData.at(held.file, None, "its description names other parts than its system", "train again")
        spec: dict[str, Any] = {"identity": identity, "digest": held.digest, "facts": dict(held.facts), "data": data}
        key = self._add("import", spec, [data], f"import {label}", parts)
        self.made.steps[key].spec["file"] = held.file
        return key

    def _select(
        self, one: tuple[Part, ...], base: _Trained | None, shared: dict[str, Any], label: str, parts: Sequence[Part]
    ) -> str:
        assert self.request.selection is not None
        bases = list(base.selects) if base else []
        spec = shared | {
            "parts": [part_spec(part) for part in one],
            "bases": bases,
            "selection": dataclasses.asdict(self.request.selection),
            "data_seed": self.request.data_seed,
        }
        shown = "+".join(part.text for part in one) if base is None else f"{label}: {one[-1].text}"
        parents = [shared["data"], *_keys(shared["visual"]), *bases]
        return self._add("select", spec, parents, f"select {shown}, seed {shared['seed']}", parts)

    def cell(self, cell: Cell) -> CellSteps:
        """Plan what a cell needs."""
        data = self.made.data_keys[cell.fold]
        is_poisoned = cell.attack is not None and cell.stage == "fit"
        attacked = cell.source if is_poisoned else cell.system
        ref, loads, plugins = self.system(attacked, cell.seed, cell.fold)
        if cell.members():
            return CellSteps(data, ref["train"], "", "")
        attack = ""
        if cell.attack is not None:
            attack = self._attack(cell, ref, loads, plugins)
        if is_poisoned:
            poison = {"poison": attack, "poisoned_by": cell.with_system(cell.source).id}
            ref, loads, plugins = self.system(cell.system, cell.seed, cell.fold, poison)
        is_hashed = cell.attack is None or cell.eps.value == 0
        spec = {"system": ref, "data": data, "attack": attack or None, "hash": is_hashed, "stage": cell.stage}
        spec["extras"] = self.request.extras.content()
        parents = [*loads, *([attack] if attack else [])]
        measure = self._add("measure", spec, parents, f"measure {cell}", plugins)
        return CellSteps(data, ref["train"], attack, measure)

    def _attack(self, cell: Cell, ref: Mapping[str, Any], loads: Sequence[str], plugins: Sequence[Part]) -> str:
        assert cell.attack is not None
        parents, involved = list(loads), [*plugins, cell.attack]
        others: dict[str, Any] = {}
        source: dict[str, Any] = {}
        if cell.stage == "serve" and cell.is_transfer:
            source, more_loads, more = self.system(cell.source, cell.seed, cell.fold)
            parents += more_loads
            involved += more
        wanted = dict(cell.attack.systems())
        if cell.eps.unit == "like":
            wanted["like"] = cell.eps.system
        for key, text in wanted.items():
            resolved = resolve_system(text, self.request.overrides)
            other, more_loads, more = self.system(resolved, cell.seed, cell.fold)
            others[key] = other | {"name": text}
            parents += more_loads
            involved += more
        spec = {
            "system": ref,
            "data": self.made.data_keys[cell.fold],
            "attack": part_spec(cell.attack),
            "systems": others,
            "target": cell.target,
            "norm": cell.norm,
            "eps": [cell.eps.value, cell.eps.unit],
            "goal": cell.goal,
            "seed": cell.seed,
            "data_seed": self.request.data_seed,
        }
        if source:
            spec["source"] = source
        return self._add("attack", spec, parents, f"attack {cell}", involved)


def _keys(visual: Mapping[str, Any]) -> list[str]:
    """Return the steps that load what a visual model reads."""
    return [visual[key] for key in ("images", "features", "poison") if key in visual]


def part_spec(part: Part) -> dict[str, Any]:
    """Return a part as a step holds it: its choices and members are steps of their own."""
    return {"kind": part.kind, "name": part.name, "target": part.target, "options": dict(part.options)}
