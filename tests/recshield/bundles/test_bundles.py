"""A bundle is checked on another machine: intact passes, and every change is named."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundling import Files, opened, put_table, rehash, table, zipped
from safetensors.numpy import load, save

import recshield
from recshield import bundles
from recshield.bundles import Verified
from recshield.cli import main
from recshield.core import settings
from recshield.core.compiled import cache_folder
from recshield.core.errors import BadData, OutputRefused

SHORT = ["mf.epochs=6", "mf.dims=8", "advreg.epochs=3"]
REQUEST = {"attacks": "fgsm,msap", "dataset": "synthetic", "overrides": SHORT, "metrics": "ndcg@10,hr@10,coverage@10"}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    recshield.run_matrix("popular,mf,amf", budget="l2:0.5,1", out=folder, **REQUEST)
    return folder


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> Path:
    bundles.write(run_folder, run_folder.with_name("run.zip"))
    return run_folder.with_name("run.zip")


def check(files: Files, tmp_path: Path, **more) -> str:
    """Return what differs in a changed bundle whose hashes were computed again."""
    rehash(files)
    made = bundles.verify(zipped(files, tmp_path / "changed.zip"), **more)
    assert not made.is_sound
    return differs(made)


def differs(made: Verified) -> str:
    return "\n".join(finding.sentence for finding in made.findings if not finding.is_sound)


def sound(made: Verified) -> str:
    assert made.is_sound, differs(made)
    return "\n".join(finding.sentence for finding in made.findings)


def test_an_intact_bundle_passes_elsewhere_and_leaves_the_cache_alone(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.CACHE_VARIABLE, str(tmp_path / "empty"))
    shutil.copyfile(bundle, tmp_path / "other.zip")
    monkeypatch.chdir(tmp_path)
    said = sound(bundles.verify(Path("other.zip")))
    assert "hashes: all " in said
    assert "the same training and test rows" in said
    assert "measured again, equal to the last digit" in said
    assert "ranks and their metrics are the same" in said
    assert "verdicts: the same in all" in said
    assert "amf under msap at l2:0.5, seed 0 spends" in said
    assert not (cache_folder() / "store" / "steps").exists()


def test_the_same_run_gives_the_same_bytes_whenever_it_is_bundled(
    run_folder: Path, bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_folder, tmp_path / "copy")  # other times of the files
    digest = bundles.write(tmp_path / "copy", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()
    assert bundles.verify(bundle, digest=digest.upper()).is_sound
    with pytest.raises(OutputRefused, match=r"again\.zip is there already; name another file with --out"):
        bundles.write(run_folder, tmp_path / "again.zip")


def test_another_digest_is_a_mismatch(bundle: Path) -> None:
    made = bundles.verify(bundle, digest="0" * 64)
    assert differs(made) == f"the archive's digest is {made.digest}, not {'0' * 64}"


@pytest.mark.parametrize("name", ["results.parquet", "weights-0.safetensors", "manifest.json", "perturbations/"])
def test_one_flipped_byte_is_found_in_any_file(bundle: Path, tmp_path: Path, name: str) -> None:
    raw = bytearray(bundle.read_bytes())
    with zipfile.ZipFile(bundle) as held:
        member = next(one for one in held.infolist() if one.filename.startswith(name))
    place = member.header_offset + 30 + len(member.filename) + member.file_size // 2
    raw[place] ^= 1
    (tmp_path / "flipped.zip").write_bytes(raw)
    said = differs(bundles.verify(tmp_path / "flipped.zip"))
    assert said == f"{member.filename} does not match its checksum: it was damaged or changed"


def test_a_changed_file_is_found_by_its_hash(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    files["manifest.json"] = files["manifest.json"].replace(b"popular", b"unpopul")
    said = differs(bundles.verify(zipped(files, tmp_path / "a.zip")))
    assert said == "manifest.json does not match its recorded hash: it was changed"
    del files["curves.parquet"]
    files["weights-99.safetensors"] = b""
    said = differs(bundles.verify(zipped(files, tmp_path / "b.zip")))
    assert "curves.parquet is not in the bundle" in said
    assert "weights-99.safetensors is in the bundle and not in its list" in said


def raised(files: Files, name: str, cell: str, by: float) -> None:
    """Raise a metric of a cell in both tables, so that the mean stays that of the users."""
    frame = table(files, "per_user")
    frame.loc[frame["cell"] == cell, name] += by
    put_table(files, "per_user", frame)
    results = table(files, "results")
    here = (results["cell"] == cell) & (results["metric"] == name.partition("@")[0])
    results.loc[here, "attacked"] += by
    put_table(files, "results", results)


def test_an_edited_figure_is_found_even_with_right_hashes(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    results = table(files, "results")
    row = results[(results["attack"] == "fgsm") & (results["metric"] == "ndcg")].index[0]
    results.loc[row, "attacked"] += 1e-6
    put_table(files, "results", results)
    said = check(files, tmp_path)
    assert "results.parquet: ndcg@10 of cell" in said
    assert "is not the mean of its users' values" in said


def test_figures_edited_in_both_tables_are_found_by_measuring_again(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    results = table(files, "results")
    cell = results[(results["attack"] == "fgsm") & (results["system"] == "amf")]["cell"].iloc[0]
    raised(files, "ndcg@10", cell, 0.01)
    said = check(files, tmp_path)
    assert "results: ndcg@10 of amf under fgsm at l2 0.5, seed 0: attacked is 0." in said
    assert "measured again it is 0." in said
    assert "per user: ndcg@10 differs in 1200 of" in said


def test_an_aggregate_is_measured_again_too(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    results = table(files, "results")
    row = results[(results["attack"] == "none") & (results["metric"] == "coverage")].index[0]
    results.loc[row, "clean"] += 0.001
    put_table(files, "results", results)
    assert "results: coverage@10 of popular, seed 0: clean is" in check(files, tmp_path)


def test_an_edited_verdict_or_budget_is_found(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    results = table(files, "results")
    at = (results["attack"] == "msap") & (results["system"] == "mf") & ~results["is_control"]
    assert set(results.loc[at, "verdict"]) == {"fail"}
    results.loc[at, "verdict"] = "pass"
    put_table(files, "results", results)
    assert "verdict of mf under msap at 0.5 is 'pass' in the bundle and 'fail' here" in check(files, tmp_path)
    files = opened(bundle)
    for name in ("results", "steps"):
        frame = table(files, name)
        frame.loc[frame["attack"] == "msap", "measured_norm"] = 0.5
        put_table(files, name, frame)
    said = check(files, tmp_path)
    assert "results: ndcg@10 of mf under msap at l2 0.5, seed 0: measured_norm is 0.5 in the bundle, measured" in said


def test_a_swapped_perturbation_is_found(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    steps = table(files, "steps")
    cells = steps[(steps["attack"] == "fgsm") & (steps["system"] == "mf")].set_index("eps_text")["cell"]
    one, other = (f"perturbations/{cells[eps]}.safetensors" for eps in ("0.5", "1"))
    files[one], files[other] = files[other], files[one]
    said = check(files, tmp_path)
    assert "budget: mf under fgsm at l2:0.5, seed 0 spends 1 of 0.5" in said
    assert "ndcg@10 of mf under fgsm at l2 0.5, seed 0: attacked is" in said


def test_a_perturbation_of_another_shape_or_with_nan_is_bad_input(bundle: Path, tmp_path: Path) -> None:
    for change in (lambda held: held[:-1], lambda held: held * np.float32("nan")):
        files = opened(bundle)
        name = next(one for one in sorted(files) if one.startswith("perturbations/"))
        files[name] = save({key: change(value) for key, value in load(files[name]).items()})
        rehash(files)
        with pytest.raises(BadData, match="is no finite perturbation of its model"):
            bundles.verify(zipped(files, tmp_path / "bad.zip"))


def test_swapped_weights_are_found(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    names = {one["facts"]["selected"]: one["file"] for one in json.loads(files["bundle.json"])["trained"]}
    assert names
    weights = [one["file"] for one in json.loads(files["bundle.json"])["trained"] if len(one["facts"]["acting"]) == 1]
    mf, amf = [one for one in weights if b"user" in files[one][:400]][:2]
    files[mf], files[amf] = files[amf], files[mf]
    said = check(files, tmp_path)
    assert "results: ndcg@10 of mf, seed 0: clean is" in said


def test_an_unfavourable_cell_that_was_taken_away_is_missed(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    steps = table(files, "steps")
    cell = steps[(steps["attack"] == "fgsm") & (steps["system"] == "amf")]["cell"].iloc[0]
    for name in ("results", "per_user", "steps", "verdicts"):
        frame = table(files, name)
        put_table(files, name, frame[frame["cell"] != cell])
    assert "1 cells that the request asks for are not in the tables" in check(files, tmp_path)


def test_a_cell_that_failed_is_said_to_be_missing(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    manifest = json.loads(files["manifest.json"])
    assert manifest["failed"] == []
    steps = table(files, "steps")
    cell = steps[(steps["attack"] == "msap") & (steps["system"] == "amf")]["cell"].iloc[0]
    for name in ("results", "per_user", "steps", "verdicts"):
        frame = table(files, name)
        put_table(files, name, frame[frame["cell"] != cell])
    files["manifest.json"] = json.dumps(manifest | {"failed": ["attack amf: out of memory"]}).encode()
    rehash(files)
    made = bundles.verify(zipped(files, tmp_path / "failed.zip"))
    said = [finding for finding in made.findings if "are not in the tables" in finding.sentence]
    assert [one.sentence for one in said] == [
        "1 cells that the request asks for are not in the tables: the run says that steps failed"
    ]


def test_a_request_that_is_not_the_runs_or_a_selection_that_is_not_the_requests_is_found(
    bundle: Path, tmp_path: Path
) -> None:
    files = opened(bundle)
    manifest = json.loads(files["manifest.json"])
    manifest["request"]["seeds"] = [7]
    files["manifest.json"] = json.dumps(manifest).encode()
    assert check(files, tmp_path) == "the manifest's request is not that of the bundle"
    files = opened(bundle)
    about = json.loads(files["bundle.json"])
    about["trained"][0]["facts"]["selection"] = "validation"
    files["bundle.json"] = json.dumps(about).encode()
    said = check(files, tmp_path)
    assert "a model was selected by 'validation', the request says 'fixed epochs'" in said


def test_only_a_sample_was_kept_so_the_attack_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PERTURBATION_BYTES", 0)
    monkeypatch.setattr(settings, "PERTURBATION_SAMPLE", 16)
    recshield.run_matrix("mf", budget="l2:0.5", controls="none", out=tmp_path / "run", **REQUEST)
    bundles.write(tmp_path / "run", tmp_path / "run.zip")
    files = opened(tmp_path / "run.zip")
    name = next(one for one in sorted(files) if one.startswith("perturbations/"))
    assert any(key.startswith("sample/") for key in load(files[name]))
    said = sound(bundles.verify(tmp_path / "run.zip"))
    assert "perturbations: 2 are what their seeds give here, to the last digit" in said
    assert "attacks: 2 replayed from their seeds, 0 taken as stored" in said
    for key in ("sample/factors.user", "norms/factors.item", "rows/factors.user"):
        changed = dict(files)
        held = load(changed[name])
        held[key] = held[key] + held[key].dtype.type(1)
        changed[name] = save(held)
        assert "the stored perturbation is not the replayed one (" in check(changed, tmp_path)


def test_a_share_of_the_norm_is_replayed_because_eps_hangs_on_the_model(tmp_path: Path) -> None:
    recshield.run_matrix("mf", budget="l2:10%", controls="none", out=tmp_path / "run", **REQUEST)
    bundles.write(tmp_path / "run", tmp_path / "run.zip")
    assert "attacks: 2 replayed from their seeds, 0 taken as stored" in sound(bundles.verify(tmp_path / "run.zip"))
    files = opened(tmp_path / "run.zip")
    name = next(one for one in sorted(files) if one.startswith("perturbations/"))
    files[name] = save({key: value * np.float32(2) for key, value in load(files[name]).items()})
    assert "the stored perturbation is not the replayed one (up to 0.5 apart)" in check(files, tmp_path)


def test_replay_computes_what_else_stands_as_recorded(bundle: Path, tmp_path: Path) -> None:
    files = opened(bundle)
    steps = table(files, "steps")
    steps.loc[(steps["attack"] == "fgsm") & (steps["system"] == "mf"), "goal_clean"] *= 0.999
    put_table(files, "steps", steps)
    said = check(files, tmp_path, is_replayed=True)
    assert "steps: mf under fgsm: goal_clean is" in said
    assert "0 taken as stored" in sound(bundles.verify(bundle, is_replayed=True))


def test_other_data_are_not_those_of_the_run(tmp_path: Path) -> None:
    rows = pd.DataFrame({"user": np.repeat(np.arange(30), 8), "item": np.tile(np.arange(8), 30) + np.arange(240) % 13})
    rows = rows.drop_duplicates().assign(rating=1.0, timestamp=range(len(rows.drop_duplicates())))
    (tmp_path / "here").mkdir()
    rows.to_csv(tmp_path / "here" / "rows.csv", index=False)
    path = str(tmp_path / "here" / "rows.csv")
    recshield.run_matrix(
        "mf", dataset=path, overrides=SHORT, metrics="ndcg@5", out=tmp_path / "run", controls="none"
    )  # fmt: skip
    bundles.write(tmp_path / "run", tmp_path / "run.zip")
    with pytest.raises(BadData, match=r"the run was made on '.*rows.csv', no named data set; name the same rows here"):
        bundles.verify(tmp_path / "run.zip")
    shutil.move(path, tmp_path / "moved.csv")
    assert bundles.verify(tmp_path / "run.zip", dataset=str(tmp_path / "moved.csv")).is_sound
    rows.assign(item=rows["item"].to_numpy()[::-1]).to_csv(tmp_path / "other.csv", index=False)
    said = differs(bundles.verify(tmp_path / "run.zip", dataset=str(tmp_path / "other.csv")))
    assert said == "the training and test rows here are not those of the run"


def test_a_run_whose_weights_left_the_cache_is_refused(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.CACHE_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(OutputRefused, match="is no longer in the cache; run the matrix again first, with the same"):
        bundles.write(run_folder, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


def test_the_commands_say_what_they_found_and_leave_with_the_right_code(
    run_folder: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        held = capsys.readouterr()
        return int(left.value.code or 0), held.out + held.err

    code, out = command("bundle", str(run_folder), "--out", str(tmp_path / "b.zip"))
    digest = out.split("sha256 ")[1].strip()
    assert (code, len(digest)) == (0, 64)
    code, out = command("verify", str(tmp_path / "b.zip"), "--digest", digest)
    assert code == 0
    assert f"verified: sha256 {digest}" in out
    files = opened(bundle)
    files["manifest.json"] += b" "
    code, out = command("verify", str(zipped(files, tmp_path / "c.zip")), "--json")
    assert code == 1
    assert json.loads(out)["is_sound"] is False
    assert command("verify", str(tmp_path / "none.zip")) == (
        2,
        f"error: {tmp_path}/none.zip: no such file; give what `recshield bundle` wrote\n",
    )
