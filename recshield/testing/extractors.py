"""Checks of an image feature extractor, on small seeded images of three kinds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from recshield.core.errors import BadValue
from recshield.core.extractors import Extractor
from recshield.core.seeds import generator
from recshield.data.categories import Categories
from recshield.data.images import Images
from recshield.matrix.fitting import state_hash
from recshield.testing.declarations import (
    check_docstring_is_complete,
    check_name_can_be_written,
    said,
)
from recshield.testing.failures import CheckFailed, applies_if, need
from recshield.testing.probes import disturbed_random_state, need_frozen, need_reprint, watched_random_state

Kind = type[Extractor]
_SIDE, _COUNT = 16, 24
_NAMES = ("red", "green", "blue")


@functools.cache
def small_images() -> tuple[Images, Categories]:
    """Return seeded images in one of three colours, and which colour each has."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 96, (_COUNT, _SIDE, _SIDE, 3), dtype=np.uint8)
    colour = np.arange(_COUNT) % len(_NAMES)
    pixels[np.arange(_COUNT), :, :, colour] += 128
    labels = np.eye(len(_NAMES), dtype=bool)[colour]
    return Images(pixels, np.ones(_COUNT, bool)), Categories(_NAMES, labels)


def _configured(extractor: Kind, config: Any) -> Any:
    if config is not None:
        return config
    try:
        return extractor.config_type()
    except TypeError as error:
        raise CheckFailed(f"{said(extractor)} has no default configuration ({error}); give the check one") from error


def _built(extractor: Kind, config: Any, seed: int = 0) -> Extractor:
    return extractor((_SIDE, _SIDE), len(_NAMES), _configured(extractor, config), generator(seed, "start"))


@functools.lru_cache(maxsize=1)
def _fitted(extractor: Kind, config: Any) -> Extractor:
    """Return the extractor after its fit; the checks that only read it share one."""
    return _fit(extractor, config)


def _fit(extractor: Kind, config: Any) -> Extractor:
    images, categories = small_images()
    made = _built(extractor, config)
    made.fit(images, categories, generator(0, "fit"))
    made.eval()
    return made.requires_grad_(False)


def _pixels(count: int = 8) -> Tensor:
    return small_images()[0].read(torch.arange(count))


def _features(made: Extractor, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = made(pixels)
    return found


def check_options_are_a_frozen_dataclass(extractor: Kind, config: Any = None) -> None:
    """The configuration is an immutable value, so that a step's key describes what was trained."""
    need_frozen(type(_configured(extractor, config)), said(extractor))


def check_options_reprint(extractor: Kind, config: Any = None) -> None:
    """The configuration prints as a specification that reads back equal."""
    settings = _configured(extractor, config)
    applies_if(bool(dataclasses.fields(settings)), f"{said(extractor)} has no options")
    need_reprint(settings, extractor.name, said(extractor))


def check_features_have_the_width(extractor: Kind, config: Any = None) -> None:
    """Features are (B, width), float32 and finite, for any number of images, black and white ones too."""
    made = _fitted(extractor, config)
    for pixels in (_pixels(5), _pixels(1), torch.zeros(1, 3, _SIDE, _SIDE), torch.ones(1, 3, _SIDE, _SIDE)):
        found = _features(made, pixels)
        need(
            tuple(found.shape) == (len(pixels), made.width) and found.dtype == torch.float32,
            f"{said(extractor)}: features are {found.dtype} of shape {tuple(found.shape)}; expected float32 of "
            f"({len(pixels)}, width = {made.width})",
        )
        need(bool(found.isfinite().all()), f"{said(extractor)}: features are not finite")


def check_images_move_the_features(extractor: Kind, config: Any = None) -> None:
    """Different images have different features.

    Prevents: an extractor that reads nothing, so that no attack on images can do anything.
    """
    found = _features(_fitted(extractor, config), _pixels(3))
    need(not torch.equal(found[0], found[1]), f"{said(extractor)}: two different images have the same features")


def check_pixels_have_a_gradient(extractor: Kind, config: Any = None) -> None:
    """A gradient reaches the pixels, normalisation and resize included.

    Prevents: attacks on images that are noise, read as robustness.
    """
    pixels = _pixels(2).requires_grad_()
    found: Tensor = _fitted(extractor, config)(pixels)
    need(found.requires_grad, f"{said(extractor)}: features have no gradient; compute them without no_grad and detach")
    (slope,) = torch.autograd.grad(found.square().sum(), [pixels])
    is_alive = bool(slope.isfinite().all()) and bool((slope.flatten(1).abs().amax(dim=1) > 0).all())
    need(is_alive, f"{said(extractor)}: the gradient of the features on the pixels is zero or not finite")


def check_an_image_stands_alone(extractor: Kind, config: Any = None) -> None:
    """An image's features do not depend on the images beside it.

    Prevents: batch statistics or a maximum over the batch, by which one attacked image moves all (VAR, TAaMR).
    """
    made = _fitted(extractor, config)
    together = _features(made, _pixels(6))
    alone = torch.cat([_features(made, _pixels(6)[place : place + 1]) for place in range(6)])
    need(
        torch.allclose(together, alone, rtol=1e-4, atol=1e-5),
        f"{said(extractor)}: features of an image change with the other images of the chunk; chunks must not matter",
    )


def check_classes_are_scores_per_category(extractor: Kind, config: Any = None) -> None:
    """Class scores are (B, n_categories) and finite, or the extractor says that it has none."""
    made = _fitted(extractor, config)
    try:
        with torch.no_grad():
            found = made.classes(_pixels(4))
    except BadValue:
        applies_if(False, f"{said(extractor)} has no class scores")
        return
    need(
        tuple(found.shape) == (4, len(_NAMES)) and bool(found.isfinite().all()),
        f"{said(extractor)}: class scores have shape {tuple(found.shape)}; expected finite ones of (4, {len(_NAMES)})",
    )


def check_same_seed_same_bits(extractor: Kind, config: Any = None) -> None:
    """Two fits with one seed give the same weights and features, whatever the global generators say."""
    found = []
    for disturbance in (1, 2):
        with disturbed_random_state(disturbance):
            made = _fit(extractor, config)
            found.append((state_hash_of(made), _features(made, _pixels())))
    need(
        found[0][0] == found[1][0] and torch.equal(found[0][1], found[1][1]),
        f"{said(extractor)}: two fits with one seed differ; every draw must come from the generator given",
    )


def state_hash_of(made: Extractor) -> str:
    """Return a hash of an extractor's weights."""
    return state_hash(made)  # type: ignore[arg-type]


def check_global_random_state_untouched(extractor: Kind, config: Any = None) -> None:
    """Building, fitting and reading leave the generators of torch, numpy and random as they were."""
    with watched_random_state(said(extractor)):
        _features(_fit(extractor, config), _pixels())


def check_state_round_trips(extractor: Kind, config: Any = None) -> None:
    """Weights saved and loaded into a new extractor give the same features, bit for bit."""
    made, other = _fitted(extractor, config), _built(extractor, config, seed=1)
    saved = save({name: held.detach().contiguous() for name, held in made.state_dict().items()})
    other.load_state_dict(load(saved))
    other.eval()
    need(
        torch.equal(_features(other, _pixels()), _features(made, _pixels())),
        f"{said(extractor)}: a loaded extractor gives other features than the saved one; register what fit() sets as "
        "parameters or buffers",
    )


def check_images_are_not_changed(extractor: Kind, config: Any = None) -> None:
    """Fitting and reading leave the images as they were."""
    images, _ = small_images()
    before, pixels = images.pixels.copy(), _pixels()
    held = pixels.clone()
    _features(_fit(extractor, config), pixels)
    is_same = bool((images.pixels == before).all()) and torch.equal(pixels, held)
    need(is_same, f"{said(extractor)}: the images are changed; work on a copy")


def check_pipeline_is_one_line(extractor: Kind, config: Any = None) -> None:
    """`pipeline` says in one line what happens between the pixels and the features."""
    text = _built(extractor, config).pipeline()
    is_line = isinstance(text, str) and bool(text.strip()) and "\n" not in text
    need(is_line, f"{said(extractor)}: pipeline() returns {text!r}; write one line")


#: Every check of an extractor, in the order in which they run.
EXTRACTOR_CHECKS: tuple[Callable[..., None], ...] = (
    check_name_can_be_written,
    check_docstring_is_complete,
    check_options_are_a_frozen_dataclass,
    check_options_reprint,
    check_features_have_the_width,
    check_images_move_the_features,
    check_pixels_have_a_gradient,
    check_an_image_stands_alone,
    check_classes_are_scores_per_category,
    check_same_seed_same_bits,
    check_global_random_state_untouched,
    check_state_round_trips,
    check_images_are_not_changed,
    check_pipeline_is_one_line,
)
