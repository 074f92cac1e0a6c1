"""What a visual model is given: images, their extractor and clean features; and how pixels become features."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recshield.core.errors import BadValue
from recshield.core.extractors import Extractor
from recshield.core.interfaces import Recommender
from recshield.core.seeds import generator
from recshield.core.settings import IMAGE_CHUNK, SHARE_USERS
from recshield.core.surfaces import Budget, Surface, View
from recshield.data.images import Images

IMAGES, FEATURES = "item_images", "item_features"


@dataclass(frozen=True)
class Visual:
    """Images of the items and the features that a model reads.

    Attributes:
        images: of all items.
        extractor: trained, in evaluation mode, without gradients of its own.
        features: (n_items, width) clean features divided by `scale`.
        scale: the largest absolute value of the clean features (AMR's published code), fitted once and stored.
    """

    images: Images
    extractor: Extractor
    features: Tensor
    scale: float

    def extract(self, pixels: Tensor) -> Tensor:
        """Return (B, width) scaled features of (B, 3, height, width) pixels of [0, 1]."""
        features: Tensor = self.extractor(pixels)
        return features / self.scale

    def __deepcopy__(self, memo: dict[int, object]) -> Visual:
        """Return itself: nothing here is ever changed, and a copy of a model must not copy all images."""
        return self

    def to(self, device: torch.device | str) -> Visual:
        """Return the same with features and extractor on a device."""
        return dataclasses.replace(self, extractor=self.extractor.to(device), features=self.features.to(device))

    def surfaces(self) -> tuple[Surface, Surface]:
        """Return the surfaces of images (one norm per image, pixels of [0, 1]) and of features (one per item)."""
        n_items, (height, width) = len(self.images), self.images.size
        image = (n_items, 3, height, width)
        return (
            Surface(IMAGES, image, Budget("linf", 4 / 255), norm_dims=(1, 2, 3), bounds=(0.0, 1.0)),
            Surface(FEATURES, tuple(self.features.shape), Budget("l2", 0.1)),
        )


def lower_images(visual: Visual, surface: Surface, view: View) -> View:
    """Return a view in which a perturbation or a filter of images stands as a perturbation of features.

    Items in `view.rows` (absent: all) get features(filters(clamp(image + delta))) minus the stored clean features, in
    chunks and in item order; where the perturbation of an image is exactly zero and there is no filter, exactly zero.
    A perturbation of features that the view holds as well is added. The result is differentiable. With a filter, items
    outside `view.rows` keep the features of their unfiltered image: whoever cuts a view into chunks goes through all.

    Args:
        visual: images, extractor and clean features.
        surface: of the images.
        view: with or without `item_images`.
    """
    if IMAGES not in view.delta and IMAGES not in view.filters:
        return view
    device = visual.features.device
    delta = view.delta.get(IMAGES)
    rows = view.rows.get(IMAGES)
    if rows is None:
        rows = torch.arange(len(visual.images), device=device)
    reads = View({IMAGES: delta} if delta is not None else {}, {IMAGES: rows}, {IMAGES: view.filters.get(IMAGES, ())})
    parts = [_moved(visual, surface, reads, part) for part in rows.split(IMAGE_CHUNK)]
    moved = torch.cat(parts) if parts else visual.features.new_zeros((0, visual.features.shape[1]))
    return _with_features(view, moved, rows, len(visual.images))


def _moved(visual: Visual, surface: Surface, view: View, items: Tensor) -> Tensor:
    """Return (len(items), width) by how much the features of some items move."""
    delta = view.delta.get(IMAGES)
    clean = visual.features[items]
    is_moved = torch.ones(len(items), dtype=torch.bool, device=items.device)
    if delta is not None and not view.filters[IMAGES]:
        place = torch.searchsorted(view.rows[IMAGES], items)
        is_moved = (delta.detach()[place].flatten(1) != 0).any(dim=1).to(items.device)
        if not bool(is_moved.any()) and not delta.requires_grad:
            return torch.zeros_like(clean)
    attacked = view.read(surface, visual.images.read(items), items)
    moved = visual.extract(attacked) - clean
    return torch.where(is_moved[:, None], moved, moved - moved.detach())


def _with_features(view: View, moved: Tensor, rows: Tensor, n_items: int) -> View:
    held: dict[str, Tensor] = {name: one for name, one in view.delta.items() if name != IMAGES}
    where = {name: one for name, one in view.rows.items() if name != IMAGES}
    is_whole = len(rows) == n_items
    if FEATURES in held:
        both = View({FEATURES: held[FEATURES]}, {FEATURES: where[FEATURES]} if FEATURES in where else {})
        surface = Surface(FEATURES, (n_items, moved.shape[1]), Budget("l2", 0.0))
        everything = both.read(surface, moved.new_zeros((n_items, moved.shape[1])))
        held[FEATURES], is_whole = everything.index_add(0, rows, moved), True
        where.pop(FEATURES, None)
    else:
        held[FEATURES] = moved
        if not is_whole:
            where[FEATURES] = rows
    filters: Mapping[str, object] = {name: one for name, one in view.filters.items() if name != IMAGES}
    return View(held, where, filters)  # type: ignore[arg-type]


def pictures(model: Recommender) -> Visual:
    """Return the images and features of a visual model, or raise BadValue."""
    if model.data.visual is None:
        raise BadValue(f"model '{model.name}' has no images; give the data set some with --images")
    return model.data.visual


def image_chunks(n_images: int) -> Iterator[slice]:
    """Yield slices of images that pass through an extractor at once."""
    for start in range(0, n_images, IMAGE_CHUNK):
        yield slice(start, min(start + IMAGE_CHUNK, n_images))


def clean_values(model: Recommender, surface: str, rows: Tensor) -> Tensor:
    """Return the clean values of some rows of a surface; images are read from the store, as pixels of [0, 1]."""
    if surface == IMAGES:
        return pictures(model).images.read(rows)
    return model.values(surface).detach()[rows]


def device_of(model: Recommender, surface: str) -> torch.device:
    """Return where the values of a surface lie."""
    return pictures(model).features.device if surface == IMAGES else model.values(surface).device


def visual_share(model: Recommender, users: NDArray[np.int32], device: torch.device) -> float:
    """Return the spread of the part of the scores that comes from images over the spread of the rest.

    The mean over a seeded sample of users of standard deviations over items; NaN for a model that reads no features,
    infinite where it reads nothing else. An attack on images can move a model no more than the images do.

    Args:
        model: trained.
        users: to draw from.
        device: where the model lies.
    """
    visual = model.data.visual
    if visual is None or all(one.name != FEATURES for one in model.surfaces):
        return math.nan
    order = torch.randperm(len(users), generator=generator(0, "visual share"))[:SHARE_USERS]
    some = torch.from_numpy(users)[order.sort().values].long().to(device)
    blind = View({FEATURES: -visual.features.to(device)})
    with torch.no_grad():
        whole, rest = model.score(some), model.score(some, blind)
    seen, unseen = (part.double().std(dim=1).mean() for part in (whole - rest, rest))
    return float(seen / unseen) if float(unseen) > 0 else math.inf
