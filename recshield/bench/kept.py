"""The figures that benchmarks left on this machine, for estimates; a convenience that no result depends on."""

from __future__ import annotations

import contextlib
import hashlib
import json

from recshield.bench.figures import BenchFile, read, write
from recshield.bench.running import machine
from recshield.core.compiled import cache_folder
from recshield.core.errors import RecshieldError

#: Files of this many requests are looked at, the latest first.
_MOST = 200


def keep(found: BenchFile) -> None:
    """Keep figures beside those of the same request on this machine; later ones take the place of earlier ones.

    A folder that cannot be written to keeps nothing, and says nothing.
    """
    told = json.dumps([found.machine, found.request, found.size.model_dump()], sort_keys=True)
    path = cache_folder() / "bench" / f"{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}.json"
    named = {one.name for one in found.figures}
    with contextlib.suppress(RecshieldError, OSError):
        before = read(path).figures if path.is_file() else ()
        figures = (*(one for one in before if one.name not in named), *found.figures)
        write(found.model_copy(update={"figures": figures}), path)


def kept(device: str, threads: int) -> list[BenchFile]:
    """Return what was timed on this processor and device with so many threads."""
    here = machine(device)
    found = []
    with contextlib.suppress(OSError):
        paths = sorted(
            (cache_folder() / "bench").glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True
        )
        for path in paths[:_MOST]:
            with contextlib.suppress(RecshieldError):
                held = read(path)
                is_here = all(held.machine.get(key) == here[key] for key in ("processor", "device"))
                if is_here and held.request.get("threads") == str(threads):
                    found.append(held)
    return found
