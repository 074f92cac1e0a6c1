"""The gradient with respect to pixels: that with respect to features, passed back through the extractor in chunks.

Sending the images of each batch of triplets through the network costs dozens of times as much.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recshield.core import settings
from recshield.core.interfaces import Recommender
from recshield.core.storage import zeros
from recshield.core.surfaces import View
from recshield.data.visual import FEATURES, IMAGES, pictures

#: Adds the gradient of the mean loss to the leaves given by surface; returns the mean loss.
Accumulate = Callable[[dict[str, Tensor]], float]


def pixel_gradient(model: Recommender, delta: Tensor, rows: Tensor, accumulate: Accumulate) -> tuple[Tensor, float]:
    """Return the gradient of the mean loss with respect to the images, and the loss.

    What autograd keeps of the first chunks' way through the extractor is used for their way back, as far as
    `settings.GRAPH_BYTES` go; the others go through it again.

    Args:
        model: the victim.
        delta: (n_items, 3, height, width) perturbation.
        rows: sorted items whose images the goal reads.
        accumulate: with respect to features.
    """
    parts = rows.split(settings.IMAGE_CHUNK)
    features, kept = _forward(model, delta, parts)
    _fill_unread(model, delta, rows, features)
    leaves = {FEATURES: features.requires_grad_()}
    total = accumulate(leaves)
    slope = leaves[FEATURES].grad
    found = zeros(tuple(delta.shape), delta.device)
    for place, part in enumerate(parts if slope is not None else ()):
        assert slope is not None
        if not bool(slope[part].any()):
            continue
        leaf, moved = kept.pop(place) if place in kept else _through(model, delta, part)
        (found[part],) = torch.autograd.grad(moved, leaf, slope[part])
    return found, total


def _forward(
    model: Recommender, delta: Tensor, parts: tuple[Tensor, ...]
) -> tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]:
    """Return (n_items, width) features of the parts, zero elsewhere, and the graphs that are kept by place."""
    features = torch.zeros_like(pictures(model).features)
    kept: dict[int, tuple[Tensor, Tensor]] = {}
    n_held = 0
    for place, part in enumerate(parts):
        if n_held >= settings.GRAPH_BYTES:
            features[part] = _lowered(model, delta[part], part)
            continue
        sizes: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(_noting(sizes), _as_it_is):
            kept[place] = _through(model, delta, part)
        n_held += sum(sizes.values())
        features[part] = kept[place][1].detach()
    return features, kept


def _fill_unread(model: Recommender, delta: Tensor, rows: Tensor, features: Tensor) -> None:
    """Set the features of images that the goal does not read: a filter or an attack may have moved them."""
    is_read = torch.zeros(len(delta), dtype=torch.bool, device=delta.device)
    is_read[rows] = True
    for part in (~is_read).nonzero()[:, 0].split(settings.IMAGE_CHUNK):
        features[part] = _lowered(model, delta[part], part)


def _lowered(model: Recommender, delta: Tensor, part: Tensor) -> Tensor:
    with torch.no_grad():
        return model.lower(View({IMAGES: delta}, {IMAGES: part})).delta[FEATURES]


def _through(model: Recommender, delta: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
    """Return a leaf with the perturbation of some images, and their features, which remember the way."""
    with torch.enable_grad():
        # In the layout of the images and of the network: passes over mixed layouts take several times as long.
        leaf = delta[part].detach().clone(memory_format=torch.channels_last).requires_grad_()
        return leaf, model.lower(View({IMAGES: leaf}, {IMAGES: part})).delta[FEATURES]


def _noting(sizes: dict[int, int]) -> Callable[[Tensor], Tensor]:
    """Return a hook that notes what autograd keeps, each storage once."""

    def note(held: Tensor) -> Tensor:
        storage = held.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return held

    return note


def _as_it_is(held: Tensor) -> Tensor:
    return held
