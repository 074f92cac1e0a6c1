"""Template environments in which every text is escaped unless it was made safe by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from recshield.core.errors import BadData
from recshield.report import content
from recshield.report.text import plain

_FOLDER = Path(__file__).parent.parent / "templates"
#: Name of a test in a template -> class.
_KINDS = {
    "name": content.Name, "number": content.Number, "verdict": content.Verdict, "prose": content.Prose,
    "bullets": content.Bullets, "listing": content.Listing, "definitions": content.Definitions,
    "table": content.Table, "chart": content.Chart, "matrix": content.Matrix, "gallery": content.Gallery,
}  # fmt: skip


class Safe(str):
    """Text that already is what its format wants."""

    __slots__ = ()


def environment(
    templates: Path | None, escape: Callable[[str], str] | None = None, **syntax: str
) -> jinja2.Environment:
    """Return an environment; templates see values only, and can reach neither files nor private names.

    Args:
        templates: the user's folder, looked at first; recshield's own are also there as `recshield/NAME`.
        escape: what makes text harmless in this format; None = HTML's.
        syntax: delimiters, where the usual ones mean something else in the format.
    """
    own = jinja2.FileSystemLoader(_FOLDER)
    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(templates)] if templates else []
    loader = jinja2.ChoiceLoader([*loaders, own, jinja2.PrefixLoader({"recshield": own})])

    def finalize(value: Any) -> Any:
        if isinstance(value, Markup | Safe):
            return value
        text = plain(value) if isinstance(value, str) else value
        return text if escape is None else Safe(escape(str(text)))

    made = ImmutableSandboxedEnvironment(
        loader=loader, autoescape=escape is None, finalize=finalize, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, **syntax,
    )  # fmt: skip
    for name, kind in _KINDS.items():
        made.tests[f"{name}"] = _is(kind)
    return made


def _is(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


def rendered(made: jinja2.Environment, name: str, **values: object) -> str:
    """Return a template's text.

    Raises:
        BadData: the template is wrong; names the file and the line.
    """
    try:
        return made.get_template(name).render(**values)
    except jinja2.TemplateSyntaxError as error:
        raise BadData.at(error.filename or name, error.lineno, f"{error.message}", "write a Jinja template") from None
    except (jinja2.TemplateError, TypeError) as error:
        advice = "a template sees `report` and what stands in recshield/report/content.py"
        raise BadData.at(name, None, f"the template fails ({str(error).splitlines()[0]})", advice) from None


def source(name: str) -> str:
    """Return one of recshield's own files beside the templates."""
    return (_FOLDER / name).read_text(encoding="utf-8")
