"""One file over http or https into a draft: bounded, with timeouts and retries, never from https down to http."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin, urlsplit

from recshield.core.errors import FetchFailed
from recshield.core.settings import DOWNLOAD_ATTEMPTS, DOWNLOAD_REDIRECTS, DOWNLOAD_TIMEOUT, DOWNLOAD_WAIT

if TYPE_CHECKING:
    import requests

_PIECE = 1 << 16


class Listener(Protocol):
    """Hears how far a download is."""

    def started(self, label: str, total: int | None) -> None:
        """Hear that a download starts, and of how many bytes, where the server says so."""

    def advanced(self, size: int) -> None:
        """Hear that so many more bytes are there."""

    def waiting(self, label: str) -> None:
        """Hear that another process is fetching the same, and is waited for."""


class Silence:
    """A listener that does nothing."""

    def started(self, label: str, total: int | None) -> None:
        """Do nothing."""

    def advanced(self, size: int) -> None:
        """Do nothing."""

    def waiting(self, label: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Patience:
    """How long a download is tried.

    Attributes:
        timeout: seconds without a byte.
        attempts: at what fails in passing.
        wait: seconds before the second attempt; they double.
    """

    timeout: float = DOWNLOAD_TIMEOUT
    attempts: int = DOWNLOAD_ATTEMPTS
    wait: float = DOWNLOAD_WAIT


class _Passing(Exception):
    """A failure that may not happen again."""


def transfer(address: str, target: Path, limit: int, listener: Listener, patience: Patience) -> str:
    """Write what stands at an address to a file.

    Args:
        address: http or https.
        target: does not exist; half a file is left there where this fails.
        limit: most bytes.
        listener: hears of every piece.
        patience: timeout and attempts.

    Returns:
        SHA-256 of the file.

    Raises:
        FetchFailed: with the address and the reason.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)  # it would print the address and advice of its own
    passing = (_Passing, requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    for attempt in range(1, patience.attempts + 1):
        try:
            downloader = _Downloader(limit, listener, patience.timeout)
            target.unlink(missing_ok=True)
            pooch.retrieve(address, None, target.name, target.parent, downloader=downloader)
            with target.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except passing as error:
            reason = _reason(error, patience.timeout)
            if attempt < patience.attempts:
                time.sleep(patience.wait * 2 ** (attempt - 1))
        except requests.RequestException as error:
            raise FetchFailed(f"{address}: {_reason(error, patience.timeout)}; {_ADVICE}") from None
    raise FetchFailed(f"{address}: {reason} in {patience.attempts} attempts; {_ADVICE}")


_ADVICE = "try again later, or fetch the file yourself and name it with --from"


def _reason(error: Exception, timeout: float) -> str:
    import requests

    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return f"no answer within {timeout:g} s"
    if isinstance(error, _Passing):
        return str(error)
    if "IncompleteRead" in str(error):
        return "the connection broke before all bytes were there"
    return f"it cannot be reached ({type(error).__name__})"


class _Downloader:
    """What pooch calls to write an address into the file that it names."""

    def __init__(self, limit: int, listener: Listener, timeout: float) -> None:
        self._limit = limit
        self._listener = listener
        self._timeout = timeout

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import requests

        with requests.Session() as session, self._open(session, url) as response, Path(output_file).open("wb") as out:
            total = _length(response)
            self._check_size(url, total or 0)
            self._listener.started(Path(urlsplit(url).path).name, total)
            n_bytes = 0
            for piece in response.iter_content(_PIECE):
                n_bytes += len(piece)
                self._check_size(url, n_bytes)
                out.write(piece)
                self._listener.advanced(len(piece))
            if total is not None and n_bytes < total:
                raise _Passing(f"the connection broke after {n_bytes} of {total} bytes")

    def _open(self, session: requests.Session, url: str) -> requests.Response:
        """Return the answer at the end of the redirects, each looked at before it is followed."""
        here = url
        for _ in range(DOWNLOAD_REDIRECTS + 1):
            response = session.get(
                here,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
                headers={"Accept-Encoding": "identity"},
            )
            if not response.is_redirect:
                _check_answer(url, response)
                return response
            response.close()
            here = _next_address(url, here, response.headers["location"])
        raise FetchFailed(f"{url}: more than {DOWNLOAD_REDIRECTS} redirects; the address may have moved")

    def _check_size(self, url: str, n_bytes: int) -> None:
        if n_bytes > self._limit:
            raise FetchFailed(f"{url}: it is larger than {self._limit} bytes, which this data set never is")


def _next_address(url: str, here: str, location: str) -> str:
    there = urljoin(here, location)
    scheme = urlsplit(there).scheme
    if scheme not in ("http", "https"):
        raise FetchFailed(f"{url}: it redirects to '{there}'; only http and https are followed")
    if scheme == "http" and urlsplit(here).scheme == "https":
        raise FetchFailed(f"{url}: it redirects from https down to '{there}', which is not followed")
    return there


def _check_answer(url: str, response: requests.Response) -> None:
    if response.status_code >= 500 or response.status_code == 429:
        raise _Passing(f"the server answers {response.status_code}")
    if response.status_code != 200:
        raise FetchFailed(f"{url}: the server answers {response.status_code}; the address may have moved: {_ADVICE}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed(f"{url}: the server compresses what it was asked not to; {_ADVICE}")


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None
