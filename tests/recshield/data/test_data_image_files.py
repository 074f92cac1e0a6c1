"""Image files: every mode becomes RGB as a hand calculation says, and every bad file is named with its fault."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recshield.core import settings
from recshield.core.errors import BadData
from recshield.data.image_files import BadImage, ImageFiles, decode

ADVICE = "; replace the file, or count it as missing with --skip-bad-images"


def saved(folder: Path, name: str, image: Image.Image, **more: object) -> Path:
    """Save an image; its format follows from the name."""
    image.save(folder / name, **more)
    return folder / name


def noise(height: int = 24, width: int = 16) -> Image.Image:
    """Return an image that does not compress."""
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def plain(path: Path) -> list[int]:
    """Return the one colour of an image."""
    colours = np.unique(decode(path, (8, 8)).reshape(-1, 3), axis=0)
    assert len(colours) == 1
    return colours[0].tolist()


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("RGB", (10, 20, 30), [10, 20, 30]),
        ("L", 77, [77, 77, 77]),
        ("1", 1, [255, 255, 255]),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("RGBA", (0, 0, 0, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 100, 51), [204, 204, 224]),  # 0.8 x 255 + 0.2 x value
        ("LA", (0, 51), [204, 204, 204]),
        ("I;16", 257 * 129, [129, 129, 129]),
        ("I;16", 65_535, [255, 255, 255]),
        ("I;16", 300, [1, 1, 1]),
    ],
)
def test_every_mode_of_png_becomes_rgb(mode, value, expected, tmp_path):
    assert plain(saved(tmp_path, "1.png", Image.new(mode, (8, 8), value))) == expected


def test_a_palette_with_a_transparent_colour_lies_over_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    assert plain(saved(tmp_path, "1.png", image)) == [200, 100, 50]
    assert plain(saved(tmp_path, "2.png", image, transparency=1)) == [255, 255, 255]


def test_cmyk_is_turned_into_rgb(tmp_path):
    # 255 x (1 - c)(1 - k) with c = 1/5, m = 2/5, y = 0 and k = 0
    found = plain(saved(tmp_path, "1.jpg", Image.new("CMYK", (8, 8), (51, 102, 0, 0)), quality=100))
    assert np.abs(np.array(found) - [204, 153, 255]).max() <= 2


def test_webp_and_capital_endings_are_read(tmp_path):
    assert plain(saved(tmp_path, "1.webp", Image.new("RGB", (8, 8), (1, 2, 3)), lossless=True)) == [1, 2, 3]
    assert plain(saved(tmp_path, "2.PNG", Image.new("RGB", (8, 8), (1, 2, 3)))) == [1, 2, 3]


def test_an_image_is_turned_as_its_exif_data_say(tmp_path):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:, :8] = 255  # white on the left
    image = Image.fromarray(upright)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: left becomes top
    found = decode(saved(tmp_path, "1.png", image, exif=exif), (16, 8))
    assert found.shape == (16, 8, 3)
    assert found[:8].min() == 255
    assert found[8:].max() == 0


def test_resizing_averages_and_size_is_height_by_width(tmp_path):
    board = np.indices((64, 32)).sum(axis=0) % 2 * 200
    path = saved(tmp_path, "1.png", Image.fromarray(board.astype(np.uint8)))
    found = decode(path, (16, 8))
    assert found.shape == (16, 8, 3)
    assert np.abs(found.astype(int) - 100).max() <= 1  # without antialiasing it would be 0 or 200
    np.testing.assert_array_equal(decode(path, (64, 32))[..., 0], board)


def test_the_files_of_a_folder_are_found_by_item(tmp_path):
    for name in ("1.jpg", "2.PNG", "notes.txt", "a.b.webp"):
        (tmp_path / name).write_bytes(b"x")
    files = ImageFiles.of(tmp_path)
    assert [files.path(item) for item in (1, "2", "a.b", "notes", 3)] == [
        tmp_path / "1.jpg", tmp_path / "2.PNG", tmp_path / "a.b.webp", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("item", ["../secret", "..", "/etc/passwd", "sub/1", "1\0", "", "."])
def test_an_item_id_never_leads_out_of_the_folder(item, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for place in ("secret.png", "in/1.png", "in/sub/1.png"):
        saved(tmp_path, place, noise())
    assert ImageFiles.of(tmp_path / "in").path(item) is None


def test_two_files_of_one_item_are_an_error_that_names_both(tmp_path):
    for name in ("7.jpg", "7.png"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadData) as caught:
        ImageFiles.of(tmp_path).path(7)
    assert str(caught.value) == f"{tmp_path}: item 7 has several images, '7.jpg' and '7.png'; leave one of them"


def test_the_fingerprint_is_of_names_and_bytes_wherever_they_lie(tmp_path):
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
        saved(place, "1.png", noise())
        (place / "9.png").symlink_to("/etc/hostname")
    prints = [ImageFiles.of(place).fingerprint() for place in places]
    assert prints[0] == prints[1]
    (places[0] / "1.png").rename(places[0] / "2.png")
    assert ImageFiles.of(places[0]).fingerprint() != prints[0]
    saved(places[1], "1.png", noise(25))
    assert ImageFiles.of(places[1]).fingerprint() != prints[1]


def fault(path: Path) -> str:
    """Return what is said of a bad file, less its name and the advice."""
    with pytest.raises(BadImage) as caught:
        decode(path, (8, 8))
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith(ADVICE)
    return text.removeprefix(f"{path}: ").removesuffix(ADVICE)


def test_a_corrupt_file_is_named(tmp_path):
    path = saved(tmp_path, "1.png", noise())
    held = bytearray(path.read_bytes())
    place = held.index(b"IDAT") + 40
    held[place : place + 20] = bytes(20)
    path.write_bytes(held)
    assert fault(path).startswith("the image is corrupt (")


@pytest.mark.parametrize("name", ["1.jpg", "1.png", "1.webp"])
def test_a_truncated_file_is_named(name, tmp_path):
    path = saved(tmp_path, name, noise(96, 64))
    path.write_bytes(path.read_bytes()[:-900])
    said = fault(path)
    assert said.startswith("the image is corrupt (" if name == "1.webp" else "the image is truncated ("), said


def test_a_mislabelled_file_is_named_with_what_it_holds(tmp_path):
    saved(tmp_path, "1.png", noise()).rename(tmp_path / "1.jpg")
    assert fault(tmp_path / "1.jpg") == "the file is called .jpg but holds a PNG image"
    saved(tmp_path, "2.jpg", noise()).rename(tmp_path / "2.webp")
    assert fault(tmp_path / "2.webp") == "the file is called .webp but holds a JPEG image"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", None])
def test_other_formats_and_no_image_are_named(kind, tmp_path):
    path = tmp_path / "1.png"
    if kind:
        noise().save(path, format=kind)
    else:
        path.write_text("<html>not found</html>")
    assert fault(path) == "this is no JPEG, PNG or WebP image"


def bomb(path: Path, side: int) -> Path:
    """Write a PNG that says it is `side` pixels wide and high; a few bytes stand for all of them."""
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1_000)))]
    with path.open("ab") as stream:
        for kind, held in [*chunks, (b"IEND", b"")]:
            stream.write(struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held)))
    return path


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    most = settings.IMAGE_PIXELS
    path = bomb(tmp_path / "1.png", 9_000)
    assert fault(path) == f"the image has 9000 x 9000 pixels, and at most {most} are unpacked"
    assert fault(bomb(path, 60_000)) == f"the image has too many pixels; at most {most} are unpacked"


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = saved(tmp_path, "1.png", noise())
    monkeypatch.setattr(settings, "IMAGE_FILE_BYTES", 100)
    assert fault(path) == f"the file has {path.stat().st_size} bytes, and at most 100 are read"


def test_links_pipes_folders_and_empty_files_are_named(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    saved(tmp_path, "out.png", noise())
    (folder / "1.png").symlink_to(tmp_path / "out.png")
    assert fault(folder / "1.png") == "the link leads out of its folder"
    saved(folder, "2.png", noise())
    (folder / "3.png").symlink_to("2.png")
    assert decode(folder / "3.png", (8, 8)).shape == (8, 8, 3)
    os.mkfifo(folder / "4.png")
    assert fault(folder / "4.png") == "this is no plain file"
    (folder / "5.png").mkdir()
    assert fault(folder / "5.png") == "this is no plain file"
    (folder / "6.png").touch()
    assert fault(folder / "6.png") == "the file is empty"
    (folder / "7.png").symlink_to("nowhere.png")
    assert fault(folder / "7.png") == "the file cannot be read (No such file or directory)"
