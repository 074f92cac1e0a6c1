"""Bad input gets one clear sentence and exit code 2, before anything is written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest
import torch

from recshield.cli import main
from recshield.core import registry as registry_module
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE

Cli = Callable[..., tuple[int, str, str]]
SHORT = ("--set", "mf.epochs=2", "--set", "mf.dims=4", "--set", "advreg.epochs=1")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Return a function that runs a command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def refused(cli: Cli, *arguments: str) -> str:
    """Return the sentence of a command that must be refused without writing anything."""
    code, out, err = cli("matrix", *arguments)
    assert (code, out) == (2, ""), (code, out, err)
    assert "Traceback" not in err
    assert not Path("runs").exists()
    return " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--models", "mff"], "error: no model 'mff'; did you mean 'mf'? installed: amf, amr, asasrec, asasrec-paper, duif, "),
        (["--models", "mf", "--attacks", "pdg"],
         "error: no attack 'pdg'; did you mean 'pgd'? installed: apgd, auto, bim, fgm, fgsm, mim, msap, nes, nes-list, noise, pgd, search, search-list. see `recshield plugins`"),
        (["--models", "mf+advrag"],
         "error: no defense 'advrag'; did you mean 'advreg'? installed: advonly, advreg, continue, jpeg, noisereg, rescaled."),
        (["--models", "mf", "--dataset", "ml-100"], "error: no dataset 'ml-100'; did you mean 'ml-100k'? installed:"),
        (["--models", "mf", "--metrics", "ndgc@10"], "error: no metric 'ndgc'; did you mean 'ndcg'? installed: aclt, aplt, arp, auc,"),
        (["--models", "mf", "--metrics", "ndcg"], "error: metric 'ndcg' needs K, a whole number of at least 1; write ndcg@100"),
        (["--models", "mf", "--metrics", "coverage@10,ndcg@10"],
         "error: coverage@10 cannot be the first metric, by which verdicts are judged: it does not measure how high"),
        (["--models", "mf", "--metrics", "ndcg@10,hr@10/users:activ"], "no suffix 'users:activ'; did you mean 'users:active'?"),
        (["--models", "mf", "--metrics", "ndcg@10,hr@10/sampled:800", *SHORT],
         "error: hr@10/sampled:800: 800 candidates, but the data set has 800 items; at most 799 candidates can be drawn"),
        (["--models", "mf:epoch=3"],
         "error: model 'mf' has no option 'epoch'; did you mean 'epochs'? options and defaults: dims (64), std (0.01),"),
        (["--models", "mf", "--attacks", "pgd:stepps=3"],
         "error: attack 'pgd' has no option 'stepps'; did you mean 'steps'? options and defaults: steps (10),"),
        (["--models", "mf", "--set", "mf.epoch=3"], "error: model 'mf' has no option 'epoch'; did you mean 'epochs'?"),
        (["--models", "mf", "--set", "mff.epochs=3"], "error: no model, attack or defense 'mff'; did you mean 'mf'?"),
        (
            ["--models", "mf,amf", "--set", "amf.epochs=3"],
            "error: --set 'amf.epochs=3' names the preset 'amf', which stands for 'mf+advreg",
        ),
        (["--models", "mf", "--bench", "b.json"], "error: --bench says what an estimate goes by; give --dry-run with it"),
        (["--models", "mf", "--set", "epochs"], "error: --set 'epochs' cannot be read; write NAME.KEY=VALUE, for example"),
        (["--models", "mf:epochs=ten"], "error: model 'mf', option 'epochs': 'ten' is not a number; write 0.5, 1e-3 or 4/255"),
        (["--models", "mf:epochs=1.5"], "error: model 'mf', option 'epochs': '1.5' is not a whole number"),
        (["--models", "mf:lr=0"], "error: model 'mf': lr is 0.0; it is a finite number above 0"),
        (["--models", "mf+advreg:eps=-1"], "error: eps -1.0 is not allowed; it is a finite number of at least 0,"),
        (["--models", "mf+rescaled"], "error: defense 'rescaled' needs the option 'like'; write like=VALUE after a colon"),
        (["--models", "mf+advreg+advreg"], "error: defense 'advreg' stands twice in 'mf+advreg+advreg'; give it once"),
        (["--models", "mf", "--budget", "l2:-1"], "error: eps -1.0 is not allowed; it is a finite number of at least 0,"),
        (["--models", "mf", "--budget", "l2:big"], "error: eps 'big': 'big' is not a number; write 0.5, 1e-3 or 4/255"),
        (["--models", "mf", "--budget", "l2:nan"], "error: eps nan is not allowed; it is a finite number of at least 0,"),
        (["--models", "mf", "--budget", "l7:1"], "error: no norm 'l7'; did you mean 'l2'? installed: l2, l2-table, linf."),
        (["--models", "mf", "--budget", "facters=l2:1"], "error: no surface 'facters'; did you mean 'factors'? installed: factors,"),
        (["--models", "mf", "--budget", "0.5"], "error: budget '0.5' cannot be read; write [SURFACE=]NORM:EPS[,EPS...],"),
        (["--models", "mf", "--goal", "destroy"], "error: goal 'destroy' is not known; allowed: degrade, degrade:oracle"),
        (["--models", "mf", "--seeds", "0,a"], "error: seeds '0,a' cannot be read; write whole numbers, comma separated"),
        (["--models", "mf", "--threads", "0"], "error: threads 0 is not allowed; it is at least 1"),
        (["--models", "mf", "--device", "tpu"], "error: device 'tpu' is not known; allowed: cpu, cuda, cuda:N"),
        (["--models", "mf", "--controls", "some"], "error: controls 'some' is not known; allowed: auto, none"),
        (["--models", "mf", "--filter", "stars>3"], "error: filter 'stars>3' is not known; allowed: ratings>=NUMBER,"),
        (["--models", "mf", "--dataset", "./nowhere"], "error: nowhere: no such folder or file; give a path that exists,"),
        (["--models", "mf", "--dataset", "ml-100k"], "error: data set 'ml-100k' is not here; run `recshield datasets fetch ml-100k`, or put the files of https://"),
        (["--models", "mf", "--metrics", "ndcg@100000", *SHORT],
         "error: ndcg@100000: K is 100000, but the data set has 800 items; K is at most 800"),
        (["--models", "popular", "--defenses", "advreg"], ""),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_one_sentence(cli: Cli, arguments: list[str], sentence: str) -> None:
    if not sentence:  # a model that no defense fits is a skip with its reason, not an error
        code, out, _ = cli("matrix", *arguments)
        assert code == 0
        assert "skipped popular+advreg: defense 'advreg' needs a surface" in " ".join(out.split())
        return
    assert sentence in refused(cli, *arguments)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("1\t2\t3\t4\n1\t-5\t3\t4\n", "u.data, line 2: item is -5; it must be at least 0"),
        ("1\t2\t3\t4\n1\t3\tnan\t4\n", "u.data, line 2: rating is 'nan'; it must be a finite number"),
        ("1\t2\t3\t4\n1\tx\t3\t4\n", "u.data, line 2: item is 'x'; it must be a whole number"),
        ("1\t2\t3\t4\n1\t3\n", "u.data, line 2: 2 columns: '1\\t3'; a row has at least 4, separated by tabs"),
        ("", "u.data: the file is empty; it needs at least one row"),
        ("1\t2\t3\t4\n2\t3\t4\t5\n", "error: no test row is left after the split; leave-one-out needs a user with"),
    ],
)
def test_bad_files_are_refused_with_file_and_line(cli: Cli, rows: str, sentence: str) -> None:
    Path("set").mkdir()
    Path("set/u.data").write_text(rows)
    assert sentence in refused(cli, "--models", "popular", "--dataset", "set")


def test_a_missing_half_of_a_split_is_named(cli: Cli) -> None:
    Path("set").mkdir()
    Path("set/train.rating").write_text("1\t2\t3\t4\n")
    assert "set: test.rating is missing; this format needs both of train.rating, test.rating" in refused(
        cli, "--models", "popular", "--dataset", "set"
    )


def test_users_too_short_for_the_split_are_counted(cli: Cli) -> None:
    Path("set").mkdir()
    Path("set/u.data").write_text("1\t2\t3\t4\n2\t3\t4\t5\n2\t2\t4\t6\n")
    code, out, _ = cli("matrix", "--models", "popular", "--dataset", "set", "--metrics", "hr@1")
    assert code == 0
    assert "1 users with one row keep it in training and have no test row" in out


def test_a_surface_that_the_model_has_not_is_a_skip_with_its_reason(cli: Cli) -> None:
    code, out, _ = cli("matrix", "--models", "mf,popular", "--attacks", "fgsm@item_images,noise", *SHORT)
    assert code == 0
    flat = " ".join(out.split())
    assert (
        "skipped mf x fgsm@item_images: model 'mf' has no surface 'item_images'; it has: factors.user, factors.item"
        in flat
    )
    assert "skipped popular x fgsm@item_images, noise: model 'popular' has no surface that can be touched" in flat


def test_an_output_folder_that_cannot_be_written_is_refused_before_training(cli: Cli) -> None:
    Path("file").write_text("mine")
    assert "file is a file; name a folder for the run" in refused(cli, "--models", "mf", "--out", "file")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    sentence = refused(cli, "--models", "mf", "--out", "full")
    assert "full is not empty and holds no run; name another folder, or empty it" in sentence
    assert Path("full/mine.txt").read_text() == "mine"
    below = refused(cli, "--models", "popular", "--out", "file/run")
    assert "cannot be written" in below


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(cli: Cli) -> None:
    Path("locked").mkdir(mode=0o500)
    assert "no permission" in refused(cli, "--models", "mf", "--out", "locked/run")


def test_cuda_that_is_not_there_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sentence = refused(cli, "--models", "mf", "--device", "cuda")
    assert "device 'cuda' was asked for, but torch" in sentence
    assert "sees no CUDA; use --device cpu" in sentence


def test_a_damaged_store_entry_is_rebuilt_and_told(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    arguments = ("matrix", "--models", "mf", *SHORT, "--out", "run")
    assert cli(*arguments)[0] == 0
    before = Path("run/results.parquet").read_bytes()
    files = sorted((tmp_path / "cache/store/steps").glob("*/*/model.safetensors"))
    damaged = bytearray(files[0].read_bytes())
    damaged[-3] ^= 1
    files[0].write_bytes(bytes(damaged))
    code, out, _ = cli(*arguments)
    assert code == 0
    assert "rebuilt  1 damaged store entries" in out
    assert Path("run/results.parquet").read_bytes() == before
    meta = sorted((tmp_path / "cache/store/steps").glob("*/*/meta.json"))[0]
    meta.write_text("{")
    assert "rebuilt  1 damaged store entries" in cli(*arguments)[1]


def test_a_plugin_that_fails_to_import_is_named_and_the_rest_works(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "recshield_ill.py").write_text("raise RuntimeError('no such wheel')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sound = sorted(registry_module.entry_points(group="recshield"), key=lambda point: point.name)
    points = [*sound, EntryPoint("ill", "recshield_ill", "recshield")]
    # In the one registry of the process: a module that is imported during the test must not keep another.
    monkeypatch.setattr(registry_module.registry(), "failed", registry_module.load(points).failed)
    code, out, _ = cli("plugins")
    assert code == 0
    assert "plugin 'ill' could not be loaded: recshield_ill: RuntimeError: no such wheel" in out
    code, out, _ = cli("matrix", "--models", "popular")
    assert code == 0
    assert "plugin 'ill' could not be loaded" in out


def test_a_folder_that_is_no_run_is_refused(cli: Cli) -> None:
    Path("empty").mkdir()
    code, _, err = cli("show", "empty")
    assert code == 2
    assert "empty: this is not a run; give a folder that `recshield matrix --out` wrote" in " ".join(err.split())


def test_a_run_with_a_damaged_table_is_refused(cli: Cli) -> None:
    assert cli("matrix", "--models", "popular", "--out", "run", "--quiet")[0] == 0
    Path("run/results.parquet").write_bytes(b"PAR1 nothing")
    code, _, err = cli("audit", "run")
    assert code == 2
    assert "results.parquet: cannot be read (" in " ".join(err.split())


def test_a_run_whose_tables_do_not_belong_together_is_refused(cli: Cli) -> None:
    assert cli("matrix", "--models", "popular", "--out", "run", "--quiet")[0] == 0
    steps = pd.read_parquet("run/steps.parquet")
    for changed, sentence in (
        (steps.assign(cell="../../../etc/x"), "run: its tables do not belong together; run the matrix again"),
        (steps.drop(columns="population"), "steps.parquet: column population is missing; run the matrix again"),
    ):
        changed.to_parquet("run/steps.parquet")
        code, _, err = cli("audit", "run")
        assert code == 2
        assert sentence in " ".join(err.split())


def test_a_figure_that_was_edited_is_refused(cli: Cli) -> None:
    assert cli("matrix", "--models", "popular", "--out", "run", "--quiet")[0] == 0
    table = pd.read_parquet("run/results.parquet")
    table.assign(clean=table["clean"] + 0.1).to_parquet("run/results.parquet")
    code, _, err = cli("show", "run")
    assert code == 2
    assert "is not the mean of its users' values; the run was changed" in " ".join(err.split())


def test_a_file_beside_a_run_is_not_lost(cli: Cli) -> None:
    assert cli("matrix", "--models", "popular", "--out", "run", "--quiet")[0] == 0
    Path("run/notes.txt").write_text("mine")
    code, _, err = cli("matrix", "--models", "popular", "--out", "run")
    assert code == 2
    assert "run holds a run and 'notes.txt', which would be lost; name another folder" in " ".join(err.split())
    assert Path("run/notes.txt").read_text() == "mine"


def test_json_of_a_matrix_is_nothing_but_json(cli: Cli) -> None:
    code, out, err = cli("matrix", "--models", "mf", "--attacks", "fgsm", *SHORT, "--json")
    assert (code, err) == (0, "")
    held = json.loads(out)
    assert set(held) == {"manifest", "results", "verdicts"}
    clean = next(row for row in held["results"] if row["attack"] == "none")
    assert clean["attacked"] is None
    assert {row["check"] for row in held["verdicts"]} >= {"THREAT", "BUDGET", "EPS0", "NOISE"}


def test_a_dry_run_prints_the_plan_and_computes_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    code, out, _ = cli("matrix", "--models", "mf,amf", "--attacks", "fgsm", "--dry-run")
    assert code == 0
    assert "3 cells asked for" not in out
    assert "4 cells asked for" in out
    assert "0 of" in out
    assert not Path("runs").exists()
    assert not list((tmp_path / "cache/store").glob("steps/*/*"))
    planned = json.loads(cli("matrix", "--models", "mf,amf", "--attacks", "fgsm", "--dry-run", "--json")[1])
    assert [step["is_done"] for step in planned["steps"]] == [False] * len(planned["steps"])


def test_names_from_data_and_arguments_are_shown_without_markup_or_control_characters(cli: Cli) -> None:
    Path("[bold]x\x1b[31m").mkdir()
    Path("[bold]x\x1b[31m/u.data").write_text("1\t2\t3\t4\n1\t3\t4\t5\n")
    code, out, _ = cli("matrix", "--models", "popular", "--dataset", "./[bold]x\x1b[31m", "--metrics", "hr@1")
    assert code == 0
    assert "[bold]x\N{REPLACEMENT CHARACTER}[31m" in out
    assert "\x1b" not in out
