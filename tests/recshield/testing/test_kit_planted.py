"""The page of what the kit catches names every check and every planted bug."""

from __future__ import annotations

import re

import planted

from recshield.testing import CHECKS
from recshield.testing.kit import name_of


def rows() -> set[tuple[str, str, str]]:
    found, kind = set(), ""
    for line in planted.PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif row := re.match(r"\| `(\w+)` \| `(\w+)` \|", line):
            found.add((kind, *row.groups()))
    return found


def test_the_page_lists_every_planted_bug():
    assert rows() == {(kind, check, planted.label(bug)) for kind, check, bug in planted.planted()}


def test_every_check_has_a_row():
    listed = {(kind, check) for kind, check, _ in rows()}
    shared = {name_of(check) for checks in CHECKS.values() for check in checks if "declarations" in check.__module__}
    for kind, checks in CHECKS.items():
        missing = {name_of(check) for check in checks} - {check for own, check in listed if own == kind} - shared
        assert kind == "module" or not {one for one in missing if "cuda" not in one}, (kind, missing)


def test_what_else_fires_is_a_check_of_the_kind():
    kind = ""
    for line in planted.PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line.startswith("| `"):
            others = line.split("|")[3].strip()
            known = {f"`{name_of(check)}`" for check in CHECKS[kind]}
            assert others == "nothing" or set(others.split(", ")) <= known, line
