"""A request as a YAML file: the options of `recshield matrix` by their names, checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from recshield import asking
from recshield.core import settings
from recshield.core.errors import BadData, BadValue
from recshield.core.specs import split_list

#: Largest file that is read, in bytes.
_BYTES = 1024**2


class _Loader(yaml.SafeLoader):
    """Reads every scalar but null as text: `1:30` is no number of minutes here, and `true` no seed."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in held if tag == "tag:yaml.org,2002:null"]
    for first, held in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _specs(given: Any) -> Any:
    """Take one text for a comma-separated list."""
    return split_list(given) if isinstance(given, str) else given


def _texts(given: Any) -> Any:
    """Take one text for a list of it."""
    return [given] if isinstance(given, str) else given


def _numbers(given: Any) -> Any:
    if isinstance(given, str):
        pieces = [piece.strip() for piece in given.split(",") if piece.strip()]
        if not all(piece.lstrip("-").isdecimal() for piece in pieces):
            raise ValueError(f"seeds '{given}' cannot be read; write whole numbers, comma separated")
        return pieces
    return [given] if isinstance(given, int) else given


Specs = Annotated[list[str], BeforeValidator(_specs)]
Texts = Annotated[list[str], BeforeValidator(_texts)]


class MatrixConfig(BaseModel):
    """Everything that `recshield matrix` can be asked for; the fields are its options."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    models: Specs = []
    attacks: Specs = []
    defenses: Specs = []
    dataset: str = settings.DATASET
    data_dir: str | None = None
    columns: str = ""
    images: str = ""
    image_size: str = ""
    categories: str = ""
    skip_bad_images: bool = False
    filters: Annotated[Texts, Field(alias="filter")] = []
    split: str = ""
    budget: Texts = list(settings.BUDGET)
    goal: Texts = [settings.GOAL]
    metrics: Specs = list(settings.METRICS)
    seeds: Annotated[list[int], BeforeValidator(_numbers)] = list(settings.SEEDS)
    data_seed: int = settings.DATA_SEED
    device: str = "cpu"
    threads: int = settings.THREADS
    overrides: Annotated[Texts, Field(alias="set")] = []
    controls: str = "auto"
    audit: str = settings.AUDIT
    select: str = ""
    every: int = settings.SELECT_EVERY
    patience: int = settings.SELECT_PATIENCE
    curve: int = 0
    stage: Texts = [settings.STAGE]
    queries: int = 0

    def request(self) -> dict[str, Any]:
        """Return the arguments of `recshield.run.prepare`; `queries` is an option of the attacks that ask."""
        held = self.model_dump()
        held["overrides"] = [*asking.queries(self.attacks, held.pop("queries")), *self.overrides]
        return held

    def text(self) -> str:
        """Return the file that stands for this request, every option written out."""
        held: str = yaml.safe_dump(self.model_dump(by_alias=True), sort_keys=False, allow_unicode=True)
        return held


def read(path: Path) -> dict[str, Any]:
    """Return the options that a YAML file gives, by name.

    Raises:
        BadData: not there, too large, no YAML, or an option that does not exist; names the line.
    """
    try:
        if path.stat().st_size > _BYTES:
            raise BadData.at(path, None, "the file is too large", f"at most {_BYTES} bytes are read")
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_Loader)
        held = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise BadData.at(path, None, f"cannot be read ({error.strerror})", "give a YAML file") from None
    except UnicodeDecodeError:
        raise BadData.at(path, None, "it is not UTF-8", "give a YAML file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise BadData.at(path, line, f"no YAML ({error.problem})", "write OPTION: VALUE, one a line") from None
    except yaml.YAMLError as error:
        raise BadData.at(path, None, f"no YAML ({str(error).splitlines()[0]})", "write OPTION: VALUE") from None
    if held is None:
        return {}
    if not isinstance(held, dict):
        raise BadData.at(path, 1, "it holds no options", "write OPTION: VALUE, one a line, for example models: mf,amf")
    lines: dict[str, int] = {}
    for key, _ in node.value if node is not None else ():
        if key.value in lines:
            wrong = f"option '{key.value}' stands in line {lines[key.value]}, too"
            raise BadData.at(path, key.start_mark.line + 1, wrong, "give it once")
        lines[key.value] = key.start_mark.line + 1
    _check_keys(path, held, lines)
    try:
        MatrixConfig.model_validate(held)
    except ValidationError as error:
        name, wrong = _first(error)
        raise BadData.at(path, lines.get(name), wrong, "see `recshield matrix --help`") from None
    return {str(key): value for key, value in held.items()}


def _check_keys(path: Path, held: Mapping[Any, Any], lines: Mapping[str, int]) -> None:
    known = [spot.alias or name for name, spot in MatrixConfig.model_fields.items()]
    for key in held:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            guess = f" (did you mean '{close[0]}'?)" if close else ""
            raise BadData.at(path, lines.get(key), f"no option '{key}'{guess}", f"allowed: {', '.join(known)}")


def _first(error: ValidationError) -> tuple[str, str]:
    """Return the option and what is wrong with it, of the first fault."""
    fault = error.errors()[0]
    name = str(fault["loc"][0]) if fault["loc"] else ""
    given = fault.get("input")
    if fault["type"] == "value_error":
        return name, str(fault["ctx"]["error"])
    return name, f"{name} is {given!r}: {str(fault['msg'])[:1].lower()}{str(fault['msg'])[1:]}"


def merged(file: Path | None, given: Mapping[str, Any]) -> MatrixConfig:
    """Return the request of a file and of the options that were typed, which win.

    Raises:
        BadData: the file is wrong.
        BadValue: a typed option is.
    """
    held = read(file) if file is not None else {}
    try:
        return MatrixConfig.model_validate({**held, **given})
    except ValidationError as error:
        raise BadValue(f"{_first(error)[1]}; see `recshield matrix --help`") from None
