"""Attacked images in a report: what they say, how many bytes they may take, and files that come from a stranger."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage
from planting import Planted, reading
from test_report_summary import text
from test_report_untrusted import EVIL, Elements

from recshield.core.errors import BadData
from recshield.report.attacked_images import amplified, psnr, read_pair, read_picture, ssim
from recshield.report.content import Bullets, Gallery
from recshield.report.reading import Reading
from recshield.report.sections import pictures
from recshield.report.writing import compose, formats, write

PIXELS: dict[str, Any] = {"surface": "item_images", "norm": "linf"}


def image(level: int, side: int = 16) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image whose left half is one level and whose right half is 100."""
    held = np.full((side, side, 3), 100, np.uint8)
    held[:, : side // 2] = level
    return held


def save(path: Path, pixels: Any) -> Path:
    PillowImage.fromarray(pixels).save(path, format="PNG")
    return path


def attacked(folder: Path, n_cells: int = 1, n_images: int = 2, side: int = 16, item: str = "item") -> Reading:
    """Return a run in which pixels were attacked; every pixel of the left half is 4 levels brighter."""
    cells = [Planted("amr", "none", [0.2]), *(Planted("amr", f"pgd{i}", [0.1], **PIXELS) for i in range(n_cells))]
    held = reading(cells)
    rows = []
    held.results.picture_files |= {"clean-0.png": save(folder / "clean-0.png", image(120, side))}
    for one in cells[1:]:
        for place in range(n_images):
            name = f"{one.cell(0)}-{place}.png"
            held.results.picture_files[name] = save(folder / name, image(124, side))
            rows.append({"cell": one.cell(0), "item": f"{item}{place}", "row": place, "clean": "clean-0.png",
                         "attacked": name, "n_tests": place, "rank_clean": 12.0, "rank_attacked": 40.5})  # fmt: skip
    held.results.pictures = pd.DataFrame(rows)
    held.results.table[["psnr", "ssim"]] = 36.5, 0.9
    held.results.steps["n_attacked_images"] = 30
    return held


def gallery(held: Reading) -> Gallery:
    section = pictures.build(held)
    assert section
    return next(block for block in section.blocks if isinstance(block, Gallery))


def test_a_run_without_attacked_pixels_has_no_such_section() -> None:
    assert pictures.build(reading([Planted("mf", "none", [0.2]), Planted("mf", "pgd", [0.1])])) is None


def test_a_shot_names_item_budget_likeness_and_ranks(tmp_path: Path) -> None:
    first, second = gallery(attacked(tmp_path)).shots
    assert text(first.title) == "item item0"
    # Half of the pixels differ by 4: the mean square error is 8, and 10 log10(255^2 / 8) = 39.1.
    assert text(first.facts[0]) == "amr under pgd0 at linf 0.5"
    assert text(first.facts[1]).startswith("PSNR 39.1 dB, SSIM 0.9")
    assert [text(fact) for fact in first.facts[2:]] == ["at most 4 of 255 levels", "no test row"]
    assert text(second.facts[3]) == "rank 12 to 40.5"
    shown = [np.asarray(PillowImage.open(io.BytesIO(one.png))) for one in first.images]
    assert [tuple(one[0, 0]) for one in shown] == [(120,) * 3, (124,) * 3, (128 + 16 * 4,) * 3]
    assert [tuple(one[0, -1]) for one in shown] == [(100,) * 3, (100,) * 3, (128,) * 3]
    assert [one.alt for one in first.images] == [
        "item item0, clean",
        "item item0, attacked: amr under pgd0 at linf 0.5",
        "item item0, difference of the two, 16 times; at most 4 of 255 levels",
    ]


def test_the_likeness_of_all_attacked_images_is_said_of_each_cell(tmp_path: Path) -> None:
    section = pictures.build(attacked(tmp_path, n_cells=2))
    assert section
    said = next(block for block in section.blocks if isinstance(block, Bullets))
    assert text(said.items[1]) == "amr under pgd1 at linf 0.5: 30 attacked images, on average PSNR 36.5 dB, SSIM 0.900."
    assert section.lead.startswith("Attacked images to look at, test items first: 4 of 4 images that the run keeps.")


def test_the_ratio_and_the_similarity_are_those_of_torchmetrics_and_equal_images_are_the_same() -> None:
    from torch import from_numpy
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    other = np.clip(clean.astype(int) + rng.integers(-9, 10, clean.shape), 0, 255).astype(np.uint8)
    one, two = (from_numpy(held).permute(2, 0, 1)[None].double() / 255 for held in (other, clean))
    assert psnr(clean, other) == pytest.approx(float(peak_signal_noise_ratio(one, two, 1.0)), rel=1e-6)
    assert ssim(clean, other) == pytest.approx(
        float(structural_similarity_index_measure(one, two, data_range=1.0)), abs=1e-4
    )
    assert psnr(clean, clean) == math.inf
    assert math.isnan(ssim(clean[:8, :8], clean[:8, :8]))
    assert int(amplified(clean, other).min()) == 0


def test_there_are_few_pictures_of_few_bytes_however_many_the_run_keeps(tmp_path: Path) -> None:
    held = attacked(tmp_path, n_cells=30, n_images=12)
    shots = gallery(held).shots
    assert len(shots) == 18
    assert len({text(one.facts[0]) for one in shots}) == 18
    rng = np.random.default_rng(0)
    for name in held.results.picture_files:
        save(tmp_path / name, rng.integers(0, 256, (900, 600, 3), dtype=np.uint8))
    shots = gallery(held).shots
    sizes = [len(one.png) for shot in shots for one in shot.images]
    assert 0 < len(shots) < 18
    assert sum(sizes) < 700 * 1024
    assert {(one.width, one.height) for shot in shots for one in shot.images} == {(107, 160)}
    assert text(shots[0].facts[-1]) == "shown smaller than 600 x 900"
    (file,) = write(compose([held]), formats(["html"]), tmp_path / "out.html")
    assert file.stat().st_size < 3 * 1024**2


def test_the_page_holds_its_pictures_and_the_others_have_them_beside(tmp_path: Path) -> None:
    held = attacked(tmp_path)
    out = tmp_path / "out"
    write(compose([held]), formats(["html", "markdown", "latex", "json"]), out)
    page = (out / "report.html").read_text(encoding="utf-8")
    embedded = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)" width="16" height="16">', page)
    assert [alt for _, alt in embedded[:2]] == ["item item0, clean", "item item0, attacked: amr under pgd0 at linf 0.5"]
    assert "img-src data:" in page
    assert page.count("<img") == len(embedded) == 6
    first = np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(embedded[0][0]))))
    assert tuple(first[0, 0]) == (120, 120, 120)
    markdown, latex = ((out / name).read_text(encoding="utf-8") for name in ("report.md", "report.tex"))
    rows = re.findall(r"^\| item `item\d` \|.*$", markdown, re.MULTILINE)
    assert len(rows) == 2
    names = [name for row in rows for name in re.findall(r"!\[[^]]+\]\((figures/[^)]+\.png)\)", row)]
    assert len(names) == 6
    assert names == re.findall(r"\\includegraphics\[width=\\linewidth\]\{(figures/[^}]+\.png)\}", latex)
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in names)
    data = json.loads((out / "report.json").read_text(encoding="utf-8"))
    section = next(one for one in data["chapters"][0]["sections"] if one["key"] == "pictures")
    held_json = next(one for one in section["blocks"] if one["kind"] == "gallery")["shots"][0]["images"][0]
    assert base64.b64decode(held_json["png"]) == (out / names[0]).read_bytes()


@pytest.mark.parametrize("name", EVIL)
def test_items_of_any_name_are_text_beside_their_pictures(name: str, tmp_path: Path) -> None:
    report = compose([attacked(tmp_path, item=name)])
    files = write(report, formats(["html", "markdown", "latex"]), tmp_path / "out")
    page, markdown, latex = (file.read_text(encoding="utf-8") for file in files)
    write(compose([attacked(tmp_path, item="harmless")]), formats(["html", "latex"]), tmp_path / "plain")
    plain = (tmp_path / "plain" / "report.html").read_text(encoding="utf-8")
    assert Elements(page).names == Elements(plain).names
    assert Elements(page).attributes == Elements(plain).attributes
    row = next(line for line in markdown.splitlines() if line.startswith("| item ") and "figures/" in line)
    assert re.sub(r"`[^`]*`", "", row).count("|") == 6
    assert len(re.findall(r"!\[[^\]\[]*\]\(figures/[\w-]+\.png\)", row)) == 3
    assert r"\input{" not in latex
    assert latex.count("\\begin{") == (tmp_path / "plain" / "report.tex").read_text(encoding="utf-8").count("\\begin{")
    assert not any(re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", one) for one in (page, markdown, latex))


def bomb(width: int, height: int) -> bytes:
    """Return a PNG file that says it has so many pixels, and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "the file is empty"),
        (b"GIF89a" + b"\0" * 40, "the picture is no PNG image"),
        (bomb(2000, 10), "the picture has 2000 x 10 pixels, and a side has at most 1024"),
        (bomb(2**31 - 1, 2**31 - 1), "the picture has too many pixels; a side has at most 1024"),
        (bomb(64, 64), "the picture cannot be read ("),
    ],
)
def test_a_file_that_is_no_picture_of_an_item_is_refused_with_its_name(
    tmp_path: Path, content: bytes, wrong: str
) -> None:
    held = attacked(tmp_path)
    file = tmp_path / "clean-0.png"
    file.write_bytes(content)
    with pytest.raises(BadData) as raised:
        compose([held])
    assert str(raised.value).startswith(f"{file}: {wrong}")
    assert str(raised.value).endswith("the run was changed: run the matrix again")


def test_a_link_out_of_the_folder_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    save(tmp_path / "secret.png", image(1))
    link = tmp_path / "run" / "clean-0.png"
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(BadData, match=r"clean-0\.png: the link leads out of its folder; the run was changed"):
        read_picture(link)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadData, match=r"pipe\.png: this is no plain file"):
        read_picture(tmp_path / "pipe.png")


def test_two_pictures_of_unequal_size_are_no_pair(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a.png", image(1, 16)), save(tmp_path / "b.png", image(1, 20))
    with pytest.raises(
        BadData, match=r"b\.png: the clean and the attacked picture differ in size \(16 x 16 and 20 x 20\)"
    ):
        read_pair(one, other)
