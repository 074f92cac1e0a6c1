"""Read a file of published figures; a fault names the line, and the key that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from recshield.core.errors import BadData, UnknownName
from recshield.papers.tables import Paper

#: Largest file that is read, in bytes.
_BYTES = 1024**2
_END = ".yaml"


def listed() -> dict[str, Paper]:
    """Return the papers that come with recshield, by name."""
    held = (one for one in resources.files("recshield.papers").iterdir() if one.name.endswith(_END))
    return {one.name.removesuffix(_END): read(Path(str(one))) for one in sorted(held, key=lambda one: one.name)}


def find(name: str) -> tuple[str, Paper]:
    """Return the name and content of a paper: one that comes with recshield, or a path to such a file.

    Raises:
        UnknownName: neither.
        BadData: the file is wrong.
    """
    if name.endswith((_END, ".yml")):
        return Path(name).stem, read(Path(name))
    known = [one.name.removesuffix(_END) for one in resources.files("recshield.papers").iterdir()]
    names = sorted(one for one in known if resources.files("recshield.papers").joinpath(one + _END).is_file())
    if name not in names:
        advice = "a path to a .yaml file works too; see `recshield reproduce`"
        raise UnknownName.among("paper", name, names, advice)
    return name, read(Path(str(resources.files("recshield.papers").joinpath(name + _END))))


def read(path: Path) -> Paper:
    """Return the paper of a file.

    Raises:
        BadData: not there, too large, no YAML, a key that does not exist or stands twice, a value that is not allowed.
    """
    try:
        if path.stat().st_size > _BYTES:
            raise BadData.at(path, None, "the file is too large", f"at most {_BYTES} bytes are read")
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise BadData.at(path, None, f"cannot be read ({error.strerror})", "give a file of published figures") from None
    except UnicodeDecodeError:
        raise BadData.at(path, None, "it is not UTF-8", "give a file of published figures") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise BadData.at(path, line, "no YAML", "write KEY: VALUE, one a line") from None
    _check_once(path, node)
    try:
        return Paper.model_validate(yaml.safe_load(text) or {})
    except ValidationError as error:
        raise _fault(path, node, error) from None


def _mappings(node: Any) -> Iterator[Any]:
    """Give every mapping node, outer ones first."""
    values = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        yield node
        values = [value for _, value in node.value]
    for value in values:
        yield from _mappings(value)


def _check_once(path: Path, node: Any) -> None:
    for mapping in _mappings(node):
        lines: dict[str, int] = {}
        for key, _ in mapping.value:
            if key.value in lines:
                wrong = f"'{key.value}' stands in line {lines[key.value]}, too"
                raise BadData.at(path, key.start_mark.line + 1, wrong, "give it once")
            lines[key.value] = key.start_mark.line + 1


def _fault(path: Path, node: Any, error: ValidationError) -> BadData:
    # A misspelt key lacks the right one, too: name the misspelling.
    faults = error.errors()
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    place, line = fault["loc"], _line(node, fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _keys(place[:-1])
        close = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        guess = f" (did you mean '{close[0]}'?)" if close else ""
        return BadData.at(path, line, f"no key '{place[-1]}'{guess}", f"allowed: {', '.join(known)}")
    where = ".".join(str(part) for part in place) or "the file"
    said = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else str(fault["msg"])
    return BadData.at(path, line, f"{where}: {said[:1].lower()}{said[1:]}", "see docs/reproductions.md")


def _line(node: Any, place: tuple[str | int, ...]) -> int | None:
    """Return the line where a value, or the nearest thing around it, begins."""
    line = node.start_mark.line + 1 if node is not None else None
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _keys(place: tuple[str | int, ...]) -> list[str]:
    """Return the keys that are allowed at a place of the file."""
    kind: Any = Paper
    for part in place:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        elif get_origin(kind) in (list, dict):
            kind = get_args(kind)[-1]
        if get_origin(kind) in (Union, UnionType):
            kind = next(one for one in get_args(kind) if one is not type(None))
    return list(kind.model_fields)
