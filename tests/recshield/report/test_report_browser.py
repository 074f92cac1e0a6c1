"""The page in a real browser: it asks for nothing, and works by mouse and by keyboard, on a desk and on a phone.

`RECSHIELD_REPORT=PAGE.html pytest tests/recshield/report/test_report_browser.py` looks at a page of your own instead
of one made for the test; with `RECSHIELD_PICTURES=DIR` it also leaves a picture of each width and colour scheme there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from planting import reading, sound

from recshield.report.writing import compose, formats, write

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'recshield[browser]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install 'recshield[browser]'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
LOOKS = [(width, scheme) for width in (1440, 390) for scheme in ("light", "dark")]
SERIOUS = {"serious", "critical"}
SHOWN_ROWS = "[...document.querySelectorAll('table.matrix')].find(t => t.offsetParent).tBodies[0].rows"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    if given := os.environ.get("RECSHIELD_REPORT"):
        return Path(given).resolve(strict=True).as_uri()
    held = reading(sound())
    made = compose([held], "A planted run", held)
    return write(made, formats(["html"]), tmp_path_factory.mktemp("page"))[0].as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the package chromium of Debian")
    with playwright.sync_playwright() as started:
        held = started.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield held
        held.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at 1440 pixels; the test fails where the console held a word or anything but the page was asked for."""
    held = browser.new_page(viewport={"width": 1440, "height": 900})
    yield from _watched(held, address)


def _watched(held: Any, address: str) -> Iterator[Any]:
    words: list[str] = []
    asked: list[str] = []
    held.on("console", lambda message: words.append(message.text))
    held.on("pageerror", lambda error: words.append(str(error)))
    held.on("request", lambda request: asked.append(request.url))
    held.goto(address)
    yield held
    held.close()
    assert words == []
    assert {url for url in asked if not url.startswith("data:")} == {address}


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_width_and_scheme_is_accessible_and_fits(browser: Any, address: str, width: int, scheme: str) -> None:
    """Axe finds nothing serious, and the page itself never scrolls sideways."""
    look = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    held = look.new_page()
    held.goto(address)
    if given := os.environ.get("RECSHIELD_PICTURES"):
        held.screenshot(path=Path(given) / f"{width}-{scheme}.png", full_page=True)
    found = axe.Axe().run(held).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS] == []
    assert held.evaluate("document.documentElement.scrollWidth") <= width
    held.locator("td.cell a:visible").first.click()
    inside = axe.Axe().run(held).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in inside if one["impact"] in SERIOUS] == []
    look.close()


def column(page: Any, place: int) -> list[str]:
    """Return the texts of a column of the matrix, in the order in which they are shown."""
    return list(
        page.evaluate(f"[...{SHOWN_ROWS}].filter(r => !r.hidden).map(r => r.cells[{place}].textContent.trim())")
    )


def last_head(page: Any) -> Any:
    return page.locator("table.matrix:visible").first.locator("thead button:visible").last


def is_sorted(texts: list[str]) -> bool:
    figures = [
        float(text.split("%")[0].replace("\N{MINUS SIGN}", "-").replace(",", "")) for text in texts if "%" in text
    ]
    assert len(figures) > 1
    return figures == sorted(figures)


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_a_column_is_sorted(page: Any, way: str) -> None:
    button = last_head(page)
    place = page.evaluate("b => b.closest('th').cellIndex", button.element_handle())
    before = column(page, place)

    def press() -> None:
        if way == "mouse":
            button.click()
            return
        button.focus()
        page.keyboard.press("Enter")

    press()
    upwards = column(page, place)
    assert is_sorted(upwards)
    assert sorted(upwards) == sorted(before)
    press()
    assert is_sorted([text for text in reversed(column(page, place)) if "%" in text])


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_cells_are_filtered_and_come_back(page: Any, way: str) -> None:
    form = page.locator("form.filters:visible").first
    choice = form.locator("select[data-filter=attack]")
    before = form.locator("output").text_content()
    value = choice.locator("option").nth(1).get_attribute("value")
    if way == "mouse":
        choice.select_option(value)
    else:
        choice.focus()
        page.keyboard.press("ArrowDown")
    assert choice.input_value() == value
    after = form.locator("output").text_content()
    assert 0 < int(after.split()[0]) < int(before.split()[0])
    heads = page.locator("table.matrix:visible").first.locator("th[data-attack]:visible")
    assert {heads.nth(place).get_attribute("data-attack") for place in range(heads.count())} == {value}
    form.locator("button[type=reset]").click()
    page.wait_for_function("([form, text]) => form.querySelector('output').textContent === text",
                           arg=[form.element_handle(), before])  # fmt: skip


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_a_cell_opens_its_facts_and_closes(page: Any, way: str) -> None:
    """They hold the checks and the command; Escape closes them and gives the focus back."""
    link = page.locator("td.cell a:visible").first
    if way == "mouse":
        link.click()
    else:
        link.focus()
        page.keyboard.press("Enter")
    dialog = page.locator("dialog#cell")
    assert dialog.is_visible()
    assert "recshield matrix" in dialog.text_content()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    if way == "keyboard":
        assert page.evaluate("e => e === document.activeElement", link.element_handle())


def test_the_first_key_offers_to_skip_to_the_report(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
