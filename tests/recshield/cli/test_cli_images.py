"""Options of images and categories on the command line, and what it says of every kind of bad image."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recshield.cli import main
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Return a function that runs a command in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, " ".join(said.out.split()), " ".join(said.err.split())

    return call


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Write images of the items 1 to 4."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for item in range(1, 5):
        Image.fromarray(rng.integers(0, 256, (30, 20, 3), dtype=np.uint8)).save(folder / f"{item}.jpg")
    return folder


def corrupt(file: Path) -> None:
    Image.open(file).save(file, format="PNG")
    held = file.read_bytes()
    file.with_suffix(".png").write_bytes(held[:60] + bytes(40) + held[100:])
    file.unlink()


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-300])


def mislabelled(file: Path) -> None:
    Image.open(file).save(file, format="PNG")


def text(file: Path) -> None:
    file.write_text("<html>404</html>")


def huge(file: Path) -> None:
    Image.new("1", (9_000, 9_000)).save(file.with_suffix(".png"))
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def leading_out(file: Path) -> None:
    shutil.move(file, file.parents[1] / "elsewhere.jpg")
    file.symlink_to("../elsewhere.jpg")


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (corrupt, "pictures/3.png: the image is corrupt ("),
        (truncated, "pictures/3.jpg: the image is truncated (image file is truncated"),
        (mislabelled, "pictures/3.jpg: the file is called .jpg but holds a PNG image;"),
        (text, "pictures/3.jpg: this is no JPEG, PNG or WebP image;"),
        (huge, "pictures/3.png: the image has 9000 x 9000 pixels, and at most 64000000 are unpacked;"),
        (empty, "pictures/3.jpg: the file is empty;"),
        (leading_out, "pictures/3.jpg: the link leads out of its folder;"),
        (pipe, "pictures/3.jpg: this is no plain file;"),
    ],
)
def test_every_bad_image_is_one_sentence_and_can_be_skipped(spoil, said, cli, pictures, tmp_path):
    spoil(pictures / "3.jpg")
    code, out, err = cli("datasets", "show", "--images", "pictures")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path}/{said}"), err
    assert err.endswith("; replace the file, or count it as missing with --skip-bad-images")
    assert not (tmp_path / "pictures.png").exists()
    code, out, err = cli("datasets", "show", "--images", "pictures", "--skip-bad-images")
    assert (code, out) == (0, "wrote 3 images of 64 x 64 to pictures.png; 4 of 4 items have one"), err


def test_two_files_for_one_item_are_an_error_even_where_bad_ones_are_skipped(cli, pictures, tmp_path):
    shutil.copy(pictures / "3.jpg", pictures / "3.jpeg")
    code, _, err = cli("datasets", "show", "--images", "pictures", "--skip-bad-images")
    wanted = f"error: {tmp_path}/pictures: item 3 has several images, '3.jpeg' and '3.jpg'; leave one of them"
    assert (code, err) == (2, wanted)


def test_a_sheet_of_a_data_set_a_path_and_a_folder(cli, pictures, tmp_path):
    assert cli("datasets", "show", "synthetic-fashion", "--items", "3", "--out", "shop.png")[:2] == (
        0,
        "wrote 3 images of 64 x 64 to shop.png; 800 of 800 items have one",
    )
    (tmp_path / "rows.csv").write_text("user,item\na,1\na,2\nb,2\nb,9\n")
    (tmp_path / "kinds.csv").write_text("item,category\n1,hat\n")
    more = ["--images", "pictures", "--image-size", "24x16", "--categories", "kinds.csv"]
    code, out, _ = cli("datasets", "show", "rows.csv", *more)
    assert (code, out) == (0, "wrote 2 images of 24 x 16 to rows.csv.png; 2 of 3 items have one")
    with Image.open("rows.csv.png") as image:
        assert image.size == (10 + 2 * 106, 10 + 120 + 39 + 10)
    code, _, err = cli("datasets", "show", "rows.csv")
    assert (code, err) == (2, "error: data set 'rows.csv' has no images; name their folder with --images")
    code, _, err = cli("datasets", "show")
    assert (code, err) == (2, "error: there is nothing to show; name a data set, or a folder with --images")


def test_options_of_the_matrix_reach_rows_and_manifest(cli, pictures, tmp_path):
    rows = [f"{user},{item}" for user in range(6) for item in range(1, 7)]
    (tmp_path / "rows.csv").write_text("\n".join(["user,item", *rows]))
    (tmp_path / "kinds.csv").write_text("item,category\n1,hat\n2,shoe\n7,bag\n")
    asked = ["matrix", "--dataset", "rows.csv", "--models", "popular", "--metrics", "ndcg@2", "--split", "random:0.3"]
    asked += ["--images", "pictures", "--image-size", "24x16", "--categories", "kinds.csv", "--skip-bad-images"]
    code, out, err = cli(*asked, "--filter", "images", "--out", "run")
    assert code == 0, err
    assert "filter images: 24 of 36 rows, 6 of 6 users, 4 of 6 items kept" in out
    assert "categories: 2 categories, 2 of 4 items have at least one; 1 more that are not in the catalogue" in out
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    held = manifest["request"]
    assert [held[name] for name in ("images", "image_size", "categories", "skip_bad_images")] == [
        "pictures", "24x16", "kinds.csv", True,
    ]  # fmt: skip
    images = manifest["data"]["images"]
    assert (images["folder"], images["size"], images["skips_bad"]) == (str(pictures), [24, 16], True)
    code, out, err = cli(*asked, "--print-config")
    assert (code, "images: pictures image_size: 24x16 categories: kinds.csv skip_bad_images: true" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--images", "nowhere"], "error: nowhere: no such folder of images; name another with --images"),
        (["--image-size", "24x16"], "error: there are no images for --image-size; name their folder with --images, or"),
        (["--images", "pictures", "--image-size", "24"], "error: image size '24' cannot be read; write HEIGHTxWIDTH"),
        (["--filter", "images"], "error: filter 'images' needs images, and this data set has none; name their folder"),
        (["--categories", "none.csv"], "/none.csv: no such file; give a folder or file that exists"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, said, cli, pictures, tmp_path):
    (tmp_path / "rows.csv").write_text("user,item\na,1\na,2\nb,2\nb,9\n")
    code, _, err = cli("matrix", "--dataset", "rows.csv", "--models", "popular", *arguments)
    assert code == 2
    assert said in err


def test_a_system_that_was_trained_with_categories_is_evaluated_with_them(cli, tmp_path):
    rows = [f"{user},{item}" for user in range(6) for item in range(1, 7)]
    (tmp_path / "rows.csv").write_text("\n".join(["user,item", *rows]))
    (tmp_path / "kinds.csv").write_text("item,category\n1,hat\n2,shoe\n")
    code, _, err = cli("train", "popular", "--dataset", "rows.csv", "--categories", "kinds.csv", "--out", "system")
    assert code == 0, err
    code, out, err = cli("evaluate", "system", "--metrics", "hr@2")
    assert (code, "hr@2 clean" in out) == (0, True), err
    (tmp_path / "kinds.csv").write_text("item,category\n1,hat\n2,bag\n")
    code, _, err = cli("evaluate", "system", "--metrics", "hr@2")
    assert (code, "the training and test rows are not those that it was trained on" in err) == (2, True)
