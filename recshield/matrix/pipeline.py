"""Whether the loss that an attack follows is that of the scores which are served."""

from __future__ import annotations

from typing import Any

import torch

from recshield.core.interfaces import Batch, Recommender
from recshield.core.surfaces import Delta, View, family
from recshield.matrix.victims import GoalPairs, loss_of

#: Triplets that are looked at, spread evenly over the goal's.
_TRIPLETS = 256


def path_facts(model: Recommender, pairs: GoalPairs, delta: Delta, loss: str, device: torch.device) -> dict[str, Any]:
    """Return the attacked loss of some triplets along the path of the gradient, and from the scores served.

    A defense that scores through more than its `loss` knows of is attacked through less than is served. From scores a
    model's own loss is taken for BPR; where an undefended model's is another, the two differ without any defense.

    Args:
        model: as served, defenses included.
        pairs: of the goal.
        delta: surface -> perturbation.
        loss: as in `Victim.ascend`.
        device: of the model.

    Returns:
        `path_loss` and `path_score`; None for images, which cost a pass over the whole catalogue.
    """
    if not len(pairs.users) or any(family(name) == "item_images" for name in delta):
        return {"path_loss": None, "path_score": None}
    rows = torch.linspace(0, len(pairs.users) - 1, min(_TRIPLETS, len(pairs.users))).long()
    held = Batch(pairs.users[rows].long(), pairs.positives[rows].long(), pairs.negatives[0][rows].long())
    batch = held.to(device)
    with torch.no_grad():
        view = model.lower(View({name: value.to(device) for name, value in delta.items()}))
        by_loss = loss_of(model, batch, view, loss)
        x = Recommender.margins(model, batch, view)
        by_score = torch.nn.functional.softplus(-x).sum() if loss in ("", "bpr") else -x.sum()
        if loss in ("margin", "top"):
            by_score = -x.clamp(min=0).sum()
    return {"path_loss": float(by_loss) / len(batch), "path_score": float(by_score) / len(batch)}
