"""Tables and matrices from Python: the rows of a file, the same key for the same content, and whole runs on them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from recshield.core.errors import BadData, BadSpec, UnknownOption
from recshield.core.settings import CACHE_VARIABLE
from recshield.data.catalogue import resolve
from recshield.data.frames import as_file
from recshield.matrix.steps import load_data
from recshield.run import execute, prepare, run_matrix

COLUMNS = {"user": "uid", "item": "sku", "time": "ts", "rating": "stars"}


@pytest.fixture(autouse=True)
def _own_frames(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def shop(n_rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "uid": [f"u{user}" for user in rng.integers(20, size=n_rows)],
            "sku": [f"SKU-{item:03d}" for item in rng.integers(30, size=n_rows)],
            "stars": rng.integers(1, 6, size=n_rows),
            "ts": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(10**6, size=n_rows), unit="s"),
        }
    )


def test_a_frame_is_read_like_the_csv_file_that_holds_it(tmp_path):
    frame = shop()
    frame.to_csv(tmp_path / "shop.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S")
    one = resolve(str(as_file(frame, COLUMNS))).split()
    other = resolve(str(tmp_path / "shop.csv"), columns=COLUMNS).split()
    assert one.dataset.user_ids.tolist() == other.dataset.user_ids.tolist() == sorted(set(frame["uid"]))
    assert one.dataset.train.items.tolist() == other.dataset.train.items.tolist()
    assert one.test.items.tolist() == other.test.items.tolist()


def test_the_same_content_is_the_same_file_whatever_held_it():
    polars = pytest.importorskip("polars")
    frame = shop().assign(ts=lambda held: held["ts"].astype("int64"))
    forms = [
        frame,
        frame.sample(frac=1, random_state=0).sort_index(),
        frame[["ts", "stars", "sku", "uid"]].assign(more=1),
        frame.astype({"uid": "category", "stars": "int32"}),
        frame.set_index(np.arange(len(frame)) * 7),
        pa.Table.from_pandas(frame),
        polars.from_pandas(frame),
        polars.from_pandas(frame).with_columns(polars.col("sku").cast(polars.Categorical)),
    ]
    assert len({as_file(form, COLUMNS) for form in forms}) == 1
    assert as_file(frame.assign(stars=1), COLUMNS) != as_file(frame, COLUMNS)
    assert as_file(frame.iloc[::-1], COLUMNS) != as_file(frame, COLUMNS)


def test_a_frame_leaves_one_file_and_mends_a_damaged_one(tmp_path):
    path = as_file(shop(), COLUMNS)
    whole = path.read_bytes()
    path.write_bytes(b"damaged")
    assert as_file(shop(), COLUMNS) == path
    assert path.read_bytes() == whole
    assert list((tmp_path / "cache" / "frames").iterdir()) == [path]


@pytest.mark.parametrize(
    "kind", [sparse.csr_matrix, sparse.coo_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_array]
)
def test_a_matrix_is_its_stored_entries_by_user_and_item(kind):
    dense = np.zeros((4, 6))
    dense[0, [1, 3]], dense[2, 5], dense[3, 0] = [2.0, 5.0], 3.0, 1.0
    table = resolve(str(as_file(kind(dense)))).read()
    assert table.users.tolist() == [0, 0, 2, 3]
    assert table.items.tolist() == [1, 3, 5, 0]
    assert table.ratings.tolist() == [2.0, 5.0, 3.0, 1.0]
    assert table.times is None
    assert not table.is_ordered


def test_a_matrix_has_no_latest_row():
    matrix = sparse.csr_array(np.eye(4) + np.eye(4, k=1))
    source = resolve(str(as_file(matrix)))
    with pytest.raises(BadData, match="needs the order of time, and these rows have neither times nor an order"):
        source.split()
    assert len(resolve(source.files[0], scheme="leave-out:1,random").split().test) == 3


@pytest.mark.parametrize(
    ("frame", "columns", "kind", "said"),
    [
        (
            shop(),
            {"user": "who"},
            BadData,
            "table: there is no column 'who' for user; columns: 'uid', 'sku', 'stars', 'ts'",
        ),
        (shop(), {"owner": "uid"}, UnknownOption, "--columns has no option 'owner'; options and defaults: user"),
        (shop(), "uid", BadSpec, "columns: 'uid' cannot be read; write ROLE=NAME, for example user=uid,item=sku"),
        (
            shop()[["uid", "stars"]],
            (),
            BadData,
            "table: no column is known to be the item; name it with --columns item=NAME",
        ),
        (sparse.csr_array((3, 3)), (), BadData, "the sparse matrix has no stored entry; it needs at least one"),
        (sparse.csr_array(np.eye(2)), COLUMNS, BadData, "a sparse matrix has no columns to name; leave columns out"),
        ([1, 2], (), BadData, "a data set of type list is not known; give a name, a path, a pandas, Polars or Arrow"),
        (shop().assign(uid=[1, "a"] * 200), (), BadData, "table: the column 'uid' for user cannot be read ("),
    ],
    ids=str,
)
def test_a_frame_that_cannot_be_read_says_why(frame, columns, kind, said):
    with pytest.raises(kind) as caught:
        as_file(frame, columns)
    assert str(caught.value).startswith(said)


def test_missing_and_wrong_values_of_a_frame_are_named_with_their_row():
    for column, value, said in (
        ("uid", None, "row 3: user is missing; every row has one"),
        ("stars", np.nan, "row 3: rating is missing; every row has one"),
        ("stars", np.inf, "row 3: rating is 'inf'; it must be a finite number"),
        ("ts", pd.NaT, "row 3: time is missing; every row has one"),
    ):
        frame = shop(5)
        frame[column] = [value if row == 2 else held for row, held in enumerate(frame[column])]
        with pytest.raises(BadData) as caught:
            resolve(str(as_file(frame, COLUMNS))).read()
        assert str(caught.value).endswith(said)


def test_a_run_on_a_frame_names_users_by_their_ids_and_is_found_again(tmp_path):
    asked = {"models": "mf", "metrics": "ndcg@5", "overrides": ["mf.epochs=2"], "split": "cold:0.2", "columns": COLUMNS}
    run = run_matrix(dataset=shop(), **asked)
    assert set(run.per_user["user"]) <= {f"u{user}" for user in range(20)}
    assert run.manifest["request"]["split"] == "cold:0.2"
    assert run.manifest["split"]["held out"] == "6 of 30 items have no training row"
    json.dumps(run.manifest)
    run.save(tmp_path / "run")
    saved = pd.read_parquet(tmp_path / "run" / "per_user.parquet")
    assert set(saved["user"]) == set(run.per_user["user"])
    again = run_matrix(dataset=shop(), **asked)
    assert again.timings["is_reused"].all()
    pd.testing.assert_frame_equal(run.table, again.table)


def test_items_held_out_stay_no_negatives_when_the_data_step_is_loaded():
    prepared = prepare(models=["popular"], dataset=str(as_file(shop(), COLUMNS)), metrics=["ndcg@5"], split="cold:0.2")
    execute(prepared)
    key = next(step.key for step in prepared.plan.steps.values() if step.kind == "data")
    data, test = load_data(prepared.store.need(key))
    assert data.train.negatives is not None
    assert data.train.negatives.tolist() == np.flatnonzero(data.train.popularity()).tolist()
    assert not set(data.train.negatives.tolist()) & set(test.items.tolist())


def test_columns_of_a_file_stand_in_the_request_and_in_the_key(tmp_path):
    shop().rename(columns={"uid": "a", "sku": "b"}).drop(columns=["ts"]).to_csv(tmp_path / "shop.csv", index=False)
    asked = {"models": "popular", "metrics": "ndcg@5", "dataset": tmp_path / "shop.csv"}
    one = run_matrix(**asked, columns="user=a,item=b")
    other = run_matrix(**asked, columns=["user=b", "item=a"])
    assert one.manifest["request"]["columns"] == ["user=a", "item=b"]
    assert one.manifest["request"]["dataset"] == str(tmp_path / "shop.csv")
    assert set(one.per_user["user"]) == {f"u{user}" for user in range(20)}
    assert set(other.per_user["user"]) == {f"SKU-{item:03d}" for item in range(30)}
