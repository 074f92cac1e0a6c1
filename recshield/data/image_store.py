"""The images of a catalogue as one memory-mapped array of one size, built once and resumed where it was stopped."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as pillow_version

from recshield.core import settings
from recshield.core.errors import BadData, BadSpec, BadValue
from recshield.core.registry import registry
from recshield.data.image_files import BadImage, ImageFiles, decode, resize, resize_text
from recshield.data.images import Images

IMAGES, THERE = "images.npy", "there.npy"
_NOTE = "progress.json"
_SHOWN = 5

Ids = NDArray[np.generic]
Draw = Callable[[Any], NDArray[np.uint8] | None]


@dataclass(frozen=True)
class ImageSource:
    """Where the images of a data set come from; JSON.

    Attributes:
        folder: absolute path of a folder of `<item id>.jpg|jpeg|png|webp`; "" = a generated data set draws them.
        drawn_by: name of that data set, else "".
        size: height and width of the stored images, to which every image is resized.
        fingerprint: hash of the files' names and bytes, or what draws them.
        skips_bad: a bad file counts as missing and does not stop the run.
    """

    folder: str
    drawn_by: str
    size: tuple[int, int]
    fingerprint: str
    skips_bad: bool = False

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> ImageSource:
        """Return the source whose fields a step's specification holds."""
        height, width = held["size"]
        return cls(held["folder"], held["drawn_by"], (height, width), held["fingerprint"], held["skips_bad"])

    @classmethod
    def of_folder(cls, folder: Path, size: tuple[int, int], *, skips_bad: bool = False) -> ImageSource:
        """Return the source of a folder as it is now, or raise BadData."""
        if not folder.is_dir():
            raise BadData.at(folder, None, "no such folder of images", "name another with --images")
        folder = folder.resolve()
        return cls(str(folder), "", size, ImageFiles.of(folder).fingerprint(), skips_bad)

    def content(self) -> dict[str, Any]:
        """Return what the images are, wherever they lie: for the key of a step."""
        return {
            "drawn_by": self.drawn_by, "size": list(self.size), "fingerprint": self.fingerprint,
            "skips_bad": self.skips_bad,
        }  # fmt: skip

    def are_there(self, item_ids: Ids) -> NDArray[np.bool_]:
        """Return (n_items,) whether each item has an image file."""
        if self.drawn_by:
            return np.ones(len(item_ids), dtype=bool)
        names = ImageFiles.of(Path(self.folder)).names
        return np.array([str(item) in names for item in item_ids], dtype=bool)

    def check_unchanged(self) -> None:
        """Raise BadData where the files are no longer those that the fingerprint was taken of."""
        if self.folder and ImageFiles.of(Path(self.folder)).fingerprint() != self.fingerprint:
            raise BadData.at(self.folder, None, "an image changed while it was read", "run the same command again")

    def drawer(self) -> Draw:
        """Return a function from an item id to its (height, width, 3) image, or None where it has none."""
        if self.drawn_by:
            drawn = registry().get("dataset", self.drawn_by)()
            return lambda item: resize(Image.fromarray(drawn.draw(item)), self.size)
        files = ImageFiles.of(Path(self.folder))

        def read(item: Any) -> NDArray[np.uint8] | None:
            path = files.path(item)
            return None if path is None else decode(path, self.size)

        return read


def read_size(text: str) -> tuple[int, int]:
    """Return height and width of `96x64`, or raise BadSpec or BadValue."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*x\s*(\d{1,6})\s*", text)
    if not match:
        raise BadSpec(f"image size '{text}' cannot be read; write HEIGHTxWIDTH, for example 96x64")
    size = int(match[1]), int(match[2])
    least, most = settings.IMAGE_SIDES
    if not all(least <= side <= most for side in size):
        raise BadValue(f"image size {size[0]}x{size[1]} is not allowed; both sides are from {least} to {most} pixels")
    return size


@dataclass
class _Note:
    """How far a store is: as many items are done, and what was found among them."""

    of: str
    n_done: int = 0
    n_bad: int = 0
    bad: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, of: str) -> _Note:
        """Return the note of an interrupted build of the very same store, else a fresh one."""
        try:
            held = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
            if held["of"] == of:
                return cls(**held)
        except (OSError, ValueError, TypeError, KeyError):
            pass
        return cls(of)

    def write(self, folder: Path) -> None:
        """Keep the note; it appears whole or not at all."""
        draft = folder / f"{_NOTE}.new"
        draft.write_text(json.dumps(vars(self)), encoding="utf-8")
        draft.replace(folder / _NOTE)


def build(
    source: ImageSource,
    item_ids: Ids,
    folder: Path,
    partial: Path,
    tell: Callable[[float], object] = float,
) -> dict[str, Any]:
    """Write the images of all items into a folder: `images.npy` and `there.npy`; return facts for people (JSON).

    Memory holds one image and small buffers. What is done stands in `partial`, so that a build that was killed goes
    on where it stopped, and gives the same bytes. One process at a time may use one `partial`.

    Args:
        source: of the images.
        item_ids: (n_items,) original ids, whose order is that of the array.
        folder: that gets the two files, on the file system of `partial`.
        partial: folder of unfinished work, made where it is not there; removed at the end.
        tell: is called with the share that is done, 0 to 1; by default nobody listens.

    Raises:
        BadData: two files for one item, no image at all, files that changed, or a bad file and not `skips_bad`.
    """
    partial.mkdir(parents=True, exist_ok=True)
    note = _Note.read(partial, _identity(source, item_ids))
    shapes = {IMAGES: (len(item_ids), *source.size, 3), THERE: (len(item_ids),)}
    if not note.n_done or not all(_fits(partial / name, shape) for name, shape in shapes.items()):
        note = _Note(note.of)
        open_memmap(partial / IMAGES, "w+", np.uint8, shapes[IMAGES])
        open_memmap(partial / THERE, "w+", np.bool_, shapes[THERE])
    draw = source.drawer()
    tell(note.n_done / max(len(item_ids), 1))
    while note.n_done < len(item_ids):
        _write_some(draw, item_ids[note.n_done : note.n_done + settings.IMAGE_NOTES], partial, note, source.skips_bad)
        note.write(partial)
        tell(note.n_done / len(item_ids))
    source.check_unchanged()
    n_images = int(np.load(partial / THERE, mmap_mode="r").sum())
    if not n_images and not note.n_bad:
        wanted = "files are called <item id> and end in .jpg, .jpeg, .png or .webp"
        raise BadData.at(source.folder, None, f"none of the {len(item_ids)} items has an image here", wanted)
    for name in shapes:
        shutil.move(partial / name, folder / name)
    shutil.rmtree(partial, ignore_errors=True)
    return _facts(source, folder, n_images, len(item_ids), note)


def _identity(source: ImageSource, item_ids: Ids) -> str:
    total = hashlib.blake2b(json.dumps([source.content(), _decoder()]).encode(), digest_size=16)
    total.update("\0".join(str(item) for item in item_ids).encode(errors="surrogateescape"))
    return total.hexdigest()


def _fits(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r", allow_pickle=False).shape == shape)
    except (OSError, ValueError, EOFError):
        return False


def _write_some(draw: Draw, items: Ids, partial: Path, note: _Note, skips_bad: bool) -> None:
    """Write the images of the next items; the maps are opened anew, so that pages written before leave memory."""
    pixels, there = open_memmap(partial / IMAGES, "r+"), open_memmap(partial / THERE, "r+")
    for place, item in enumerate(items, start=note.n_done):
        try:
            image = draw(item)
        except BadImage as error:
            if not skips_bad:
                raise
            image = None
            note.n_bad += 1
            if note.n_bad <= _SHOWN:
                note.bad.append(error.said)
        pixels[place] = settings.IMAGE_FALLBACK if image is None else image
        there[place] = image is not None
    pixels.flush()
    there.flush()
    note.n_done += len(items)


def _facts(source: ImageSource, folder: Path, n_images: int, n_items: int, note: _Note) -> dict[str, Any]:
    n_missing, grey = n_items - n_images, settings.IMAGE_FALLBACK
    said = f"{n_images} of {n_items} items have an image"
    if n_missing:
        said += f"; {n_missing} have none" + (f", {note.n_bad} of them a bad file" if note.n_bad else "")
        said += f", and are shown as mid-grey {grey}"
    return {
        "n_images": n_images,
        "n_missing": n_missing,
        "n_bad": note.n_bad,
        "bad": note.bad,
        "fallback": f"grey {grey} of 255",
        "resize": resize_text(source.size),
        "decoder": "none, drawn" if source.drawn_by else _decoder(),
        "hash": _hash(folder),
        "said": said,
    }


def _decoder() -> str:
    """Return what turns files into pixels; another JPEG library may differ by a grey level."""
    found: Sequence[str] = [f"{name} {features.version(name)}" for name in ("libjpeg_turbo", "zlib", "webp")]
    return ", ".join([f"Pillow {pillow_version}", *found])


def _hash(folder: Path) -> str:
    total = hashlib.blake2b(digest_size=16)
    for name in (IMAGES, THERE):
        with (folder / name).open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def load(folder: Path) -> Images:
    """Return the images that `build` wrote, memory-mapped.

    Raises:
        BadData: a file is not there, or is no such array.
    """
    advice = "build the images again"
    try:
        pixels = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        there = np.load(folder / THERE, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadData.at(folder, None, f"the images cannot be read ({str(error)[:100]})", advice) from None
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise BadData.at(folder / IMAGES, None, f"an array of {pixels.dtype} {pixels.shape} holds no images", advice)
    if there.dtype != np.bool_ or there.shape != pixels.shape[:1]:
        wrong = f"an array of {there.dtype} {there.shape} does not fit {len(pixels)} images"
        raise BadData.at(folder / THERE, None, wrong, advice)
    return Images(pixels, np.array(there))
