"""Whole runs on a folder of images: pixels attacked, saved, scored again, killed, resumed, and trained on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from caches import fresh_cache
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from recshield.cli import main
from recshield.core.settings import CACHE_VARIABLE
from recshield.matrix.store import Store
from recshield.run import MatrixRun

N_ITEMS, SIDE, EPS = 24, 32, 4 / 255
ASKED = (
    "matrix", "--dataset", "rows.csv", "--images", "pictures", "--image-size", f"{SIDE}x{SIDE}",
    "--categories", "kinds.csv", "--split", "random:0.3", "--metrics", "ndcg@10", "--quiet",
    "--set", "smallcnn.epochs=2", "--set", "smallcnn.width=0.25", "--set", "smallcnn.batch=8",
    "--set", "smallcnn.least=2", "--set", "vbpr-amr.epochs=4", "--set", "vbpr-amr.dims=8",
    "--set", "vbpr-amr.std=0.2", "--set", "vbpr-amr.batch=64", "--set", "advreg.epochs=2",
)  # fmt: skip
#: The system of a run by its full name.
SYSTEM = "vbpr-amr:epochs=4,dims=8,std=0.2,batch=64"
BOTH = ("--models", "vbpr-amr,amr", "--attacks", "noise,fgsm,pgd:steps=2", "--budget", "item_images=linf:4/255")

#: A run that is killed, without a warning, when the second attack on pixels has found its perturbation.
KILLED = """
import os, signal, sys
from recshield.cli import main
from recshield.matrix import attacking
true, seen = attacking.realise, []

def realise(*arguments):
    seen.append(1)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return true(*arguments)

attacking.realise = realise
sys.argv = ["recshield", *sys.argv[1:]]
main()
"""

Cli = Callable[..., MatrixRun]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 24 garments, red or blue, and the rows of 40 users of whom each likes one of the colours."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    is_red = np.arange(N_ITEMS) % 2 == 0
    for item in range(N_ITEMS):
        pixels = rng.integers(40, 160, (SIDE, SIDE, 3))
        pixels[:, :, 0 if is_red[item] else 2] += 80
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "pictures" / f"{item}.png")
    rows = ["user,item"]
    for user in range(40):
        weight = np.where(is_red == (user % 2 == 0), 6.0, 1.0)
        rows += [f"{user},{item}" for item in rng.choice(N_ITEMS, 9, replace=False, p=weight / weight.sum())]
    (folder / "rows.csv").write_text("\n".join(rows))
    kinds = [f"{item},{'red' if is_red[item] else 'blue'}" for item in range(N_ITEMS)]
    (folder / "kinds.csv").write_text("\n".join(["item,category", *kinds]))
    return folder


@pytest.fixture
def cli(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that runs a matrix beside the shop and gives the saved run."""
    monkeypatch.chdir(shop)

    def call(out: Path, *arguments: str) -> MatrixRun:
        monkeypatch.setattr(sys, "argv", ["recshield", *ASKED, *arguments, "--out", str(out)])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        return MatrixRun.load(out)

    return call


@pytest.fixture(scope="module")
def whole(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the run that nothing disturbed, and leave its steps in the store of the session."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shop)
        patch.setattr(sys, "argv", ["recshield", *ASKED, *BOTH, "--out", str(out)])
        with pytest.raises(SystemExit) as left:
            main()
    assert not left.value.code
    return out


def clean_pixels(shop: Path) -> NDArray[np.uint8]:
    """Return (items, side, side, 3) levels of the files."""
    return np.stack([np.array(Image.open(shop / "pictures" / f"{item}.png")) for item in range(N_ITEMS)])


def attacked(run: MatrixRun, attack: str) -> dict[str, object]:
    """Return the row of the undefended model under an attack."""
    rows = run.table.query("system == 'vbpr-amr' and attack == @attack and not is_control")
    (row,) = rows.to_dict("records")
    return row


def test_every_attacked_cell_has_a_float_and_an_8_bit_figure_with_psnr_and_ssim(whole: Path) -> None:
    run = MatrixRun.load(whole)
    asked = run.table[~run.table["is_control"]]
    cells = asked[asked["attack"] != "none"]
    assert set(zip(cells["system"], cells["attack"], strict=True)) == {
        (system, attack) for system in ("vbpr-amr", "amr") for attack in ("noise", "fgsm", "pgd:steps=2")
    }
    assert set(cells["surface"]) == {"item_images"}
    for name in ("attacked", "attacked_8bit", "psnr", "ssim"):
        assert np.isfinite(cells[name]).all(), name
        assert asked.loc[asked["attack"] == "none", "attacked_8bit"].isna().all()
    assert np.allclose(cells["relative_change_8bit"], cells["attacked_8bit"] / cells["clean"] - 1)
    # Every pixel moves by at most 4 levels, and most of those of FGSM by as much.
    least = 20 * np.log10(255 / 4)
    assert (cells["psnr"] >= least - 1e-4).all()
    assert (cells.loc[cells["attack"] == "fgsm", "psnr"] < least + 1).all()
    assert cells["ssim"].between(0.5, 1, inclusive="left").all()
    assert (cells["measured_norm"] <= EPS * (1 + 1e-6)).all()
    goal = run.steps.query("system == 'vbpr-amr' and not is_control and attack != 'none'").set_index("attack")
    assert goal["goal_value"]["noise"] < goal["goal_value"]["fgsm"]
    assert goal["goal_clean"]["fgsm"] < goal["goal_value"]["pgd:steps=2"]


@pytest.mark.parametrize("attack", ["noise", "fgsm"])
def test_pictures_and_psnr_are_those_of_the_saved_perturbation(whole: Path, shop: Path, attack: str) -> None:
    run = MatrixRun.load(whole)
    row = attacked(run, attack)
    (surface,) = load_file(run.results.perturbations[row["cell"]]).values()
    clean = clean_pixels(shop)
    moved = clean / 255 + surface.numpy().transpose(0, 2, 3, 1).astype(np.float64)
    levels = np.floor(np.clip(moved, 0, 1) * 255 + 0.5)
    seen = run.results.pictures[run.results.pictures["cell"] == row["cell"]]
    assert len(seen) >= 3
    for one in seen.to_dict("records"):
        for name, wanted in (("clean", clean), ("attacked", levels)):
            written = np.array(Image.open(whole / "pictures" / one[name]))
            # Noise may lie within float32's error of half a level; no other value may differ.
            assert (written != wanted[int(one["item"])]).sum() <= (1 if name == "attacked" else 0), one[name]
    errors = np.square(levels - clean).reshape(N_ITEMS, -1).mean(axis=1)
    assert (errors > 0).all()
    assert row["psnr"] == pytest.approx(float(np.mean(10 * np.log10(255**2 / errors))), abs=1e-3)


def test_what_8_bits_swallow_is_no_attack_on_a_saved_image(cli: Cli, tmp_path: Path) -> None:
    """A thousandth is a quarter of a level: rounding gives every clean image back."""
    asked = ("--models", "vbpr-amr", "--attacks", "fgsm", "--budget", "item_images=linf:1e-3", "--controls", "none")
    row = attacked(cli(tmp_path / "run", *asked), "fgsm")
    assert row["attacked_8bit"] == row["clean"]
    assert np.isnan(row["psnr"])
    assert row["ssim"] == pytest.approx(1, abs=1e-6)


def test_the_same_request_again_computes_nothing_and_gives_the_same_bytes(
    whole: Path, cli: Cli, tmp_path: Path
) -> None:
    again = cli(tmp_path / "again", *BOTH)
    assert again.timings["is_reused"].all()
    for name in ("results.parquet", "per_user.parquet", "verdicts.parquet", "pictures.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_that_is_killed_in_an_attack_goes_on_with_the_missing_steps(
    whole: Path, shop: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = fresh_cache(tmp_path / "cache")
    command = [sys.executable, "-c", KILLED, *ASKED, *BOTH, "--out", str(tmp_path / "killed")]
    died = subprocess.run(command, cwd=shop, env=os.environ | {CACHE_VARIABLE: str(cache)}, stderr=subprocess.PIPE)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tmp_path / "killed").exists()
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    store = Store.default()
    done = {path: path.read_bytes() for path in store.root.glob("steps/*/*/meta.json")}
    assert len(done) >= 5, "data, images, features, a training and an attack"
    resumed = cli(tmp_path / "resumed", *BOTH)
    assert int(resumed.timings["is_reused"].sum()) == len(done) < len(resumed.timings)
    assert {path: path.read_bytes() for path in done} == done, "what was done, in so many seconds, is not done again"
    for name in ("results.parquet", "per_user.parquet", "pictures.parquet"):
        assert (tmp_path / "resumed" / name).read_bytes() == (whole / name).read_bytes()


def test_images_attacked_before_training_are_those_of_the_source(cli: Cli, tmp_path: Path) -> None:
    """By default the gradient is that of the same system, trained on clean images."""
    sources = (f"({SYSTEM})", "(vbpr:epochs=2,dims=8,std=0.2)")
    asked = ",".join(("fgsm:stage=fit", *(f"fgsm:stage=fit,source={text}" for text in sources)))
    run = cli(
        tmp_path / "run", "--models", "vbpr-amr", "--attacks", asked, "--budget", "item_images=linf:16/255",
        "--controls", "none",
    )  # fmt: skip
    cells = run.table[run.table["attack"] != "none"]
    assert (cells["stage"] == "fit").all()
    assert len(cells) == 3
    default, same, other = cells.to_dict("records")
    images = [load_file(run.results.perturbations[row["cell"]])["item_images"] for row in (default, same, other)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert default["attacked"] == same["attacked"] != default["clean"]
    assert set(cells["labels"]) == {
        "trained on attacked images",
        f"transfer: made on {sources[1][1:-1]}; trained on attacked images",
    }
    labels = run.timings["label"].tolist()
    assert sum("on attacked images" in label for label in labels) == 2, "the default and the same source share steps"


def test_images_attacked_before_training_at_eps_0_train_the_clean_model(cli: Cli, tmp_path: Path) -> None:
    run = cli(
        tmp_path / "run", "--models", "vbpr-amr", "--attacks", "pgd:steps=2", "--stage", "fit",
        "--budget", "item_images=linf:0", "--controls", "none",
    )  # fmt: skip
    row = attacked(run, "pgd:steps=2")
    assert (row["stage"], row["change"]) == ("fit", 0)
    hashes = run.steps.set_index("attack")["score_hash"]
    assert hashes["pgd:steps=2"] == hashes["none"]


def test_epochs_of_a_model_of_images_are_chosen_and_its_curve_drawn(cli: Cli, tmp_path: Path) -> None:
    models = ("--models", "vbpr-amr,vbpr,duif", "--set", "vbpr.epochs=4", "--set", "duif.epochs=4")
    made = cli(tmp_path / "out", *models, "--select", "ndcg@10", "--every", "2", "--curve", "2")
    assert set(made.table["system"].str.partition(":")[0]) == {"vbpr-amr", "vbpr", "duif"}
    assert made.table["selected"].str.startswith("epochs=").all()
    assert not made.results.curves.empty
    named = set(made.results.curves.columns) | set(made.results.curves.astype(str).stack())
    assert not any("item_images" in one for one in named)
