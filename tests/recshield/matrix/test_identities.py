"""Identities that must hold to the last bit, on the embedded data with short trainings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from caches import fresh_cache
from safetensors.torch import load_file

import recshield
from recshield.cli import main
from recshield.core.settings import CACHE_VARIABLE
from recshield.data.interactions import DataInfo
from recshield.matrix.store import Store
from recshield.run import MatrixRun, execute, prepare
from recshield_factor import MF, MFConfig

SHORT = ("mf.epochs=12", "advreg.epochs=6", "continue.epochs=6", "mf.dims=16")


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the store at an empty folder."""
    folder = fresh_cache(tmp_path / "cache")
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


def small(**changes: object) -> MatrixRun:
    asked: dict[str, object] = {"models": "mf,amf", "attacks": "noise,fgsm", "overrides": SHORT, "budget": "l2:0.5"}
    return recshield.run_matrix(**(asked | changes))  # type: ignore[arg-type]


def weights(system: str) -> dict[str, torch.Tensor]:
    """Return what training leaves in the store for a system."""
    prepared = prepare(models=[system], overrides=SHORT)
    execute(prepared)
    cell = prepared.plan.cells[0]
    return load_file(prepared.store.need(prepared.plan.steps_of[cell.id].train).file("model.safetensors"))


def test_eps_0_gives_the_clean_scores_bit_for_bit() -> None:
    run = small(attacks="noise,fgsm,pgd", budget="l2:0")
    hashes = run.steps.groupby("system")["score_hash"].agg(set)
    assert all(len(found) == 1 for found in hashes)
    assert len(set.union(*hashes)) == 2, "two systems have two sets of scores"
    assert (run.table["change"].dropna() == 0).all()


def test_weight_0_gives_the_weights_of_plain_continuation_bit_for_bit() -> None:
    zero, plain = weights("mf+advreg:weight=0"), weights("mf+continue")
    assert torch.equal(zero["user"], plain["user"])
    assert torch.equal(zero["item"], plain["item"])


def test_a_tiny_weight_is_close_and_weight_1_is_clearly_different() -> None:
    plain = weights("mf+continue")
    tiny, full = weights("mf+advreg:weight=1e-6"), weights("mf+advreg:weight=1")
    for name in ("user", "item"):
        change = (tiny[name] - plain[name]).norm() / plain[name].norm()
        assert 0 < change < 1e-4
        assert (full[name] - plain[name]).norm() / plain[name].norm() > 0.05


def test_continuation_goes_on_from_the_undefended_weights() -> None:
    start, zero_more = weights("mf"), weights("mf+continue:epochs=0")
    assert torch.equal(start["user"], zero_more["user"])
    assert not torch.equal(start["user"], weights("mf+continue")["user"])


def test_rescaling_moves_at_most_one_user_in_a_hundred_by_at_most_two_ranks() -> None:
    run = small(models="mf,amf,mf+rescaled:like=amf", attacks="")
    clean = run.steps.set_index("system")["cell"]
    before, after = (run.results.values(clean[name], "rank") for name in ("mf", "mf+rescaled:like=amf"))
    moved = np.abs(before - after)
    assert (moved > 0).mean() <= 0.01
    assert moved.max() <= 2
    figures = run.table.set_index(["system", "metric"])["clean"]
    for metric in ("ndcg", "hr"):
        assert figures["mf", metric] == pytest.approx(figures["mf+rescaled:like=amf", metric], abs=1e-4)


def test_rescaling_takes_over_the_norms() -> None:
    prepared = prepare(models=["mf+rescaled:like=amf", "amf"], overrides=SHORT, attacks=["fgsm"])
    run = execute(prepared)
    norms = run.steps[~run.steps["is_control"] & (run.steps["attack"] != "none")].set_index("system")["mean_clean_norm"]
    assert norms["mf+rescaled:like=amf"] == pytest.approx(norms["amf"], rel=1e-4)


def test_two_runs_from_empty_stores_and_two_jobs_give_identical_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, jobs in (("one", 1), ("again", 1), ("two-jobs", 2)):
        folder = fresh_cache(tmp_path / name)
        with monkeypatch.context() as patch:
            patch.setenv(CACHE_VARIABLE, str(folder))
            small(jobs=jobs, out=tmp_path / f"run-{name}")
        found.append((tmp_path / f"run-{name}" / "results.parquet").read_bytes())
    assert found[0] == found[1]
    assert found[0] == found[2]


def test_another_seed_gives_other_figures() -> None:
    run = small(models="mf", seeds=[0, 1])
    clean = run.table[(run.table["attack"] == "none") & (run.table["metric"] == "ndcg")].set_index("seed")["clean"]
    assert clean[0] != clean[1]


def test_results_do_not_depend_on_what_ran_before(empty_store: Path) -> None:
    """A cell measured alone equals the same cell measured among others."""
    among = small(attacks="noise,fgsm,pgd", budget="l2:0.5,1")
    with_all = among.table[~among.table["is_control"]].set_index(["system", "attack", "eps_text", "metric"])
    os.environ[CACHE_VARIABLE] = str(empty_store / "other")
    alone = small(models="amf", attacks="fgsm", budget="l2:1", controls="none").table
    for row in alone[alone["attack"] == "fgsm"].to_dict("records"):
        assert row["attacked"] == with_all.loc[("amf", "fgsm", "1", row["metric"]), "attacked"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path, empty_store: Path, jobs: str) -> None:
    command = [sys.executable, "-m", "recshield", "matrix", "--models", "mf,amf", "--attacks", "noise,pgd"]
    command += [part for text in (*SHORT, "mf.epochs=2000") for part in ("--set", text)]
    process = subprocess.Popen(
        [*command, "--jobs", jobs, "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background is started with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    steps, deadline = empty_store / "store" / "steps", time.monotonic() + 120
    while not list(steps.glob("*/*/meta.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; finished steps are kept: run the same command again to go on" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()
    assert list(steps.glob("*/*/meta.json"))
    assert not list((empty_store / "store" / "unfinished").glob("*")) or jobs == "2"


#: Two processes of one command, which start together after one import.
TWINS = """
import os, sys
import recshield.run
from recshield.cli import main
*asked, one, other = sys.argv[1:]
twin = os.fork()
sys.argv = ["recshield", *asked, "--out", one if twin else other]
try:
    main()
except SystemExit as left:
    code = int(left.code or 0)
if twin:
    code = code or os.waitpid(twin, 0)[1]
sys.exit(bool(code))
"""


def test_two_processes_may_share_a_store(tmp_path: Path, empty_store: Path) -> None:
    asked = ["matrix", "--models", "mf,amf", "--attacks", "noise,fgsm", "--quiet"]
    asked += [part for text in SHORT for part in ("--set", text)]
    folders = [str(tmp_path / name) for name in ("one", "other")]
    subprocess.run([sys.executable, "-c", TWINS, *asked, *folders], check=True, timeout=200)
    one, other = (MatrixRun.load(tmp_path / name) for name in ("one", "other"))
    assert (tmp_path / "one/results.parquet").read_bytes() == (tmp_path / "other/results.parquet").read_bytes()
    assert one.timings["seconds"].tolist() == other.timings["seconds"].tolist(), "each step was computed once"
    reused = [int(run.timings["is_reused"].sum()) for run in (one, other)]
    assert max(reused) < len(one.timings), "both computed something, else one only read what the other had done"
    assert empty_store.is_dir()


class Forgetful(MF):
    """A third party's model that draws from the global generator."""

    name = "forgetful"

    def __init__(self, data: DataInfo, config: MFConfig, rng: torch.Generator) -> None:
        super().__init__(data, config, rng)
        self.user = torch.nn.Parameter(torch.randn(data.n_users, config.dims) * 0.1)


def test_a_model_that_draws_from_the_global_generator_is_repeatable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[str, type], None]
) -> None:
    plant("model", Forgetful)
    found = []
    for name, models in (("alone", "forgetful"), ("among-others", "mf,random,forgetful")):
        monkeypatch.setenv(CACHE_VARIABLE, str(fresh_cache(tmp_path / name)))
        state = torch.get_rng_state()
        run = recshield.run_matrix(models, overrides=["forgetful.epochs=2", "mf.epochs=2"])
        assert torch.equal(state, torch.get_rng_state())
        found.append(run.table.query("system == 'forgetful'")["clean"].tolist())
        torch.rand(7)
    assert found[0] == found[1]


def test_a_changed_fact_in_the_store_is_rebuilt(tmp_path: Path, empty_store: Path) -> None:
    small(models="mf", attacks="fgsm", out=tmp_path / "one")
    for meta in (empty_store / "store" / "steps").glob("*/*/meta.json"):
        text = meta.read_text()
        meta.write_text(text.replace('"relative_eps": 0.', '"relative_eps": 1.'))
    run = small(models="mf", attacks="fgsm", out=tmp_path / "two")
    assert (tmp_path / "one/results.parquet").read_bytes() == (tmp_path / "two/results.parquet").read_bytes()
    assert len(run.manifest["rebuilt"]) >= 1


def test_a_killed_run_goes_on_with_the_missing_steps_and_gives_the_same_figures(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["matrix", "--models", "mf,amf", "--attacks", "noise,fgsm,pgd", "--quiet"]
    asked += [part for text in (*SHORT, "mf.epochs=60") for part in ("--set", text)]

    def here(out: Path) -> MatrixRun:
        monkeypatch.setattr(sys, "argv", ["recshield", *asked, "--out", str(out)])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        return MatrixRun.load(out)

    process = subprocess.Popen([sys.executable, "-m", "recshield", *asked, "--out", str(tmp_path / "killed")])
    store, deadline = Store(empty_store / "store"), time.monotonic() + 120
    while len(list((store.root / "steps").glob("*/*/meta.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list((store.root / "steps").glob("*/*/meta.json")))
    assert not (tmp_path / "killed").exists(), "nothing half-written"
    assert done >= 4
    resumed = here(tmp_path / "resumed")
    assert int(resumed.timings["is_reused"].sum()) >= done
    assert int((~resumed.timings["is_reused"]).sum()) <= len(resumed.timings) - done
    monkeypatch.setenv(CACHE_VARIABLE, str(fresh_cache(tmp_path / "fresh")))
    assert not here(tmp_path / "whole").timings["is_reused"].any()
    one, other = (tmp_path / name / "results.parquet" for name in ("resumed", "whole"))
    assert one.read_bytes() == other.read_bytes()
