"""Write a run as one archive: tables, manifest, perturbations, weights and their hashes, the same bytes every time."""

from __future__ import annotations

import os
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path

from recshield import run
from recshield.bundles.about import (
    ABOUT,
    FORMAT,
    MEMBER,
    About,
    Extracted,
    Member,
    extraction_of,
    keep_cells,
    request_of,
)
from recshield.core.errors import BadData, OutputRefused
from recshield.folders import TrainFacts, Weights, digest_of
from recshield.matrix.store import Entry
from recshield.matrix.visuals import STATE
from recshield.run import MatrixRun, Prepared

#: Time of every member, so that the bytes do not depend on when they were written.
_TIME = (1980, 1, 1, 0, 0, 0)


def write(folder: Path, out: Path, data_dir: str | None = None) -> str:
    """Write the bundle of a saved run; its weights are taken from the cache.

    Args:
        folder: what `recshield matrix --out` wrote.
        out: archive to write; nothing is overwritten.
        data_dir: folder of the named data sets; default: the variable RECSHIELD_DATA.

    Returns:
        SHA-256 of the archive.

    Raises:
        BadData: no run, a changed one, or other data than it was measured on.
        OutputRefused: the archive cannot be written, or its weights are no longer in the cache.
    """
    if out.exists():
        raise OutputRefused(f"{out} is there already; name another file with --out")
    held = MatrixRun.load(folder)
    request = request_of(held.manifest, folder)
    prepared = run.prepare(**request.model_copy(update={"data_dir": data_dir}).request())
    if prepared.manifest["data"]["fingerprint"] != held.manifest["data"]["fingerprint"]:
        raise BadData.at(folder, None, "it was measured on other files", "name the same data with --data-dir")
    keep_cells(prepared.plan, set(held.results.steps["cell"]))
    trained, files = _weights(prepared, held)
    extracted, more = _extractors(prepared)
    files |= more
    files |= {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    _check_names(folder, files)
    about = About(
        format=FORMAT,
        request=request,
        dataset=prepared.plan.request.source.name,
        rows=[_need(prepared, key).facts["rows"] for key in prepared.plan.data_keys],
        trained=trained,
        extracted=extracted,
        files={name: Member(bytes=path.stat().st_size, sha256=digest_of(path)) for name, path in sorted(files.items())},
        versions=held.manifest["versions"],
    )
    _archive(out.absolute(), about, files)
    return digest_of(out)


def _weights(prepared: Prepared, held: MatrixRun) -> tuple[list[Weights], dict[str, Path]]:
    known = set(held.timings["step"])
    trained: list[Weights] = []
    files: dict[str, Path] = {}
    for step in prepared.plan.steps.values():
        if step.kind != "train":
            continue
        if step.key not in known:
            raise OutputRefused(f"'{step.label}' was run by another version of recshield; run the matrix again first")
        entry, name = _need(prepared, step.key), f"weights-{len(trained)}.safetensors"
        files[name] = entry.file("model.safetensors")
        facts = TrainFacts.model_validate(entry.facts)
        identity = step.spec["identity"]
        trained.append(Weights(identity=identity, file=name, digest=digest_of(files[name]), facts=facts))
    return trained, files


def _extractors(prepared: Prepared) -> tuple[list[Extracted], dict[str, Path]]:
    found: list[Extracted] = []
    files: dict[str, Path] = {}
    for step in prepared.plan.steps.values():
        if step.kind == "features":
            entry, images, name = _need(prepared, step.key), step.spec["images"], f"extractor-{len(found)}.safetensors"
            files[name] = entry.file(STATE)
            found.append(
                Extracted(
                    identity=extraction_of(prepared.plan, step),
                    file=name,
                    facts=entry.facts["facts"],
                    pipeline=entry.facts["hash"],
                    images=_need(prepared, images).facts["hash"],
                )
            )
    return found, files


def _need(prepared: Prepared, key: str) -> Entry:
    entry = prepared.store.get(key)
    if entry is None:
        label = prepared.plan.steps[key].label
        raise OutputRefused(f"'{label}' is no longer in the cache; run the matrix again first, with the same --out")
    return entry


def _check_names(folder: Path, files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        if MEMBER.fullmatch(name) is None or (path.is_symlink() and path.is_relative_to(folder)):
            raise BadData.at(folder, None, f"'{name}' is no file of a run", "take it away, or run the matrix again")


def _archive(out: Path, about: About, files: Mapping[str, Path]) -> None:
    draft = out.with_name(f".{out.name}.new-{uuid.uuid4().hex[:8]}")
    try:
        with zipfile.ZipFile(draft, "x", zipfile.ZIP_STORED) as archive:
            archive.writestr(_member(ABOUT), about.model_dump_json(indent=1, by_alias=True) + "\n")
            for name, path in sorted(files.items()):
                info = _member(name)
                info.file_size = path.stat().st_size  # large files need it before they are written
                with path.open("rb") as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        os.link(draft, out)  # unlike a rename, it never replaces
    except OSError as error:
        raise OutputRefused(f"{out} cannot be written ({error.strerror or error}); name another with --out") from None
    finally:
        draft.unlink(missing_ok=True)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.create_system, info.external_attr = 3, 0o100644 << 16  # a plain file, on every machine the same
    return info
