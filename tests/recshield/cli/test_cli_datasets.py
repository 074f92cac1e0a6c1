"""`recshield datasets`: list, info, fetch and convert, with their exit codes and sentences."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from serving import Server, serving, zipped

from recshield.cli import main
from recshield.core.registry import registry
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE
from recshield.data import fetching
from recshield.data.downloads import DataFile, Download
from recshield.data.table import NamedData

ROWS = b"1\t10\t5\t1\n1\t11\t3\t2\n2\t10\t4\t1\n2\t12\t4\t2\n"
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Return a function that runs a command in an empty folder with an empty cache: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, " ".join(said.err.split())

    return call


@pytest.fixture
def server(plant: Callable[[str, type], None]) -> Iterator[Server]:
    """Give a server with a verified data set 'toy' and an unverified one, 'wild'."""
    with serving() as held:
        held.answers["toy.zip"] = zipped({"toy/u.data": ROWS})

        class Toy(NamedData):
            name, description, licence, publisher = "toy", "a toy", "toys only", "https://example.org"
            licence_address, folder, reader = "https://example.org/licence", "toy", "movielens-data"
            file = DataFile("u.data", "toy/u.data", (hashlib.sha256(ROWS).hexdigest(),))
            downloads = (Download(held.url("toy.zip"), (file,)),)

        class Wild(Toy):
            name, folder = "wild", "wild"
            downloads = (Download(held.url("toy.zip"), (DataFile("u.data", "toy/u.data"),)),)

        plant("dataset", Toy)
        plant("dataset", Wild)
        yield held


def test_the_plain_command_and_list_say_the_same(cli: Cli, server: Server) -> None:
    code, out, _ = cli("datasets")
    assert code == 0
    assert re.search(r"^ml-100k +MovieLens 100K  \[not here, verified\]$", out, re.MULTILINE)
    assert re.search(r"^wild +a toy  \[not here, unverified\]$", out, re.MULTILINE)
    assert re.search(r"^synthetic .*\[generated\]$", out, re.MULTILINE)
    assert cli("datasets", "list") == (0, out, "")
    code, out, _ = cli("datasets", "list", "--json")
    assert cli("datasets", "--json") == (0, out, "")
    rows = {row["name"]: row for row in json.loads(out)}
    assert set(rows) == set(registry().found["dataset"])
    assert rows["yelp"]["files"] == "unverified"
    assert set(rows["toy"]) == {"name", "description", "licence", "place", "publisher", "files"}


def test_an_option_in_front_of_the_command_is_an_error(cli: Cli) -> None:
    code, _, err = cli("datasets", "--json", "info", "ml-100k")
    assert code == 2
    assert "--data-dir and --json stand behind the command; write `recshield datasets info ... --data-dir DIR`" in err


def test_info_says_licence_addresses_and_hashes(cli: Cli) -> None:
    code, out, _ = cli("datasets", "info", "ml-1m")
    assert code == 0
    for text in (
        "licence          research use (GroupLens)",
        "files            verified",
        "from             https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "SHA-256 a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20, as recorded by SecretFlow",
    ):
        assert text in out
    facts = json.loads(cli("datasets", "info", "gowalla", "--json")[1])
    assert [file["name"] for part in facts["downloads"] for file in part["files"]] == ["train.txt", "test.txt"]
    assert "no address is known; use --from FILE" in cli("datasets", "info", "ml-latest-small-2016")[1]
    code, _, err = cli("datasets", "info", "ml-1")
    assert (code, "no dataset 'ml-1'; did you mean 'ml-1m'?" in err) == (2, True)


def test_fetch_puts_a_set_where_the_matrix_finds_it(cli: Cli, server: Server, tmp_path: Path) -> None:
    code, out, err = cli("matrix", "--models", "popular", "--dataset", "toy")
    assert (code, "run `recshield datasets fetch toy`" in err) == (2, True)
    code, out, err = cli("datasets", "fetch", "toy", "--accept-licence")
    assert (code, out) == (0, f"fetched 'toy' into {tmp_path}/cache/data/toy\n")
    assert "licence of toy: toys only (https://example.org/licence)" in err
    code, out, err = cli("datasets", "fetch", "toy")
    assert (code, out, err) == (0, f"'toy' is here already: {tmp_path}/cache/data/toy\n", "")
    code, out, err = cli("matrix", "--models", "popular", "--dataset", "toy", "--metrics", "hr@1")
    assert (code, "2 users, 3 items" in out) == (0, True), err


def test_gowalla_without_its_files_names_the_command(cli: Cli) -> None:
    code, out, err = cli("matrix", "--models", "popular", "--dataset", "gowalla")
    assert (code, out) == (2, "")
    assert "error: data set 'gowalla' is not here; run `recshield datasets fetch gowalla`, or put the files of" in err


def test_a_licence_that_is_not_accepted_is_an_error(cli: Cli, server: Server, tmp_path: Path) -> None:
    code, out, err = cli("datasets", "fetch", "toy")
    assert (code, out, server.asked) == (2, "", [])
    assert err.endswith(
        "comes under a licence: toys only (https://example.org/licence); accept it with --accept-licence"
    )
    assert not (tmp_path / "cache" / "data" / "toy").exists()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_a_person_is_asked(cli: Cli, server: Server, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    import io

    typed = io.StringIO(answer)
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typed)
    found, _, err = cli("datasets", "fetch", "toy")
    assert (found, "accept it? [y/N]" in err) == (code, True)


def test_an_unverified_set_prints_the_hash_that_was_found(cli: Cli, server: Server) -> None:
    code, out, err = cli("datasets", "fetch", "wild", "--accept-licence")
    assert (code, out, server.asked) == (2, "", [])
    assert "data set 'wild' is unverified: nobody recorded a SHA-256 of its files" in err
    code, out, _ = cli("datasets", "fetch", "wild", "--accept-licence", "--accept-hash")
    assert code == 0
    assert f"unverified until now, recorded: u.data SHA-256 {hashlib.sha256(ROWS).hexdigest()}" in out


def test_a_set_goes_below_data_dir_and_may_come_from_a_file(cli: Cli, server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine.zip").write_bytes(zipped({"u.data": ROWS}))
    code, _, _ = cli("datasets", "fetch", "toy", "--accept-licence", "--from", "mine.zip", "--data-dir", "sets")
    assert (code, server.asked) == (0, [])
    assert (tmp_path / "sets" / "toy" / "u.data").read_bytes() == ROWS
    assert "[sets/toy]" in cli("datasets", "--data-dir", "sets")[1]
    code, _, err = cli("datasets", "fetch", "toy", "--accept-licence", "--from", "absent.zip")
    assert (code, "absent.zip: no such file; give an archive that holds u.data" in err) == (2, True)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("synthetic", "data set 'synthetic' is generated, so there is nothing to fetch"),
        ("nothing", "no dataset 'nothing'"),
        ("ml-latest-small-2016", "is no longer published at an address that recshield knows"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(cli: Cli, name: str, sentence: str) -> None:
    code, out, err = cli("datasets", "fetch", name, "--accept-licence")
    assert (code, out) == (2, "")
    assert sentence in err


def test_ctrl_c_says_that_nothing_is_kept(cli: Cli, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "transfer", stopped)
    code, out, err = cli("datasets", "fetch", "toy", "--accept-licence")
    assert (code, out) == (130, "")
    assert err.endswith("interrupted; nothing of this download is kept")


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if path.suffix == ".inter" else ",")


@pytest.mark.parametrize(
    ("ending", "names"),
    [
        ("parquet", ["user", "item", "rating", "time"]),
        ("csv", ["user", "item", "rating", "time"]),
        ("inter", ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]),
    ],
)
def test_convert_writes_the_rows(cli: Cli, tmp_path: Path, ending: str, names: list[str]) -> None:
    (tmp_path / "u.data").write_bytes(ROWS)
    code, out, err = cli("datasets", "convert", "./u.data", f"rows.{ending}")
    assert (code, out) == (0, f"wrote 4 rows to rows.{ending}\n"), err
    made = read(tmp_path / f"rows.{ending}")
    assert list(made.columns) == names
    assert made.to_numpy().tolist() == [[int(cell) for cell in line.split("\t")] for line in ROWS.decode().splitlines()]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"rows.{ending}", "u.data"]


def test_convert_takes_filters_and_columns(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sales.txt").write_text("10;5;a\n11;3;a\n10;4;b\n12;4;b\n", encoding="utf-8")
    given = ("--columns", "user=3,item=1,rating=2", "--filter", "ratings>=4", "--filter", "kcore-item:2")
    code, out, err = cli("datasets", "convert", "./sales.txt", "rows.csv", *given)
    assert code == 0, err
    assert "filter 1 ratings>=4: 3 of 4 rows" in out
    assert read(tmp_path / "rows.csv")[["user", "item"]].to_numpy().tolist() == [["a", 10], ["b", 10]]


def test_convert_says_that_rows_have_no_order(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 5 6 7\n1 5\n")
    code, _, err = cli("datasets", "convert", "./train.txt", "rows.csv")
    assert (code, "these rows have no order in time" in err) == (2, True)
    assert cli("datasets", "convert", "./train.txt", "rows.parquet")[0] == 0
    code, _, err = cli("matrix", "--models", "popular", "--dataset", "./rows.parquet", "--metrics", "hr@1")
    assert (code, "order" in err) == (2, True)


@pytest.mark.parametrize("ending", ["parquet", "csv", "inter"])
def test_convert_keeps_the_split_that_the_files_give(cli: Cli, tmp_path: Path, ending: str) -> None:
    (tmp_path / "train.rating").write_text("1\t10\t1\t1\n1\t11\t1\t1\n")
    (tmp_path / "test.rating").write_text("1\t12\t1\t1\n")
    assert cli("datasets", "convert", ".", f"rows.{ending}")[0] == 0
    made = read(tmp_path / f"rows.{ending}")
    assert made.iloc[:, -1].astype(int).tolist() == [0, 0, 1]
    assert made.columns[-1] == ("is_test:float" if ending == "inter" else "is_test")


def test_convert_never_overwrites_without_force(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "u.data").write_bytes(ROWS)
    (tmp_path / "rows.csv").write_text("mine")
    code, _, err = cli("datasets", "convert", "./u.data", "rows.csv")
    assert (code, "rows.csv is there already; name another file, or overwrite it with --force" in err) == (2, True)
    assert (tmp_path / "rows.csv").read_text() == "mine"
    assert cli("datasets", "convert", "./u.data", "rows.csv", "--force")[0] == 0
    assert (tmp_path / "rows.csv").read_text().startswith("user,item,rating,time\n1,10,5,1\n")


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("./u.data", "rows.txt", "target 'rows.txt' names no format; allowed endings: .parquet, .csv, .inter"),
        ("./u.data", "no/rows.csv", "no is no folder; make it first"),
        ("./u.data", "made.csv", "made.csv is a folder; name a file"),
        ("./absent", "rows.csv", "absent: no such folder or file"),
        ("ml-100k", "rows.csv", "run `recshield datasets fetch ml-100k`"),
    ],
)
def test_a_conversion_that_cannot_be_done_is_one_sentence(
    cli: Cli, tmp_path: Path, source: str, target: str, sentence: str
) -> None:
    (tmp_path / "u.data").write_bytes(ROWS)
    (tmp_path / "made.csv").mkdir()
    code, out, err = cli("datasets", "convert", source, target)
    assert (code, out) == (2, "")
    assert sentence in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.csv", "u.data"]
