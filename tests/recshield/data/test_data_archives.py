"""Archives from strangers: only what is expected comes out, and nothing else happens."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from serving import zipped

from recshield.core.errors import FetchFailed
from recshield.data import archives
from recshield.data.archives import unpack
from recshield.data.downloads import DataFile

WANTED = (DataFile("u.data", "set/u.data"), DataFile("u.item", "set/u.item"))
CONTENT = {"set/u.data": b"1\t2\t3\t4\n" * 50, "set/u.item": b"1|one\n", "set/README": b"not asked for\n"}


def tarred(files: dict[str, bytes], kind: str = "gz", extra: tarfile.TarInfo | None = None) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=f"w:{kind}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if extra is not None:
            archive.addfile(extra)
    return held.getvalue()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "files"
    folder.mkdir(parents=True)
    return folder


def refused(tmp_path: Path, out: Path, content: bytes, files: tuple[DataFile, ...] = WANTED) -> str:
    """Return the error; nothing is outside the folder, and nothing in it is a link."""
    (tmp_path / "set.archive").write_bytes(content)
    with pytest.raises(FetchFailed) as caught:
        unpack(tmp_path / "set.archive", files, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set.archive"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["files"]
    assert all(path.is_file() and not path.is_symlink() for path in out.iterdir())
    return str(caught.value)


@pytest.mark.parametrize("content", [zipped(CONTENT), *(tarred(CONTENT, kind) for kind in ("", "gz", "bz2", "xz"))])
def test_the_expected_members_come_out_and_nothing_else(tmp_path: Path, out: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    unpack(tmp_path / "a", WANTED, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        "u.data": CONTENT["set/u.data"],
        "u.item": CONTENT["set/u.item"],
    }


def test_a_repacked_archive_is_read_by_the_names_of_the_files(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a").write_bytes(zipped({"else/where/u.data": b"1", "u.item": b"2"}))
    unpack(tmp_path / "a", WANTED, out, by_name=True)
    assert (out / "u.data").read_bytes() == b"1"


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, out: Path, make, name: str) -> None:
    said = refused(tmp_path, out, make({**CONTENT, name: b"x"}))
    assert "leads out of the folder it is unpacked into; nothing is kept" in said


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_a_link_or_device_in_a_tar_is_refused_even_under_an_expected_name(
    tmp_path: Path, out: Path, kind: bytes
) -> None:
    evil = tarfile.TarInfo("set/u.item")
    evil.type, evil.linkname = kind, "/etc/passwd"
    files = {"set/u.data": b"1"}
    said = refused(tmp_path, out, tarred(files, "gz", evil))
    assert "'set/u.item' is a link, a device or sparse; nothing is kept" in said


def test_a_link_in_a_zip_is_refused(tmp_path: Path, out: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        member = zipfile.ZipInfo("set/u.data")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
        archive.writestr("set/u.item", b"x")
    assert "'set/u.data' is a link, a device or sparse" in refused(tmp_path, out, held.getvalue())


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("name", ["set/u.data", "set/padding"])
def test_a_bomb_is_stopped_at_a_hundred_times_its_size(tmp_path: Path, out: Path, make, name: str) -> None:
    """64 MiB of zeros pack into some 64 KiB; a tar is read through, so what it hides in other members counts too."""
    content = make({**CONTENT, name: b"\0" * (1 << 26)})
    assert len(content) < 80_000
    if make is zipped and name == "set/padding":
        (tmp_path / "a").write_bytes(content)
        unpack(tmp_path / "a", WANTED, out)  # never opened, so it costs nothing
        return
    assert "it unpacks to more than 100 times its own size, or than its data set can hold" in refused(
        tmp_path, out, content
    )
    assert sum(path.stat().st_size for path in out.iterdir()) <= 101 * len(content)


def test_a_size_in_a_header_is_not_believed(tmp_path: Path, out: Path) -> None:
    """A zip that claims 1 byte for a large member is caught by what is read, or as damaged; never written out whole."""
    content = bytearray(zipped({"set/u.data": b"7" * 300_000, "set/u.item": b"x"}))
    directory = content.find(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1)
    said = refused(tmp_path, out, bytes(content))
    assert "damaged" in said or "larger" in said
    assert sum(path.stat().st_size for path in out.iterdir()) <= 1


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_file_larger_than_its_bound_is_refused(tmp_path: Path, out: Path, make) -> None:
    files = (DataFile("u.data", "set/u.data", limit=399),)
    said = refused(tmp_path, out, make({"set/u.data": CONTENT["set/u.data"]}), files)
    assert said == "set.archive: 'u.data' is larger than 399 bytes, which this data set never is; nothing is kept"
    for path in out.iterdir():
        path.unlink()
    (tmp_path / "set.archive").write_bytes(make({"set/u.data": CONTENT["set/u.data"]}))
    unpack(tmp_path / "set.archive", (DataFile("u.data", "set/u.data", limit=400),), out)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_too_many_members_are_refused(tmp_path: Path, out: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ARCHIVE_MEMBERS", 2)
    assert "it has more than 2 members; nothing is kept" in refused(tmp_path, out, make(CONTENT))


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_missing_member_is_named(tmp_path: Path, out: Path, make) -> None:
    said = refused(tmp_path, out, make({"set/u.data": b"1"}))
    assert said == "set.archive: 'set/u.item' is not in it; expected: set/u.data, set/u.item"


def test_a_member_that_stands_twice_is_refused(tmp_path: Path, out: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("set/u.data", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("set/u.data", b"2")
    assert "'set/u.data' stands in it twice" in refused(tmp_path, out, held.getvalue())


@pytest.mark.parametrize("content", [b"", b"<html>not here</html>", zipped(CONTENT)[:-30], tarred(CONTENT)[:-30]])
def test_what_is_damaged_or_no_archive_is_refused(tmp_path: Path, out: Path, content: bytes) -> None:
    assert "it is damaged or no archive" in refused(tmp_path, out, content)


def test_an_encrypted_member_is_refused(tmp_path: Path, out: Path) -> None:
    content = bytearray(zipped(CONTENT))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(magic) + offset] |= 1
    assert "is encrypted; nothing is kept" in refused(tmp_path, out, bytes(content))


@pytest.mark.parametrize("name", ["../u.data", "/u.data", "", "a/b", "..", ".hidden"])
def test_a_catalogue_entry_cannot_name_a_file_elsewhere(name: str) -> None:
    from recshield.core.errors import BadValue

    with pytest.raises(BadValue, match="is not plain; allowed: letters, digits"):
        DataFile(name)
