"""What a benchmark found, and its file."""

from __future__ import annotations

import contextlib
import json
import statistics
import uuid
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recshield.core.errors import BadData, OutputRefused

#: A file larger than this is none of ours.
_LARGEST = 16 * 2**20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Size(_Strict):
    """How large data is.

    Attributes:
        users: number of users.
        items: number of items.
        rows: training rows.
    """

    users: int = Field(ge=1)
    items: int = Field(ge=1)
    rows: int = Field(ge=1)


class TimedPart(_Strict):
    """A model, defense, attack or extractor of timed work, with every option."""

    name: str
    target: str = ""
    options: dict[str, bool | int | float | str | None]


class Figure(_Strict):
    """One piece of work.

    Attributes:
        kind: `train`: one epoch with its sampling; `attack`: one perturbation; `rank`: a full ranking of all evaluated
            users; `extract`: the features of all images.
        system: as asked for.
        attack: with its budget; "" where nothing is attacked.
        parts: model, defenses that act in its training, then the attack; or the extractor alone.
        seconds: one per repeat.
        examples: training rows, pairs of the goal, users or images that one repeat handles.
        floor: seconds of the roofline for what is moved and computed; 0 = not known.
        peak_host_bytes: of the process.
        peak_device_bytes: of the CUDA device.
    """

    kind: Literal["train", "attack", "rank", "extract"]
    system: str
    attack: str = ""
    parts: tuple[TimedPart, ...] = ()
    seconds: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    examples: int = Field(ge=0)
    floor: float = Field(ge=0)
    peak_host_bytes: int = Field(ge=0)
    peak_device_bytes: int = Field(ge=0)

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is compared by."""
        return self.kind, self.system, self.attack

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the range of the repeats over the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median if self.median else 0.0

    @property
    def rate(self) -> float:
        """Examples per second."""
        return self.examples / self.median if self.median else 0.0

    @property
    def share(self) -> float:
        """Share of the roofline: its seconds over the median; 0 = not known."""
        return self.floor / self.median if self.median else 0.0


class BenchFile(_Strict):
    """Everything that one benchmark found.

    Attributes:
        format: of the file.
        machine: processor, system, device and versions.
        request: data set, budget, threads, repeats and what else was asked for.
        size: of the data.
        bytes_per_s: of a copy.
        flops_per_s: of a matrix product.
        figures: in the order in which they were timed.
        skipped: what could not be timed, and why.
    """

    format: Literal["recshield-bench-1"] = "recshield-bench-1"
    machine: dict[str, str]
    request: dict[str, str]
    size: Size
    bytes_per_s: float = Field(ge=0)
    flops_per_s: float = Field(ge=0)
    figures: tuple[Figure, ...]
    skipped: tuple[str, ...] = ()


def write(found: BenchFile, path: Path) -> None:
    """Write the file, whole or not at all; raise OutputRefused where it cannot be written."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(found.model_dump(), indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        why = error.strerror or error
        raise OutputRefused(f"{path} cannot be written ({why}); name another file with --out") from None


def read(path: Path) -> BenchFile:
    """Return what a file holds.

    Raises:
        BadData: it is missing, too large, or not such a file.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise BadData.at(path, None, "the file is larger than 16 MiB", "name a file of `recshield bench --out`")
        return BenchFile.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        wrong = f"the file cannot be read ({error.strerror})"
        raise BadData.at(path, None, wrong, "name a file of `recshield bench --out`") from None
    except (ValidationError, UnicodeDecodeError):
        raise BadData.at(path, None, "this is no benchmark", "name a file of `recshield bench --out`") from None
