"""Section: who attacks what, with what power, in the terms of NIST AI 100-2 E2025, MITRE ATLAS and the EU AI Act.

Sources: NIST AI 100-2 E2025 (attacks by stage of learning, goal, capability and knowledge; sections 2.1 to 2.3); MITRE
ATLAS (atlas.mitre.org); Regulation (EU) 2024/1689, Article 15(5).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from recshield.core.registry import registry
from recshield.core.surfaces import family
from recshield.report.asked import Asked
from recshield.report.content import Bullets, Name, Phrase, Section, Table
from recshield.report.reading import Reading
from recshield.report.words import listed


@dataclass(frozen=True)
class Terms:
    """What the standards call an attack on a surface.

    Attributes:
        capability: NIST, what the attacker controls.
        kind: NIST, the class of attack.
        techniques: MITRE ATLAS.
        duty: what the EU AI Act says.
        is_outside: whether somebody outside the model can do it.
    """

    capability: str
    kind: str
    techniques: tuple[str, ...]
    duty: str
    is_outside: bool = True


_CRAFT = "AML.T0043 Craft Adversarial Data"
_EVADE = "AML.T0015 Evade AI Model"
_ERODE = "AML.T0031 Erode AI Model Integrity"
_POISON = "AML.T0020 Poison Training Data"
_EXAMPLES = "Art. 15(5): inputs designed to cause the AI model to make a mistake (adversarial examples)"
_POISONING = "Art. 15(5): attacks that manipulate the training data set (data poisoning)"
_INSIDE = Terms("nearest capability: model control", "stress test of parameters, no class of its own", (), "",
                False)  # fmt: skip
#: (family of the surface, stage) -> terms; a surface that is not here is not mapped rather than guessed.
TERMS: dict[tuple[str, str], Terms] = {
    ("factors", "serve"): _INSIDE,
    ("items", "serve"): _INSIDE,
    ("sequence", "serve"): _INSIDE,
    ("item_features", "serve"): Terms("testing data control, behind the extractor", "evasion", (_CRAFT, _EVADE, _ERODE),
                                      _EXAMPLES, False),
    ("item_images", "serve"): Terms("testing data control", "evasion", (_CRAFT, _EVADE, _ERODE), _EXAMPLES),
    ("item_images", "fit"): Terms("training data control", "poisoning", (_POISON, _ERODE), _POISONING),
    ("interactions", "fit"): Terms("training data control", "poisoning", (_POISON, _ERODE), _POISONING),
}  # fmt: skip
#: Sub-technique of `Craft Adversarial Data` by what the attack may call.
_CRAFTED = (("gradients", "AML.T0043.000 White-Box Optimization"), ("scores", "AML.T0043.001 Black-Box Optimization"),
            ("rankings", "AML.T0043.001 Black-Box Optimization"))  # fmt: skip
_TRANSFER = "AML.T0043.002 Black-Box Transfer"
_STAGES = {"serve": "deployment-time", "fit": "training-time"}


def build(reading: Reading) -> Section | None:
    """Return the section, None where nothing was attacked."""
    groups: dict[tuple[str, str, str, str], list[Asked]] = {}
    for asked in reading.asked:
        groups.setdefault((asked.attack, asked.surface, asked.goal, asked.stage), []).append(asked)
    if not groups:
        return None
    lead = (
        "What each attack may touch, wants, knows and may spend. Terms are those of NIST AI 100-2 E2025, techniques "
        "those of MITRE ATLAS, duties those of the EU AI Act; a dash means that none fits."
    )
    columns = ("attack", "surface", "goal", "knowledge", "time", "budgets", "NIST AI 100-2", "MITRE ATLAS", "EU AI Act")
    rows = tuple(_row(held) for held in groups.values())
    caption = "The threat model, one row per attack, surface and goal."
    table = Table("threats", caption, columns, (False,) * len(columns), rows)
    return Section("threat", "Threat model", lead, (table, Bullets(_notes(reading.asked))))


def _row(held: Sequence[Asked]) -> tuple[Phrase, ...]:
    asked = held[0]
    access = str(asked.first["access"])
    others = str(asked.first.get("other_systems") or "")
    terms = TERMS.get((family(asked.surface), asked.stage))
    kind = f"{terms.kind}; {terms.capability}" if terms else "\N{EN DASH}"
    said = _description(str(asked.first.get("attack_name", asked.attack)))
    return (
        (Name(asked.attack), f" {said}"),
        (Name(asked.surface),),
        (_goal(asked.goal),),
        (f"{_knowledge(access, others)} ({access.replace('+', ', ') or 'nothing'}", *_of(others), ")"),
        (f"{_STAGES.get(asked.stage, asked.stage)} ({asked.stage})",),
        listed([one.budget for one in held], 6),
        (kind,),
        ("; ".join(_techniques(terms, access, others)) or "\N{EN DASH}",),
        ((terms.duty if terms else "") or "\N{EN DASH}",),
    )


def _description(name: str) -> str:
    made = registry().found["attack"].get(registry().aliases["attack"].get(name, name))
    said = inspect.getdoc(made) if made else None
    return (said or "").split("\n\n")[0].replace("\n", " ").rstrip(".")


def _goal(goal: str) -> str:
    """Return the goal in the standard's terms."""
    if goal.startswith("degrade"):
        oracle = ", and knows the test pairs" if goal.endswith(":oracle") else ""
        return f"{goal}: availability breakdown (worse lists for everybody){oracle}"
    return f"{goal}: integrity violation" if goal.split(":")[0] in ("promote", "push") else goal


def _of(others: str) -> Phrase:
    return (" of ", Name(others)) if others else ()


def _knowledge(access: str, others: str) -> str:
    """Return what the standard calls an attacker who may call so much, of the system attacked or of others alone."""
    held = set(access.split("+"))
    if others:
        return "black-box, by transfer"
    if "gradients" in held:
        return "white-box"
    return "black-box" if held & {"scores", "rankings"} else "no knowledge of the model"


def _techniques(terms: Terms | None, access: str, others: str) -> list[str]:
    found = list(terms.techniques) if terms else []
    if others:
        return [_TRANSFER if one == _CRAFT else one for one in found]
    exact = next((name for word, name in _CRAFTED if word in access.split("+")), None)
    return [exact if one == _CRAFT and exact else one for one in found]


def _notes(asked: Sequence[Asked]) -> tuple[Phrase, ...]:
    said: list[Phrase] = []
    inside = [
        one.surface for one in asked if (terms := TERMS.get((family(one.surface), one.stage))) and not terms.is_outside
    ]
    unknown = [one.surface for one in asked if (family(one.surface), one.stage) not in TERMS]
    if inside:
        text = ": nobody outside can perturb what lies inside the model. Such an attack is a stress test; no technique "
        said.append((*listed(inside), f"{text}of ATLAS and no duty of Article 15(5) describes it by itself."))
    if unknown:
        said.append((*listed(unknown), ": not mapped to the standards here."))
    said.append(("Budgets are per row of the surface, in its raw units, and hold after projection.",))
    return tuple(said)
