"""Timing: what is called how often, what the figures say, what two files come to, and the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from recshield.bench import BenchFile, Figure, bench, clock, compare, read, write
from recshield.cli import main
from recshield.core.errors import BadData, BadValue, OutputRefused


def figure(*seconds: float, kind: str = "train", system: str = "mf", floor: float = 0.0) -> Figure:
    return Figure(
        kind=kind, system=system, seconds=seconds, examples=600, floor=floor, peak_host_bytes=0, peak_device_bytes=0
    )


def file(*figures: Figure, device: str = "cpu") -> BenchFile:
    return BenchFile(machine={"device": device}, request={"threads": "1"}, size={"users": 3, "items": 4, "rows": 6}, bytes_per_s=1e9,
                     flops_per_s=1e9, figures=figures)  # fmt: skip


def test_work_is_made_anew_for_every_call_and_the_first_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    made: list[int] = []

    def ready() -> clock.Work:
        made.append(len(made))
        now[0] += 100.0  # making it takes long, and is not timed
        own = made[-1]
        return lambda: now.__setitem__(0, now[0] + 1.0 + own)

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    took = clock.timed(ready, 3, "cpu")
    assert took.seconds == (2.0, 3.0, 4.0)
    assert took.peak_host_bytes > 2**20


def test_figures_are_those_of_a_calculation_by_hand() -> None:
    one = figure(2.0, 4.0, 3.0, floor=0.3)
    assert (one.median, one.rate, one.share) == (3.0, 200.0, pytest.approx(0.1))
    assert one.spread == pytest.approx(1 / 3)


def test_the_roofline_is_the_longer_of_moving_and_computing() -> None:
    limit = clock.Roofline(bytes_per_s=10.0, flops_per_s=100.0)
    assert limit.seconds(50.0, 100.0) == 5.0
    assert limit.seconds(5.0, 1000.0) == 10.0
    found = clock.roofline("cpu")
    assert 1e8 < found.bytes_per_s < 1e13
    assert 1e8 < found.flops_per_s < 1e15


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ((1.0, 1.1), (2.0, 2.1), "slower"),
        ((2.0, 2.1), (1.0, 1.1), "faster"),
        ((1.0, 1.1), (1.2, 1.25), "tie"),  # a ratio within 1.3
        ((1.0, 3.0, 1.0), (2.0, 2.1, 2.0), "tie"),  # the repeats overlap
    ],
)
def test_a_change_is_a_tie_unless_it_is_clear(before: tuple[float, ...], after: tuple[float, ...], word: str) -> None:
    ((change,), _) = compare(file(figure(*before)), file(figure(*after)))
    assert change.word == word


def test_what_makes_two_files_two_is_said() -> None:
    changes, notes = compare(file(figure(1.0), figure(1.0, system="amf")), file(figure(1.0), device="cuda:0"))
    assert [change.before.system for change in changes] == ["mf"]
    assert notes == ["machine device: cpu before, cuda:0 after", "only before: train amf"]


def test_a_file_comes_back_as_it_was_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "one.json"
    write(file(figure(1.0)), path)
    assert read(path) == file(figure(1.0))
    assert [one.name for one in path.parent.iterdir()] == ["one.json"]
    for text in ("", "{}", '{"format": "recshield-bench-1"}', path.read_text().replace("1.0", "NaN"), "\x00"):
        path.write_text(text)
        with pytest.raises(BadData, match="this is no benchmark; name a file of `recshield bench --out`"):
            read(path)
    with pytest.raises(BadData, match="the file cannot be read"):
        read(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputRefused, match="name another file with --out"):
        write(file(figure(1.0)), tmp_path / "file" / "one.json")


SHORT = {"dataset": "synthetic", "overrides": ["mf.dims=8"], "budget": ["l2:0.5"]}


def test_every_piece_of_a_request_is_timed_and_the_rest_is_named() -> None:
    heard: list[Figure] = []
    found = bench({**SHORT, "models": ["popular", "amf"], "attacks": ["fgsm", "auto"]}, repeats=2, heard=heard.append)
    names = [(one.kind, one.system, one.attack) for one in found.figures]
    assert names[:4] == [("train", "popular", ""), ("rank", "popular", ""), ("train", "amf", ""), ("rank", "amf", "")]
    assert ("attack", "amf", "fgsm on factors at l2:0.5") in names
    assert not any(attack.startswith("auto") for _, _, attack in names)
    assert tuple(heard) == found.figures
    assert all(len(one.seconds) == 2 and min(one.seconds) > 0 for one in found.figures)
    train = next(one for one in found.figures if one.name == ("train", "amf", ""))
    assert train.examples == found.size.rows
    assert 0 < train.share < 1
    assert "popular under fgsm: model 'popular' has no surface that can be touched" in found.skipped


def test_images_are_timed_for_systems_that_read_them() -> None:
    request = {
        "models": ["vbpr-amr:extractor=smallcnn,dims=8"],
        "attacks": ["fgsm@item_features"],
        "overrides": ["smallcnn.epochs=1"],
    }
    found = bench({**request, "budget": ["item_features=l2:0.1"]}, repeats=1)
    assert [one.kind for one in found.figures] == ["train", "rank", "extract", "attack"]
    assert next(one for one in found.figures if one.kind == "extract").examples == found.size.items


def test_what_names_another_system_is_not_timed() -> None:
    found = bench({**SHORT, "models": ["mf", "mf+rescaled:like=amf"], "attacks": ["fgsm:source=amf"]}, repeats=1)
    said = " ".join(found.skipped)
    assert "defense 'rescaled' names a system" in said
    assert "attack 'fgsm:source=amf' names a system" in said
    assert ("rank", "mf", "") in [one.name for one in found.figures]


def test_several_values_of_an_option_are_not_timed() -> None:
    found = bench({**SHORT, "overrides": [], "models": ["mf:dims=4|8", "mf"], "select": "ndcg@10"}, repeats=1)
    assert "mf:dims=4|8: a benchmark times one value of each option; name one in place of several" in found.skipped
    assert [one.name for one in found.figures] == [("train", "mf", ""), ("rank", "mf", "")]


def test_repeats_are_at_least_one() -> None:
    with pytest.raises(BadValue, match="repeats is 0; it is at least 1"):
        bench({**SHORT, "models": ["mf"]}, repeats=0)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["recshield", "bench", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_command_prints_keeps_and_compares(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "one.json"
    asked = ("--models", "mf", "--attacks", "fgsm", "--dataset", "synthetic", "--repeats", 1, "--out", path)
    assert run(monkeypatch, *asked) == 0
    shown, said = capsys.readouterr()
    for words in ("a copy moves", "train", "rank", "fgsm on factors", "roof"):
        assert words in shown
    assert said.startswith("train mf")
    assert run(monkeypatch, "--compare", path, path) == 0
    assert capsys.readouterr().out.count("tie") == 3
    assert run(monkeypatch, "--compare", path, path, "--json") == 0
    held = json.loads(capsys.readouterr().out)
    assert [one["ratio"] for one in held["changes"]] == [1.0, 1.0, 1.0]


def test_bad_input_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "--models", "mf", "--out", tmp_path) == 2
    assert "is a folder; name a file" in capsys.readouterr().err
    assert run(monkeypatch, "--models", "mff", "--dataset", "synthetic") == 2
    assert "did you mean 'mf'?" in capsys.readouterr().err
    (tmp_path / "no.json").write_text("[]")
    assert run(monkeypatch, "--compare", tmp_path / "no.json", tmp_path / "no.json") == 2
    assert "this is no benchmark" in capsys.readouterr().err
