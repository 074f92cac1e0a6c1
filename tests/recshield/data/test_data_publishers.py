"""The entries of the catalogue agree with each other and with the documents."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from recshield.data.fetching import is_verified
from recshield.data.publishers import AMAZON_CATEGORIES, published
from recshield.data.table import NamedData

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
UNVERIFIED = {"pinterest", "yelp"}


@pytest.mark.parametrize("named", published(), ids=lambda named: named.name)
def test_an_entry_says_all_that_fetching_needs(named: type[NamedData]) -> None:
    assert named.folder
    assert named.licence
    assert "\n" not in named.licence
    assert named.downloads
    for address in (
        named.publisher,
        named.licence_address,
        *(part.address for part in named.downloads if part.address),
    ):
        assert urlsplit(address).scheme == "https"
    names = [file.name for part in named.downloads for file in part.files]
    assert len(names) == len(set(names))
    assert is_verified(named) == (named.name not in UNVERIFIED)


def test_an_address_on_github_names_a_commit() -> None:
    """A branch may change under its address; a commit cannot."""
    raw = [part.address for named in published() for part in named.downloads if "githubusercontent" in part.address]
    assert len(raw) == 10
    for address in raw:
        assert re.search(r"/[0-9a-f]{40}/", address)


def test_names_and_folders_are_unique() -> None:
    for values in ([named.name for named in published()], [named.folder for named in published()]):
        assert len(values) == len(set(values))
    assert {"amazon-video", "amazon-video-games", "amazon-instant-video"} <= {named.name for named in published()}
    assert sum(named.name.startswith("amazon-") for named in published()) == len(AMAZON_CATEGORIES) + 1


def test_every_entry_stands_in_the_documents_with_its_state() -> None:
    for named in published():
        row = re.search(rf"^\| `{named.name}` \|.*$", PAGE, re.MULTILINE)
        assert row, f"{named.name} is not in docs/datasets.md"
        assert f"| {'verified' if is_verified(named) else 'unverified'} |" in row[0]
        assert named.publisher in row[0]


def test_every_command_of_the_documents_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each `recshield` line of the page parses: command, options and all."""
    import shlex

    from typer.main import get_command

    from recshield.cli.app import app

    lines = re.findall(r"^recshield .*$", PAGE, re.MULTILINE)
    assert len(lines) >= 8
    for line in lines:
        command, words = get_command(app), shlex.split(line)[1:]
        context = None
        while hasattr(command, "get_command") and words:
            context = command.make_context(command.name, list(words[:1]), parent=context, resilient_parsing=True)
            command = command.get_command(context, words.pop(0))
            assert command is not None, line
        command.make_context(command.name, words, parent=context)
