"""pytest base classes: an author's test file is a class line that inherits one and names the plugin.

class TestMyAttack(AttackTests):
    attack = MyAttack(steps=3)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from recshield.core.errors import UnknownName
from recshield.core.interfaces import Attack, Defense, Recommender
from recshield.testing.attacks import ATTACK_CHECKS
from recshield.testing.defenses import DEFENSE_CHECKS
from recshield.testing.failures import NotApplicable
from recshield.testing.kit import CHECKS, name_of
from recshield.testing.recommenders import RECOMMENDER_CHECKS


def _run(kind: str, check: Callable[..., None], excused: Mapping[str, str], *subject: Any) -> None:
    name = name_of(check)
    unknown = sorted(set(excused) - {name_of(one) for one in CHECKS[kind]})
    if unknown:
        raise UnknownName.among("check", unknown[0], map(name_of, CHECKS[kind]), "look at `excused`")
    if name in excused:
        pytest.skip(f"excused: {excused[name]}")
    try:
        check(*subject)
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")


class RecommenderTests:
    """Every check of a recommender as a test.

    Attributes:
        recommender: the class.
        config: an instance of its `config_type`; None = its defaults.
        excused: name of a check -> why this model need not pass it.
    """

    recommender: ClassVar[type[Recommender]]
    config: ClassVar[Any] = None
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", RECOMMENDER_CHECKS, ids=name_of)
    def test_recommender(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("recommender", check, self.excused, self.recommender, self.config)


class AttackTests:
    """Every check of an attack as a test.

    Attributes:
        attack: with the options to check it at; a property where it needs `reference_system()`.
        excused: name of a check -> why this attack need not pass it.
    """

    attack: Attack
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", ATTACK_CHECKS, ids=name_of)
    def test_attack(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("attack", check, self.excused, self.attack)


class DefenseTests:
    """Every check of a defense as a test.

    Attributes:
        defense: with the options to check it at; a property where it needs `reference_system()`.
        excused: name of a check -> why this defense need not pass it.
    """

    defense: Defense
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", DEFENSE_CHECKS, ids=name_of)
    def test_defense(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("defense", check, self.excused, self.defense)
