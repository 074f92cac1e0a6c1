"""The attacks of `recshield_gradient` run the conformance kit."""

from __future__ import annotations

from recshield.testing import AttackTests
from recshield_gradient import FGM, PGD, Noise


class TestNoise(AttackTests):
    attack = Noise()


class TestFGM(AttackTests):
    attack = FGM()


class TestFGMOnBPR(AttackTests):
    attack = FGM(loss="bpr")


class TestFGMOnLinear(AttackTests):
    attack = FGM(loss="linear")


class TestFGMOnMargin(AttackTests):
    attack = FGM(loss="margin")


class TestPGD(AttackTests):
    attack = PGD()


class TestPGDOnBPR(AttackTests):
    attack = PGD(loss="bpr")


class TestPGDOnLinear(AttackTests):
    attack = PGD(loss="linear")


class TestPGDOnMargin(AttackTests):
    attack = PGD(loss="margin")


class TestPGDWithRestarts(AttackTests):
    attack = PGD(steps=3, restarts=2, ratio=1.5)
