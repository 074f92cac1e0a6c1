"""A real run in every format: the figures are those of its tables, and the page asks for nothing."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shlex
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recshield
from recshield.cli import main

SHORT = ("mf.epochs=20", "mf.dims=8", "advreg.epochs=5")
FORMATS = "html,markdown,latex,json,csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "run"
    recshield.run_matrix("popular,mf,amf", "noise,fgsm,pgd", budget="l2:0.5,1", seeds=[0, 1], overrides=SHORT, out=out)
    return out


def report(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["recshield", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        report(patch, run, "--format", FORMATS, "--out", out)
    return out


class Page(HTMLParser):
    """Cells of the matrix tables, and every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[float | str]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        held = dict(attributes)
        self.elements.append((tag, held))
        if tag == "table":
            self.tables.append([])
            self._is_matrix = "matrix" in (held.get("class") or "")
        if tag == "tr" and self.tables:
            self.tables[-1].append([])
        if tag in ("td", "th") and self.tables:
            self.tables[-1][-1].append("")
        if tag == "data" and self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] = float(held["value"] or "nan")
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside == "style":
            self.styles.append(data)
        elif self.tables and self.tables[-1] and self.tables[-1][-1] and isinstance(self.tables[-1][-1][-1], str):
            self.tables[-1][-1][-1] += data.strip()


def expected(run: Path) -> dict[tuple[str, str, str, str], float]:
    """Return (metric, system, eps, attack) -> relative change, from results.parquet alone."""
    table = pd.read_parquet(run / "results.parquet")
    table = table[~table["is_control"] & (table["attack"] != "none")]
    means = table.groupby(["metric", "system", "eps_text", "attack"])[["clean", "attacked"]].mean()
    return (means["attacked"] / means["clean"] - 1).to_dict()


def test_every_figure_of_the_matrix_is_that_of_the_results(run: Path, folder: Path) -> None:
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    matrices = [table for table in page.tables if table[0][:3] == ["system", "budget", "clean"]]
    wanted = expected(run)
    clean = pd.read_parquet(run / "results.parquet").query("attack == 'none' and not is_control")
    cleans = clean.groupby(["metric", "system"])["clean"].mean().to_dict()
    seen = 0
    for metric, (head, *rows) in zip(("ndcg", "hr"), matrices, strict=True):
        attacks = [re.match(r"noise|fgsm|pgd", str(one))[0] for one in head[3:]]  # type: ignore[index]
        for system, eps, own, *cells in rows:
            assert own == pytest.approx(cleans[metric, system], rel=1e-12)
            for attack, value in zip(attacks, cells, strict=True):
                if system != "popular":
                    assert value == pytest.approx(wanted[metric, system, f"{eps:g}", attack], rel=1e-9)
                    seen += 1
    assert seen == len(wanted) == 24


def test_the_other_formats_hold_the_same_figures(run: Path, folder: Path) -> None:
    wanted = expected(run)
    lines = list(csv.DictReader(io.StringIO((folder / "report.csv").read_text(encoding="utf-8"))))
    held = {(one["metric"].partition("@")[0], one["system"], one["eps"], one["attack"]): float(one["change"])
            for one in lines if one["attack"] != "none"}  # fmt: skip
    assert held == pytest.approx(wanted, rel=1e-9)
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert data["format"] == "recshield-report-1"
    matrix = next(one for one in data["chapters"][0]["sections"] if one["key"] == "matrix")["blocks"][0]
    found = {(own["metric"].partition("@")[0], row["system"], row["eps"], attack): own["change"]
             for row in matrix["rows"] for attack, cell in zip(matrix["attacks"], row["cells"], strict=True) if cell
             for own in cell["estimates"]}  # fmt: skip
    assert found == pytest.approx(wanted, rel=1e-9)
    markdown = (folder / "report.md").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    latex = (folder / "report.tex").read_text(encoding="utf-8")
    for (_, system, eps, _), value in wanted.items():
        shown = f"{100 * abs(value):.1f}"
        sign = "" if float(shown) == 0 else "+" if value > 0 else "\N{MINUS SIGN}"
        rows = [line for line in markdown.splitlines() if line.startswith(f"| `{system}` | `l2 {eps}`")]
        assert any(f"{sign}{shown} %" in row for row in rows)
        tex_sign = sign.replace("\N{MINUS SIGN}", r"\ensuremath{-}")
        tex_rows = [line for line in latex.splitlines() if line.startswith(rf"\texttt{{\mbox{{{system}}}}} &")]
        assert any(rf"{tex_sign}{shown}~\%" in row for row in tex_rows)


def test_the_page_asks_for_nothing_and_runs_only_what_its_policy_names(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(text.encode()) < 3 * 1024**2
    policy = next(held["content"] for tag, held in page.elements if held.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind, held in (("script", page.scripts), ("style", page.styles)):
        digest = base64.b64encode(hashlib.sha256("".join(held).encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    for tag, held in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "foreignobject", "image")
        assert not any(name.startswith("on") or name in ("style", "src", "action") for name in held), (tag, held)
        assert (held.get("href") or "#").startswith("#")
    assert not re.findall(r"(?<!xmlns=\")https?://(?!www\.w3\.org/2000/svg)", text)


def test_ids_are_unique_and_links_and_labels_lead_to_them(folder: Path) -> None:
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    ids = [held["id"] for _, held in page.elements if "id" in held]
    assert len(ids) == len(set(ids))
    for _, held in page.elements:
        for target in ((held.get("href") or "")[1:], held.get("aria-labelledby") or ""):
            assert not target or target in ids
    assert len([1 for tag, held in page.elements if tag == "th" and not held.get("scope")]) == 0


def test_the_sections_stand_in_order(folder: Path) -> None:
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert [one["key"] for one in data["chapters"][0]["sections"]] == [
        "summary", "threat", "matrix", "curves", "tradeoff", "harm", "significance", "credibility", "cost",
    ]  # fmt: skip


def test_charts_stand_beside_markdown_and_latex(folder: Path) -> None:
    markdown, latex = ((folder / name).read_text(encoding="utf-8") for name in ("report.md", "report.tex"))
    pictures = re.findall(r"\]\((figures/[^)]+\.svg)\)", markdown)
    drawn = re.findall(r"\\includegraphics\[[^]]*\]\{(figures/[^}]+\.pdf)\}", latex)
    assert len(pictures) == len(drawn) >= 8
    for name in pictures:
        assert (folder / name).read_text(encoding="utf-8").startswith("<svg")
    for name in drawn:
        assert (folder / name).read_bytes().startswith(b"%PDF")
        assert (folder / name).with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_latex_tables_have_as_many_cells_as_columns(folder: Path) -> None:
    latex = (folder / "report.tex").read_text(encoding="utf-8")
    tables = re.findall(r"\\begin\{longtable\}\{(.*?)\}\n\\caption(.*?)\\end\{longtable\}", latex, re.DOTALL)
    assert len(tables) >= 8
    for columns, body in tables:
        n_columns = columns.count(r"\arraybackslash")
        rows = [
            line for line in body.splitlines() if line.endswith(r"\\") and "\\toprule" not in line and "*{" not in line
        ]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {n_columns - 1}
    assert latex.count(r"\begin{") == latex.count(r"\end{")


def test_the_command_of_a_cell_plans_that_cell(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    matrix = next(one for one in data["chapters"][0]["sections"] if one["key"] == "matrix")["blocks"][0]
    row = next(one for one in matrix["rows"] if (one["system"], one["eps"]) == ("amf", "1"))
    cell = row["cells"][matrix["attacks"].index("pgd")]
    held = [name["name"] for name in dict(cell["facts"]["pairs"])["cells"] if isinstance(name, dict)]
    monkeypatch.setattr(sys, "argv", [*shlex.split(cell["command"]), "--dry-run", "--json"])
    with pytest.raises(SystemExit):
        main()
    planned = [one["cell"] for one in json.loads(capsys.readouterr().out)["cells"] if not one["is_control"]]
    assert set(held) < set(planned)
    assert len(held) == 2


def test_the_harmed_are_those_that_the_hit_ratio_lost(run: Path, folder: Path) -> None:
    """Before: the hit ratio itself. After: what was in, less the harmed, plus those that came in."""
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    section = next(one for one in data["chapters"][0]["sections"] if one["key"] == "harm")
    table = next(one for one in section["blocks"] if one.get("key") == "harmed")
    results = pd.read_parquet(run / "results.parquet").query("metric == 'hr' and not is_control and eps_text == '1'")
    means = results.groupby(["system", "attack"])[["clean", "attacked"]].mean()
    seen = 0
    for row in table["rows"]:
        if isinstance(row[1][0], dict):
            was, harmed, _, came = (row[place][0]["value"] for place in (2, 3, 4, 5))
            own = means.loc[(row[0][0]["name"], row[1][0]["name"])]
            assert was == pytest.approx(own["clean"])
            assert was - harmed + came == pytest.approx(own["attacked"])
            seen += 1
    assert seen == 6


def test_it_is_built_in_time_and_the_same_twice(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    for name in ("one", "other"):
        report(monkeypatch, run, "--out", tmp_path / f"{name}.html", "--title", "Same")
    assert time.monotonic() - begun < 40
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "other.html").read_bytes()


def test_two_runs_are_two_chapters_with_keys_of_their_own(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(monkeypatch, run, run, "--out", tmp_path, "--compare", run)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    ids = [held["id"] for _, held in page.elements if "id" in held]
    assert len(ids) == len(set(ids))
    assert {"r1-matrix", "r2-matrix", "changes"} <= set(ids)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Both runs asked for the same, of the same versions." in text


def luminance(colour: str) -> float:
    held = colour.lstrip("#")
    held = "".join(2 * one for one in held) if len(held) == 3 else held
    parts = np.array([int(held[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", [0, 1])
def test_text_stands_out_from_every_ground_by_at_least_four_and_a_half(folder: Path, theme: int) -> None:
    """WCAG 2.2, 1.4.3, by its formula."""
    style = "".join(Page((folder / "report.html").read_text(encoding="utf-8")).styles)
    light, dark = (
        dict(re.findall(r"--([\w-]+):(#[0-9a-f]{3,6})", block))
        for block in re.findall(r":root\{(.*?)\}", style, re.DOTALL)[:2]
    )
    colours = light | (dark if theme else {})
    shades = ["even", "gain-0", "gain-1", "gain-2", "loss-0", "loss-1", "loss-2"]
    pairs = [("ink", one) for one in (*shades, "paper", "raised")] + [("on3", "loss-3"), ("deep", "loss-4")]
    pairs += [(one, "paper") for one in ("muted", "accent-ink", "pass", "warn", "unproven", "fail")] + [
        ("paper", "fail")
    ]
    for ink, ground in pairs:
        one, other = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (one + 0.05) / (other + 0.05) >= 4.5, (ink, ground)
