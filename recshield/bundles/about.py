"""What a bundle says about itself: the request, the weights by their training, and the hash of every file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recshield.config import MatrixConfig
from recshield.core.errors import BadData
from recshield.folders import Weights
from recshield.matrix.plan import Plan, Step

FORMAT = "recshield-bundle-1"
ABOUT = "bundle.json"
_TABLES = ("results", "per_user", "steps", "timings", "curves", "verdicts", "pictures")
#: Every name that a member can have; nothing else is ever written to disk.
MEMBER = re.compile(
    rf"(?:bundle\.json|manifest\.json|(?:{'|'.join(_TABLES)})\.parquet"
    r"|pictures/(?:clean|[0-9a-f]{12})-\d{1,10}\.png"
    r"|perturbations/[0-9a-f]{12}\.safetensors|(?:weights|extractor)-\d{1,4}\.safetensors)"
)
#: Largest description that is read, in bytes.
ABOUT_BYTES = 64 * 1024**2
_THREADS = 256


class Member(BaseModel):
    """Size and hash of one file."""

    model_config = ConfigDict(extra="forbid")

    bytes: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Extracted(BaseModel):
    """The weights of one extractor, what its step noted, and the hash of the images that it saw."""

    model_config = ConfigDict(extra="forbid")

    identity: str
    file: Annotated[str, Field(pattern=r"^extractor-\d{1,4}\.safetensors$")]
    facts: dict[str, Any]
    pipeline: str
    images: str


class About(BaseModel):
    """The description in a bundle; `rows` is the hash of training and test rows, one per fold."""

    model_config = ConfigDict(extra="forbid")

    format: str
    request: MatrixConfig
    dataset: str
    rows: list[str]
    trained: list[Weights]
    extracted: list[Extracted] = []
    files: dict[str, Member]
    versions: dict[str, str]


def read(path: Path, archive: Path) -> About:
    """Return the description in an unpacked bundle.

    Raises:
        BadData: it is none of this version.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise BadData.at(archive, None, f"its {ABOUT} cannot be read", "give what `recshield bundle` wrote") from None
    found = held.get("format") if isinstance(held, dict) else None
    if found != FORMAT:
        raise BadData.at(archive, None, f"its format is {found!r}", f"this version reads {FORMAT}")
    try:
        about = About.model_validate(held)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise BadData.at(archive, None, f"{place}: {str(fault['msg']).lower()}", "bundle the run again") from None
    if not 1 <= about.request.threads <= _THREADS:
        wrong = f"its request asks for {about.request.threads} threads"
        raise BadData.at(archive, None, wrong, f"at most {_THREADS} are used")
    return about


def extraction_of(made: Plan, step: Step) -> str:
    """Return what says which features a step extracts, whatever code and machine it runs with."""
    fold = made.data_keys.index(step.spec["data"])
    return json.dumps([step.spec["extractor"], step.spec["data_seed"], fold], sort_keys=True, default=str)


def request_of(manifest: dict[str, Any], folder: Path) -> MatrixConfig:
    """Return the request in a run's manifest.

    Raises:
        BadData: it holds none.
    """
    held = dict(manifest.get("request", {}))
    held["columns"] = ",".join(held.get("columns", ()))
    try:
        return MatrixConfig.model_validate(held)
    except (ValidationError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BadData.at(folder / "manifest.json", None, f"no request ({reason})", "run the matrix again") from None


def keep_cells(made: Plan, cells: set[str]) -> None:
    """Leave in a plan the given cells, and the steps that they are made of."""
    made.cells = [cell for cell in made.cells if cell.id in cells]
    waiting = [key for cell in made.cells for key in _steps(made, cell.id)] + list(made.data_keys)
    kept: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in kept:
            kept.add(key)
            waiting += made.steps[key].parents
    made.steps = {key: step for key, step in made.steps.items() if key in kept}


def _steps(made: Plan, cell: str) -> list[str]:
    behind, own = made.steps_of[cell], not made.members[cell]
    # A train step behind a defense that only serves is a parent of the measure step.
    return [key for key in (behind.train, behind.attack if own else "", behind.measure if own else "") if key]
