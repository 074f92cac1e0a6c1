"""Specifications drawn by vl-convert: SVG for a page, and files for a paper."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import vl_convert

from recshield.report.text import plain

_SVG = "http://www.w3.org/2000/svg"
#: What a drawing consists of; anything else is left out of a page.
_ELEMENTS = {"svg", "g", "path", "line", "rect", "text", "tspan", "circle", "clipPath", "defs", "title"}
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def svg(spec: dict[str, Any], key: str, alt: str) -> str:
    """Return a drawing that can stand in a page: no style attribute, script or link, ids of its own.

    Args:
        spec: Vega-Lite.
        key: unique within the page; put before every id.
        alt: what it shows, for readers who do not see it.
    """
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(_drawable(spec)))  # noqa: S314 - made here, by vl-convert
    _clean(root, key)
    root.set("role", "img")
    root.set("aria-label", plain(alt))
    for name in ("class", "version"):
        root.attrib.pop(name, None)
    return ElementTree.tostring(root, encoding="unicode")


def _drawable(held: Any) -> Any:
    """Return a specification without control characters: vl-convert ends the whole process at one (seen with 1.9)."""
    if isinstance(held, str):
        return plain(held)
    if isinstance(held, dict):
        return {plain(key): _drawable(value) for key, value in held.items()}
    return [_drawable(one) for one in held] if isinstance(held, list | tuple) else held


def _clean(element: ElementTree.Element, key: str) -> None:
    for child in list(element):
        if child.tag.removeprefix(f"{{{_SVG}}}") not in _ELEMENTS:
            element.remove(child)
        else:
            _clean(child, key)
    for name, value in list(element.attrib.items()):
        if name.startswith(("on", "aria-", "{")) or name in ("style", "href", "role", "tabindex", "class"):
            del element.attrib[name]
        elif name == "id":
            element.set(name, f"{key}-{value}")
        elif "url(" in value:
            element.set(name, _REFERENCE.sub(rf"url(#{key}-\1)", value))
    element.text = plain(element.text) if element.text else element.text


def export(spec: dict[str, Any], folder: Path, stem: str) -> None:
    """Write `stem`.svg, .png (at twice its size) and .pdf."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = _drawable(spec)
    (folder / f"{stem}.svg").write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
    (folder / f"{stem}.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
    (folder / f"{stem}.pdf").write_bytes(vl_convert.vegalite_to_pdf(spec))
