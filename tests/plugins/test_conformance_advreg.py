"""The defenses of `recshield_advreg` run the conformance kit."""

from __future__ import annotations

from recshield.testing import DefenseTests, reference_system
from recshield_advreg import AdversarialRegularisation, Continue, Rescaled

#: Controls of recshield's own making; their docstrings are to say so when their code changes next.
OWN = {"docstring_names_its_source": "a control of recshield's own"}


class TestAdversarialRegularisation(DefenseTests):
    defense = AdversarialRegularisation()


class TestAdversarialRegularisationInLinf(DefenseTests):
    defense = AdversarialRegularisation(eps=0.1, norm="linf", epochs=3)


class TestAdversarialRegularisationInSteps(DefenseTests):
    defense = AdversarialRegularisation(steps=3)


class TestContinue(DefenseTests):
    defense = Continue()
    excused = OWN


class TestRescaled(DefenseTests):
    excused = OWN

    @property
    def defense(self):
        return Rescaled(like=reference_system())
