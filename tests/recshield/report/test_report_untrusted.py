"""Names from data, plugins and runs are shown as text, whatever they say; bad input is one sentence."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from planting import Planted, reading, sound

from recshield.cli import main
from recshield.core.errors import BadData, BadValue, OutputRefused, RecshieldError, UnknownName
from recshield.matrix import saved
from recshield.report import Report, ReportFormat
from recshield.report.formats.latex import escape as escape_latex
from recshield.report.formats.markdown import escape as escape_markdown
from recshield.report.writing import compose, formats, write

EVIL = (
    "<script>alert(1)</script>",
    "=cmd|x{{ 7*7 }}<< 7*7 >>{% raw %}",
    "[red]x[/red]\x1b[31m\u202e](javascript:alert(1))`|`",
    '"><img src=x onerror=alert(1)></svg></style></title><!--',
    r"\input{/etc/passwd}$x$%&#_^~",
)


@functools.cache
def evil(name: str) -> Report:
    """Return a report in which everything that can carry a name carries this one; every format writes the same one."""
    found = [(99, name, True, "fail", name), (98, "ODD", False, name, name)]
    cells = []
    for one in sound():
        one.system = name if one.system == "shield" else one.system
        one.attack = f"pgd{name}" if one.attack == "pgd" else one.attack
        one.findings = found
        cells.append(one)
    held = reading(
        cells, name, name, skipped=[{"system": name, "attack": name, "reason": name}], failed=[name], split={name: name},
        plugins_not_loaded={name: name}, versions={name: name}, machine={"system": name},
        request={"models": [name], "dataset": name, "set": [name], "seeds": [0]}, data={"name": name, "fingerprint": name},
    )  # fmt: skip
    return compose([held], name, held)


def text_of(report: Report, name: str, folder: Path) -> str:
    made = formats([name])
    return write(report, made, folder)[0].read_text(encoding="utf-8")


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.codes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag == "code":
            self._open.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "code" and self._open:
            self.codes.add(self._open.pop())

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1] += data


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory: pytest.TempPathFactory) -> Elements:
    return Elements(text_of(evil("harmless"), "html", tmp_path_factory.mktemp("page")))


@pytest.fixture(scope="module")
def plain_latex(tmp_path_factory: pytest.TempPathFactory) -> str:
    return text_of(evil("harmless"), "latex", tmp_path_factory.mktemp("latex"))


@pytest.mark.parametrize("name", EVIL)
def test_html_shows_names_as_text(name: str, plain_page: Elements, tmp_path: Path) -> None:
    """The page has the elements and attributes of one with harmless names, and shows the name."""
    text = text_of(evil(name), "html", tmp_path)
    page = Elements(text)
    assert page.names.count("script") == 1
    assert set(page.names) == set(plain_page.names)
    assert page.attributes == plain_page.attributes
    assert re.sub(r"[\x00-\x1f\u202e]", "\N{REPLACEMENT CHARACTER}", name) in page.codes
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


@pytest.mark.parametrize("name", EVIL)
def test_markdown_shows_names_as_text(name: str, tmp_path: Path) -> None:
    text = text_of(evil(name), "markdown", tmp_path)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    prose = re.sub(r"```+text\n.*?\n```+", "", text, flags=re.DOTALL)
    for line in prose.splitlines():
        outside = re.sub(r"`[^`]*`", "", line)
        assert set(re.findall(r"<(/?\w+)", outside)) <= {"code", "/code"}
        assert "](javascript" not in outside
    rows = [line for line in prose.splitlines() if line.startswith("|")]
    tables = "\n".join(rows)
    assert tables
    for line in rows:
        assert line.endswith("|")
    for block in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
        assert len({row.count("|") for row in block.splitlines()}) == 1, block
    for drawing in (tmp_path / "figures").iterdir():
        for element in ElementTree.fromstring(drawing.read_text(encoding="utf-8")).iter():
            assert element.tag.rpartition("}")[2] in ("svg", "g", "path", "line", "rect", "text", "clipPath", "defs")
            assert not any(key.startswith("on") or key.endswith("href") for key in element.attrib)


@pytest.mark.parametrize("name", EVIL)
def test_latex_shows_names_as_text(name: str, plain_latex: str, tmp_path: Path) -> None:
    text, plain = text_of(evil(name), "latex", tmp_path), plain_latex
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    commands, usual = (set(re.findall(r"\\[a-zA-Z]+", held)) for held in (text, plain))
    shown = {r"\textless", r"\textgreater", r"\textbar", r"\textbackslash", r"\textquotedbl", r"\textasciigrave",
             r"\textasciicircum", r"\textasciitilde", r"\textbf", r"\textquotesingle"}  # fmt: skip
    assert commands - usual <= shown
    assert r"\input{" not in text
    assert text.count("\\begin{") == text.count("\\end{") == plain.count("\\begin{")
    assert "49" not in re.findall(r"\{\}(\d+)", text)


def test_the_marks_of_markdown_and_latex_lose_their_meaning() -> None:
    assert escape_markdown("*a* <b> & [c](d) `e` | #") == (
        "&#42;a&#42; &lt;b&gt; &amp; &#91;c&#93;(d) &#96;e&#96; &#124; &#35;"
    )
    assert escape_latex("a_b & 5% {x} \\y") == r"a\_b \& 5\% \{x\} \textbackslash{}y"
    assert escape_latex("\N{CJK UNIFIED IDEOGRAPH-4E2D}é") == "{[}U+4E2D{]}é"


@pytest.mark.parametrize("name", EVIL)
def test_csv_holds_nothing_that_a_spreadsheet_runs(name: str, tmp_path: Path) -> None:
    text = text_of(evil(name), "csv", tmp_path)
    for row in csv.reader(io.StringIO(text)):
        for field in row:
            is_number = re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", field)
            assert is_number or not field.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


def test_json_keeps_names_as_they_are(tmp_path: Path) -> None:
    text = text_of(evil(EVIL[2]), "json", tmp_path)
    assert text.isascii()
    assert json.loads(text)["title"] == EVIL[2]


# ---- bad input


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["recshield", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    return capsys.readouterr().err.replace("\n", " ").strip()


def test_no_such_run_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(monkeypatch, capsys, "nowhere")
    assert said == "error: nowhere: this is not a run; give a folder that `recshield matrix --out` wrote"


def test_an_unknown_format_is_named_with_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(monkeypatch, capsys, "nowhere", "--format", "htm\x1b[31m")
    assert "\x1b" not in said
    assert "did you mean 'html'? installed: csv, html, json, latex, markdown. see `recshield plugins`" in said


def test_formats_are_given_once_and_at_least_one() -> None:
    with pytest.raises(BadValue, match=r"no format was given; allowed: csv, html, json, latex, markdown"):
        formats([])
    with pytest.raises(BadValue, match=r"format 'html' stands twice; give it once"):
        formats(["html", "html"])


def test_a_run_without_a_figure_is_refused() -> None:
    held = reading(sound())
    held.results.table = held.results.table.iloc[:0]
    with pytest.raises(BadData, match=r"runs/x: the run holds no figure; run the matrix again"):
        type(held)("runs/x", held.results, held.verdicts, {})


def test_a_report_never_goes_into_the_folder_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = reading(sound())
    saved.write(tmp_path / "run", held.results, held.verdicts, {"format": saved.FORMAT})
    said = fails(monkeypatch, capsys, tmp_path / "run", "--out", tmp_path / "run")
    assert said.endswith("holds a run, which keeps only its own files; name another folder with --out")
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OutputRefused, match=r"is a file; name a folder, or a file ending in \.html, with --out"):
        write(compose([held]), formats(["html"]), file)
    assert file.read_text() == "mine"


# ---- templates and formats of others


def test_a_template_of_the_user_wins_and_builds_on_the_own_one(tmp_path: Path) -> None:
    (tmp_path / "report.html.j2").write_text(
        '{% extends "recshield/report.html.j2" %}{% block footer %}<footer>for {{ report.title }}</footer>{% endblock %}'
    )
    made = formats(["html"], tmp_path)
    text = write(compose([reading(sound())], "<b>"), made, tmp_path / "out")[0].read_text(encoding="utf-8")
    assert "<footer>for &lt;b&gt;</footer>" in text
    assert "Written by recshield" not in text


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("a\n{% if %}", "report.html.j2, line 2: "),
        ("{{ nothing }}", "report.html.j2: the template fails ('nothing' is undefined)"),
        ("{{ report.__class__.__mro__ }}", "report.html.j2: the template fails ("),
        ("{{ report.chapters.append(1) }}", "report.html.j2: the template fails ("),
        ("{% include '../../../../../../etc/passwd' %}", "report.html.j2: the template fails ("),
    ],
)
def test_a_wrong_template_is_named_and_can_reach_nothing(tmp_path: Path, template: str, wrong: str) -> None:
    (tmp_path / "report.html.j2").write_text(template)
    with pytest.raises(BadData) as raised:
        write(compose([reading(sound())]), formats(["html"], tmp_path), tmp_path / "out")
    assert wrong in str(raised.value)
    assert not list((tmp_path / "out").glob("*"))


def test_a_folder_of_templates_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"nowhere is not a folder; --template takes a folder with templates"):
        formats(["html"], tmp_path / "nowhere")


def test_a_third_party_format_is_written_like_the_own_ones(tmp_path: Path, plant) -> None:
    class Short(ReportFormat):
        name, suffix, description = "short", ".txt", "the title"

        def render(self, report: Report, folder: Path) -> str:
            return report.title

    plant("report", Short)
    (written,) = write(compose([reading(sound())], "mine"), formats(["short"]), tmp_path / "mine.txt")
    assert written == tmp_path / "mine.txt"
    assert written.read_text() == "mine"


def test_errors_are_of_the_house() -> None:
    assert issubclass(UnknownName, RecshieldError)
    held = reading([Planted("mf", "none", [0.2])])
    assert [one.key for one in compose([held]).chapters[0].sections] == ["summary", "matrix", "credibility", "cost"]
    assert isinstance(held.results.table, pd.DataFrame)
