"""Files of published figures: what comes with recshield holds the papers' numbers, and a wrong file says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from recshield.core.errors import BadData, UnknownName
from recshield.papers import find, listed
from recshield.papers.reading import read

TOY = """\
title: Toy
source: nobody
read_from: nowhere
data:
  toy: {dataset: synthetic, about: generated}
figures:
  - {system: popular, data: toy, where: Table 1, published: {ndcg@100: 0.5}, tolerance: 0.1}
"""


def refused(tmp_path: Path, old: str, new: str) -> str:
    assert old in TOY
    (tmp_path / "toy.yaml").write_text(TOY.replace(old, new))
    with pytest.raises(BadData) as caught:
        read(tmp_path / "toy.yaml")
    return str(caught.value).removeprefix(str(tmp_path))


def test_what_comes_with_recshield_is_found_by_name() -> None:
    assert list(listed()) == ["amr", "apr", "msap", "sao"]
    with pytest.raises(UnknownName, match=r"no paper 'aprr'; did you mean 'apr'\? .* a path to a .yaml file works too"):
        find("aprr")


def test_the_video_column_of_the_sao_paper_is_transcribed() -> None:
    """SAO, Table 2, column Video, as the README of the development data has it too."""
    rows = [row for row in find("sao")[1].figures if row.data == "video"]
    assert {row.system: tuple(row.published.values()) for row in rows} == {
        "popular": (0.0879, 0.0248),
        "mf": (0.2344, 0.0646),
        "amf": (0.2481, 0.0693),
        "sasrec": (0.3105, 0.0853),
        "asasrec": (0.3356, 0.0974),
    }


def changes(name: str, data: str) -> dict[tuple[str, str], float]:
    rows = [row for row in find(name)[1].figures if row.data == data and row.change and row.where.startswith("Table")]
    return {(row.system, row.budget): next(iter(row.published.values())) for row in rows}


def test_the_drops_of_the_apr_paper_are_transcribed() -> None:
    """APR, Table 2, rows Yelp and Gowalla."""
    assert changes("apr", "yelp") == {
        ("mf", "l2:0.5"): -0.221, ("mf", "l2:1"): -0.427, ("mf", "l2:2"): -0.638,
        ("amf", "l2:0.5"): -0.047, ("amf", "l2:1"): -0.125, ("amf", "l2:2"): -0.31,
    }  # fmt: skip
    assert changes("apr", "gowalla-apr") == {
        ("mf", "l2:0.5"): -0.263, ("mf", "l2:1"): -0.53, ("mf", "l2:2"): -0.78,
        ("amf", "l2:0.5"): -0.029, ("amf", "l2:1"): -0.132, ("amf", "l2:2"): -0.292,
    }  # fmt: skip


def test_the_drops_of_the_amr_paper_are_transcribed() -> None:
    """AMR, Table 3, row Amazon."""
    assert changes("amr", "amazon-amr") == {
        ("vbpr-amr", "l2:0.05"): -0.087, ("vbpr-amr", "l2:0.1"): -0.304, ("vbpr-amr", "l2:0.2"): -0.677,
        ("amr", "l2:0.05"): -0.014, ("amr", "l2:0.1"): -0.053, ("amr", "l2:0.2"): -0.202,
    }  # fmt: skip


def test_a_toy_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(TOY)
    name, paper = find(str(tmp_path / "toy.yaml"))
    assert (name, paper.figures[0].tolerance_of("ndcg@100")) == ("toy", 0.1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("where: Table 1", "wher: Table 1", ", line 7: no key 'wher' (did you mean 'where'?); allowed: system, attack"),
        ("title: Toy", "titel: Toy", ", line 1: no key 'titel' (did you mean 'title'?); allowed: title, source"),
        ("about: generated", "abuot: generated", ", line 5: no key 'abuot' (did you mean 'about'?); allowed: dataset"),
        ("0.5}", "lots}", ", line 7: figures.0.published.ndcg@100: input should be a valid number"),
        ("ndcg@100: 0.5", "nddcg@100: 0.5", ", line 7: figures.0: no metric 'nddcg'; did you mean 'ndcg'?"),
        ("system: popular", "system: 'mf,amf'", "figures.0.system: 'mf,amf' names several; give one"),
        ("system: popular", "system: mf, attack: fgsm", "attack and budget go together; give both or neither"),
        ("system: popular", "system: mf, change: true", "a change is one under an attack"),
        ("system: popular", "system: mf, attack: a, budget: 'l2:1,2'", "budget 'l2:1,2' has several sizes; give one"),
        ("data: toy", "data: toys", "data 'toys' (Table 1) is not described; known: toy"),
        ("tolerance: 0.1", "tolerance: {hr@100: 0.1}", "ndcg@100 has no tolerance; give one number, or one for every"),
        ("tolerance: 0.1", "tolerance: 0.1, tolerance: 1", ", line 7: 'tolerance' stands in line 7, too; give it once"),
        ("source: nobody", "source: nobody\noptions: {models: mf}", "options: no option 'models' here; allowed: columns"),
        ("source: nobody", "source: nobody\nselections: [best]", "line 3: selections.0: input should be 'fixed', 'valid"),
        ("title: Toy", "title: [", "no YAML; write KEY: VALUE, one a line"),
    ],
)  # fmt: skip
def test_a_wrong_file_names_the_line_and_what_is_allowed(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in refused(tmp_path, old, new)


def test_a_file_that_is_not_there_or_too_large_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"none.yaml: cannot be read \(No such file or directory\); give a file of"):
        find(str(tmp_path / "none.yaml"))
    (tmp_path / "large.yaml").write_bytes(b"#" * (1024**2 + 1))
    with pytest.raises(BadData, match="the file is too large; at most 1048576 bytes are read"):
        find(str(tmp_path / "large.yaml"))
