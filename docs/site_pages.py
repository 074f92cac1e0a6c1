"""A hook of MkDocs: pages made from the README and the code, one for each attack, defense, model and metric."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recshield.authoring.describing import Description, describe
from recshield.core.registry import registry
from recshield.core.surfaces import covers, family
from recshield.report.sections.threat import TERMS

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

HERE = Path(__file__).resolve().parent
KINDS = {"attack": "attacks", "defense": "defenses", "model": "models", "metric": "metrics"}
#: Page that says more of all of a kind.
MORE = {"attack": "attacks.md", "defense": "attacks.md", "model": "models.md", "metric": "metrics.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the page of each plugin and of each check behind the page that lists them."""
    made = [*pages(), *(f"checks/{path.name}" for path in sorted((HERE / "checks").glob("[0-9]*.md")))]
    made += [f"reproductions/{path.name}" for path in sorted((HERE / "reproductions").glob("*.md"))]
    for section in config.nav or []:
        for title, held in list(section.items()):
            section[title] = _with_pages(held, made)
    return config


def _with_pages(held: Any, made: list[str]) -> Any:
    """Return an entry of the navigation with the pages beside an index as its own pages."""
    if isinstance(held, list):
        return [
            {title: _with_pages(one, made) for title, one in entry.items()} if isinstance(entry, dict) else entry
            for entry in held
        ]
    folder = str(held).rpartition("/")[0] or ("reproductions" if held == "reproductions.md" else "")
    if not folder or folder in ("howto", "api"):
        return held
    return [held, *(one for one in made if one.startswith(f"{folder}/") and one != held)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file holds."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put the module and the test of an example behind what its README says."""
    folder = HERE / str(page.file.src_uri).rpartition("/")[0]
    if folder.parent != HERE / "examples":
        return markdown
    parts = [markdown.rstrip()]
    for path in (*sorted(folder.glob("*.py")), folder / "pyproject.toml", *sorted(folder.glob("tests/*.py"))):
        language = "toml" if path.suffix == ".toml" else "python"
        text = path.read_text(encoding="utf-8").rstrip()
        parts.append(f"## {path.relative_to(folder)}\n\n```{language}\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """Return the text of every page that is made, by its place."""
    found = {"index.md": _moved("README.md"), "contributing.md": _moved("CONTRIBUTING.md"), "standards.md": standards()}
    written = yaml.safe_load((HERE / "pages.yaml").read_text(encoding="utf-8"))
    formulas = _formulas()
    described = describe()
    for kind, word in KINDS.items():
        held = [one for one in described if one.kind == kind and one.origin.startswith("recshield ")]
        lines = [
            f"# Each {kind}",
            "",
            f"The {word} that recshield brings; `recshield plugins --verbose` prints the same of",
        ]
        lines += ["whatever else is installed.", "", "| name | what |", "|---|---|"]
        for one in held:
            lines.append(f"| [`{one.name}`]({one.name}.md) | {one.what} |")
            extra = dict((written.get(kind) or {}).get(one.name, {}))
            if kind == "metric":
                extra = {"equation": formulas[one.name]}
            found[f"plugins/{kind}/{one.name}.md"] = page(one, extra)
        found[f"plugins/{kind}/index.md"] = "\n".join([*lines, ""])
    return found


def page(one: Description, extra: dict[str, str]) -> str:
    """Return the page of one plugin."""
    made = registry().found[one.kind][one.name]
    names = ", ".join(f"`{name}`" for name in one.aliases)
    lines = [f"# {one.name}", "", one.what, ""]
    if names:
        lines += [f"Also written {names}.", ""]
    lines += _paragraphs(made)
    lines += ["## Equation", "", "```text", extra["equation"].rstrip(), "```", ""]
    facts = [*one.claims.items(), *_reach(one.kind, made)]
    if facts:
        title = "Threat model" if one.kind == "attack" else "What it touches" if one.kind != "metric" else "What it is"
        rows = [f"| {key} | {value.replace('|', ', ')} |" for key, value in facts]
        lines += [f"## {title}", "", "| what | value |", "|---|---|", *rows, ""]
    if one.options:
        lines += ["## Options", "", "| option | default | meaning |", "|---|---|---|"]
        lines += [f"| `{option.name}` | `{option.default or ' '}` | {option.doc} |" for option in one.options]
        lines.append("")
    lines += ["## Example", "", "```sh", example(one), "```", ""]
    if extra.get("limits"):
        lines += ["## Limits", "", extra["limits"], ""]
    if one.reference:
        lines += ["## Source", "", one.reference, ""]
    return "\n".join([*lines, f"More: [{KINDS[one.kind]}](../../{MORE[one.kind]}).", ""])


def example(one: Description) -> str:
    """Return a command that uses a plugin, on the embedded data."""
    option = "rescaled:like=amf" if one.name == "rescaled" else one.name
    if one.kind == "metric":
        shown = f"{one.name}@10" if one.claims.get("has a K") == "yes" else one.name
        main = shown if one.claims.get("accuracy") == "yes" else f"ndcg@10,{shown}"
        return f"recshield matrix --models popular,mf --metrics {main}"
    if one.kind == "attack":
        return f"recshield matrix --models mf,amf --attacks noise,{one.name} --budget l2:0.5,1"
    if one.kind == "defense":
        model = "vbpr-amr" if one.name == "jpeg" else "mf"
        return f"recshield matrix --models {model},{model}+{option} --attacks noise,fgsm"
    attack = " --attacks noise,fgsm" if registry().found["model"][one.name].exposes else ""
    return f"recshield matrix --models popular,{one.name}{attack}"


def _paragraphs(made: type[Any]) -> list[str]:
    """Return what a docstring says after its opening, up to its sections."""
    rest = inspect.cleandoc(made.__doc__ or "").split("\n\n")[1:]
    kept: list[str] = []
    for text in rest:
        if re.match(r"(Attributes|Args|Source|Raises|Returns):", text):
            break
        kept += [" ".join(text.split()), ""]
    return kept


def _reach(kind: str, made: type[Any]) -> list[tuple[str, str]]:
    """Return where a plugin acts, and on which models."""
    models = registry().found["model"]
    if kind == "model":
        exposed = ", ".join(f"`{name}`" for name in made.exposes) or "none: measured clean"
        training = ", ".join(f"`{name}`" for name in made.exposes_in_training)
        return [("surfaces", exposed), *([("in training also", training)] if training else [])]
    if kind not in ("attack", "defense"):
        return []
    target = getattr(made, "target", "") if kind == "attack" else made.default_target
    reached = [name for name, model in sorted(models.items()) if _is_reached(model.exposes, target)]
    where = f"`{target}`" if target else "the family of the model's first surface, or the one named with `@`"
    return [("acts on", where), ("models", ", ".join(f"[`{name}`](../model/{name}.md)" for name in reached))]


def _is_reached(exposed: tuple[str, ...], target: str) -> bool:
    return any(covers(target or family(exposed[0]), name) for name in exposed)


def _formulas() -> dict[str, str]:
    """Return the formula of each metric from the table in metrics.md."""
    text = (HERE / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)(?:@K)?` \| (.*?) \| (?:higher|lower) \|", text, re.MULTILINE)
    return {name: f"{name}(u) = {formula}" for name, formula in rows}


_STANDARDS = """# NIST AI 100-2 and MITRE ATLAS

What the report calls an attack, by the surface it touches and the time at which it acts. A surface that is not here is
not mapped rather than guessed. What lies inside the model nobody outside can perturb: such an attack is a stress test,
and no technique. Made from `recshield.report.sections.threat`.

| surface | time | NIST AI 100-2 E2025 | MITRE ATLAS | EU AI Act |
|---|---|---|---|---|
"""
_NAMED = """
*Craft Adversarial Data* is named more closely by what the attack may call: with gradients *White-Box Optimization*
(AML.T0043.000), with scores or ranked lists *Black-Box Optimization* (AML.T0043.001), with the gradients of another
system alone *Black-Box Transfer* (AML.T0043.002).
"""


def standards() -> str:
    """Return the page about the terms of the standards."""
    rows = ""
    for (surface, stage), terms in TERMS.items():
        row = (f"`{surface}`", stage, f"{terms.kind}; {terms.capability}", "; ".join(terms.techniques), terms.duty)
        rows += "| " + " | ".join(text or "\N{EN DASH}" for text in row) + " |\n"
    return _STANDARDS + rows + _NAMED


def _moved(name: str) -> str:
    """Return a document of the root with its links as seen from docs/."""
    text = (HERE.parent / name).read_text(encoding="utf-8")
    text = text.replace("](CONTRIBUTING.md)", "](contributing.md)")
    return re.sub(r"\]\(docs/", "](", text)
