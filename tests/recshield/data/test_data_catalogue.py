"""From a name or a path to a source of rows, known by its content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from recshield.core.errors import BadData, UnknownName
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE
from recshield.data.catalogue import DataSource, resolve
from recshield.data.table import NamedData, Table

ROWS = "1\t10\t5\t1\n1\t11\t3\t2\n2\t10\t4\t1\n2\t12\t4\t2\n"


def pair(folder: Path, train: str = "1\t10\t1\t1\n", test: str = "1\t11\t1\t1\n") -> Path:
    """Write a training and a test file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.rating").write_text(train)
    (folder / "test.rating").write_text(test)
    return folder


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "no-cache"))
    monkeypatch.chdir(tmp_path)


def test_the_embedded_data_set_needs_no_files():
    source = resolve("synthetic", filters=["ratings>=1"])
    assert source == DataSource("synthetic", "", (), "generated:synthetic", ("ratings>=1",))
    assert len(source.read()) > 0


def test_an_unknown_name_is_an_error_with_the_nearest_one():
    with pytest.raises(UnknownName) as caught:
        resolve("amazon-vidoe")
    text = str(caught.value)
    assert text.startswith("no dataset 'amazon-vidoe'; did you mean 'amazon-video'? installed: ")
    assert (
        "gowalla, lastfm, ml-100k, ml-1m, ml-latest-small-2016, movielens-500, pinterest, synthetic, synthetic-fashion, yelp"
        in text
    )
    assert text.endswith(". a path to a folder or file works too; see `recshield datasets`")


@pytest.mark.parametrize("text", ["no/such/folder", "/no_such_folder"])
def test_a_path_that_is_not_there_says_so(text):
    with pytest.raises(BadData) as caught:
        resolve(text)
    expected = f"{text}: no such folder or file; give a path that exists, or a name of `recshield datasets`"
    assert str(caught.value) == expected


def test_a_named_set_that_is_not_here_says_how_to_fetch_it():
    with pytest.raises(BadData) as caught:
        resolve("amazon-video")
    assert str(caught.value) == (
        "data set 'amazon-video' is not here; run `recshield datasets fetch amazon-video`, or put the files of "
        "https://github.com/feay1234/ASASRec in a folder 'amazon-video', and name the folder above it with "
        "--data-dir or RECSHIELD_DATA"
    )


def test_a_named_set_that_is_not_below_the_argument_is_fetched_to_there(tmp_path):
    with pytest.raises(BadData) as caught:
        resolve("ml-100k", str(tmp_path / "my data"))
    assert f"run `recshield datasets fetch ml-100k --data-dir '{tmp_path}/my data'`, or put the files" in str(
        caught.value
    )


def test_a_third_party_set_that_recshield_cannot_fetch_says_where_it_comes_from(tmp_path, plant):
    class Elsewhere(NamedData):
        name, description, licence, folder = "elsewhere", "", "", "else"
        publisher = "https://example.org"

    plant("dataset", Elsewhere)
    with pytest.raises(BadData, match=r"is not here; fetch it from https://example\.org, put it in a folder 'else'"):
        resolve("elsewhere")


def test_a_named_set_is_found_below_the_argument_and_else_below_the_variable(tmp_path, monkeypatch):
    there = pair(tmp_path / "one" / "amazon-video")
    pair(tmp_path / "two" / "amazon-video", train="1\t10\t1\t1\n1\t12\t1\t1\n")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "two"))
    assert len(resolve("amazon-video").read()) == 3
    pair(tmp_path / "no-cache" / "data" / "amazon-video", train="1\t1\t1\t1\n")
    assert len(resolve("amazon-video").read()) == 3  # the user's own folder comes last
    source = resolve("amazon-video", str(tmp_path / "one"))
    assert (source.name, source.reader) == ("amazon-video", "split-pair")
    assert source.files == (str(there / "train.rating"), str(there / "test.rating"))
    assert len(source.read()) == 2


def test_a_folder_without_known_files_says_what_is_allowed(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "rows.txt").write_text(ROWS)
    for path in (tmp_path / "notes", tmp_path / "notes" / "rows.txt"):
        with pytest.raises(BadData) as caught:
            resolve(str(path))
        text = str(caught.value)
        assert text.startswith(f"{path}: no reader knows these files; allowed: ")
        for described in ("[NAME.]train.rating + .test.rating", "u.data: user, item", "ratings.csv: userId,movieId"):
            assert described in text


def test_a_path_is_named_after_its_last_part_and_its_files_are_absolute(tmp_path):
    pair(tmp_path / "mine")
    for text in ("mine", "mine/", "./mine", str(tmp_path / "mine"), "mine/../mine"):
        source = resolve(text)
        assert source.name == "mine"
        assert source.files == (str(tmp_path / "mine" / "train.rating"), str(tmp_path / "mine" / "test.rating"))


def test_a_single_file_is_a_source_too(tmp_path):
    (tmp_path / "u.data").write_text(ROWS)
    source = resolve("u.data")
    assert (source.reader, source.files) == ("movielens-data", (str(tmp_path / "u.data"),))
    assert len(source.read()) == 4


def test_half_a_pair_is_an_error_for_the_folder_and_for_the_file(tmp_path):
    (pair(tmp_path / "mine") / "test.rating").unlink()
    with pytest.raises(BadData, match=r"mine: test\.rating is missing; this format needs both of "):
        resolve("mine")
    with pytest.raises(BadData, match=r"mine/test\.rating: no such file; give a folder or file that exists"):
        resolve("mine/train.rating")


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path):
    (tmp_path / "mine" / "u.data").mkdir(parents=True)
    with pytest.raises(BadData, match=r"u\.data: no such file"):
        resolve("mine")


def test_the_fingerprint_hangs_on_the_content_and_not_on_the_place(tmp_path):
    here = pair(tmp_path / "here")
    there = Path(shutil.copytree(here, tmp_path / "deep" / "there"))
    assert resolve(str(here)).fingerprint == resolve(str(there)).fingerprint
    (there / "test.rating").write_text("1\t12\t1\t1\n")
    assert resolve(str(here)).fingerprint != resolve(str(there)).fingerprint


def test_the_fingerprint_tells_training_from_test(tmp_path):
    first = pair(tmp_path / "first", "1\t10\t1\t1\n", "1\t11\t1\t1\n")
    second = pair(tmp_path / "second", "1\t11\t1\t1\n", "1\t10\t1\t1\n")
    moved = pair(tmp_path / "moved", "1\t10\t1\t1\n1", "\t11\t1\t1\n")
    assert len({resolve(str(folder)).fingerprint for folder in (first, second, moved)}) == 3


def test_a_source_splits_its_filtered_rows_and_tells_what_it_did(tmp_path):
    (tmp_path / "u.data").write_text(ROWS)
    split = resolve("u.data", filters=["ratings>=4"]).split()
    assert list(split.facts) == ["filter ratings>=4", "split", "too short", "size", "cold items"]
    assert split.facts["filter ratings>=4"] == "3 of 4 rows, 2 of 2 users, 2 of 3 items kept"
    assert split.facts["size"] == "2 users, 2 items, 2 training rows, 1 test rows of 1 users"
    assert split.dataset.info.name == "u.data"


def test_what_a_reader_has_to_tell_reaches_the_user(monkeypatch):
    told = Table(np.array([1, 1]), np.array([1, 2]), facts={"encoding": "latin-1"})
    monkeypatch.setattr(DataSource, "read", lambda self: told)
    assert resolve("synthetic").split().facts["encoding"] == "latin-1"


@pytest.mark.parametrize("text", ["a" * 300, "~no_such_user/folder"])
def test_a_name_that_no_path_can_have_is_an_error(text):
    with pytest.raises((BadData, UnknownName)):
        resolve(text)


def test_an_empty_name_is_an_error(tmp_path):
    pair(tmp_path)
    with pytest.raises((BadData, UnknownName)):
        resolve("")
