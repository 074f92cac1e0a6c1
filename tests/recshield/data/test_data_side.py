"""Images of a data set as the user asks for them: folder, size, the filter, and what a step's key hangs on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recshield.core.errors import BadData, BadSpec, BadValue
from recshield.data.catalogue import DataSource, resolve
from recshield.data.image_store import ImageSource
from recshield.data.side import Side
from recshield.data.table import NamedData, Table


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write rows of the items 10 to 13, and images of 10 and 12."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    rows = [(1, 10), (1, 11), (1, 12), (2, 10), (2, 12), (2, 13), (3, 11), (3, 13)]
    text = "".join(f"{user}\t{item}\t5\t{time}\n" for time, (user, item) in enumerate(rows))
    (tmp_path / "shop" / "u.data").write_text(text)
    (tmp_path / "pictures").mkdir()
    for item in (10, 12):
        Image.new("L", (9, 9)).save(tmp_path / "pictures" / f"{item}.png")
    return tmp_path


PICTURES = Side(images="pictures")


def test_a_source_names_its_images(shop):
    assert resolve("shop").images is None
    found = resolve("shop", side=PICTURES).images
    assert (found.folder, found.drawn_by, found.size, found.skips_bad) == (str(shop / "pictures"), "", (64, 64), False)
    found = resolve("shop", side=Side("pictures", "20x10", skips_bad=True)).images
    assert (found.size, found.skips_bad) == ((20, 10), True)


@pytest.mark.parametrize(
    ("side", "kind", "said"),
    [
        (Side("nowhere"), BadData, "nowhere: no such folder of images; name another with --images"),
        (Side("pictures", "big"), BadSpec, "image size 'big' cannot be read; write HEIGHTxWIDTH, for example 96x64"),
        (Side(image_size="20x10"), BadValue, "there are no images for --image-size; name their folder with --images"),
        (Side(skips_bad=True), BadValue, "there are no images for --skip-bad-images; name their folder with --images"),
        (Side(images="x" * 5_000), BadData, "this is no path; name another with --images"),
    ],
)
def test_what_cannot_be_is_one_sentence(side, kind, said, shop):
    with pytest.raises(kind) as caught:
        resolve("shop", side=side)
    assert said in str(caught.value)


def test_the_filter_keeps_rows_of_items_with_an_image_and_counts(shop):
    split = resolve("shop", filters=["images"], side=PICTURES).split()
    assert split.dataset.item_ids.tolist() == [10, 12]
    assert split.facts["filter images"] == "4 of 8 rows, 2 of 3 users, 2 of 4 items kept"
    later = resolve("shop", filters=["kcore-user:3", "images"], side=PICTURES).split()
    assert later.facts["filter 1 kcore-user:3"] == "6 of 8 rows, 2 of 3 users, 4 of 4 items kept"
    assert later.facts["filter 2 images"] == "4 of 6 rows, 2 of 2 users, 2 of 4 items kept"


def test_the_filter_without_images_says_how_to_name_them(shop):
    with pytest.raises(BadData) as caught:
        resolve("shop", filters=["images"]).split()
    assert (
        str(caught.value) == "filter 'images' needs images, and this data set has none; name their folder with --images"
    )


def test_text_ids_are_looked_up_by_their_text(shop):
    (shop / "table.csv").write_text("user,item\n1,red hat\n1,shoe\n2,red hat\n2,bag\n")
    for name in ("red hat", "bag"):
        shutil.copy(shop / "pictures" / "10.png", shop / "pictures" / f"{name}.png")
    split = resolve("table.csv", filters=[" images "], side=PICTURES).split()
    assert split.dataset.item_ids.tolist() == ["bag", "red hat"]


def test_images_decide_about_the_rows_only_where_a_filter_asks(shop):
    plain, pictured = resolve("shop"), resolve("shop", side=PICTURES)
    assert plain.content() == pictured.content()
    assert plain.fingerprint == pictured.fingerprint
    asked = resolve("shop", filters=["images"], side=PICTURES)
    moved = shutil.copytree(shop / "pictures", shop / "moved")
    assert resolve("shop", filters=["images"], side=Side(images=str(moved))).content() == asked.content()
    (moved / "12.png").unlink()
    assert resolve("shop", filters=["images"], side=Side(images=str(moved))).content() != asked.content()
    (shop / "pictures" / "12.png").unlink()
    pictured.check_unchanged()
    with pytest.raises(BadData, match="an image changed while it was read"):
        asked.check_unchanged()


def test_a_source_comes_back_from_json(shop):
    (shop / "kinds.csv").write_text("item,category\n10,hat\n")
    source = resolve("shop", filters=["images"], side=Side("pictures", "20x10", "kinds.csv"))
    assert DataSource.from_json(json.loads(json.dumps(dataclasses.asdict(source)))) == source


def test_the_data_step_is_shared_whatever_the_images_are(shop):
    from recshield import run

    def key(**more: str) -> str:
        prepared = run.prepare(models=["popular"], dataset="shop", metrics=["ndcg@2"], **more)
        return prepared.plan.data_keys[0]

    assert key() == key(images="pictures") == key(images="pictures", image_size="20x10")


class Drawn(NamedData):
    """Draws a grey image of each of five items."""

    name, description, licence, image_size = "drawn", "a toy", "CC0-1.0", (12, 8)

    def generate(self) -> Table:
        return Table(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 4]), times=np.arange(4))

    def draw(self, item: int | str) -> np.ndarray:
        return np.full((12, 8, 3), 50 * int(item), np.uint8)

    def categories(self) -> dict[str, tuple[str, ...]]:
        return {"4": ("dark",)}


def test_a_generated_data_set_draws_its_images(plant, tmp_path):
    from recshield.data.image_store import build, load

    plant("dataset", Drawn)
    source = resolve("drawn", filters=["images"])
    assert source.images == ImageSource("", "drawn", (12, 8), "drawn:drawn")
    split = source.split()
    assert split.facts["filter images"] == "4 of 4 rows, 2 of 2 users, 4 of 4 items kept"
    assert split.dataset.categories.labels.tolist() == [[False], [False], [False], [True]]
    (tmp_path / "store").mkdir()
    facts = build(source.images, split.dataset.item_ids, tmp_path / "store", tmp_path / "partial")
    assert load(tmp_path / "store").pixels[:, 11, 7, 2].tolist() == [0, 50, 100, 200]
    assert (facts["n_images"], facts["decoder"]) == (4, "none, drawn")
    assert resolve("drawn", side=Side(image_size="24x24")).images.size == (24, 24)


@pytest.mark.real
def test_two_thirds_of_the_real_ratings_are_of_a_film_with_a_poster(real_data):
    source = resolve("ml-latest-small-2016", str(real_data), ["images"])
    assert source.images.size == (96, 64)
    assert source.split().facts["filter images"] == "67006 of 100004 rows, 671 of 671 users, 3160 of 9066 items kept"
