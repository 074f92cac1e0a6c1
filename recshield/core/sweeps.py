"""Sweeps and choices in specifications: `eps=0.1:0.5:1` is three systems, `eps=0.1|0.5|1` one that chooses."""

from __future__ import annotations

import itertools

from recshield.core.errors import BadSpec
from recshield.core.specs import pieces

#: Most specifications that one sweep may stand for.
LIMIT = 1000


def expand(text: str) -> list[str]:
    """Return the specifications that a sweep stands for, in the order of its values; a plain text stands for itself.

    Every option whose value is a list `A:B:C` outside parentheses is swept; several such options are crossed.

    Raises:
        BadSpec: an empty value, or more than `LIMIT` specifications.
    """
    parts = [_alternatives(part) for part in pieces(text, "+")]
    count = 1
    for part in parts:
        count *= len(part)
    if count > LIMIT:
        raise BadSpec(f"'{text}' stands for {count} specifications; a sweep may stand for at most {LIMIT}")
    return ["+".join(chosen) for chosen in itertools.product(*parts)]


def _alternatives(part: str) -> list[str]:
    head, colon, tail = part.partition(":")
    if not colon:
        return [part]
    options = []
    for piece in pieces(tail, ","):
        key, equals, value = piece.partition("=")
        values = pieces(value, ":")
        if len(values) > 1 and not all(one.strip() for one in values):
            raise BadSpec(f"'{piece.strip()}' has an empty value; write KEY=A:B:C")
        options.append([f"{key}{equals}{one}" for one in values] if equals else [piece])
    return [f"{head}:{','.join(chosen)}" for chosen in itertools.product(*options)]


def choices(value: str) -> list[str]:
    """Return the values that `A|B|C` lets a validation set choose from; a plain value is the only one.

    Raises:
        BadSpec: an empty value.
    """
    values = [one.strip() for one in pieces(value, "|")]
    if len(values) > 1 and not all(values):
        raise BadSpec(f"'{value}' has an empty choice; write A|B|C")
    return values
