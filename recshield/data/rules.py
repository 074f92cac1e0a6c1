"""How filters and splits are written: `kcore:10,rounds=2`, `temporal:0.2,global`; each is a frozen dataclass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from recshield.core.errors import BadSpec, BadValue, UnknownName, UnknownOption
from recshield.core.specs import build, option_defaults

_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class Rule:
    """What a filter and a split have in common: its fields are its options, in the order in which they are written.

    Attributes:
        form: how it is written, for messages.
        flags: word -> the field that it sets to true.
    """

    form: ClassVar[str]
    flags: ClassVar[Mapping[str, str]] = {}


def read_rule(kind: str, text: str, known: Mapping[str, type[Any]], other_forms: str = "") -> Any:
    """Return the rule that `NAME[:VALUE][,FLAG][,KEY=VALUE]` writes.

    Args:
        kind: filter or split, for messages.
        text: as the user wrote it.
        known: name -> class.
        other_forms: what else is allowed, for messages.

    Raises:
        BadSpec: it cannot be read.
        UnknownName: no such rule.
        UnknownOption: it has no such option.
        BadValue: a value outside what is allowed.
    """
    head, colon, tail = text.strip().partition(":")
    name = head.strip()
    forms = other_forms + ", ".join(one.form for one in dict.fromkeys(known.values()))
    if not _NAME.fullmatch(name):
        raise BadSpec(f"{kind} '{text}' cannot be read; allowed: {forms}")
    if name not in known:
        raise UnknownName.among(kind, name, known, f"how each is written: {forms}")
    made, owner = known[name], f"{kind} '{name}'"
    pieces = [piece.strip() for piece in tail.split(",")] if colon else []
    options: dict[str, str] = {}
    free = [key for key in option_defaults(made) if key not in made.flags.values()]
    for place, piece in enumerate(pieces):
        key, equals, value = (part.strip() for part in piece.partition("="))
        if not equals and piece in made.flags:
            key, value = made.flags[piece], "true"
        elif not equals and place == 0 and free:
            key, value = free[0], piece
        elif not equals or key not in free:
            raise UnknownOption.among(owner, key, _shown(made, free))
        if not value or key in options:
            raise BadSpec(f"{owner}: '{text}' cannot be read; write {made.form}")
        options[key] = value
    missing = [key for key, default in option_defaults(made).items() if default == "required" and key not in options]
    if missing:
        raise BadSpec(f"{owner} needs a value; write {made.form}")
    return build(made, owner, options.items(), {})


def _shown(made: type[Any], free: list[str]) -> dict[str, str]:
    defaults = option_defaults(made)
    return {key: defaults[key] for key in free} | dict.fromkeys(made.flags, "off")


def check_least(owner: str, key: str, value: int, least: int) -> None:
    """Raise BadValue where a number is below the least that makes sense."""
    if value < least:
        raise BadValue(f"{owner}: {key} is {value}; it is at least {least}")


def check_share(owner: str, share: float) -> None:
    """Raise BadValue where a share is not between 0 and 1."""
    if not 0 < share < 1:
        raise BadValue(f"{owner}: the share is {share:g}; it lies between 0 and 1, for example 0.2")


def exact(share: float) -> Fraction:
    """Return a share as the decimal that the user wrote, so that 10 rows times 0.3 are exactly 3."""
    return Fraction(repr(share))
