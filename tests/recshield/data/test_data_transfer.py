"""One file over http: what a server may do wrong, and what is said of it."""

from __future__ import annotations

import hashlib
import http.server
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server, body, in_turn, redirect, serving, slow, status

from recshield.core.errors import FetchFailed
from recshield.data import transfer as transfers
from recshield.data.transfer import Patience, Silence, transfer

CONTENT = bytes(range(256)) * 1000
QUICK = Patience(timeout=5, attempts=3, wait=0.01)


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    shared.answers.clear()
    shared.asked.clear()
    return shared


def fetched(server: Server, tmp_path: Path, limit: int = 10**6, patience: Patience = QUICK) -> str:
    return transfer(server.url("file"), tmp_path / "file", limit, Silence(), patience)


def refused(server: Server, tmp_path: Path, limit: int = 10**6, patience: Patience = QUICK) -> str:
    with pytest.raises(FetchFailed) as caught:
        fetched(server, tmp_path, limit, patience)
    assert str(caught.value).startswith(server.url("file") + ": ")
    return str(caught.value)


def test_a_file_arrives_with_its_hash_and_every_byte_is_told(server: Server, tmp_path: Path) -> None:
    class Heard(Silence):
        total, n_bytes = None, 0

        def started(self, label: str, total: int | None) -> None:
            self.label, self.total = label, total

        def advanced(self, size: int) -> None:
            self.n_bytes += size

    server.answers["file"] = CONTENT
    heard = Heard()
    digest = transfer(server.url("file"), tmp_path / "file", 10**6, heard, QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert digest == hashlib.sha256(CONTENT).hexdigest()
    assert (heard.label, heard.total, heard.n_bytes) == ("file", len(CONTENT), len(CONTENT))


def test_a_truncated_body_is_tried_again_and_then_an_error(server: Server, tmp_path: Path) -> None:
    server.answers["file"] = body(CONTENT[:1000], length=len(CONTENT))
    assert "the connection broke before all bytes were there in 3 attempts; try again later" in refused(
        server, tmp_path
    )
    assert server.times("file") == 3
    server.answers["file"] = in_turn(body(CONTENT[:1000], length=len(CONTENT)), body(CONTENT))
    fetched(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_what_is_not_there_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    said = refused(server, tmp_path)
    assert said.endswith(
        "the server answers 404; the address may have moved: try again later, or fetch the file yourself and name it with --from"
    )
    assert server.times("file") == 1


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_server_error_is_tried_again(server: Server, tmp_path: Path, code: int) -> None:
    server.answers["file"] = in_turn(status(code), status(code), body(CONTENT))
    fetched(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT
    server.answers["file"] = status(code)
    assert f"the server answers {code} in 3 attempts" in refused(server, tmp_path)
    assert server.times("file") == 6


def test_a_slow_server_is_given_up(server: Server, tmp_path: Path) -> None:
    server.answers["file"] = slow(CONTENT, 3.0)
    patience = Patience(timeout=0.2, attempts=2, wait=0.01)
    assert "no answer within 0.2 s in 2 attempts" in refused(server, tmp_path, patience=patience)
    fetched(server, tmp_path, patience=Patience(timeout=6, attempts=1))


def test_nobody_at_the_address_is_an_error(tmp_path: Path) -> None:
    with serving() as gone:
        pass
    with pytest.raises(FetchFailed, match=r"it cannot be reached \(ConnectionError\) in 3 attempts"):
        fetched(gone, tmp_path)


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.answers |= {"file": redirect("/there"), "there": redirect(server.url("end")), "end": CONTENT}
    fetched(server, tmp_path)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_a_redirect_to_another_scheme_is_refused(server: Server, tmp_path: Path, target: str) -> None:
    server.answers["file"] = redirect(target)
    assert f"it redirects to '{target}'; only http and https are followed" in refused(server, tmp_path)
    assert not (tmp_path / "file").exists()


def test_a_redirect_from_https_down_to_http_is_refused() -> None:
    with pytest.raises(FetchFailed, match="it redirects from https down to 'http://b/c', which is not followed"):
        transfers._next_address("https://a/x", "https://a/x", "http://b/c")
    assert transfers._next_address("http://a/x", "http://a/x", "https://b/c") == "https://b/c"
    assert transfers._next_address("https://a/x/y", "https://a/x/y", "z") == "https://a/x/z"


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.answers |= {"file": redirect("/other"), "other": redirect("/file")}
    assert "more than 5 redirects; the address may have moved" in refused(server, tmp_path)
    assert len(server.asked) == 6


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_beyond_its_bound_is_refused_however_much_is_announced(
    server: Server, tmp_path: Path, announced: bool
) -> None:
    sent = []

    def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(2000):
                handler.wfile.write(b"x" * 65_536)
                sent.append(1)
        except OSError:
            pass
        handler.close_connection = True

    server.answers["file"] = body(CONTENT) if announced else endless
    assert "it is larger than 1000 bytes, which this data set never is" in refused(server, tmp_path, limit=1000)
    assert len(sent) < 2000
    fetched_size = len(CONTENT)
    server.answers["file"] = CONTENT
    fetched(server, tmp_path, limit=fetched_size)
    with pytest.raises(FetchFailed):
        fetched(server, tmp_path, limit=fetched_size - 1)


def test_a_compressed_answer_is_refused_as_its_size_is_unknown(server: Server, tmp_path: Path) -> None:
    server.answers["file"] = body(CONTENT, Content_Encoding="gzip")
    assert "the server compresses what it was asked not to" in refused(server, tmp_path)
