"""Bundles of visual models: features come from the stored extractor and the images that are here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from bundling import Files, opened, rehash, zipped
from PIL import Image
from safetensors.numpy import load, save

import recshield
from recshield import bundles
from recshield.bundles import Verified
from recshield.core import settings
from recshield.core.errors import BadData

SIDE, N_ITEMS = 32, 24
SHORT = [
    "smallcnn.epochs=1", "smallcnn.width=0.25", "smallcnn.batch=8", "smallcnn.least=2", "vbpr-amr.epochs=2",
    "vbpr-amr.dims=8", "vbpr-amr.std=0.2", "vbpr-amr.batch=64", "advreg.epochs=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 24 images, red or blue, and the rows of 40 users."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for item in range(N_ITEMS):
        pixels = rng.integers(40, 160, (SIDE, SIDE, 3))
        pixels[:, :, item % 2] += 80
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "pictures" / f"{item}.png")
    rows = [f"{user},{item}" for user in range(40) for item in rng.choice(N_ITEMS, 9, replace=False)]
    (folder / "rows.csv").write_text("\n".join(["user,item", *rows]))
    kinds = [f"{item},{item % 2}" for item in range(N_ITEMS)]
    (folder / "kinds.csv").write_text("\n".join(["item,category", *kinds]))
    return folder


@pytest.fixture(scope="module")
def bundle(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    recshield.run_matrix(
        "popular,vbpr-amr,amr", "fgsm,fgsm:stage=fit,noise@item_features", dataset=shop / "rows.csv",
        images=shop / "pictures", categories=shop / "kinds.csv", split="random:0.3", metrics="ndcg@10",
        budget=["item_images=linf:4/255", "item_features=l2:0.1"], overrides=SHORT, controls="none", out=folder,
    )  # fmt: skip
    bundles.write(folder, folder.with_name("run.zip"))
    return folder.with_name("run.zip")


def check(archive: Path, shop: Path, **more: str) -> Verified:
    places = {"dataset": shop / "rows.csv", "images": shop / "pictures", "categories": shop / "kinds.csv"}
    return bundles.verify(archive, **({name: str(place) for name, place in places.items()} | more))  # type: ignore[arg-type]


def differs(made: Verified) -> str:
    return "\n".join(finding.sentence for finding in made.findings if not finding.is_sound)


def changed(files: Files, tmp_path: Path) -> Path:
    rehash(files)
    return zipped(files, tmp_path / "changed.zip")


def test_it_passes_elsewhere_to_the_last_digit(
    bundle: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.CACHE_VARIABLE, str(tmp_path / "empty"))
    elsewhere = shutil.copytree(shop, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    made = check(Path(shutil.copyfile(bundle, "other.zip")), elsewhere)
    assert made.is_sound, differs(made)
    said = "\n".join(finding.sentence for finding in made.findings)
    assert "features: extracted again from the same images with extractor-0.safetensors" in said
    assert "measured again, equal to the last digit" in said
    assert "attacks: 0 replayed from their seeds, 6 taken as stored" in said


def test_another_image_is_not_that_of_the_run(bundle: Path, shop: Path, tmp_path: Path) -> None:
    other = shutil.copytree(shop, tmp_path / "other")
    path = other / "pictures" / "3.png"
    pixels = np.array(Image.open(path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    assert differs(check(bundle, other)) == "the images here are not those of the run"


def test_swapped_weights_of_the_extractor_are_found(bundle: Path, shop: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    state = load(files["extractor-0.safetensors"])
    name = next(name for name, held in state.items() if held.ndim == 4)
    state[name] = state[name] * np.float32(1.01)
    files["extractor-0.safetensors"] = save(state)
    found = differs(check(changed(files, tmp_path), shop))
    assert found == "extractor-0.safetensors: the extractor's pipeline is not the one that the run used"


def test_weights_of_another_extractor_are_bad_input(bundle: Path, shop: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    files["extractor-0.safetensors"] = save({"other": np.zeros(3, np.float32)})
    with pytest.raises(BadData, match=r"extractor-0.safetensors: the weights of extractor 'smallcnn' do not fit it"):
        check(changed(files, tmp_path), shop)


def test_a_bundle_without_its_extractor_says_so(bundle: Path, shop: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    del files["extractor-0.safetensors"]
    files["bundle.json"] = files["bundle.json"].replace(b'"identity": "[', b'"identity": "x[')
    assert "the weights of 'features smallcnn" in differs(check(changed(files, tmp_path), shop))
