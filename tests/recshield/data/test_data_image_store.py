"""The store of images: what is in it, what is counted, and that a build goes on where it was killed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recshield.core import settings
from recshield.core.errors import BadData, BadSpec, BadValue
from recshield.data import image_store
from recshield.data.image_store import ImageSource, build, load, read_size


@pytest.fixture
def posters(tmp_path: Path) -> Path:
    """Write images of the items 0, 2, 4, ... 18: each of one grey level, ten times its number."""
    folder = tmp_path / "posters"
    folder.mkdir()
    for item in range(0, 20, 2):
        Image.new("L", (20, 30), 10 * item).save(folder / f"{item}.png")
    return folder


def made(source: ImageSource, ids: np.ndarray, top: Path, name: str = "store") -> dict:
    """Build a store below `top`."""
    (top / name).mkdir()
    return build(source, ids, top / name, top / f"{name}-partial")


def digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.iterdir()))).hexdigest()


IDS = np.arange(20)


def test_items_have_their_images_in_order_and_missing_ones_are_grey_and_counted(posters, tmp_path):
    facts = made(ImageSource.of_folder(posters, (24, 16)), IDS[::-1], tmp_path)
    images = load(tmp_path / "store")
    assert images.size == (24, 16)
    assert images.pixels.dtype == np.uint8
    assert isinstance(images.pixels, np.memmap)
    expected = [128 if item % 2 else 10 * item for item in IDS[::-1]]
    assert images.pixels[:, 5, 5, :].tolist() == [[grey] * 3 for grey in expected]
    assert images.is_there.tolist() == [item % 2 == 0 for item in IDS[::-1]]
    assert (facts["n_images"], facts["n_missing"], facts["n_bad"], facts["bad"]) == (10, 10, 0, [])
    assert facts["fallback"] == "grey 128 of 255"
    assert facts["resize"].endswith("to 24 x 16 (height x width), aspect ratio not kept")
    assert facts["said"] == "10 of 20 items have an image; 10 have none, and are shown as mid-grey 128"
    assert not (tmp_path / "store-partial").exists()


def test_text_ids_name_their_files(posters, tmp_path):
    (posters / "2.png").rename(posters / "red hat.png")
    made(ImageSource.of_folder(posters, (8, 8)), np.array(["0", "red hat", "nothing"]), tmp_path)
    images = load(tmp_path / "store")
    assert images.pixels[:, 0, 0, 0].tolist() == [0, 20, 128]


def test_a_bad_file_stops_the_build_or_counts_as_missing_and_bad(posters, tmp_path):
    (posters / "4.png").write_text("no image")
    with pytest.raises(BadData) as caught:
        made(ImageSource.of_folder(posters, (8, 8)), IDS, tmp_path, "a")
    wrong = "4.png: this is no JPEG, PNG or WebP image"
    assert str(caught.value) == f"{posters}/{wrong}; replace the file, or count it as missing with --skip-bad-images"
    facts = made(ImageSource.of_folder(posters, (8, 8), skips_bad=True), IDS, tmp_path, "b")
    assert (facts["n_images"], facts["n_missing"], facts["n_bad"], facts["bad"]) == (9, 11, 1, [wrong])
    assert facts["said"].startswith("9 of 20 items have an image; 11 have none, 1 of them a bad file, and are shown")
    assert load(tmp_path / "b").pixels[4].min() == load(tmp_path / "b").pixels[4].max() == 128


def test_a_bad_file_of_no_item_does_not_matter(posters, tmp_path):
    (posters / "notes.png").write_text("no image")
    assert made(ImageSource.of_folder(posters, (8, 8)), IDS, tmp_path)["n_bad"] == 0


def test_two_files_for_one_item_stop_the_build_whatever_is_skipped(posters, tmp_path):
    Image.new("L", (8, 8)).save(posters / "4.jpg")
    with pytest.raises(BadData, match=r"item 4 has several images, '4\.jpg' and '4\.png'; leave one of them"):
        made(ImageSource.of_folder(posters, (8, 8), skips_bad=True), IDS, tmp_path)


def test_a_folder_without_any_image_of_the_items_is_an_error(posters, tmp_path):
    with pytest.raises(BadData) as caught:
        made(ImageSource.of_folder(posters, (8, 8)), np.array([101, 102]), tmp_path)
    assert str(caught.value) == (
        f"{posters}: none of the 2 items has an image here; files are called <item id> and end in .jpg, .jpeg, .png or .webp"
    )
    with pytest.raises(BadData, match="no such folder of images; name another with --images"):
        ImageSource.of_folder(tmp_path / "nowhere", (8, 8))


def test_a_file_that_changes_during_the_build_is_noticed(posters, tmp_path):
    source = ImageSource.of_folder(posters, (8, 8))
    Image.new("L", (20, 30), 1).save(posters / "4.png")
    with pytest.raises(BadData, match="an image changed while it was read; run the same command again"):
        made(source, IDS, tmp_path)


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop", range(1, 7))
def test_a_stopped_build_goes_on_and_gives_the_same_bytes(stop, posters, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "IMAGE_NOTES", 3)
    (posters / "2.png").write_text("no image")
    source = ImageSource.of_folder(posters, (8, 8), skips_bad=True)
    whole = made(source, IDS, tmp_path, "whole")
    shares: list[float] = []

    def tell(share: float) -> None:
        shares.append(share)
        if len(shares) == stop + 1:
            raise Killed

    (tmp_path / "again").mkdir()
    with pytest.raises(Killed):
        build(source, IDS, tmp_path / "again", tmp_path / "partial", tell)
    assert not list((tmp_path / "again").iterdir())
    read: list[object] = []
    drawer = ImageSource.drawer
    monkeypatch.setattr(ImageSource, "drawer", lambda self: lambda item: read.append(item) or drawer(self)(item))
    facts = build(source, IDS, tmp_path / "again", tmp_path / "partial")
    assert read == list(range(3 * stop, 20))
    assert facts == whole
    assert digest(tmp_path / "again") == digest(tmp_path / "whole")


def test_unfinished_work_of_other_images_is_not_taken_up(posters, tmp_path):
    def stop(share: float) -> None:
        if share:
            raise Killed

    source = ImageSource.of_folder(posters, (8, 8))
    with pytest.raises(Killed):
        build(source, np.arange(100), tmp_path, tmp_path / "partial", stop)
    assert (tmp_path / "partial" / "progress.json").exists()
    (tmp_path / "store").mkdir()
    build(source, np.arange(100)[::-1], tmp_path / "store", tmp_path / "partial")
    assert load(tmp_path / "store").is_there.sum() == 10
    assert load(tmp_path / "store").is_there[-20:].tolist() == [item % 2 == 0 for item in range(19, -1, -1)]


def test_a_build_that_was_killed_for_good_goes_on(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for item in range(600):
        Image.fromarray(rng.integers(0, 256, (90, 60, 3), dtype=np.uint8)).save(folder / f"{item}.png")
    source = ImageSource.of_folder(folder, (32, 32))
    ids = np.arange(600)
    made(source, ids, tmp_path, "whole")
    code = (
        "import sys, numpy as np; from pathlib import Path; from recshield.data.image_store import ImageSource, build\n"
        "top = Path(sys.argv[1]); (top / 'again').mkdir(exist_ok=True)\n"
        "build(ImageSource.of_folder(top / 'many', (32, 32)), np.arange(600), top / 'again', top / 'partial')"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    note = tmp_path / "partial" / "progress.json"
    deadline = time.monotonic() + 60
    while not note.exists() and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    worker.kill()
    worker.wait()
    assert not (tmp_path / "again" / "images.npy").exists(), "it was done before it could be killed"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert digest(tmp_path / "again") == digest(tmp_path / "whole")


def test_the_source_comes_back_from_json_and_its_content_does_not_say_where(posters, tmp_path):
    import dataclasses
    import json
    import shutil

    source = ImageSource.of_folder(posters, (8, 12), skips_bad=True)
    assert ImageSource.from_json(json.loads(json.dumps(dataclasses.asdict(source)))) == source
    moved = shutil.copytree(posters, tmp_path / "moved")
    assert ImageSource.of_folder(moved, (8, 12), skips_bad=True).content() == source.content()
    assert str(tmp_path) not in json.dumps(source.content())


def test_the_size_is_height_by_width_within_bounds():
    assert read_size("96x64") == (96, 64)
    with pytest.raises(BadSpec) as caught:
        read_size("96")
    assert str(caught.value) == "image size '96' cannot be read; write HEIGHTxWIDTH, for example 96x64"
    with pytest.raises(BadValue, match="image size 4x64 is not allowed; both sides are from 8 to 1024 pixels"):
        read_size("4x64")


@pytest.mark.parametrize(
    ("pixels", "there", "said"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), np.ones(2, bool), "an array of float32 (2, 8, 8, 3) holds no images"),
        (np.zeros((2, 8, 8), np.uint8), np.ones(2, bool), "an array of uint8 (2, 8, 8) holds no images"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.ones(3, bool), "an array of bool (3,) does not fit 2 images"),
        (np.array([{}]), np.ones(1, bool), "the images cannot be read ("),
    ],
)
def test_what_is_no_store_is_not_loaded(pixels, there, said, tmp_path):
    np.save(tmp_path / image_store.IMAGES, pixels, allow_pickle=True)
    np.save(tmp_path / image_store.THERE, there)
    with pytest.raises(BadData) as caught:
        load(tmp_path)
    assert said in str(caught.value)


@pytest.mark.real
def test_the_real_posters_are_all_there(real_data, tmp_path):
    source = ImageSource.of_folder(real_data / "ml-latest-small" / "posters", (96, 64))
    (tmp_path / "store").mkdir()
    facts = build(source, np.arange(1, 200), tmp_path / "store", tmp_path / "partial")
    names = {path.stem for path in (real_data / "ml-latest-small" / "posters").iterdir()}
    assert facts["n_images"] == sum(str(item) in names for item in range(1, 200))
    assert facts["n_bad"] == 0


@pytest.mark.real
def test_the_one_real_poster_that_is_mislabelled_is_named(real_data, tmp_path):
    folder = real_data / "ml-latest-small" / "posters"
    assert (folder / "3575.jpg").read_bytes().startswith(b"\x89PNG")
    source = ImageSource.of_folder(folder, (96, 64))
    (tmp_path / "store").mkdir()
    with pytest.raises(BadData, match=r"3575\.jpg: the file is called \.jpg but holds a PNG image; replace the file"):
        build(source, np.array([3574, 3575]), tmp_path / "store", tmp_path / "partial")
