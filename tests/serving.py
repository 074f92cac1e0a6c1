"""A local HTTP server that answers as a test tells it to; nothing leaves the machine."""

from __future__ import annotations

import http.server
import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """Answers by path: bytes, or a function that is given the handler; it counts the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.address = ""

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def times(self, path: str) -> int:
        return self.asked.count(path)


@contextmanager
def serving() -> Iterator[Server]:
    """Give a server on 127.0.0.1."""
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            server.asked.append(path)
            answer = server.answers.get(path)
            if answer is None:
                self.send_error(404)
            elif callable(answer):
                answer(self)
            else:
                body(answer)(self)

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    held = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.daemon_threads = True
    server.address = f"http://127.0.0.1:{held.server_address[1]}"
    thread = threading.Thread(target=held.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        held.shutdown()
        held.server_close()


def body(content: bytes, length: int | None = None, **headers: str) -> Answer:
    """Answer with bytes; `length` is what the header claims."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)
        handler.wfile.flush()
        if length is not None:
            handler.close_connection = True

    return answer


def status(code: int) -> Answer:
    """Answer with a status alone."""
    return lambda handler: handler.send_error(code)


def redirect(location: str) -> Answer:
    """Answer with a redirect."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer with each in turn, the last one from then on."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def slow(content: bytes, seconds: float) -> Answer:
    """Answer with the first half, then wait."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        time.sleep(seconds)
        try:
            handler.wfile.write(content[len(content) // 2 :])
        except OSError:
            handler.close_connection = True

    return answer


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()
