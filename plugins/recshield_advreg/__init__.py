"""Adversarial regularisation and the controls that show what it is worth."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Defense
from recshield_advreg.controls import AdversarialOnly, Continue, NoiseRegularisation, Rescaled
from recshield_advreg.regularisation import AdversarialRegularisation

__all__ = ["AdversarialOnly", "AdversarialRegularisation", "Continue", "NoiseRegularisation", "Rescaled"]


@hookimpl
def recshield_defenses() -> list[type[Defense]]:
    """Return the defenses."""
    return [AdversarialRegularisation, NoiseRegularisation, AdversarialOnly, Continue, Rescaled]


@hookimpl
def recshield_presets() -> dict[str, str]:
    """Return the systems of the papers by the names they have there."""
    return {"amf": "mf+advreg:eps=0.5,weight=1,epochs=200"}
