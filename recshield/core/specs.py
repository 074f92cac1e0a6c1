"""Specifications: `pgd@factors:steps=40`, `mf+advreg:eps=0.5,weight=1`, and how options become dataclass fields."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from recshield.core.errors import BadSpec, BadValue, UnknownOption
from recshield.core.interfaces import System

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_KEY_VALUE = re.compile(r"[A-Za-z_][\w.]*=")


#: A value that holds any of this is a specification itself and stands in parentheses (`1e+3` is a number).
_NESTED = re.compile(r"[,:=@()]|\+(?!\d)")


def _shown(value: str) -> str:
    return f"({value})" if _NESTED.search(value) else value


def _unwrapped(value: str) -> str:
    """Return a value without the one pair of parentheses that spans it."""
    if not (value.startswith("(") and value.endswith(")")):
        return value
    depth = 0
    for place, char in enumerate(value):
        depth += (char == "(") - (char == ")")
        if depth == 0 and place < len(value) - 1:
            return value
    return value[1:-1]


@dataclass(frozen=True)
class Spec:
    """One name with its target and options: `name[@target][:key=value,...]`."""

    name: str
    target: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        text = self.name + (f"@{self.target}" if self.target else "")
        return text + (":" + ",".join(f"{key}={_shown(value)}" for key, value in self.options) if self.options else "")


@dataclass(frozen=True)
class SystemSpec:
    """A model and its defenses: `mf+advreg:eps=0.5`."""

    model: Spec
    defenses: tuple[Spec, ...] = ()

    def __str__(self) -> str:
        return "+".join(str(part) for part in (self.model, *self.defenses))


def pieces(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside parentheses."""
    parts, depth, start = [], 0, 0
    for place, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth < 0:
            break
        # `1e+3` is a number, not a defense called 3
        is_split = char == separator and (separator != "+" or not re.match(r"\d", text[place + 1 : place + 2]))
        if is_split and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    if depth != 0:
        raise BadSpec(f"'{text}' has unbalanced parentheses; a nested specification stands in one pair of them")
    return [*parts, text[start:]]


def split_list(text: str) -> list[str]:
    """Split a comma-separated list; a piece `key=value` belongs to the specification before it."""
    found: list[str] = []
    for piece in pieces(text, ","):
        stripped = piece.strip()
        if found and _KEY_VALUE.match(stripped):
            found[-1] += "," + stripped
        elif stripped:
            found.append(stripped)
    return found


def parse(text: str) -> Spec:
    """Return the specification that `name[@target][:key=value,...]` writes, or raise BadSpec."""
    head, _, tail = text.strip().partition(":")
    name, at, target = head.partition("@")
    for part, is_needed in ((name, True), (target, bool(at))):
        if is_needed and not _NAME.fullmatch(part):
            raise BadSpec(f"'{text}' cannot be read; write NAME, NAME@SURFACE or NAME:KEY=VALUE,KEY=VALUE")
    options: dict[str, str] = {}
    for piece in pieces(tail, ",") if tail else []:
        key, equals, value = (part.strip() for part in piece.partition("="))
        if not equals or not key:
            raise BadSpec(f"'{piece}' in '{text}' is not an option; write KEY=VALUE")
        if key in options:
            raise BadSpec(f"option '{key}' stands twice in '{text}'; give it once")
        options[key] = _unwrapped(value)
    return Spec(name, target, tuple(options.items()))


def parse_system(text: str) -> SystemSpec:
    """Return the model and defenses that `mf+advreg:eps=0.5` writes."""
    first, *rest = [parse(part) for part in pieces(text.strip(), "+")]
    if first.target:
        raise BadSpec(f"'{first}' names a surface, but a model has no target; write '{first.name}'")
    names = [spec.name for spec in rest]
    for name in names:
        if names.count(name) > 1:
            raise BadSpec(f"defense '{name}' stands twice in '{text}'; give it once")
    return SystemSpec(first, tuple(rest))


def number(text: str, owner: str) -> float:
    """Return a number written as `0.5`, `1e-3` or `4/255`, or raise BadValue."""
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise BadValue(f"{owner}: '{text}' is not a number; write 0.5, 1e-3 or 4/255") from None


def option_types(kind: type[Any]) -> dict[str, type[Any]]:
    """Return the name and type of every option of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {spot.name: hints[spot.name] for spot in dataclasses.fields(kind) if spot.init}


def option_defaults(kind: type[Any]) -> dict[str, str]:
    """Return the name and default, as text, of every option of a dataclass."""
    return {
        spot.name: "required" if spot.default is dataclasses.MISSING else repr(spot.default).strip("'")
        for spot in dataclasses.fields(kind)
        if spot.init
    }


def _convert(text: str, kind: type[Any], owner: str) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise BadValue(f"{owner}: '{text}' is not true or false")
        return text.lower() in ("true", "1")
    if kind is int:
        if re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        value = number(text, owner)
        if not value.is_integer():
            raise BadValue(f"{owner}: '{text}' is not a whole number")
        return int(value)
    if kind is float:
        value = number(text, owner)
        if not math.isfinite(value):
            raise BadValue(f"{owner}: '{text}' is not a finite number")
        return value
    if kind is str or kind is System:
        return text
    raise BadValue(f"{owner}: options of type {kind} cannot be written; a plugin uses bool, int, float, str or System")


def read_options(kind: type[Any], owner: str, options: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return typed field values of a dataclass from option texts.

    Raises:
        UnknownOption: a key is not a field.
        BadValue: a value has the wrong type.
    """
    types = option_types(kind)
    found: dict[str, Any] = {}
    for key, text in options:
        if key not in types:
            raise UnknownOption.among(owner, key, option_defaults(kind))
        found[key] = _convert(text, types[key], f"{owner}, option '{key}'")
    return found


def build(kind: type[Any], owner: str, options: Iterable[tuple[str, str]], overrides: Mapping[str, str]) -> Any:
    """Return an instance of a dataclass; what the specification says wins over `overrides`."""
    texts = {**overrides, **dict(options)}
    fields = read_options(kind, owner, texts.items())
    missing = [key for key, default in option_defaults(kind).items() if default == "required" and key not in fields]
    if missing:
        raise BadValue(f"{owner} needs the option '{missing[0]}'; write {missing[0]}=VALUE after a colon")
    return kind(**fields)
