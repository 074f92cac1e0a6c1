"""The packages of docs/examples and a new one are installed with pip as a stranger's, checked and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recshield.authoring.scaffold import write

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.parent for path in (ROOT / "docs/examples").glob("*/pyproject.toml"))
#: Package -> options that make its own command quick.
SHORT = {
    "recshield-nesterov": ["--dataset", "synthetic", "--set", "mf.epochs=2"],
    "recshield-cml": ["--dataset", "synthetic", "--set", "cml.epochs=2"],
    "recshield-brandnew": ["--dataset", "synthetic", "--set", "mf.epochs=2"],
}


def run(folder: Path, site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this interpreter with the installed package in reach, in an empty folder."""
    held = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"}
    return subprocess.run([sys.executable, *command], cwd=folder, env=held, capture_output=True, text=True, check=False)


def installed(package: Path, folder: Path) -> Path:
    """Install a package with pip, without what it needs, which is here; return where it lies."""
    site = folder / "site"
    done = run(
        folder, site, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--disable-pip-version-check", "--target", str(site), str(package),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return site


def own_command(package: Path) -> list[str]:
    """Return the arguments of the last command of a package's README, which uses the plugin."""
    found = re.findall(r"^recshield (.*)$", (package / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    return found[-1].split()


def run_its_tests(package: Path, folder: Path, site: Path) -> None:
    """Run the tests of a package, which inherit the kit, against what is installed."""
    done = run(folder, site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", str(package / "tests"))
    assert done.returncode == 0, done.stdout


def use(package: Path, folder: Path, site: Path) -> None:
    """Run the command of the package's README."""
    assert (site / f"{package.name.replace('-', '_')}.py").is_file()
    used = run(folder, site, "-m", "recshield", *own_command(package), *SHORT[package.name])
    assert used.returncode == 0, used.stderr
    assert package.name.removeprefix("recshield-") in used.stdout


def test_there_is_an_attack_and_a_model() -> None:
    assert [path.name for path in EXAMPLES] == ["recshield-cml", "recshield-nesterov"]


@pytest.mark.parametrize("package", EXAMPLES, ids=lambda path: path.name)
def test_an_example_works_as_a_strangers_package(package: Path, tmp_path: Path) -> None:
    site = installed(package, tmp_path)
    run_its_tests(package, tmp_path, site)
    use(package, tmp_path, site)


def test_a_new_package_works_as_it_is_written(tmp_path: Path) -> None:
    write("recshield-brandnew", "attack", tmp_path)
    package = tmp_path / "recshield-brandnew"
    site = installed(package, tmp_path)
    checked = run(tmp_path, site, "-m", "recshield", "plugin", "check", package.name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert ", 0 fail, " in checked.stdout
    use(package, tmp_path, site)
