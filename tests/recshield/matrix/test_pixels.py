"""Attacks on images: the gradient through the extractor, 8 bits, and what is written of them."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from recshield.core import settings, storage
from recshield.core.interfaces import Access, Goal, Recommender
from recshield.core.norms import project, steepest
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, View
from recshield.data.images import Images
from recshield.data.visual import FEATURES, IMAGES, visual_share
from recshield.matrix import pixels
from recshield.matrix.realised import PICTURE, eight_bits, realise, through_png
from recshield.matrix.victims import GoalPairs, TrainedVictim, degrade_pairs
from recshield.matrix.visuals import EIGHT_BITS, FLOATS, LOWERED
from recshield.testing.data import small_dataset
from recshield_gradient import BIM, FGM, Noise
from recshield_visual import VBPRAMR, VBPRAMRConfig

EPS = 4 / 255


def model() -> Recommender:
    data, _ = small_dataset()
    made = VBPRAMR(data.info, VBPRAMRConfig(dims=8, std=0.3), generator(0, "start"))
    return made.eval().requires_grad_(False)


def victim(of: Recommender | None = None, target: str = IMAGES) -> TrainedVictim:
    data, _ = small_dataset()
    access = Access.DATA | Access.GRADIENTS
    return TrainedVictim(of or model(), data.train, degrade_pairs(data.train, 0), Goal(), target, access)


def random_delta(size: float) -> torch.Tensor:
    held = victim().zeros()[IMAGES]
    return size * (torch.rand(held.shape, generator=generator(1, "delta")) * 2 - 1)


def naive_gradient(of: Recommender, pairs: GoalPairs, delta: torch.Tensor) -> torch.Tensor:
    """Return the gradient with the images of every batch sent through the network."""
    leaf = delta.clone().requires_grad_()
    for batch in pairs.batches(torch.device("cpu"), 50):
        items = torch.cat([batch.positives, batch.negatives]).unique()
        part = of.loss(batch, of.lower(View({IMAGES: leaf[items]}, {IMAGES: items})))
        (part / len(pairs)).backward()
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("size", [0.0, 0.05])
def test_the_gradient_by_lower_is_that_of_every_batch_through_the_network(size: float) -> None:
    of, delta = model(), random_delta(size)
    attacked = victim(of)
    _, gradient = attacked.ascend({IMAGES: delta})
    naive = naive_gradient(of, degrade_pairs(small_dataset()[0].train, 0), delta)
    assert float(naive.abs().max()) > 0
    torch.testing.assert_close(gradient[IMAGES], naive, rtol=1e-5, atol=1e-5 * float(naive.abs().max()))


@pytest.mark.parametrize("kept", [0, 1, 400_000])
def test_what_is_remembered_of_the_way_forward_changes_no_gradient(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    of, delta = model(), random_delta(0.05)
    monkeypatch.setattr(settings, "IMAGE_CHUNK", 4)
    wanted = victim(of).ascend({IMAGES: delta})
    passes: list[int] = []
    through = pixels._through
    monkeypatch.setattr(pixels, "_through", lambda *args: passes.append(1) or through(*args))
    monkeypatch.setattr(settings, "GRAPH_BYTES", kept)
    found = victim(of).ascend({IMAGES: delta})
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1][IMAGES], wanted[1][IMAGES])
    chunks = -(-len(victim(of).rows[IMAGES]) // 4)
    assert len(passes) == chunks, "each chunk remembers once, forwards or on the way back"


def test_images_that_the_goal_does_not_read_still_move_its_features(monkeypatch: pytest.MonkeyPatch) -> None:
    of, delta = model(), random_delta(0.05)
    data, _ = small_dataset()
    pairs = GoalPairs(*(torch.tensor([one]) for one in (0, 2)), torch.tensor([[5]]))
    few = TrainedVictim(of, data.train, pairs, Goal(), IMAGES, Access.DATA | Access.GRADIENTS)
    seen: list[torch.Tensor] = []

    def look(leaves: dict[str, torch.Tensor]) -> float:
        seen.append(leaves[FEATURES].detach().clone())
        return 0.0

    pixels.pixel_gradient(of, delta, few.rows[IMAGES], look)
    with torch.no_grad():
        wanted = of.lower(View({IMAGES: delta})).delta[FEATURES]
    torch.testing.assert_close(seen[0], wanted, rtol=1e-4, atol=1e-6)


def test_both_the_positive_and_the_negative_items_images_are_perturbed() -> None:
    of = model()
    users, positives, negatives = (torch.tensor([one]) for one in (0, 2, 5))
    data, _ = small_dataset()
    pairs = GoalPairs(users, positives, negatives[None])
    attacked = TrainedVictim(of, data.train, pairs, Goal(), IMAGES, Access.DATA | Access.GRADIENTS)
    delta = FGM().perturb(attacked, Budget("linf", EPS), generator(0, "a"))[IMAGES]
    assert (delta.flatten(1) != 0).any(dim=1).nonzero()[:, 0].tolist() == [2, 5]


def test_an_item_without_an_image_is_never_perturbed() -> None:
    of = model()
    assert of.data.visual is not None
    held = of.data.visual.images
    is_there = held.is_there.copy()
    is_there[3] = False
    of.data = dataclasses.replace(
        of.data, visual=dataclasses.replace(of.data.visual, images=Images(held.pixels, is_there))
    )
    for attack in (FGM(), Noise()):
        delta = attack.perturb(victim(of), Budget("linf", EPS), generator(0, "a"))[IMAGES]
        assert not delta[3].any()
        assert delta[4].any()


@pytest.mark.parametrize("attack", [FGM(), Noise(), BIM(steps=3)])
def test_attacked_pixels_stay_in_0_to_1_and_inside_eps(attack) -> None:
    attacked = victim()
    delta = attack.perturb(attacked, Budget("linf", 0.3), generator(0, "a"))[IMAGES]
    clean = model().data.visual.images.read(torch.arange(len(delta)))
    assert float((clean + delta).min()) >= 0
    assert float((clean + delta).max()) <= 1
    assert 0.29 < float(delta.abs().max()) <= 0.3 + 1e-7


def test_eps_0_changes_no_byte_of_a_saved_image(tmp_path: Path) -> None:
    images = model().data.visual.images
    levels = eight_bits(images.read(torch.arange(len(images))))
    np.testing.assert_array_equal(levels, images.pixels)
    facts = realise(model(), victim().zeros()[IMAGES], tmp_path)
    held = load_file(tmp_path / LOWERED)
    assert not held[FLOATS].any()
    assert not held[EIGHT_BITS].any()
    assert (facts["n_attacked_images"], facts["psnr"]) == (0, None)


@pytest.mark.parametrize(("levels", "kept"), [(0.4, 0), (0.6, 1), (-0.6, -1), (1.4, 1), (300.0, 155), (-300.0, -100)])
def test_pixels_are_rounded_to_the_nearest_level_and_clipped(levels: float, kept: int) -> None:
    clean = torch.full((1, 3, 4, 4), 100 / 255)
    found = eight_bits(clean + levels / 255)
    assert (found.astype(int) == 100 + kept).all()


def test_a_saved_image_is_read_again_bit_for_bit() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    file, again = through_png(drawn)
    np.testing.assert_array_equal(again, drawn)
    assert Image.open(io.BytesIO(file)).format == "PNG"


def test_the_8_bit_figure_comes_from_the_images_that_are_written(tmp_path: Path) -> None:
    of, delta = model(), random_delta(0.03)
    clean = of.data.visual.images.read(torch.arange(len(delta)))
    delta = delta.clamp(-clean, 1 - clean)
    facts = realise(of, delta, tmp_path)
    held = load_file(tmp_path / LOWERED)
    written = sorted(tmp_path.glob(f"{PICTURE}*.png"))
    assert facts["n_attacked_images"] == len(delta)
    assert len(written) == len(delta)
    for path in written[:5]:
        row = int(path.stem.removeprefix(PICTURE))
        read = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float() / 255
        expected = of.data.visual.extract(read)[0] - of.data.visual.features[row]
        torch.testing.assert_close(held[EIGHT_BITS][row], expected, rtol=1e-4, atol=1e-5)
    assert not torch.equal(held[FLOATS], held[EIGHT_BITS])


def test_psnr_is_that_of_the_formula_over_all_attacked_images(tmp_path: Path) -> None:
    of = model()
    clean = of.data.visual.images.read(torch.arange(len(of.data.visual.images)))
    delta = torch.zeros_like(clean)
    delta[:2] = 10 / 255
    delta = delta.clamp(-clean, 1 - clean)
    facts = realise(of, delta, tmp_path)
    error = delta[:2].mul(255).round().div(255).square().flatten(1).mean(dim=1)
    assert facts["n_attacked_images"] == 2
    assert facts["psnr"] == pytest.approx(float((-10 * error.log10()).mean()), abs=1e-3)
    assert facts["ssim"] is None  # the window does not fit into 8 pixels


def test_large_perturbations_are_mapped_and_worked_on_in_pieces_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECSHIELD_CACHE", str(tmp_path))
    found = []
    for bound in (settings.MAPPED_BYTES, 1024):
        monkeypatch.setattr(storage, "MAPPED_BYTES", bound)
        monkeypatch.setattr(storage, "CHUNK_BYTES", 1024)
        attacked = victim()
        delta = BIM(steps=2).perturb(attacked, Budget("linf", EPS), generator(0, "a"))[IMAGES]
        found.append(delta.clone())
        surface = attacked.surfaces[0]
        found.append(steepest(delta, surface, "l2") + project(delta, surface, Budget("l2", 0.1)))
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=0)
    torch.testing.assert_close(found[1], found[3], rtol=0, atol=1e-7)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_visual_share_is_the_ratio_of_the_spreads_by_hand() -> None:
    of = model()
    users = np.arange(of.data.n_users, dtype=np.int32)
    visual = of.user @ (of.data.visual.features @ of.projection.T).T
    rest = of.user @ of.item.T
    expected = float(visual.double().std(dim=1).mean() / rest.double().std(dim=1).mean())
    assert visual_share(of, users, torch.device("cpu")) == pytest.approx(expected, rel=1e-3)


def test_features_keep_their_clean_scale_when_one_image_is_attacked() -> None:
    of = model()
    delta = torch.zeros_like(victim().zeros()[IMAGES])
    delta[0] = 0.5
    moved = of.lower(View({IMAGES: delta})).delta[FEATURES]
    assert moved[0].any()
    assert not moved[1:].any()
