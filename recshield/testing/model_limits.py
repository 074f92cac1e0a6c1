"""Checks of a recommender at the edges: how pixels become features, types of numbers, devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from recshield.core.interfaces import Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import View
from recshield.data.visual import FEATURES, IMAGES
from recshield.testing.building import Kind, attackable, built, ready, said, touchable
from recshield.testing.failures import applies_if, need
from recshield.testing.probes import as_served, loss, random_delta, scores, served_surfaces

#: Largest difference of one pixel, of [0, 1]: enough that clean + delta leaves the bounds now and then.
_PIXEL = 0.3


def _surface_names(model: Recommender) -> list[str]:
    return [one.name for one in served_surfaces(model)]


def check_lower_is_truthful(recommender: Kind, config: Any = None) -> None:
    """`lower` leaves what `score` reads as it is; a perturbation of images becomes the features' exact difference.

    The features of clamp(image + delta) minus the clean ones, for the rows that the view covers, and nothing elsewhere.

    Prevents: an attack on pixels that is judged on features no image has.
    """
    model = touchable(recommender, config)
    others = {name: held for name, held in random_delta(model).items() if name != IMAGES}
    lowered = model.lower(View(others)).delta
    is_same = set(lowered) == set(others) and all(torch.equal(lowered[name], held) for name, held in others.items())
    need(is_same, f"{said(recommender)}: lower() changes a view of {', '.join(others)}, which score reads as it is")
    visual = model.data.visual
    if IMAGES not in _surface_names(model) or visual is None:
        return
    count = len(visual.images)
    images = visual.images.read(torch.arange(count))
    delta = _PIXEL * (2 * torch.rand(images.shape, generator=generator(0, "kit", IMAGES)) - 1)
    with torch.no_grad():
        wanted = visual.extract((images + delta).clamp(0, 1)) - visual.features
    surface = next(one for one in model.surfaces if one.name == FEATURES)
    for rows in (torch.arange(count), torch.tensor([1, count - 1])):
        with torch.no_grad():
            view = model.lower(View({IMAGES: delta[rows]}, {IMAGES: rows}))
            found = view.read(surface, torch.zeros_like(visual.features))
        need(
            IMAGES not in view.delta and torch.allclose(found[rows], wanted[rows], rtol=1e-4, atol=1e-5),
            f"{said(recommender)}: lower() gives other features than those of clamp(image + delta); use "
            "recshield.data.visual.lower_images",
        )
        rest = found.index_fill(0, rows, 0.0)
        need(
            bool((rest == 0).all()),
            f"{said(recommender)}: lower() moves features of items that the view does not cover",
        )


def check_dtypes_are_kept(recommender: Kind, config: Any = None) -> None:
    """Scores and losses are float32 with and without a view.

    Prevents: clean and attacked figures at two precisions.
    """
    model, _ = ready(recommender, config)
    views = {"clean": View(), **({"under a view": View(random_delta(model))} if model.surfaces else {})}
    for which, view in views.items():
        found = scores(model, view).dtype
        need(found == torch.float32, f"{said(recommender)}: scores are {found} {which}; expected torch.float32")
    if recommender.loss is not Recommender.loss and model.surfaces:
        model, batch = attackable(recommender, config)
        value = loss(model, batch)
        need(
            value.dtype == torch.float32 and value.ndim == 0,
            f"{said(recommender)}: the loss is {value.dtype} of shape {tuple(value.shape)}; expected a float32 scalar",
        )


def check_cuda_scores_are_those_of_the_cpu(recommender: Kind, config: Any = None) -> None:
    """A model moved to a CUDA device scores there as on the CPU, up to rounding."""
    applies_if(torch.cuda.is_available(), "there is no CUDA device")
    model, data = ready(recommender, config)
    applies_if(IMAGES not in _surface_names(model), f"{said(recommender)} reads images, whose store stays on the CPU")
    moved = built(recommender, config, data)
    moved.load_state_dict(model.state_dict())
    moved = as_served(moved.to("cuda"))
    with torch.no_grad():
        found = moved.score(torch.arange(data.info.n_users, device="cuda"))
    need(
        found.device.type == "cuda" and torch.allclose(found.cpu(), scores(model), rtol=1e-3, atol=1e-4),
        f"{said(recommender)}: scores on {found.device} differ from those on the CPU; register every tensor",
    )


#: Checks at the edges, part of `RECOMMENDER_CHECKS`.
MODEL_LIMIT_CHECKS: tuple[Callable[..., None], ...] = (
    check_lower_is_truthful,
    check_dtypes_are_kept,
    check_cuda_scores_are_those_of_the_cpu,
)
