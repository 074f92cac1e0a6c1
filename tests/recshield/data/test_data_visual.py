"""`lower_images`: how pixels become features, for whom, and in which units."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Surface, View
from recshield.data.images import Images
from recshield.data.visual import FEATURES, IMAGES, Visual, lower_images
from recshield.testing.pictures import tiny_visual

N = 150  # three chunks of 64, the last one not full


@pytest.fixture
def visual() -> Visual:
    return tiny_visual(N)


def surface(visual: Visual) -> Surface:
    return visual.surfaces()[0]


def noise(size: float, rows: int = N) -> torch.Tensor:
    return size * torch.randn((rows, 3, 8, 8), generator=generator(0))


def test_a_view_without_images_is_handed_on(visual: Visual) -> None:
    view = View({FEATURES: torch.ones(N, 24)})
    assert lower_images(visual, surface(visual), view) is view


def test_a_perturbation_of_zero_moves_no_feature_at_all(visual: Visual) -> None:
    delta = noise(0.1)
    delta[[0, 70, 149]] = 0.0
    lowered = lower_images(visual, surface(visual), View({IMAGES: delta}))
    assert set(lowered.delta) == {FEATURES}
    assert not lowered.rows
    moved = lowered.delta[FEATURES].abs().amax(dim=1)
    assert bool((moved[[0, 70, 149]] == 0).all())
    assert int((moved > 0).sum()) == N - 3
    untouched = lower_images(visual, surface(visual), View({IMAGES: torch.zeros_like(delta)}))
    assert bool((untouched.delta[FEATURES] == 0).all())


def test_features_move_by_what_the_extractor_says_of_the_clamped_image(visual: Visual) -> None:
    delta = noise(2.0)
    lowered = lower_images(visual, surface(visual), View({IMAGES: delta}))
    pixels = torch.from_numpy(visual.images.pixels).permute(0, 3, 1, 2) / 255
    wanted = visual.extractor((pixels + delta).clamp(0, 1)) / visual.scale - visual.features
    assert torch.allclose(lowered.delta[FEATURES], wanted, atol=1e-6)


def test_a_subset_of_rows_gives_those_rows_alone(visual: Visual) -> None:
    rows, delta = torch.tensor([3, 64, 65, 140]), noise(0.1, 4)
    lowered = lower_images(visual, surface(visual), View({IMAGES: delta}, {IMAGES: rows}))
    assert torch.equal(lowered.rows[FEATURES], rows)
    whole = torch.zeros(N, 3, 8, 8).index_copy(0, rows, delta)
    everything = lower_images(visual, surface(visual), View({IMAGES: whole})).delta[FEATURES]
    assert torch.allclose(lowered.delta[FEATURES], everything[rows], atol=1e-6)
    assert int((everything.abs().amax(dim=1) > 0).sum()) == 4


def test_a_filter_acts_on_the_perturbed_image_and_on_clean_ones(visual: Visual) -> None:
    halve = (lambda pixels: pixels / 2,)
    pixels = torch.from_numpy(visual.images.pixels).permute(0, 3, 1, 2) / 255
    for delta in (None, noise(0.5)):
        view = View({} if delta is None else {IMAGES: delta}, filters={IMAGES: halve})
        lowered = lower_images(visual, surface(visual), view)
        attacked = pixels if delta is None else (pixels + delta).clamp(0, 1)
        wanted = visual.extract(attacked / 2) - visual.features
        assert torch.allclose(lowered.delta[FEATURES], wanted, atol=1e-6)
        assert not lowered.filters


def test_a_perturbation_of_features_is_added(visual: Visual) -> None:
    delta, rows = noise(0.1, 2), torch.tensor([3, 64])
    own = torch.ones((1, 24))
    view = View({IMAGES: delta, FEATURES: own}, {IMAGES: rows, FEATURES: torch.tensor([64])})
    alone = lower_images(visual, surface(visual), View({IMAGES: delta}, {IMAGES: rows})).delta[FEATURES]
    both = lower_images(visual, surface(visual), view).delta[FEATURES]
    assert torch.allclose(both[3], alone[0])
    assert torch.allclose(both[64], alone[1] + 1)
    assert int((both.abs().amax(dim=1) > 0).sum()) == 2


def test_its_gradient_is_that_of_every_batch_through_the_network(visual: Visual) -> None:
    """Must show 8: one backward pass per chunk against the naive way, also where the perturbation is zero."""
    weight = torch.randn((N, 24), generator=generator(1))
    pixels = torch.from_numpy(visual.images.pixels).permute(0, 3, 1, 2) / 255
    for delta in (noise(0.05), torch.zeros(N, 3, 8, 8)):
        leaf, naive = delta.clone().requires_grad_(), delta.clone().requires_grad_()
        lowered = lower_images(visual, surface(visual), View({IMAGES: leaf}))
        (found,) = torch.autograd.grad((lowered.delta[FEATURES] * weight).sum(), leaf)
        through = sum(
            (visual.extract((pixels[at : at + 1] + naive[at : at + 1]).clamp(0, 1)) * weight[at]).sum()
            for at in range(N)
        )
        (wanted,) = torch.autograd.grad(through, naive)
        assert float(wanted.abs().max()) > 1e-4
        assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_attacking_one_item_rescales_no_other(visual: Visual) -> None:
    """Scaling constants are those of the clean features, also where an attacked image has larger ones."""
    delta = torch.zeros(N, 3, 8, 8)
    delta[5] = 1.0
    small = dataclasses.replace(visual, scale=visual.scale / 100, features=visual.features * 100)
    lowered = lower_images(small, surface(small), View({IMAGES: delta})).delta[FEATURES]
    assert float((small.features[5] + lowered[5]).abs().max()) > 50, "far above the largest clean value of 1"
    assert bool((lowered[torch.arange(N) != 5] == 0).all())


def test_eps_is_in_pixels_whatever_the_extractor_normalises_by(visual: Visual) -> None:
    """The pixels that the extractor is given differ by eps, not by eps over a deviation."""
    seen = []

    class Watching(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            seen.append(pixels.detach().clone())
            return visual.extractor(pixels)

    watched = dataclasses.replace(visual, extractor=Watching())  # type: ignore[arg-type]
    lower_images(watched, surface(visual), View({IMAGES: torch.full((N, 3, 8, 8), 4 / 255)}))
    pixels = torch.from_numpy(visual.images.pixels).permute(0, 3, 1, 2)
    levels = (torch.cat(seen) * 255).round().long() - pixels.long()
    assert set(levels[pixels <= 251].unique().tolist()) == {4}, "four grey levels, or fewer where white is reached"
    assert surface(visual).default == Budget("linf", 4 / 255)


def test_images_are_read_as_their_bytes(visual: Visual) -> None:
    images = Images(visual.images.pixels, visual.images.is_there)
    read = images.read(torch.tensor([7, 3]))
    assert read.shape == (2, 3, 8, 8)
    assert (read[1, 2, 0, 5] * 255).round() == int(images.pixels[3, 0, 5, 2])
