"""From what a user types to a model, its defenses and attacks with every option filled in."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recshield.core import specs
from recshield.core.errors import BadSpec, BadValue, UnknownName
from recshield.core.interfaces import Access, Attack, Defense, Recommender, System
from recshield.core.registry import registry
from recshield.core.specs import Spec, SystemSpec, pieces
from recshield.core.surfaces import family
from recshield.core.sweeps import choices

_SETTABLE = ("model", "attack", "defense", "extractor")
_STAGES = ("serve", "fit")

Options = tuple[tuple[str, Any], ...]
Overrides = Mapping[str, Mapping[str, str]]  # name -> key -> text, from --set


@dataclass(frozen=True)
class Part:
    """A model, defense or attack with all its options; two parts that mean the same are equal but for `text`.

    Attributes:
        kind: `model`, `defense`, `attack` or `extractor`.
        name: of the plugin.
        target: surface or family.
        options: every option with its value; where there are choices, those of the first.
        text: as typed.
        choices: the parts that a validation set chooses from, this one's first; empty where nothing is chosen.
        members: the attacks that an ensemble stands for.
        stage: of an attack: `serve` or `fit`; "" = the request's.
        source: of an attack: the system that it is made on (transfer); None = the one attacked, at stage `fit` trained
            on clean data.
    """

    kind: str
    name: str
    target: str
    options: Options
    text: str = dataclasses.field(compare=False, default="")
    choices: tuple[Part, ...] = ()
    members: tuple[Part, ...] = ()
    stage: str = ""
    source: ResolvedSystem | None = None

    def content(self) -> dict[str, Any]:
        """Return what it means, for keys."""
        found: dict[str, Any] = {"name": self.name, "target": self.target, "options": dict(self.options)}
        for key, parts in (("choices", self.choices), ("members", self.members)):
            if parts:
                found[key] = [part.content() for part in parts]
        return found

    def at(self, target: str) -> Part:
        """Return the same with a target."""
        return dataclasses.replace(
            self,
            target=target,
            choices=tuple(part.at(target) for part in self.choices),
            members=tuple(part.at(target) for part in self.members),
        )

    def made_on(self, source: ResolvedSystem | None) -> Part:
        """Return the same attack made on a system; None: on the one attacked."""
        spec = specs.parse(self.text)
        kept = tuple((key, text) for key, text in spec.options if key != "source")
        text = str(dataclasses.replace(spec, options=(*kept, ("source", source.name)) if source else kept))
        members = tuple(dataclasses.replace(part, source=source) for part in self.members)
        return dataclasses.replace(self, source=source, text=text, members=members)

    def plugin(self) -> type[Any]:
        """Return its class."""
        return registry().get(self.kind, self.name)

    def option(self, key: str, default: Any = None) -> Any:
        """Return the value of an option, or the default where it has none."""
        return dict(self.options).get(key, default)

    def systems(self) -> dict[str, str]:
        """Return the options that name other systems."""
        types = specs.option_types(self.plugin())
        return {key: value for key, value in self.options if types[key] is System}


@dataclass(frozen=True)
class ResolvedSystem:
    """A model with its defenses; `name` is how the user wrote it."""

    model: Part
    defenses: tuple[Part, ...] = ()
    name: str = dataclasses.field(compare=False, default="")

    def content(self) -> dict[str, Any]:
        """Return what it means, for keys."""
        return {"model": self.model.content(), "defenses": [part.content() for part in self.defenses]}

    def undefended(self) -> ResolvedSystem:
        """Return the same model without any defense."""
        return ResolvedSystem(self.model, (), self.model.text)

    def recommender(self) -> type[Recommender]:
        """Return the model's class."""
        return self.model.plugin()

    def default_target(self) -> str:
        """Return the family of the first surface that the model exposes, or ""."""
        exposed = self.recommender().exposes
        return family(exposed[0]) if exposed else ""


def read_overrides(texts: list[str] | tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return `--set NAME.KEY=VALUE` as name -> key -> text; names and keys are checked.

    Raises:
        BadSpec: not of that form.
        UnknownName: no model, attack or defense has the name.
        UnknownOption: it has no such option.
    """
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        name, dot, key = left.strip().rpartition(".")
        if not (equals and dot and value):
            raise BadSpec(f"--set '{text}' cannot be read; write NAME.KEY=VALUE, for example mf.epochs=300")
        kinds = [kind for kind in _SETTABLE if name in registry().names(kind)]
        if not kinds and name in registry().presets:
            stands = f"names the preset '{name}', which stands for '{registry().presets[name]}'"
            raise BadSpec(
                f"--set '{text}' {stands}; set an option of one of its parts, for example --set mf.epochs=300"
            )
        if not kinds:
            known = [one for kind in _SETTABLE for one in registry().names(kind)]
            raise UnknownName.among("model, attack or defense", name, known)
        if len(pieces(value, ":")) > 1:
            raise BadSpec(f"--set '{text}' holds a sweep; write it where the system or attack is named: NAME:KEY=A:B:C")
        true_name = registry().get(kinds[0], name).name
        for one in choices(value):
            specs.read_options(_options_type(kinds[0], true_name), f"{kinds[0]} '{name}'", [(key, one)])
        found.setdefault(true_name, {})[key] = value
    return found


def _options_type(kind: str, name: str) -> type[Any]:
    plugin = registry().get(kind, name)
    options: type[Any] = plugin.config_type if kind in ("model", "extractor") else plugin
    return options


def _part(kind: str, spec: Spec, overrides: Overrides, preset: Mapping[str, str] | None = None) -> Part:
    plugin = registry().get(kind, spec.name)
    texts = {**(preset or {}), **overrides.get(plugin.name, {}), **dict(spec.options)}
    kinds, owner = _options_type(kind, plugin.name), f"{kind} '{spec.name}'"
    nested = {key for key, held in specs.option_types(kinds).items() if held is System}
    varied = {key: [text] if key in nested else choices(text) for key, text in texts.items()}
    found = []
    for chosen in itertools.product(*varied.values()):
        made = specs.build(kinds, owner, zip(varied, chosen, strict=True), {})
        options = tuple((spot.name, getattr(made, spot.name)) for spot in dataclasses.fields(made) if spot.init)
        text = str(Spec(spec.name, spec.target, tuple(zip(varied, chosen, strict=True))))
        found.append(Part(kind, plugin.name, spec.target, options, text))
    shown = str(Spec(spec.name, spec.target, tuple(texts.items())))
    return dataclasses.replace(found[0], text=shown, choices=tuple(found) if len(found) > 1 else ())


def _with_preset(parsed: SystemSpec) -> tuple[SystemSpec, dict[int, dict[str, str]]]:
    """Expand a preset; its own options are returned apart, as they give way to --set and to typed ones."""
    text = registry().presets.get(parsed.model.name)
    if text is None:
        return parsed, {}
    held = specs.parse_system(text)
    parts = [held.model, *held.defenses]
    soft = {place: dict(part.options) for place, part in enumerate(parts)}
    bare = [Spec(part.name, part.target) for part in parts]
    bare[-1] = Spec(bare[-1].name, bare[-1].target, parsed.model.options)
    return SystemSpec(bare[0], (*bare[1:], *parsed.defenses)), soft


def resolve_system(text: str, overrides: Overrides, defense: str = "") -> ResolvedSystem:
    """Return the system that `mf+advreg:eps=0.5`, a preset such as `amf`, or a preset with options `amf:eps=1` names.

    Options that are typed win over `overrides` (--set), which win over a preset's.

    Args:
        text: as typed.
        overrides: from `read_overrides`.
        defense: one more defense to put behind it, as typed.

    Raises:
        UnknownName, BadSpec, BadValue: as their texts say.
    """
    typed = text.strip() + (f"+{defense.strip()}" if defense else "")
    parsed, soft = _with_preset(specs.parse_system(typed))
    names = [spec.name for spec in parsed.defenses]
    if len(set(names)) < len(names):
        raise BadSpec(f"'{typed}' has the same defense twice: {', '.join(names)}; give it once")
    model = _part("model", parsed.model, overrides, soft.get(0))
    system = ResolvedSystem(model, (), model.text)
    defenses = []
    for place, spec in enumerate(parsed.defenses, start=1):
        part = _part("defense", spec, overrides, soft.get(place))
        target = part.target or part.plugin().default_target or system.default_target()
        if spec.target and part.plugin().objective is Defense.objective:
            raise BadSpec(
                f"'{typed}': defense '{part.name}' changes no loss, so it has no surface to act on; leave "
                f"'@{spec.target}' away"
            )
        if part.choices and not is_fitted(part):
            raise BadSpec(f"'{typed}': defense '{part.name}' does not train, so nothing can choose its options")
        defenses.append(part.at(target))
        for nested in part.systems().values():
            resolve_system(nested, overrides)
    is_warm = [part.plugin().warm_start for part in defenses if is_fitted(part)]
    if is_warm != sorted(is_warm):
        raise BadSpec(
            f"'{typed}': a defense that trains from scratch stands before those that go on from a trained model"
        )
    return ResolvedSystem(model, tuple(defenses), typed)


def resolve_attack(text: str, overrides: Overrides) -> Part:
    """Return the attack that `pgd@factors:steps=40` names."""
    spec = specs.parse(text)
    own = {key: value for key, value in spec.options if key in ("source", "stage")}
    if own.get("stage", "serve") not in _STAGES:
        raise BadValue(f"attack '{spec.name}': stage '{own['stage']}' is not known; allowed: {', '.join(_STAGES)}")
    source = resolve_system(own["source"], overrides) if "source" in own else None
    bare = Spec(spec.name, spec.target, tuple((key, value) for key, value in spec.options if key not in own))
    part = dataclasses.replace(_part("attack", bare, overrides), stage=own.get("stage", ""), source=source)
    if own:
        part = dataclasses.replace(part, text=str(spec))
    # --set does not reach the members: an ensemble means the same everywhere.
    members = tuple(_part("attack", specs.parse(member), {}) for member in part.plugin().members)
    if part.choices:
        raise BadSpec(f"'{text}': an attack's options are not chosen; write A:B:C to sweep over them")
    nested = [one.name for one in members if one.plugin().members]
    if nested:
        raise BadSpec(f"attack '{part.name}' has the ensemble '{nested[0]}' as a member; name its members instead")
    members = tuple(dataclasses.replace(one, source=source) for one in members)
    return dataclasses.replace(part, members=members).at(spec.target or part.plugin().target)


def resolve_extractor(text: str, overrides: Overrides) -> Part:
    """Return the extractor that `resnet18:weights=default` names."""
    spec = specs.parse(text)
    if spec.target:
        raise BadSpec(f"extractor '{text}' has a target; write NAME:KEY=VALUE")
    part = _part("extractor", spec, overrides)
    if part.choices:
        raise BadSpec(f"extractor '{text}': its options are not chosen; give one value")
    return part


def make(part: Part, systems: Mapping[str, System]) -> Any:
    """Return the attack or defense itself, its System fields replaced by loaded systems."""
    options = {**dict(part.options), **systems}
    made = part.plugin()(**options)
    if part.kind == "attack" and not isinstance(made, Attack):
        raise BadValue(f"attack '{part.name}' is not a subclass of recshield.core.Attack")
    if part.kind == "defense" and not isinstance(made, Defense):
        raise BadValue(f"defense '{part.name}' is not a subclass of recshield.core.Defense")
    return made


def rescaled_like(system: ResolvedSystem) -> ResolvedSystem | None:
    """Return the undefended model scaled to a system's norms, or None where no defense `rescaled` is installed."""
    if "rescaled" not in registry().found["defense"]:
        return None
    text = f"rescaled:like=({system.name})"
    part = Part("defense", "rescaled", system.default_target(), (("like", system.name),), text)
    return ResolvedSystem(system.model, (part,), f"{system.model.text}+{text}")


def continued_rescaled_like(system: ResolvedSystem) -> ResolvedSystem | None:
    """Return the undefended model trained for as many more epochs and scaled, block by block, to a system's norms.

    None where no defense trains on from the undefended model, or where `continue` or `rescaled` is not installed.
    """
    epochs = [part.option("epochs") for part in system.defenses if part.plugin().warm_start]
    known = registry().found["defense"]
    if not epochs or epochs[-1] is None or not {"continue", "rescaled"} <= set(known):
        return None
    text = f"{system.model.text}+continue:epochs={sum(epochs)}+rescaled:like=({system.name})"
    # With the model as it was resolved: --set reaches it, and its control must be the same model.
    return dataclasses.replace(resolve_system(text, {}), model=system.model)


def variants(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    """Return every combination of the choices of several parts; one where nothing is chosen."""
    return list(itertools.product(*(part.choices or (part,) for part in parts)))


def is_gradient(attack: Part) -> bool:
    """Return whether the attack uses gradients."""
    return bool(attack.plugin().access & Access.GRADIENTS)


def is_informed(attack: Part) -> bool:
    """Return whether the attack learns from the model: by gradients, scores or ranked lists."""
    return bool(attack.plugin().access & ~Access.DATA)


def is_fitted(defense: Part) -> bool:
    """Return whether a defense changes training; one that only serves shares the undefended train step."""
    plugin = defense.plugin()
    return bool(plugin.warm_start or plugin.prepare is not Defense.prepare or plugin.objective is not Defense.objective)
