"""The conformance kit on the attacks that ask."""

from __future__ import annotations

from recshield.testing import AttackTests
from recshield_query import NES, ListNES, ListSearch, Search


class TestNESByScores(AttackTests):
    attack = NES(queries=20, steps=2)


class TestListNES(AttackTests):
    attack = ListNES(queries=20, steps=2)


class TestSearchByScores(AttackTests):
    attack = Search(queries=20)


class TestListSearch(AttackTests):
    attack = ListSearch(queries=20)
