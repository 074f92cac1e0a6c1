"""What the documents promise: commands parse and run, names are documented, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from recshield.audit.judgement import checks
from recshield.cli import main
from recshield.core import hookspecs, settings
from recshield.core.registry import HOOKS, registry
from recshield.matrix.results import COLUMNS
from recshield.testing.kit import CHECKS, name_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Return every `recshield` command of the documents' shell blocks."""
    found = []
    for document in DOCUMENTS:
        if ROOT / "docs/examples" in document.parents:
            continue  # what uses an example needs it installed: tests/test_examples.py
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
            found += re.findall(r"(?:^|&& \S*)(recshield .*)$", block.replace("\\\n", " "), re.MULTILINE)
    return found


def test_the_documents_show_commands() -> None:
    assert len(commands()) >= 2


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documents_can_be_planned(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A matrix is planned, with the embedded data in place of a data set that is not here."""
    arguments = shlex.split(command)
    if arguments[1] != "matrix":
        arguments = [arguments[0], arguments[1], "--help"]
    else:
        for option in ("--dataset", "--data-dir", "--columns", "--images", "--categories"):
            if option in arguments:
                place = arguments.index(option)
                del arguments[place : place + 2]
        arguments.append("--dry-run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code, capsys.readouterr().err


def test_python_blocks_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.setitem(sys.modules, "readme_plugin", type(sys)("readme_plugin"))
    space: dict[str, object] = {"__name__": "readme_plugin"}
    short = blocks[0].replace('out="runs/mine"', 'out="runs/mine", overrides=["mf.epochs=2", "advreg.epochs=1"]')
    for block in (short, *blocks[1:]):
        exec(compile(block, "README.md", "exec"), space)
    from recshield.testing import run_checks

    failed = [one for one in run_checks("attack", space["TestUpwards"].attack) if not one.passed]  # type: ignore[attr-defined]
    assert not failed, failed


def test_the_output_in_the_readme_is_that_of_the_command() -> None:
    """Systems, attacks, budgets and verdict words of the printed table are those that the command asks for."""
    output = re.search(r"<!-- output-of first-command -->\n```text\n(.*?)```", README, re.DOTALL)
    assert output
    for word in ("amf", "amr", "fgsm on item_images", "pgd", "l2 0.5", "linf 4/255", "NDCG@100", "HR@100", "audit"):
        assert word in output[1]


def test_every_name_is_in_the_reference() -> None:
    held = registry()
    for kind in HOOKS:
        for name, made in held.found[kind].items():
            assert f"`{name}`" in REFERENCE, f"{kind} {name} is not in docs/reference.md"
            for alias in getattr(made, "aliases", ()):
                assert f"`{alias}`" in REFERENCE
    for name in held.presets:
        assert f"`{name}`" in REFERENCE


def test_every_hook_setting_and_column_is_in_the_reference() -> None:
    for hook in HOOKS.values():
        assert hasattr(hookspecs, hook)
        assert f"`{hook}`" in REFERENCE
    assert "`recshield_presets`" in REFERENCE
    for name in vars(settings):
        if name.isupper():
            assert f"`{name}`" in REFERENCE, f"setting {name} is not in docs/reference.md"
    for column in COLUMNS:
        assert f"`{column}`" in REFERENCE, f"column {column} is not in docs/reference.md"


def test_every_conformance_check_is_in_the_reference() -> None:
    for kind, held in CHECKS.items():
        for check in held:
            assert f"| {kind} | `{name_of(check)}` | " in REFERENCE, (
                f"{kind} {name_of(check)} is not in docs/reference.md"
            )


def loaded(name: str) -> ModuleType:
    """Return a module of the docs folder."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_reference_is_up_to_date() -> None:
    assert loaded("generate").page() == REFERENCE, "run `python docs/generate.py`"


def test_every_attack_defense_model_and_metric_has_a_page_of_its_own() -> None:
    """What a docstring cannot say stands in docs/pages.yaml; formulas of metrics in docs/metrics.md."""
    pages = loaded("site_pages").pages()
    for kind in ("attack", "defense", "model", "metric"):
        for name in registry().found[kind]:
            text = pages[f"plugins/{kind}/{name}.md"]
            titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
            wanted = {"Equation", "Example"} | ({"Limits"} if kind != "metric" else set())
            assert wanted <= set(titles), f"{kind} {name}: {titles}"
            assert re.search(r"```text\n\S[\s\S]*?```", text), f"{kind} {name} has no equation"
            assert f"[`{name}`]({name}.md)" in pages[f"plugins/{kind}/index.md"]


def page_commands() -> list[str]:
    """Return the example of every such page."""
    pages = loaded("site_pages").pages().items()
    return [found for name, text in pages if "plugins/" in name for found in re.findall(r"```sh\n(.*)\n```", text)]


@pytest.mark.parametrize("command", page_commands())
def test_the_example_of_a_page_can_be_planned(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*shlex.split(command), "--dry-run"])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert not left.value.code, said.err
    assert set(re.findall(r"^skipped +(\S+)", said.out, re.MULTILINE)) <= {"popular"}, said.out


def test_every_check_has_a_page_that_says_what_it_means_and_what_to_do() -> None:
    for check in checks():
        pages = list((ROOT / "docs/checks").glob(f"{check.number:02d}-*.md"))
        assert len(pages) == 1, f"check {check.number} {check.name} has {len(pages)} pages in docs/checks"
        text = pages[0].read_text(encoding="utf-8")
        assert text.startswith(f"# {check.number} {check.name}\n")
        parts = re.findall(r"^## (.*)\n\n\S", text, re.MULTILINE)
        assert parts == ["What it means", "The mistake behind it", "What to do"], pages[0].name
        assert f"]({pages[0].name})" in (ROOT / "docs/checks/README.md").read_text(encoding="utf-8")


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize(
    ("page", "kind", "name"),
    [
        ("model", "recommender", "recent"),
        ("metric", "metric", "first"),
        ("query", "attack", "coin"),
        ("defense", "defense", "trimmed"),
    ],
)
def test_the_code_of_a_how_to_page_passes_the_kit(
    page: str, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recshield.testing import run_checks

    text = (ROOT / f"docs/howto/{page}.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setitem(sys.modules, "howto_plugin", type(sys)("howto_plugin"))
    space: dict[str, object] = {"__name__": "howto_plugin"}
    exec(compile(block, f"{page}.md", "exec"), space)
    hook = space[f"recshield_{kind}s"]
    (made,) = hook()  # type: ignore[operator]
    assert made.name == name
    subject = made() if kind in ("attack", "defense") else made
    failed = [one for one in run_checks(kind, subject) if not one.passed]
    assert not failed, failed
