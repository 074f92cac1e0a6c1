"""The iterated attacks of `recshield_gradient`, and its ensemble, run the conformance kit; few steps, for speed."""

from __future__ import annotations

from recshield.testing import AttackTests
from recshield.testing.kit import run_checks
from recshield_gradient import APGD, BIM, FGM, MIM, MSAP, Auto, Noise


class TestOtherNoise(AttackTests):
    attack = Noise(draw=2)


class TestFGMAlongTheSign(AttackTests):
    attack = FGM(direction="sign")


class TestFGMOnTop(AttackTests):
    attack = FGM(loss="top")


class TestBIM(AttackTests):
    attack = BIM(steps=4)


class TestMIM(AttackTests):
    attack = MIM(steps=4)


class TestAPGD(AttackTests):
    attack = APGD(steps=5)


class TestAPGDOnTopWithRestarts(AttackTests):
    attack = APGD(steps=2, restarts=2, loss="top")


class TestMSAPFromARandomStart(AttackTests):
    attack = MSAP(steps=4, start="random")


class TestAuto(AttackTests):
    attack = Auto()


def test_the_kit_sends_an_ensemble_to_its_members_and_still_checks_its_options() -> None:
    found = {one.name: one for one in run_checks("attack", Auto())}
    checked = {name for name, one in found.items() if one.applies}
    said = {"name_can_be_written", "docstring_is_complete", "docstring_names_its_source"}
    assert checked == said | {"options_are_a_frozen_dataclass", "options_reprint"}
    assert all(one.passed for one in found.values())
    assert found["beats_noise"].message == (
        "not applicable: attack 'auto' is an ensemble without a perturbation of its own; "
        "check fgm, fgm:loss=top, apgd, apgd:loss=top, noise, noise:draw=1, noise:draw=2"
    )
