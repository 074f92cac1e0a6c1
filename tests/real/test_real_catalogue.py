"""The hashes of the catalogue are those of the published files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recshield.data.fetching import look
from recshield.data.publishers import published

HERE = ("amazon-video", "gowalla", "ml-100k", "ml-latest-small-2016", "movielens-500")
NAMED = {named.name: named for named in published()}


@pytest.mark.real
@pytest.mark.parametrize("name", HERE)
def test_the_hashes_of_an_entry_are_those_of_the_files(real_data: Path, name: str) -> None:
    named = NAMED[name]
    files = [file for download in named.downloads for file in download.files]
    assert files
    for file in files:
        digest = hashlib.sha256((real_data / named.folder / file.name).read_bytes()).hexdigest()
        assert digest in file.sha256, file.name
    found = look(named, str(real_data))
    assert found is not None
    assert (found.folder, found.is_new, found.unchecked) == (real_data / named.folder, False, ())


@pytest.mark.real
@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_the_second_hash_of_the_2016_release_is_that_of_its_line_ends(real_data: Path, name: str) -> None:
    """GroupLens wrote CR LF; ratings.csv then has the 2,438,266 bytes of the release."""
    (download,) = NAMED["ml-latest-small-2016"].downloads
    (file,) = (file for file in download.files if file.name == name)
    content = (real_data / "ml-latest-small" / name).read_bytes().replace(b"\n", b"\r\n")
    assert hashlib.sha256(content).hexdigest() == file.sha256[1]
    assert name != "ratings.csv" or len(content) == 2_438_266
