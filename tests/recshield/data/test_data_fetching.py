"""A named data set is fetched whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server, body, in_turn, serving, slow, status, zipped

from recshield.core.errors import BadValue, FetchFailed, OutputRefused
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE
from recshield.data.downloads import DataFile, Download
from recshield.data.fetching import Consent, Fetched, fetch, is_accepted, is_verified, look
from recshield.data.places import search_folders, target_folder
from recshield.data.table import NamedData
from recshield.data.transfer import Patience

ROWS = b"1\t10\t5\t1\n1\t11\t3\t2\n"
ARCHIVE = zipped({"set/u.data": ROWS, "set/readme": b"words"})
YES = Consent(licence=True)
BOTH = Consent(licence=True, hashes=True)
QUICK = Patience(timeout=5, attempts=2, wait=0.01)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as held:
        held.answers["set.zip"] = ARCHIVE
        yield held


def entry(server: Server, file: bytes | None = ROWS, archive: bytes | None = None) -> type[NamedData]:
    """Return a data set of one archive; `file` and `archive` are what the hashes are taken of."""

    class Toy(NamedData):
        name = "toy"
        description = "a toy"
        licence = "toys only"
        licence_address = "https://example.org/licence"
        publisher = "https://example.org"
        folder = "toy-folder"
        downloads = (
            Download(
                server.url("set.zip"),
                (DataFile("u.data", "set/u.data", (sha256(file),) if file is not None else ()),),
                sha256(archive) if archive is not None else "",
            ),
        )

    return Toy


def get(named: type[NamedData], top: Path, consent: Consent = YES, local: Path | None = None) -> Fetched:
    return fetch(named, str(top), consent, local, patience=QUICK)


def refused(named: type[NamedData], top: Path, consent: Consent = YES, local: Path | None = None) -> str:
    """Return the error; no data set and no draft is left."""
    with pytest.raises((FetchFailed, OutputRefused)) as caught:
        get(named, top, consent, local)
    left = sorted(path.name for path in top.rglob("*") if path.is_file()) if top.exists() else []
    assert set(left) <= {"toy.lock", "toy.json"}
    assert not (top / "toy-folder").exists()
    return str(caught.value)


@pytest.mark.parametrize("known", [{"file": ROWS}, {"file": None, "archive": ARCHIVE}])
def test_a_good_archive_is_fetched_once(server: Server, tmp_path: Path, known: dict[str, bytes]) -> None:
    named = entry(server, **known)
    assert is_verified(named)
    done = get(named, tmp_path)
    assert done == Fetched(tmp_path / "toy-folder", True)
    assert {path.name: path.read_bytes() for path in done.folder.iterdir()} == {"u.data": ROWS}
    again = fetch(named, str(tmp_path))  # no licence asked again, no network
    assert again == Fetched(done.folder, False)
    assert server.asked == ["set.zip"]
    assert sorted(path.name for path in (tmp_path / ".recshield").iterdir()) == ["toy.json", "toy.lock"]


def test_the_licence_is_shown_in_the_error_and_accepted_once(server: Server, tmp_path: Path) -> None:
    named = entry(server)
    assert refused(named, tmp_path, Consent()) == (
        "data set 'toy' comes under a licence: toys only (https://example.org/licence); accept it with --accept-licence"
    )
    assert server.asked == []
    assert not is_accepted(named, str(tmp_path))
    folder = get(named, tmp_path).folder
    assert is_accepted(named, str(tmp_path))
    held = json.loads((tmp_path / ".recshield" / "toy.json").read_text())["licence"]
    assert (held["name"], held["licence"], len(held["date"])) == ("toy", "toys only", 10)
    (folder / "u.data").unlink()
    assert get(named, tmp_path, Consent()).is_new  # accepted before
    (folder / "u.data").unlink()
    named.licence = "toys and games"
    with pytest.raises(FetchFailed, match="comes under a licence: toys and games"):
        get(named, tmp_path, Consent())


@pytest.mark.parametrize(
    ("known", "what"),
    [
        ({"file": b"other"}, "u.data of data set 'toy': its SHA-256 is " + sha256(ROWS)),
        ({"file": None, "archive": b"other"}, "/set.zip: its SHA-256 is " + sha256(ARCHIVE)),
    ],
)
def test_a_wrong_hash_keeps_nothing(server: Server, tmp_path: Path, known: dict[str, bytes], what: str) -> None:
    said = refused(entry(server, **known), tmp_path, BOTH)
    assert what in said
    assert f", expected {sha256(b'other')}; nothing is kept: the download was changed" in said


def test_an_unverified_set_needs_consent_is_recorded_and_held_to_it(server: Server, tmp_path: Path) -> None:
    named = entry(server, file=None)
    assert not is_verified(named)
    assert refused(named, tmp_path) == (
        "data set 'toy' is unverified: nobody recorded a SHA-256 of its files; take what is found, and be held to it "
        "from then on, with --accept-hash"
    )
    assert server.asked == []
    done = get(named, tmp_path, BOTH)
    assert done.found == {"u.data": sha256(ROWS)}
    (done.folder / "u.data").unlink()
    done.folder.rmdir()
    assert get(named, tmp_path).found == {}  # the recorded hash is known now
    (done.folder / "u.data").unlink()
    done.folder.rmdir()
    server.answers["set.zip"] = zipped({"set/u.data": ROWS + b"9\t9\t9\t9\n"})
    for consent in (YES, BOTH):
        assert f"expected {sha256(ROWS)}; nothing is kept" in refused(named, tmp_path, consent)


def test_a_set_of_several_files_at_addresses_of_their_own(server: Server, tmp_path: Path) -> None:
    class Pair(entry(server)):  # type: ignore[misc]
        downloads = (
            Download(server.url("train"), (DataFile("train.txt", "", (sha256(b"1 2\n"),)),)),
            Download(server.url("test"), (DataFile("test.txt", "", (sha256(b"1 3\n"),)),)),
        )

    server.answers |= {"train": b"1 2\n", "test": b"changed"}
    assert "test.txt of data set 'toy'" in refused(Pair, tmp_path)
    server.answers["test"] = in_turn(status(500), body(b"1 3\n"))
    folder = get(Pair, tmp_path).folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"train.txt": b"1 2\n", "test.txt": b"1 3\n"}


def test_a_local_archive_takes_the_place_of_the_network(server: Server, tmp_path: Path) -> None:
    local = tmp_path / "mine.zip"
    local.write_bytes(zipped({"elsewhere/u.data": ROWS}))
    assert get(entry(server), tmp_path / "one", local=local).is_new
    said = refused(entry(server, None, ARCHIVE), tmp_path / "two", local=local)
    assert said.startswith(f"{local}: its SHA-256 is {sha256(local.read_bytes())}, expected {sha256(ARCHIVE)}")
    local.write_bytes(ARCHIVE)
    assert get(entry(server, None, ARCHIVE), tmp_path / "two", local=local).is_new
    assert server.asked == []
    assert "no such file; give an archive that holds u.data" in refused(
        entry(server), tmp_path / "x", local=tmp_path / "no"
    )


def test_the_one_file_of_a_set_may_be_given_as_it_is(server: Server, tmp_path: Path) -> None:
    class Single(entry(server)):  # type: ignore[misc]
        downloads = (Download(server.url("a.csv"), (DataFile("a.csv"),), sha256(ROWS)),)

    (tmp_path / "a.csv").write_bytes(ROWS)
    assert (get(Single, tmp_path / "one", local=tmp_path / "a.csv").folder / "a.csv").read_bytes() == ROWS
    (tmp_path / "a.csv").write_bytes(b"changed")
    assert "its SHA-256 is" in refused(Single, tmp_path / "two", local=tmp_path / "a.csv")


def test_a_set_without_an_address_comes_from_a_local_archive_alone(server: Server, tmp_path: Path) -> None:
    class Gone(entry(server)):  # type: ignore[misc]
        downloads = (Download("", (DataFile("u.data", "set/u.data", (sha256(ROWS),)),)),)

    assert refused(Gone, tmp_path) == (
        "data set 'toy' is no longer published at an address that recshield knows (see https://example.org); "
        "name a copy with --from"
    )
    (tmp_path / "a.zip").write_bytes(ARCHIVE)
    assert get(Gone, tmp_path / "data", local=tmp_path / "a.zip").is_new


def test_what_is_generated_or_has_no_address_cannot_be_fetched(server: Server, tmp_path: Path) -> None:
    from recshield.data.synthetic import Synthetic

    with pytest.raises(FetchFailed, match="data set 'synthetic' is generated, so there is nothing to fetch"):
        fetch(Synthetic, str(tmp_path), YES)

    class Elsewhere(entry(server)):  # type: ignore[misc]
        downloads = ()

    with pytest.raises(FetchFailed, match=r"has no address; its files come from https://example\.org"):
        fetch(Elsewhere, str(tmp_path), YES)


def test_files_that_stand_there_are_never_overwritten(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "toy-folder"
    folder.mkdir()
    (folder / "poster.jpg").write_bytes(b"mine")
    assert get(entry(server), tmp_path) == Fetched(folder, True)
    assert sorted(path.name for path in folder.iterdir()) == ["poster.jpg", "u.data"]
    (folder / "u.data").write_bytes(b"mine too")
    with pytest.raises(
        OutputRefused, match=r"u\.data is another file than that of data set 'toy' \(its SHA-256 differs\)"
    ):
        get(entry(server), tmp_path)
    assert (folder / "u.data").read_bytes() == b"mine too"
    assert get(entry(server, None, ARCHIVE), tmp_path / "new").is_new


def test_files_put_there_by_hand_without_a_known_hash_are_said_to_be_unchecked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "toy-folder").mkdir()
    (tmp_path / "toy-folder" / "u.data").write_bytes(ROWS)
    assert look(entry(server, None), str(tmp_path)) == Fetched(tmp_path / "toy-folder", False, unchecked=("u.data",))
    assert list(tmp_path.iterdir()) == [tmp_path / "toy-folder"]  # nothing is written


def test_a_damaged_note_says_what_to_do(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".recshield").mkdir()
    (tmp_path / ".recshield" / "toy.json").write_text("[]")
    assert "toy.json: it cannot be read as a note on a data set; remove it and fetch again" in refused(
        entry(server), tmp_path
    )


def test_a_draft_of_a_killed_process_is_swept_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".recshield" / "toy.draft-1").mkdir(parents=True)
    (tmp_path / ".recshield" / "toy.draft-1" / "half").write_bytes(b"x")
    get(entry(server), tmp_path)
    assert not (tmp_path / ".recshield" / "toy.draft-1").exists()


CHILD = """
import sys
from serving import Server
from test_data_fetching import entry, get
from pathlib import Path
server = Server()
server.address = sys.argv[1]
print("ready", flush=True)
print(get(entry(server), Path(sys.argv[2])).is_new, flush=True)
"""


def child(server: Server, top: Path) -> subprocess.Popen[str]:
    here = Path(__file__)
    paths = os.pathsep.join([str(here.parent), str(here.parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), server.address, str(top)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_during_the_download_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.answers["set.zip"] = slow(ARCHIVE, 20)
    process = child(server, tmp_path / "data")
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("toy.draft-*/*")) or not server.asked:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert process.returncode != 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".recshield", "data", "toy.json", "toy.lock"]


def test_two_processes_fetch_once(server: Server, tmp_path: Path) -> None:
    server.answers["set.zip"] = slow(ARCHIVE, 1.0)
    processes = [child(server, tmp_path) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].split()[-1] for process in processes)
    assert said == ["False", "True"]
    assert server.asked == ["set.zip"]
    assert (tmp_path / "toy-folder" / "u.data").read_bytes() == ROWS


def test_a_fetched_set_is_found_without_an_option(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert target_folder(None) == tmp_path / "cache" / "data"
    named = entry(server)
    assert fetch(named, None, YES).folder == tmp_path / "cache" / "data" / "toy-folder"
    assert look(named) is not None
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    monkeypatch.setenv(DATA_VARIABLE, str(closed))
    assert search_folders(None) == (closed, tmp_path / "cache" / "data")
    assert target_folder(None) == tmp_path / "cache" / "data"  # root leaves a closed folder alone, too
    assert look(named) is not None
    with pytest.raises(OutputRefused, match="closed cannot be written; name another folder with --data-dir"):
        target_folder(str(closed))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "open"))
    assert target_folder(None) == tmp_path / "open"
    assert not (tmp_path / "open").exists()


def test_an_entry_that_cannot_be_right_is_an_error() -> None:
    for address in ("ftp://a/b", "file:///etc/passwd", "a/b", "https://"):
        with pytest.raises(BadValue, match="cannot be fetched; write http"):
            Download(address, (DataFile("a"),))
    with pytest.raises(BadValue, match="'abc' is no SHA-256; write 64 hexadecimal digits"):
        DataFile("a", "", ("abc",))
    with pytest.raises(BadValue, match="is no archive, so it holds one file; 2 are named"):
        Download("https://a/b", (DataFile("a"), DataFile("b")))
