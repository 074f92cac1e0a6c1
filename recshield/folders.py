"""Saved systems and perturbations as folders, which may come from a stranger: looked at before they are used."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recshield.config import MatrixConfig
from recshield.core.errors import BadData, OutputRefused
from recshield.matrix.request import Import

SYSTEM, PERTURBATION = "recshield-system-1", "recshield-perturbation-1"
ABOUT, DELTA = "about.json", "delta.safetensors"
_WEIGHTS = r"^weights-\d{1,4}\.safetensors$"
_DIGEST = r"^[0-9a-f]{64}$"
#: Largest description that is read, in bytes.
_ABOUT_BYTES = 16 * 1024**2
_ADVICE = "give a folder that `recshield train --out` or `recshield attack --out` wrote"


class TrainFacts(BaseModel):
    """What a train step noted."""

    model_config = ConfigDict(extra="forbid")

    selection: str
    selected: str
    curve: list[dict[str, Any]]
    acting: list[dict[str, Any]]
    chosen: list[dict[str, Any]]
    state: str


class Weights(BaseModel):
    """One file of weights, and the training that they stand for."""

    model_config = ConfigDict(extra="forbid")

    identity: str
    file: Annotated[str, Field(pattern=_WEIGHTS)]
    digest: Annotated[str, Field(pattern=_DIGEST)]
    facts: TrainFacts


class SystemAbout(BaseModel):
    """What describes a saved system; `rows` is the hash of the training and test rows."""

    model_config = ConfigDict(extra="forbid")

    format: str
    system: str
    request: MatrixConfig
    trained: list[Weights]
    rows: str
    versions: dict[str, str]


class PerturbationAbout(BaseModel):
    """What describes a saved perturbation; `made_for` is the hash of the system, its weights and its rows."""

    model_config = ConfigDict(extra="forbid")

    format: str
    system: str
    attack: str
    norm: str
    goal: str
    surface: str
    facts: dict[str, Any]
    digest: Annotated[str, Field(pattern=_DIGEST)]
    made_for: str


@dataclass(frozen=True)
class SavedSystem:
    """A folder that `train` wrote."""

    folder: Path
    about: SystemAbout

    def imports(self) -> dict[str, Import]:
        """Return the weights by the identity of their training, or raise BadData where a file is not as recorded."""
        found = {}
        for held in self.about.trained:
            file = _checked(self.folder / held.file, held.digest, "the weights do not match their recorded hash; train")
            found[held.identity] = Import(str(file.resolve()), held.digest, held.facts.model_dump())
        return found


@dataclass(frozen=True)
class SavedPerturbation:
    """A folder that `attack` wrote."""

    folder: Path
    about: PerturbationAbout

    def file(self) -> Path:
        """Return its tensors' file, or raise BadData where it is not as recorded."""
        return _checked(self.folder / DELTA, self.about.digest, "it does not match its recorded hash; attack")


def _checked(file: Path, digest: str, wrong: str) -> Path:
    if file.is_symlink() or not file.is_file() or digest_of(file) != digest:
        raise BadData(f"{file}: {wrong} again")
    return file


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_system(folder: Path) -> SavedSystem:
    """Return the saved system in a folder, or raise BadData."""
    return SavedSystem(folder, _about(folder, SYSTEM, SystemAbout))


def load_perturbation(folder: Path) -> SavedPerturbation:
    """Return the saved perturbation in a folder, or raise BadData."""
    return SavedPerturbation(folder, _about(folder, PERTURBATION, PerturbationAbout))


def _about(folder: Path, form: str, kind: type[Any]) -> Any:
    path, what = folder / ABOUT, form.split("-")[1]
    try:
        if path.stat().st_size > _ABOUT_BYTES:
            raise BadData.at(path, None, "it is too large", _ADVICE)
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BadData.at(folder, None, f"this is no saved {what}", _ADVICE) from None
    if not isinstance(held, dict) or held.get("format") != form:
        raise BadData.at(folder, None, f"this is no saved {what}", _ADVICE)
    try:
        return kind.model_validate(held)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise BadData.at(path, None, f"{place}: {str(fault['msg']).lower()}", "make it again") from None


def check_target(out: Path, form: str) -> None:
    """Raise OutputRefused where `out` cannot be written, or holds something that would be lost."""
    if out.exists() and not out.is_dir():
        raise OutputRefused(f"{out} is a file; name a folder with --out")
    if out.is_dir() and any(out.iterdir()):
        try:
            load_system(out) if form == SYSTEM else load_perturbation(out)
        except BadData:
            raise OutputRefused(f"{out} is not empty and holds something else; name another folder") from None
        names = sorted(path.name for path in out.iterdir() if path.name not in (ABOUT, DELTA))
        others = [name for name in names if not re.match(_WEIGHTS, name)]
        if others:
            raise OutputRefused(f"{out} holds '{others[0]}', too, which would be lost; name another folder")
    nearest = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK):
        raise OutputRefused(f"{out} cannot be written (no permission for {nearest}); name another folder with --out")


@contextmanager
def whole_folder(out: Path, form: str) -> Iterator[Path]:
    """Yield a draft folder that replaces `out` at the end; nothing is left behind on failure."""
    check_target(out, form)
    out = out.absolute()
    draft, old = (out.with_name(f".{out.name}.{kind}-{uuid.uuid4().hex[:8]}") for kind in ("new", "old"))
    try:
        draft.mkdir(parents=True)
        yield draft
        if out.exists():
            out.rename(old)
        draft.rename(out)
    except OSError as error:
        if old.exists() and not out.exists():
            old.rename(out)
        raise OutputRefused(f"{out} cannot be written ({error.strerror or error}); name another with --out") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def describe(about: BaseModel, folder: Path) -> None:
    """Write the description into a folder."""
    (folder / ABOUT).write_text(about.model_dump_json(indent=1) + "\n", encoding="utf-8")
