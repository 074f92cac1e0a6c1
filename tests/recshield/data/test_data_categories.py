"""Categories of items: each form of file by hand, what is counted, and every fault with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recshield.core import settings
from recshield.core.errors import BadData
from recshield.data.catalogue import resolve
from recshield.data.category_files import align, read_categories
from recshield.data.side import Side

ADVICE = "write a header `item,category` and a row for each, several categories of an item as rows or as `a|b`"


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_rows_and_bars_give_several_categories(tmp_path):
    file = written(tmp_path / "kinds.csv", "item,category\n1,red\n2,hat|red\n1,shoe\n1,red\n3,\n")
    assert read_categories(file) == {"1": ("red", "shoe"), "2": ("hat", "red")}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("movies.csv", 'movieId,title,genres\r\n7,"Heat, the (1995)",Action|Crime\r\n8,None,(no genres listed)\r\n'),
        ("kinds.tsv", "Category\tID\nAction\t7\nCrime\t7\n"),
        ("kinds.csv", "\ufeffsku;name;labels\n7;x;Action | Crime\n"),
        ("kinds.csv", "item,id,category\n7,99,Action\n7,98,Crime\n"),
        ("movies.dat", "7::Heat (1995)::Action|Crime\n"),
    ],
)
def test_columns_are_known_by_their_names_and_separators_by_the_header(name, text, tmp_path):
    assert read_categories(written(tmp_path / name, text)) == {"7": ("Action", "Crime")}


def test_the_flags_of_ml_100k_stand_in_the_order_of_its_genres(tmp_path):
    written(tmp_path / "u.genre", "unknown|0\nAction|1\nComedy|2\n\n")
    file = written(tmp_path / "u.item", "5|Café (1995)|01-Jan-1995||http://x|0|1|1\n", "latin-1")
    assert read_categories(file) == {"5": ("Action", "Comedy")}
    written(tmp_path / "u.item", "5|Cafe|01-Jan-1995||http://x|0|1|1\n6|Cafe|||x|0|1\n")
    with pytest.raises(BadData) as caught:
        read_categories(file)
    assert str(caught.value) == f"{file}, line 2: 2 flags of genres; 3 of 0 or 1, as u.genre says"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item,colour\n1,red\n", f", line 1: no column is known to be the category among 'item', 'colour'; {ADVICE}"),
        ("what,category\n1,red\n", f", line 1: no column is known to be the item among 'what', 'category'; {ADVICE}"),
        ("item,category\n1,red\n2\n", ", line 3: 1 cells; as many as the header has"),
        ('item,category\n1,"red\n', f", line 2: this is no table (unexpected end of data); {ADVICE}"),
        ("", ": the file is empty; it needs at least one row"),
    ],
)
def test_a_table_that_cannot_be_read_names_the_line(text, said, tmp_path):
    file = written(tmp_path / "kinds.csv", text)
    with pytest.raises(BadData) as caught:
        read_categories(file)
    assert str(caught.value) == f"{file}{said}"


def test_a_table_of_another_encoding_says_so(tmp_path):
    file = written(tmp_path / "kinds.csv", "item,category\n1,Café\n", "latin-1")
    with pytest.raises(BadData, match="it is not UTF-8"):
        read_categories(file)


def test_labels_stand_in_the_order_of_the_items_and_others_are_counted():
    held = {"1": ("red", "shoe"), "2": ("red",), "9": ("blue",)}
    found = align(held, np.array([2, 5, 1]), "kinds.csv", facts := {})
    assert found.names == ("red", "shoe")
    assert found.labels.tolist() == [[True, False], [False, False], [True, True]]
    expected = "2 categories, 2 of 3 items have at least one; 1 more that are not in the catalogue are left aside"
    assert facts == {"categories": expected}


def test_categories_of_other_items_and_too_many_are_errors(monkeypatch):
    with pytest.raises(BadData) as caught:
        align({"a": ("red",)}, np.array([1, 2]), "kinds.csv")
    assert str(caught.value) == "kinds.csv: none of the 2 items has a category here; its ids are others"
    monkeypatch.setattr(settings, "CATEGORIES", 2)
    with pytest.raises(BadData, match=r"kinds\.csv: the items have 3 categories; at most 2"):
        align({"1": ("a", "b", "c")}, np.array([1]), "kinds.csv")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write rows of the items 10 to 12 and a table of their categories."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    written(tmp_path / "shop" / "u.data", "1\t10\t5\t1\n1\t11\t3\t2\n2\t10\t4\t1\n2\t12\t4\t2\n")
    written(tmp_path / "kinds.csv", "item,category\n12,hat\n10,shoe\n10,red\n")
    return tmp_path


def test_a_source_gives_categories_to_its_data_set(shop):
    split = resolve("shop", side=Side(categories="kinds.csv")).split()
    assert split.dataset.item_ids.tolist() == [10, 11, 12]
    assert split.dataset.categories.names == ("hat", "red", "shoe")
    assert split.dataset.categories.labels.astype(int).tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert split.facts["categories"] == "3 categories, 2 of 3 items have at least one"
    assert resolve("shop").split().dataset.categories is None


def test_the_fingerprint_covers_the_categories_wherever_they_lie(shop):
    first = resolve("shop", side=Side(categories="kinds.csv"))
    (shop / "moved").mkdir()
    written(shop / "moved" / "kinds.csv", (shop / "kinds.csv").read_text())
    assert resolve("shop", side=Side(categories="moved/kinds.csv")).content() == first.content()
    assert resolve("shop").fingerprint != first.fingerprint
    with (shop / "kinds.csv").open("a") as stream:
        stream.write("11,hat\n")
    assert resolve("shop", side=Side(categories="kinds.csv")).fingerprint != first.fingerprint
    with pytest.raises(BadData, match="the file changed while it was read"):
        first.check_unchanged()


def test_categories_of_a_file_that_is_not_there(shop):
    with pytest.raises(BadData, match=r"none\.csv: no such file; give a folder or file that exists"):
        resolve("shop", side=Side(categories="none.csv"))


def test_the_data_step_keeps_categories_for_every_plugin(shop):
    from recshield import run
    from recshield.matrix.loading import load_data

    prepared = run.prepare(models=["popular"], dataset="shop", categories="kinds.csv", metrics=["ndcg@2"])
    run.execute(prepared)
    data, _ = load_data(prepared.store.need(prepared.plan.data_keys[0]))
    assert data.categories.names == ("hat", "red", "shoe")
    assert data.categories.labels.dtype == np.bool_
    assert data.categories.labels.astype(int).tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    plain = run.prepare(models=["popular"], dataset="shop", metrics=["ndcg@2"])
    run.execute(plain)
    assert load_data(plain.store.need(plain.plan.data_keys[0]))[0].categories is None


@pytest.mark.real
def test_genres_of_the_real_data_are_known(real_data):
    small = resolve("ml-latest-small-2016", str(real_data)).split().dataset
    held = {str(item): row for item, row in zip(small.item_ids, small.categories.labels, strict=True)}
    toy_story = {name for name, is_one in zip(small.categories.names, held["1"], strict=True) if is_one}
    assert toy_story == {"Adventure", "Animation", "Children", "Comedy", "Fantasy"}
    assert len(small.categories.names) == 19
    old = resolve("ml-100k", str(real_data)).split().dataset
    first = {name for name, is_one in zip(old.categories.names, old.categories.labels[0], strict=True) if is_one}
    assert (old.item_ids[0], first) == (1, {"Animation", "Children's", "Comedy"})
