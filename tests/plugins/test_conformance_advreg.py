"""The defenses of `recshield_advreg` run the conformance kit."""

from __future__ import annotations

from recshield.testing import DefenseTests, reference_system
from recshield_advreg import AdversarialRegularisation, Continue, Rescaled


class TestAdversarialRegularisation(DefenseTests):
    defense = AdversarialRegularisation()


class TestAdversarialRegularisationInLinf(DefenseTests):
    defense = AdversarialRegularisation(eps=0.1, norm="linf", epochs=3)


class TestAdversarialRegularisationInSteps(DefenseTests):
    defense = AdversarialRegularisation(steps=3)


class TestContinue(DefenseTests):
    defense = Continue()


class TestRescaled(DefenseTests):
    @property
    def defense(self):
        return Rescaled(like=reference_system())
