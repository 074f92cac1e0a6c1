"""Budgets as they are asked for: `[SURFACE=]NORM:EPS[,EPS...]`, eps raw, in percent or like another system's."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recshield.core.errors import BadSpec, BadValue, UnknownName
from recshield.core.norms import norm_of
from recshield.core.specs import number
from recshield.core.surfaces import Budget, covers, family

#: Digits above which a size that is a number of grey levels is written as one.
_SHORT = 6
_TARGET = re.compile(r"\s*([A-Za-z_][\w.]*)\s*=")
_LIKE = re.compile(r"(.+?)like\((.+)\)")


@dataclass(frozen=True)
class Eps:
    """A size before it is resolved to raw units.

    Attributes:
        value: the number; for `10%` it is 10.
        unit: `raw`, `percent` (of the mean clean norm of the rows that the goal reads) or `like`.
        system: for `like`: the system in which `value` is raw; here the same share of the norm is taken.
    """

    value: float
    unit: str = "raw"
    system: str = ""

    def __str__(self) -> str:
        number_text = f"{self.value:g}"
        levels = round(self.value * 255)
        if len(number_text) > _SHORT and levels and math.isclose(levels / 255, self.value, rel_tol=1e-9):
            number_text = f"{levels}/255"
        if self.unit == "percent":
            return number_text + "%"
        return f"{number_text}like({self.system})" if self.unit == "like" else number_text

    def resolve(self, own_norm: float, other_norm: float | None) -> float:
        """Return eps in raw units, from the mean clean norms here and in the other system."""
        if self.unit == "percent":
            return self.value / 100 * own_norm
        if self.unit == "like":
            if not other_norm:
                raise BadValue(f"eps {self}: the rows of '{self.system}' have no norm to compare with")
            return self.value / other_norm * own_norm
        return self.value

    @classmethod
    def parse(cls, text: str) -> Eps:
        """Return the size that `0.5`, `4/255`, `10%` or `0.5like(amf)` writes."""
        like = _LIKE.fullmatch(text)
        if like:
            return cls(_size(like[1], text), "like", like[2])
        if text.endswith("%"):
            return cls(_size(text[:-1], text), "percent")
        return cls(_size(text, text))


def _size(text: str, whole: str) -> float:
    value = number(text, f"eps '{whole}'")
    Budget("l2", value)  # checks the value
    return value


@dataclass(frozen=True)
class BudgetRequest:
    """One `--budget`: sizes of one norm, for one surface or family, or for all ("")."""

    norm: str
    sizes: tuple[Eps, ...]
    target: str = ""

    @classmethod
    def parse(cls, text: str) -> BudgetRequest:
        """Return the request that `[SURFACE=]NORM:EPS[,EPS...]` writes."""
        named = _TARGET.match(text)
        target, rest = (named[1], text[named.end() :]) if named else ("", text)
        norm, colon, sizes = rest.partition(":")
        if not colon or not sizes.strip():
            raise BadSpec(f"budget '{text}' cannot be read; write [SURFACE=]NORM:EPS[,EPS...], for example l2:0.5,1,2")
        norm_of(norm.strip())
        pieces = re.split(r",(?![^()]*\))", sizes)
        return cls(norm.strip(), tuple(Eps.parse(size.strip()) for size in pieces), target)


def check_targets(requests: Sequence[BudgetRequest], exposed: Iterable[str]) -> None:
    """Raise UnknownName where a request names a surface or family that no installed model exposes."""
    known = {name for surface in exposed for name in (surface, family(surface))}
    for one in requests:
        if one.target and one.target not in known:
            raise UnknownName.among("surface", one.target, known, "a budget is written [SURFACE=]NORM:EPS[,EPS...]")


def sizes_for(requests: Sequence[BudgetRequest], target: str) -> list[tuple[str, Eps]]:
    """Return (norm, eps) for a target: requests that name it or its family, else requests that name nothing."""
    named = [one for one in requests if one.target and covers(one.target, target)]
    chosen = named or [one for one in requests if not one.target]
    found = [(one.norm, eps) for one in chosen for eps in one.sizes]
    return list(dict.fromkeys(found))
