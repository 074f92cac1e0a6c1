"""Weights of pretrained networks: fetched from torchvision's address or read from a file, checked key by key."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch
from safetensors.torch import load_file
from torch import Tensor

from recshield.core.compiled import cache_folder
from recshield.core.errors import BadData, BadValue, FetchFailed
from recshield.core.settings import WEIGHTS_BYTES
from recshield.data.transfer import Patience, Silence, transfer

_FILE = "file:"
_KINDS = "weights=default, weights=train or weights=(file:PATH)"


def file_of(owner: str, weights: str) -> Path | None:
    """Return the path that `file:PATH` names; None for `default` and `train`.

    Raises:
        BadValue: anything else.
    """
    if weights in ("default", "train"):
        return None
    if not weights.startswith(_FILE) or weights == _FILE:
        raise BadValue(f"extractor '{owner}': weights '{weights}' is not known; write {_KINDS}")
    return Path(weights.removeprefix(_FILE)).expanduser()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file of weights.

    Raises:
        BadData: it is not there, or too large.
    """
    if not path.is_file():
        raise BadData.at(path, None, "there is no such file of weights", f"name one that is there, or write {_KINDS}")
    if path.stat().st_size > WEIGHTS_BYTES:
        allowed = f"at most {WEIGHTS_BYTES} are read"
        raise BadData.at(path, None, f"the file of weights has {path.stat().st_size} bytes", allowed)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetched(owner: str, address: str, patience: Patience | None = None) -> Path:
    """Return torchvision's file of weights from the cache folder, fetched where it is not there yet.

    Args:
        owner: extractor, for the error.
        address: its file name ends in the first digits of its SHA-256, as all of torchvision's do.
        patience: timeout and attempts.

    Raises:
        FetchFailed: it cannot be fetched, or is not what its name says.
    """
    name = PurePosixPath(urlsplit(address).path).name
    prefix = name.rpartition("-")[2].partition(".")[0]
    target = cache_folder() / "weights" / name
    if target.is_file() and digest_of(target).startswith(prefix):
        return target
    advice = f"fetch it elsewhere and put it at {target}, or write weights=train or weights=(file:PATH)"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        draft = Path(folder) / name
        try:
            digest = transfer(address, draft, WEIGHTS_BYTES, Silence(), patience or Patience())
        except FetchFailed as error:
            reason = str(error).partition(";")[0]
            raise FetchFailed(f"extractor '{owner}': its weights are not here: {reason}; {advice}") from None
        if not digest.startswith(prefix):
            raise FetchFailed(f"extractor '{owner}': {address} has the SHA-256 {digest}, not {prefix}...; {advice}")
        draft.replace(target)
    return target


def read(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a safetensors file or of a state dict that torch saved.

    Raises:
        BadData: not there, too large, or something else.
    """
    digest_of(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has errors of its own
        raise BadData.at(
            path, None, f"it cannot be read as weights ({type(error).__name__})", "give safetensors or a state dict"
        ) from None
    if not (isinstance(held, dict) and all(isinstance(one, Tensor) for one in held.values())):
        raise BadData.at(path, None, "it holds something else than named tensors", "give safetensors or a state dict")
    return {str(name): one for name, one in held.items()}


def fit_into(
    network: torch.nn.Module, whole: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path, ignored: str
) -> None:
    """Write weights into a network.

    Args:
        network: holds the first layers of the whole one, under the same names.
        whole: every weight of the whole network, for names and shapes.
        found: what was read.
        path: for the error.
        ignored: weights whose name starts so may be missing and have any shape.

    Raises:
        BadData: an unknown or missing name, a wrong shape, a value that is not finite.
    """
    own = network.state_dict()
    # Counts of batches are not read by anything, and old files lack them.
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    missing = [name for name in needed if name not in found]
    unknown = [name for name in found if name not in whole and not name.startswith(ignored)]
    shaped = [
        name
        for name in found
        if name in whole and not name.startswith(ignored) and found[name].shape != whole[name].shape
    ]
    for what, names in (("lacks", missing), ("holds the unknown", unknown), ("has another shape for", shaped)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise BadData.at(path, None, f"it {what} '{names[0]}'{more}", "give weights of the network that is named")
    if not all(bool(found[name].isfinite().all()) for name in needed):
        raise BadData.at(path, None, "it holds values that are not finite", "give weights of a trained network")
    network.load_state_dict({name: found.get(name, held) for name, held in own.items()})
