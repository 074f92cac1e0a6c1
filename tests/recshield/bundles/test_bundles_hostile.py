"""Bundles from strangers: nothing leaves the folder, nothing swells, and the refusal says why."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest
from bundling import zipped

from recshield import bundles
from recshield.bundles import opening
from recshield.core.errors import BadData

PLAIN = {"bundle.json": b"{}", "manifest.json": b"{}"}


def refused(archive: Path, tmp_path: Path) -> str:
    """Return why an archive is refused; nothing is written beside it."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BadData) as caught:
        bundles.verify(archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    return str(caught.value).removeprefix(str(archive))


@pytest.mark.parametrize("name", ["../evil", "perturbations/../../evil", "/etc/evil", "..\\evil", "C:evil"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    said = refused(zipped({**PLAIN, name: b"x"}, tmp_path / "b.zip"), tmp_path)
    assert said.startswith(f": '{name}' leads out of the folder it is unpacked into; nothing of it is used")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFDIR])
def test_a_link_a_device_or_a_folder_is_refused(tmp_path: Path, kind: int) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == "manifest.json":
            info.external_attr = (kind | 0o777) << 16

    said = refused(zipped(PLAIN, tmp_path / "b.zip", change), tmp_path)
    assert "'manifest.json' is a link, a device or a folder" in said


def test_an_archive_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_DEFLATED

    said = refused(zipped({**PLAIN, "results.parquet": bytes(50_000_000)}, tmp_path / "b.zip", change), tmp_path)
    assert "is compressed, which recshield never does: it may unpack to any size" in said


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """A directory that names one large member many times over unpacks to more than the archive."""
    files = {**PLAIN, **{f"weights-{number}.safetensors": bytes(8 + number) for number in range(5)}}
    archive = zipped(files, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as held:
        for member in held.infolist()[2:]:
            member.file_size = member.compress_size = 10_000
        held.comment = b"x"  # so that the directory is written again
    assert "its members unpack to 500" in refused(archive, tmp_path)


@pytest.mark.parametrize(
    "name", ["evil.py", "weights-0.pkl", "perturbations/x.safetensors", "results.parquet/x", "a\nb"]
)
def test_a_name_that_no_bundle_has_is_refused(tmp_path: Path, name: str) -> None:
    assert "is no file of a bundle" in refused(zipped({**PLAIN, name: b"x"}, tmp_path / "b.zip"), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for _ in range(2):
            archive.writestr("bundle.json", b"{}")
    assert "'bundle.json' stands in it twice" in refused(tmp_path / "b.zip", tmp_path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ARCHIVE_MEMBERS", 1)
    assert "it has 2 members, more than 1" in refused(zipped(PLAIN, tmp_path / "b.zip"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.zip").write_bytes(content)
    assert refused(tmp_path / "b.zip", tmp_path).startswith(": it is no zip archive, or a damaged one")


def test_a_description_that_is_none_is_refused(tmp_path: Path) -> None:
    said = refused(zipped(PLAIN, tmp_path / "b.zip"), tmp_path)
    assert said == ": its format is None; this version reads recshield-bundle-1"
    said = refused(zipped({**PLAIN, "bundle.json": b"[" * 100_000}, tmp_path / "c.zip"), tmp_path)
    assert "its bundle.json cannot be read" in said
    said = refused(zipped({"manifest.json": b"{}"}, tmp_path / "d.zip"), tmp_path)
    assert "it holds no bundle.json" in said
    about = {"format": "recshield-bundle-1", "request": {"threads": 10**6}, "dataset": "", "rows": [], "trained": []}
    for more, wrong in (({}, "asks for 1000000 threads"), ({"code": "x"}, "code: extra inputs are not permitted")):
        held = json.dumps({**about, "files": {}, "versions": {}, **more}).encode()
        assert wrong in refused(zipped({**PLAIN, "bundle.json": held}, tmp_path / "e.zip"), tmp_path)
        (tmp_path / "e.zip").unlink()
