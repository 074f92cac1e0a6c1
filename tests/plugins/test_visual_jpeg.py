"""The defense `jpeg`: a filter of images that clean scores and attacks both go through."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN, View
from recshield.data.visual import FEATURES, IMAGES
from recshield.matrix.fitting import state_hash
from recshield.testing import small_dataset, trained_tables
from recshield.testing.probes import as_served, scores
from recshield.training import ModelLoss
from recshield_visual import JPEG, VBPRAMR, VBPRAMRConfig

BATCH = Batch(torch.tensor([0, 3]), torch.tensor([1, 5]), torch.tensor([2, 9]))


@pytest.fixture
def model() -> Any:
    data, _ = small_dataset()
    made = VBPRAMR(data.info, VBPRAMRConfig(dims=4, std=0.2, batch=32), generator(0, "start"))
    made.fit(data, ModelLoss(), generator(0, "fit", 0), 3)
    return as_served(made)


def pixels(model: Recommender) -> torch.Tensor:
    assert model.data.visual
    return model.data.visual.images.read(torch.arange(30))


@pytest.mark.parametrize("chroma", ["4:2:0", "4:4:4"])
def test_the_filter_is_a_round_trip_through_pillow(model: Any, chroma: str) -> None:
    clean = pixels(model)
    found = JPEG(quality=40, chroma=chroma).filter(clean)
    assert found.shape == clean.shape
    for place in (0, 29):
        held = io.BytesIO()
        whole = Image.fromarray((clean[place].permute(1, 2, 0) * 255).round().byte().numpy())
        whole.save(held, "JPEG", quality=40, subsampling=chroma)
        wanted = np.asarray(Image.open(held))
        assert np.array_equal((found[place].permute(1, 2, 0) * 255).round().byte().numpy(), wanted)
    assert float((found - clean).abs().max()) > 0.02


def test_pixels_are_rounded_not_cut_before_they_are_encoded() -> None:
    """3.6 grey levels are 4 on disk: at quality 95 a flat image comes back as it was written."""
    flat = torch.full((1, 3, 8, 8), 103.6 / 255)
    assert (JPEG(quality=95).filter(flat) * 255).round().unique().tolist() == [104.0]


def test_its_gradient_is_that_of_the_identity(model: Any) -> None:
    leaf = pixels(model).clone().requires_grad_()
    weight = torch.randn(leaf.shape, generator=generator(0))
    (found,) = torch.autograd.grad((JPEG().filter(leaf) * weight).sum(), leaf)
    assert torch.equal(found, weight)


def test_clean_scores_are_those_of_compressed_images(model: Any) -> None:
    before = state_hash(model)
    served = JPEG(quality=30).serve(model)
    plain, filtered = scores(model), scores(served)
    assert not torch.equal(plain, filtered)
    visual = model.data.visual
    compressed = visual.extract(JPEG(quality=30).filter(pixels(model)))
    vectors = model.item + compressed @ model.projection.T
    assert torch.allclose(filtered, model.user @ vectors.T, atol=1e-5)
    assert torch.equal(scores(model), plain), "without the wrapper nothing changes"
    assert state_hash(model) == before


def test_the_attack_sees_through_the_filter(model: Any) -> None:
    """The gradient is not zero, and a step along it raises the loss of the defended system, by more than noise does."""
    served = JPEG(quality=60).serve(model)
    clean = float(served.loss(BATCH, served.lower(CLEAN)))
    leaf = torch.zeros(30, 3, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(served.loss(BATCH, served.lower(View({IMAGES: leaf}))), leaf)
    read = served.rows(BATCH)[IMAGES]
    assert bool((slope[read].flatten(1).abs().amax(dim=1) > 0).all())
    rest = [item for item in range(30) if item not in read.tolist()]
    assert bool((slope[rest] == 0).all())

    def reached(direction: torch.Tensor) -> float:
        return float(served.loss(BATCH, served.lower(View({IMAGES: 8 / 255 * direction}))))

    noise = max(reached(torch.randn(slope.shape, generator=generator(draw)).sign()) for draw in range(3))
    assert reached(slope.sign()) > max(clean, noise)


def test_it_adds_to_the_filters_of_a_view_and_delegates_all_else(model: Any) -> None:
    served = JPEG(quality=30).serve(model)
    dark = View(filters={IMAGES: (lambda held: held / 2,)})
    moved = served.lower(dark).delta[FEATURES]
    visual = model.data.visual
    wanted = visual.extract(JPEG(quality=30).filter(pixels(model) / 2)) - visual.features
    assert torch.allclose(moved, wanted, atol=1e-6), "the wrapper's filter comes last"
    assert (served.name, served.exposes, served.surfaces) == (model.name, model.exposes, model.surfaces)
    assert served.values(FEATURES) is model.values(FEATURES)
    assert torch.equal(served.margins(BATCH, CLEAN), model.margins(BATCH, CLEAN))
    assert set(served.blocks()) == set(model.blocks())
    assert served.pass_size == model.pass_size
    leaves = {"factors.user": torch.zeros_like(model.user)}
    assert served.gradient(BATCH, View(leaves), "")[0] == model.gradient(BATCH, View(leaves), "")[0]
    items = torch.tensor([4, 1])
    compressed = JPEG(quality=30).filter(pixels(model)[items])
    assert torch.allclose(served.categories(items, CLEAN), visual.extractor.classes(compressed), atol=1e-5)
    assert torch.allclose(model.categories(items), visual.extractor.classes(pixels(model)[items]), atol=1e-5)


def test_two_filters_in_a_row_both_act(model: Any) -> None:
    once, twice = JPEG(quality=30).serve(model), JPEG(quality=5).serve(JPEG(quality=30).serve(model))
    assert not torch.equal(scores(once), scores(twice))


def test_a_model_without_images_and_bad_settings_are_refused() -> None:
    with pytest.raises(BadValue) as caught:
        JPEG().serve(trained_tables())
    assert str(caught.value) == (
        "defense 'jpeg' filters images, and model 'two-tables' reads none; choose a model with the surface 'item_images'"
    )
    with pytest.raises(BadValue, match="defense 'jpeg': quality is 0; it is at least 1 and at most 95"):
        JPEG(quality=0)
    with pytest.raises(BadValue, match="chroma '4:1:0' is not known; allowed: 4:2:0, 4:2:2, 4:4:4"):
        JPEG(chroma="4:1:0")
