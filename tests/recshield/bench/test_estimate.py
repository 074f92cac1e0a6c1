"""The estimate of a plan's time, by hand from planted figures, and where its figures come from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recshield
from recshield.bench import BenchFile, Figure, Size, TimedPart, bench, estimate, keep, kept, planned, write
from recshield.bench.running import machine
from recshield.bench.showing import duration
from recshield.cli import main
from recshield.core.settings import CACHE_VARIABLE
from recshield.matrix.plan import Plan
from recshield.run import Prepared, prepare

SIZE = Size(users=10, items=20, rows=100)


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def asked(**changes: Any) -> Prepared:
    request: dict[str, Any] = {"models": ["mf"], "attacks": ["fgsm"], "controls": "none", "overrides": ["mf.epochs=7"]}
    return prepare(**(request | changes))


def parts(plan: Plan, kind: str) -> tuple[TimedPart, ...]:
    """Return the parts of the work of the first step of a kind, as a figure holds them."""
    from recshield.bench.work import works

    key = next(key for key, step in plan.steps.items() if step.kind == kind)
    held = works(plan.steps, key)[0].parts
    return tuple(TimedPart(name=one["name"], target=one["target"], options=one["options"]) for one in held)


def figure(kind: str, seconds: float, held: tuple[TimedPart, ...]) -> Figure:
    return Figure(
        kind=kind, system="mf", parts=held, seconds=(seconds,), examples=1, floor=0, peak_host_bytes=0,
        peak_device_bytes=0,
    )  # fmt: skip


def file(*figures: Figure, size: Size = SIZE, **machine_is: str) -> BenchFile:
    return BenchFile(
        machine=machine("cpu") | machine_is, request={"threads": "1"}, size=size, bytes_per_s=1, flops_per_s=1,
        figures=figures,
    )  # fmt: skip


def planted(plan: Plan, size: Size = SIZE) -> BenchFile:
    """An epoch takes 3 s, a ranking 5 s, an attack 11 s."""
    return file(
        figure("train", 3, parts(plan, "train")), figure("rank", 5, parts(plan, "measure")),
        figure("attack", 11, parts(plan, "attack")), size=size,
    )  # fmt: skip


def seconds(plan: Plan, timed: list[BenchFile], size: Size = SIZE, jobs: int = 1) -> tuple[dict[str, float], float]:
    held = estimate(plan, list(plan.steps), size, timed, jobs)
    return held.by_kind(plan.steps), held.total


def test_epochs_attacks_and_rankings_are_counted() -> None:
    plan = asked().plan
    kinds, total = seconds(plan, [planted(plan)])
    assert kinds == {"train": 21.0, "attack": 11.0, "measure": 10.0}  # clean and attacked
    assert total == 42.0


def test_each_kind_grows_with_what_it_handles() -> None:
    plan = asked().plan
    kinds, _ = seconds(plan, [planted(plan)], Size(users=30, items=40, rows=500))
    assert kinds == {"train": 105.0, "attack": 55.0, "measure": 60.0}


def test_an_attack_of_more_steps_takes_longer() -> None:
    short, long = (asked(attacks=[f"pgd:steps={n}"]).plan for n in (5, 40))
    assert seconds(long, [planted(short)])[0]["attack"] == 88.0


def test_the_figure_with_most_options_in_common_counts_then_the_one_of_the_nearest_size() -> None:
    plan, wide = asked().plan, asked(overrides=["mf.epochs=7", "mf.dims=128"]).plan
    other = file(figure("train", 1000, parts(wide, "train")))
    far = planted(plan, Size(users=1000, items=1000, rows=100_000))
    for timed in ([other, planted(plan), far], [far, other, planted(plan)]):
        assert seconds(plan, timed)[0]["train"] == 21.0
    assert seconds(plan, [other])[0]["train"] == 7000.0, "other options are better than nothing"


def test_defenses_have_their_own_epochs_and_figures_of_another_system_do_not_serve() -> None:
    plan = asked(models=["mf", "amf:epochs=4"], attacks=[]).plan
    held = estimate(plan, list(plan.steps), SIZE, [file(figure("train", 3, parts(plan, "train")))])
    kinds = {plan.steps[key].label.split()[1][:6]: found for key, found in held.seconds.items() if found is not None}
    assert list(kinds.values()) == [21.0]
    known = [key for key, step in plan.steps.items() if step.kind == "train"]
    both = file(*(figure("train", 3 + n, parts_of(plan, key)) for n, key in enumerate(known)))
    assert seconds(plan, [both])[0]["train"] == 7 * 3 + 4 * 4


def parts_of(plan: Plan, key: str) -> tuple[TimedPart, ...]:
    from recshield.bench.work import works

    held = works(plan.steps, key)[0].parts
    return tuple(TimedPart(name=one["name"], target=one["target"], options=one["options"]) for one in held)


def test_selection_trains_twice_and_looks_every_so_often() -> None:
    plan = asked(attacks=[], select="ndcg@100", every=2).plan
    kinds, _ = seconds(plan, [planted(asked().plan)])
    assert kinds == {"select": 7 * 3.0 + 3 * 5.0, "train": 21.0, "measure": 5.0}


def test_two_processes_share_what_does_not_wait_for_each_other() -> None:
    plan = asked(seeds=[0, 1]).plan
    timed = [planted(plan)]
    assert seconds(plan, timed)[1] == 84.0
    assert seconds(plan, timed, jobs=2)[1] == 42.0
    # One seed: the clean ranking runs beside the attack.
    single = asked().plan
    assert seconds(single, timed, jobs=2)[1] == 21 + 11 + 5
    assert seconds(single, timed, jobs=8)[1] == 21 + 11 + 5


def test_what_nobody_timed_is_counted_and_not_guessed() -> None:
    plan = asked(models=["mf", "itemknn"]).plan
    held = estimate(plan, list(plan.steps), SIZE, [planted(plan)])
    named = {plan.steps[key].label for key, found in held.seconds.items() if found is None}
    assert named == {"data synthetic-fashion", "train itemknn, seed 0", "measure itemknn, clean, seed 0"}
    assert held.unknown == 3


def test_only_figures_of_this_processor_device_and_thread_count_are_kept_for_it(empty: Path) -> None:
    plan = asked().plan
    keep(planted(plan))
    keep(file(figure("train", 100, parts(plan, "train")), processor="another"))
    (empty / "bench" / "damaged.json").write_text("{")
    assert [one.figures[0].median for one in kept("cpu", 1)] == [3.0]
    assert kept("cpu", 2) == []
    keep(file(figure("train", 4, parts(plan, "train"))))
    (again,) = kept("cpu", 1)
    assert {one.kind: one.median for one in again.figures} == {"train": 4.0, "rank": 5.0, "attack": 11.0}


def test_a_folder_that_cannot_be_written_keeps_nothing(empty: Path) -> None:
    empty.mkdir()
    (empty / "bench").write_text("a file")
    keep(planted(asked().plan))
    assert kept("cpu", 1) == []


def test_the_size_comes_from_the_data_or_from_a_benchmark_of_the_same_data() -> None:
    prepared = asked()
    timed = planted(prepared.plan)
    assert planned(prepared, [timed]) is None
    from recshield.bench.running import data_digest

    same = timed.model_copy(update={"request": {"threads": "1", "data": data_digest(prepared)}})
    assert planned(prepared, [same]).total == 42.0
    recshield.run_matrix("popular", controls="none")  # the data is split now, and is larger
    assert planned(prepared, [timed]).total > 4200.0


def test_done_steps_cost_nothing() -> None:
    recshield.run_matrix("mf", "fgsm", controls="none", overrides=["mf.epochs=7"])
    prepared = asked()
    assert planned(prepared, [planted(prepared.plan)]).seconds == {}


def test_the_command_estimates_by_what_was_timed_and_by_a_named_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*more: str, code: int = 0) -> str:
        given = ["matrix", "--models", "mf", "--attacks", "fgsm", "--controls", "none", "--set", "mf.epochs=7"]
        monkeypatch.setattr(sys, "argv", ["recshield", *given, "--dry-run", *more])
        with pytest.raises(SystemExit) as left:
            main()
        assert (left.value.code or 0) == code
        heard = capsys.readouterr()
        return " ".join((heard.out + heard.err).split())

    assert "`recshield bench` with the same models, attacks and data measures what an estimate of time needs" in said()
    found = bench({"models": ["mf"], "attacks": ["fgsm"]}, repeats=1)
    keep(found)
    told = json.loads(said("--json"))
    held = {one.kind: one.median for one in found.figures}
    assert told["seconds"] == pytest.approx(7 * held["train"] + held["attack"] + 2 * held["rank"])
    assert {one["kind"]: one["seconds"] is not None for one in told["steps"] if not one["is_done"]} == {
        "train": True, "attack": True, "measure": True,
    }  # fmt: skip
    assert "in 1 process (" in said()
    slow = found.model_copy(update={"figures": tuple(hours(one) for one in found.figures)})
    write(slow, tmp_path / "slow.json")
    assert "about 10 h 0 min in 1 process (train 7 h 0 min, measure 2 h 0 min, attack 60 min)" in said(
        "--bench", str(tmp_path / "slow.json")
    )
    (tmp_path / "none.json").write_text("{}")
    assert "this is no benchmark" in said("--bench", str(tmp_path / "none.json"), code=2)


def hours(one: Figure) -> Figure:
    return one.model_copy(update={"seconds": (3600.0,)})


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01, "1 s"), (89, "89 s"), (90, "2 min"), (5369, "89 min"), (5400, "1 h 30 min"), (36_000, "10 h 0 min")],
)
def test_a_time_to_wait_is_said_as_people_say_it(value: float, text: str) -> None:
    assert duration(value) == text


def test_planted_figures_come_from_planted_plugins(plant: Callable[[str, type], None]) -> None:
    """A third party's attack is estimated as any other."""
    from recshield.core.registry import registry

    class Slow(registry().get("attack", "fgsm")):  # type: ignore[misc]
        name = "slow"

    plant("attack", Slow)
    plan = asked(attacks=["slow"]).plan
    assert seconds(plan, [planted(plan)])[0]["attack"] == 11.0
