"""Contact sheets: seeded, whole-number enlargements of what a model sees, captions that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recshield.core.errors import BadData, BadValue, OutputRefused
from recshield.data.categories import Categories
from recshield.data.contact_sheets import ids_of, save_sheet, sheet, some_pictures
from recshield.data.image_store import ImageSource


@pytest.fixture
def source(tmp_path: Path) -> ImageSource:
    """Write images of the items 0, 2, ... 38: each of one grey level, five times its number."""
    (tmp_path / "pictures").mkdir()
    for item in range(0, 40, 2):
        Image.new("L", (9, 9), 5 * item).save(tmp_path / "pictures" / f"{item}.png")
    return ImageSource.of_folder(tmp_path / "pictures", (32, 16))


def test_items_with_an_image_are_drawn_with_a_seed_in_order(source):
    first = some_pictures(source, np.arange(40), None, 6)
    items = [int(caption) for caption, _ in first]
    assert items == sorted(items)
    assert all(item % 2 == 0 for item in items)
    assert [int(pixels[0, 0, 0]) for _, pixels in first] == [5 * item for item in items]
    again = some_pictures(source, np.arange(40), None, 6)
    assert [caption for caption, _ in again] == [caption for caption, _ in first]
    other = some_pictures(source, np.arange(40), None, 6, data_seed=1)
    assert [caption for caption, _ in other] != [caption for caption, _ in first]
    assert len(some_pictures(source, np.arange(40), None, 100)) == 20


def test_captions_hold_id_and_categories_without_their_groups(source):
    labels = np.zeros((40, 3), bool)
    labels[4] = True
    found = some_pictures(source, np.arange(40), Categories(("Comedy", "colour:red", "kind:hat"), labels), 40)
    assert {"4: Comedy, red, hat", "6: "} <= {caption for caption, _ in found}


def test_pixels_are_enlarged_by_a_whole_number(source):
    pictures = some_pictures(source, np.arange(40), None, 10)
    made = np.asarray(sheet(pictures))
    # 128 // 32 = 4; columns are at least 96 wide, with gaps of 10; three lines of 13 below each
    assert made.shape == (10 + 2 * (128 + 39 + 10), 10 + 8 * 106, 3)
    for place, (_, pixels) in enumerate(pictures):
        x, y = 10 + place % 8 * 106, 10 + place // 8 * 177
        np.testing.assert_array_equal(made[y : y + 128 : 4, x : x + 64 : 4], pixels)
        np.testing.assert_array_equal(made[y + 3 : y + 128 : 4, x + 3 : x + 64 : 4], pixels)


def test_a_long_or_odd_caption_stays_in_its_place():
    black = np.zeros((64, 64, 3), np.uint8)
    captions = ["x" * 5_000, "word " * 500, "\x1b[31m\n\u65e5\u672c \U0001f600", ""]
    made = np.asarray(sheet([(caption, black) for caption in captions]))
    assert made.shape == (10 + 128 + 39 + 10, 10 + 4 * 138, 3)
    for place in range(5):
        assert made[:, 138 * place : 138 * place + 9].min() == 255, "a caption runs into the gap"


def test_a_bad_image_stops_the_sheet_or_is_left_out(source, tmp_path):
    (tmp_path / "pictures" / "4.png").write_text("no image")
    with pytest.raises(BadData, match=r"4\.png: this is no JPEG, PNG or WebP image"):
        some_pictures(source, np.arange(40), None, 40)
    lenient = ImageSource.of_folder(tmp_path / "pictures", (32, 16), skips_bad=True)
    assert len(some_pictures(lenient, np.arange(40), None, 40)) == 19


def test_no_image_at_all_is_an_error(source, tmp_path):
    with pytest.raises(BadData) as caught:
        some_pictures(source, np.array([1, 3]), None, 4)
    assert str(caught.value) == f"{tmp_path}/pictures: none of the 2 items has an image; name a folder with --images"


def test_a_folder_names_its_own_items(source):
    assert ids_of(source).tolist() == sorted(str(item) for item in range(0, 40, 2))


def test_a_sheet_is_written_whole_and_never_over_another_file_unasked(source, tmp_path):
    pictures = some_pictures(source, np.arange(40), None, 2)
    out = tmp_path / "sheet.png"
    save_sheet(pictures, out)
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(sheet(pictures)))
    with pytest.raises(OutputRefused) as caught:
        save_sheet(pictures, out)
    assert str(caught.value) == f"{out} is there already; name another file, or overwrite it with --force"
    save_sheet(pictures, out, overwrites=True)
    with pytest.raises(BadValue, match=r"sheet\.jpg' is no name for a contact sheet; it ends in \.png"):
        save_sheet(pictures, tmp_path / "sheet.jpg")
    with pytest.raises(OutputRefused, match=r"nowhere is no folder; make it first"):
        save_sheet(pictures, tmp_path / "nowhere" / "sheet.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "sheet.png"]
