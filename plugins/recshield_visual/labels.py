"""Training an image network on the categories of items: several per image, judged by AUC on images held out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Generator, Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from recshield.core.errors import BadValue
from recshield.core.extractors import Extractor
from recshield.core.seeds import child
from recshield.core.settings import IMAGE_CHUNK
from recshield.data.categories import Categories
from recshield.data.images import Images
from recshield.training.progress import report_progress

Labels = NDArray[np.bool_]
Items = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained on categories.

    Attributes:
        epochs: passes over the images.
        lr: largest learning rate of the one cycle (Smith and Topin 2017).
        decay: weight decay of AdamW.
        batch: images per update.
        dropout: share of the features that the head does not see in training.
        held: share of the images held out for the AUC.
        shift: each batch is moved by up to this many pixels, and each image mirrored by chance; -1 = neither.
        least: a category with fewer positive images among those trained on is left out.
    """

    epochs: int
    lr: float
    decay: float
    batch: int
    dropout: float
    held: float
    shift: int
    least: int

    def check(self, owner: str) -> None:
        """Raise BadValue unless every setting is within what is allowed."""
        for name, low in (("epochs", 1), ("batch", 2), ("shift", -1), ("least", 1)):
            if getattr(self, name) < low:
                raise BadValue(f"extractor '{owner}': {name} is {getattr(self, name)}; it is at least {low}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise BadValue(f"extractor '{owner}': lr is {self.lr}; it is a finite number above 0")
        if not (math.isfinite(self.decay) and self.decay >= 0):
            raise BadValue(f"extractor '{owner}': decay is {self.decay}; it is a finite number of at least 0")
        for name in ("dropout", "held"):
            if not 0 <= getattr(self, name) < 1:
                raise BadValue(f"extractor '{owner}': {name} is {getattr(self, name)}; it is at least 0 and below 1")


def auc(scores: NDArray[Any], labels: Labels) -> float:
    """Return the area under the ROC curve, ties counting half; NaN without a positive or without a negative.

    Source: Hanley and McNeil 1982: the share of (positive, negative) pairs in the right order.
    """
    n_positive, n_negative = int(labels.sum()), int((~labels).sum())
    if n_positive == 0 or n_negative == 0:
        return math.nan
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def train_on_categories(
    network: Extractor,
    head: torch.nn.Linear,
    images: Images,
    categories: Categories | None,
    recipe: Recipe,
    rng: Generator,
) -> Mapping[str, Any]:
    """Train an extractor and a linear head on the categories of the items that have an image; return facts.

    Args:
        network: its `forward` gives the features that `head` reads.
        head: one output per category; the outputs of categories left out become the log odds of their share.
        images: those that are missing are left out.
        categories: an item without any is left out.
        recipe: how.
        rng: of the images held out, the order of an epoch, mirroring, shifts and dropout.

    Returns:
        `auc` (mean over the categories with a positive and a negative image held out; None without any), `aucs`,
        `trained`, `dropped`, `n_train` and `n_held`.

    Raises:
        BadValue: there is nothing to train on.
    """
    if categories is None:
        raise BadValue(
            f"extractor '{network.name}' is trained on the categories of items, and the data set has none; name a "
            "pretrained one, for example resnet18:weights=default"
        )
    labels = categories.labels
    usable = np.flatnonzero(images.is_there & labels.any(axis=1))
    shuffled = usable[torch.randperm(len(usable), generator=child(rng, "held")).numpy()]
    n_held = round(recipe.held * len(usable))
    held, kept = np.sort(shuffled[:n_held]), np.sort(shuffled[n_held:])
    counts = labels[kept].sum(axis=0)
    chosen = np.flatnonzero((counts >= recipe.least) & (counts < len(kept)))
    if len(kept) < 2 or len(chosen) == 0:
        raise BadValue(
            f"extractor '{network.name}' has {len(kept)} images with a category to train on and no category with "
            f"{recipe.least} of them; give more images, or least=1"
        )
    _start_head(head, counts, len(kept), chosen)
    _epochs(network, head, images, labels, kept, chosen, recipe, rng)
    found = held_out_aucs(network, head, images, labels, held, chosen)
    known = [value for value in found if not math.isnan(value)]
    names = categories.names
    return {
        "auc": sum(known) / len(known) if known else None,
        "aucs": {names[place]: value for place, value in zip(chosen, found, strict=True) if not math.isnan(value)},
        "trained": [names[place] for place in chosen],
        "dropped": [name for place, name in enumerate(names) if place not in set(chosen.tolist())],
        "n_train": len(kept),
        "n_held": len(held),
    }


@torch.no_grad()
def _start_head(head: torch.nn.Linear, counts: Items, n_images: int, chosen: Items) -> None:
    """Let every output start at the log odds of its category's share; those left out stay there."""
    share = torch.from_numpy((counts + 0.5) / (n_images + 1)).float()
    head.bias.copy_(torch.logit(share))
    is_out = torch.ones(head.out_features, dtype=torch.bool, device=head.weight.device)
    is_out[torch.from_numpy(chosen)] = False
    head.weight[is_out] = 0.0


def _epochs(
    network: Extractor,
    head: torch.nn.Linear,
    images: Images,
    labels: Labels,
    kept: Items,
    chosen: Items,
    recipe: Recipe,
    rng: Generator,
) -> None:
    device = head.weight.device
    wanted, columns = torch.from_numpy(labels).to(device), torch.from_numpy(chosen).to(device)
    # Equal batches, none of one image, for which batch norm has no variance.
    n_batches = max(1, len(kept) // recipe.batch)
    weights = [*network.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=recipe.epochs * n_batches)
    network.train()
    for epoch in range(recipe.epochs):
        own = child(rng, "epoch", epoch)
        order = torch.from_numpy(kept)[torch.randperm(len(kept), generator=own)]
        for items in order.tensor_split(n_batches):
            here = items.to(device)
            features = network(_varied(images.read(here), recipe.shift, own))
            logits = head(_dropped(features, recipe.dropout, own))[:, columns]
            optimizer.zero_grad(set_to_none=True)
            binary_cross_entropy_with_logits(logits, wanted[here][:, columns].float()).backward()
            optimizer.step()
            schedule.step()
        report_progress((epoch + 1) / recipe.epochs)
    network.eval()


def _varied(pixels: Tensor, shift: int, rng: Generator) -> Tensor:
    """Return images mirrored by chance, and all moved alike; what moves in repeats the edge."""
    if shift < 0:
        return pixels
    is_flipped = (torch.rand(len(pixels), generator=rng) < 0.5).to(pixels.device)
    pixels = torch.where(is_flipped[:, None, None, None], pixels.flip(3), pixels)
    if shift == 0:
        return pixels
    down, right = torch.randint(0, 2 * shift + 1, (2,), generator=rng).tolist()
    wide = pad(pixels, (shift,) * 4, mode="replicate")
    return wide[:, :, down : down + pixels.shape[2], right : right + pixels.shape[3]]


def _dropped(features: Tensor, share: float, rng: Generator) -> Tensor:
    """Return features with a share dropped and the rest scaled up; torch's own dropout takes no generator."""
    if share == 0:
        return features
    is_kept = (torch.rand(features.shape, generator=rng) >= share).to(features.device)
    return features * is_kept / (1 - share)


@torch.no_grad()
def held_out_aucs(
    network: Extractor, head: torch.nn.Linear, images: Images, labels: Labels, items: Items, columns: Items
) -> list[float]:
    """Return the AUC of each of some categories over some items; NaN where one has no positive or no negative."""
    if len(items) == 0:
        return [math.nan] * len(columns)
    parts = torch.from_numpy(items).to(head.weight.device).split(IMAGE_CHUNK)
    scores = torch.cat([head(network(images.read(part))) for part in parts]).cpu().numpy()
    return [auc(scores[:, column], labels[items, column]) for column in columns]
