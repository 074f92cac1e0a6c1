"""Tables without a header, pairs with a name, and how the named data sets are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from recshield.core.errors import BadData
from recshield.data.catalogue import resolve


def test_columns_named_by_place_mean_that_there_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "ratings_Baby.csv"
    path.write_text("A1,B7,5.0,20\nA1,B8,4.0,10\nA2,B7,1.0,5\nA2,B9,2.0,6\n", encoding="utf-8")
    table = resolve(str(path), columns="user=1,item=2,rating=3,time=4").read()
    assert len(table) == 4
    assert list(table.user_ids[table.users]) == ["A1", "A1", "A2", "A2"]
    assert list(table.item_ids[table.items]) == ["B7", "B8", "B7", "B9"]
    assert list(table.ratings) == [5, 4, 1, 2]
    assert list(table.times) == [20, 10, 5, 6]
    path.write_text("A1,B7,5.0,20\nA1,B8,x,10\n", encoding="utf-8")
    with pytest.raises(BadData, match=r"ratings_Baby.csv, line 2: rating is 'x'"):
        resolve(str(path), columns="user=1,item=2,rating=3,time=4").read()
    path.write_text("A1,B7,5.0,20\nA1,B8,10\n", encoding="utf-8")
    with pytest.raises(BadData, match=r"line 2: 3 columns: .*; a row has 4 like the first, separated by commas"):
        resolve(str(path), columns="user=1,item=2,rating=3,time=4").read()


def test_a_named_set_of_one_table_is_read_with_its_own_columns(tmp_path: Path) -> None:
    (tmp_path / "amazon-baby").mkdir()
    (tmp_path / "amazon-baby/ratings_Baby.csv").write_text("A1,B7,5.0,20\nA1,B8,4.0,10\n", encoding="utf-8")
    table = resolve("amazon-baby", str(tmp_path)).read()
    assert list(table.item_ids[table.items]) == ["B7", "B8"]
    (tmp_path / "lastfm").mkdir()
    text = "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n3\t51\t1\n"
    (tmp_path / "lastfm/user_artists.dat").write_text(text, encoding="utf-8")
    table = resolve("lastfm", str(tmp_path)).read()
    assert list(table.ratings) == [13883, 11690, 1]


@pytest.mark.parametrize(("name", "start"), [("yelp", "yelp"), ("pinterest", "pinterest-20")])
def test_a_pair_may_carry_a_name(tmp_path: Path, name: str, start: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{start}.train.rating").write_text("0\t1\t1\t1\n0\t2\t1\t2\n", encoding="utf-8")
    with pytest.raises(BadData, match=f"{start}.test.rating is missing"):
        resolve(name, str(tmp_path))
    (tmp_path / name / f"{start}.test.rating").write_text("0\t3\t1\t3\n", encoding="utf-8")
    table = resolve(name, str(tmp_path)).read()
    assert list(table.is_test) == [False, False, True]
    (tmp_path / name / "other.train.rating").write_text("0\t1\t1\t1\n", encoding="utf-8")
    with pytest.raises(BadData, match=r"several training files: .*name the file to read"):
        resolve(name, str(tmp_path))
