"""A new plugin package: names made from its own, files from templates, written only where nothing stands yet."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from recshield.core.errors import BadValue, OutputRefused, UnknownName
from recshield.core.registry import registry

_PACKAGE = re.compile(r"recshield-[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 60
#: Words that stand for something else in requests.
_RESERVED = ("none", "auto", "recshield")


@dataclass(frozen=True)
class Kind:
    """A kind of plugin that can be scaffolded.

    Attributes:
        flag: as `--kind` takes it, and as the template is called.
        registered: as the registry calls it.
        word: as people call it.
        suffix: of the class.
        usage: a command that uses the plugin `{name}`.
        is_bounded: it imports what may change with any minor version of recshield, and names the next one as a bound.
    """

    flag: str
    registered: str
    word: str
    suffix: str
    usage: str
    is_bounded: bool = False

    @property
    def article(self) -> str:
        """The article before `word`."""
        return "an" if self.word[0] in "aeiou" else "a"


#: The kinds, by flag.
KINDS = {
    one.flag: one
    for one in (
        Kind("attack", "attack", "attack", "Attack", "recshield matrix --models mf --attacks {name}"),
        Kind(
            "defense", "defense", "defense", "Defense", "recshield matrix --models mf --defenses {name} --attacks fgm"
        ),
        Kind("recommender", "model", "model", "Model", "recshield matrix --models {name} --attacks fgm"),
        Kind("metric", "metric", "metric", "Metric", "recshield matrix --models mf --metrics ndcg@100,{name}"),
        Kind("dataset", "dataset", "data set", "Data", "recshield matrix --models mf --dataset {name}"),
        Kind("reader", "reader", "reader", "Reader", "recshield matrix --models popular --dataset tests/sample.jsonl"),
        Kind("extractor", "extractor", "extractor", "Extractor", "recshield matrix --models vbpr:extractor={name}"),
        Kind("executor", "executor", "executor", "Executor", "recshield matrix --models mf --executor {name}", True),
        Kind("check", "check", "audit check", "Check", "recshield matrix --models mf --attacks fgm", True),
        Kind("report", "report", "report format", "Format", "recshield report runs/RUN --format {name}", True),
    )
}


@dataclass(frozen=True)
class Names:
    """What is called how in a new package.

    Attributes:
        package: the distribution, `recshield-my-attack`.
        module: `recshield_my_attack`.
        point: the entry point, `my-attack`.
        name: of the plugin in requests; upper case for an audit check.
        cls: the class, `MyAttackAttack`.
    """

    package: str
    module: str
    point: str
    name: str
    cls: str


def kind_of(flag: str) -> Kind:
    """Return the kind called `flag`, or raise UnknownName."""
    if flag not in KINDS:
        raise UnknownName.among("kind of plugin", flag, KINDS, "name one with --kind")
    return KINDS[flag]


def names_of(package: str, kind: Kind) -> Names:
    """Return the names of a new package.

    Raises:
        BadValue: it cannot be called so, or something that is installed is called so already.
    """
    if not _PACKAGE.fullmatch(package) or len(package) > _LONGEST:
        raise BadValue(
            f"'{package}' cannot be the name of a plugin package; write recshield-NAME, at most {_LONGEST} characters, "
            "NAME of small letters, digits and single hyphens, a letter first"
        )
    point = package.removeprefix("recshield-")
    module, name = package.replace("-", "_"), point.upper() if kind.flag == "check" else point
    if point in _RESERVED:
        raise BadValue(f"'{point}' means something else in requests; choose another name")
    if importlib.util.find_spec(module) is not None:
        raise BadValue(f"a module '{module}' is installed already; choose another name")
    if name in registry().names(kind.registered) or (kind.flag == "recommender" and name in registry().presets):
        raise BadValue(f"{kind.word} '{name}' is installed already; choose another name, see `recshield plugins`")
    words = "".join(word.capitalize() for word in point.split("-"))
    return Names(package, module, point, name, f"{words}{kind.suffix}")


def files_of(names: Names, kind: Kind) -> dict[str, str]:
    """Return path in the package -> text of every file of a new package."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("recshield.authoring"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - Python and TOML, and every name was validated
    )
    major, minor = version("recshield").split(".")[:2]
    release = f"{major}.{minor}" + (f",<{major}.{int(minor) + 1}" if kind.is_bounded else "")
    given = vars(names) | {"kind": kind, "usage": kind.usage.format(name=names.name), "recshield": release}
    wanted = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".github/workflows/test.yml": "ci.yml",
        f"{names.module}.py": f"{kind.flag}.py",
        f"tests/test_{names.module}.py": f"test_{kind.flag}.py",
    }
    if kind.flag == "reader":
        wanted["tests/sample.jsonl"] = "sample.jsonl"
    return {path: made.get_template(f"{template}.j2").render(given).lstrip("\n") for path, template in wanted.items()}


def write(package: str, flag: str, parent: Path) -> list[Path]:
    """Write a new package into a folder of its name below `parent`; return the files.

    Raises:
        UnknownName: no such kind.
        BadValue: the package cannot be called so.
        OutputRefused: something stands there already, or it cannot be written.
    """
    kind = kind_of(flag)
    files = files_of(names_of(package, kind), kind)
    folder = parent / package
    if folder.exists() or folder.is_symlink():
        raise OutputRefused(f"{folder} exists already, and nothing is overwritten; remove it or name another --dir")
    try:
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputRefused(
            f"{folder} cannot be written ({error.strerror or error}); name another folder with --dir"
        ) from None
    return [folder / path for path in files]
