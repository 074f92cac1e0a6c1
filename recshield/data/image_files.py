"""Image files of items, which may come from a stranger: found by name, bounded, decoded to RGB, resized."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from recshield.core import settings
from recshield.core.errors import BadData

#: Ending in lower case -> format.
ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_FORMATS = ("JPEG", "PNG", "WEBP")
_ADVICE = "replace the file, or count it as missing with --skip-bad-images"
#: What decoders raise on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, MemoryError, struct.error,
    zlib.error,
)  # fmt: skip


class BadImage(BadData):
    """An image file that cannot be used; says which and why."""

    def __init__(self, path: Path, wrong: str) -> None:
        super().__init__(f"{path}: {wrong}; {_ADVICE}")
        self.said = f"{path.name}: {wrong}"


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a folder, listed once; what an item is called never reaches the file system.

    Attributes:
        folder: that holds them.
        names: item id as text -> names of its files.
    """

    folder: Path
    names: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, folder: Path) -> ImageFiles:
        """Return the files of a folder that are called `<item id>` with an ending of `ENDINGS`.

        Raises:
            BadData: no such folder, or it cannot be read.
        """
        try:
            found = sorted(entry.name for entry in os.scandir(folder))
        except OSError as error:
            wrong = f"the folder of images cannot be read ({error.strerror})"
            raise BadData.at(folder, None, wrong, "name another folder with --images") from None
        held: dict[str, tuple[str, ...]] = {}
        for name in found:
            stem, ending = os.path.splitext(name)  # noqa: PTH122 - names, not paths
            if ending.lower() in ENDINGS:
                held[stem] = (*held.get(stem, ()), name)
        return cls(folder, held)

    def path(self, item: object) -> Path | None:
        """Return the file of an item, or None where there is none.

        Raises:
            BadData: the item has several.
        """
        names = self.names.get(str(item), ())
        if len(names) > 1:
            both = " and ".join(f"'{name}'" for name in names)
            raise BadData.at(self.folder, None, f"item {item} has several images, {both}", "leave one of them")
        return self.folder / names[0] if names else None

    def fingerprint(self) -> str:
        """Return a hash of the names and bytes of all files; a file that may not be read counts by its name."""
        total = hashlib.blake2b(digest_size=16)
        for name in sorted(name for names in self.names.values() for name in names):
            total.update(os.fsencode(name) + b"\0")
            try:
                total.update(hashlib.sha256(read_bytes(self.folder / name)).digest())
            except BadImage as error:
                total.update(os.fsencode(error.said))
        return total.hexdigest()


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file, or raise BadImage: a link out of its folder, no file, or too large."""
    real = path.resolve()
    if not real.is_relative_to(path.parent.resolve()):
        raise BadImage(path, "the link leads out of its folder")
    try:
        # Without blocking: a pipe called 12.jpg would wait for ever.
        number = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise BadImage(path, f"the file cannot be read ({error.strerror})") from None
    try:
        held = os.fstat(number)
        if not stat.S_ISREG(held.st_mode):
            raise BadImage(path, "this is no plain file")
        if held.st_size == 0:
            raise BadImage(path, "the file is empty")
        if held.st_size > settings.IMAGE_FILE_BYTES:
            raise BadImage(path, f"the file has {held.st_size} bytes, and at most {settings.IMAGE_FILE_BYTES} are read")
        with os.fdopen(number, "rb", closefd=False) as stream:
            return stream.read(settings.IMAGE_FILE_BYTES)
    finally:
        os.close(number)


def decode(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (height, width, 3) RGB of an image file: turned as its EXIF data say, alpha over white, resized.

    Args:
        path: its ending is one of `ENDINGS`.
        size: height and width.

    Raises:
        BadImage: corrupt, truncated, too large, or called by another format than it has.
    """
    held = read_bytes(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn of what is odd but can be read
        with _opened(path, held) as image:
            width, height = image.size
            if width * height > settings.IMAGE_PIXELS:
                wrong = f"the image has {width} x {height} pixels, and at most {settings.IMAGE_PIXELS} are unpacked"
                raise BadImage(path, wrong)
            wanted = ENDINGS[path.suffix.lower()]
            found = "JPEG" if image.format == "MPO" else image.format  # several JPEG images in one; the first counts
            if found != wanted:
                raise BadImage(path, f"the file is called {path.suffix} but holds a {found} image")
            try:
                return resize(to_rgb(ImageOps.exif_transpose(image)), size)
            except _DAMAGE as error:
                what = "truncated" if "truncated" in str(error) else "corrupt"
                raise BadImage(path, f"the image is {what} ({_reason(error)})") from None


def _opened(path: Path, held: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(held), formats=_FORMATS)
    except UnidentifiedImageError:
        raise BadImage(path, "this is no JPEG, PNG or WebP image") from None
    except Image.DecompressionBombError:
        raise BadImage(path, f"the image has too many pixels; at most {settings.IMAGE_PIXELS} are unpacked") from None
    except _DAMAGE as error:
        raise BadImage(path, f"the image is corrupt ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:100] or type(error).__name__


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB; what is transparent lies over white."""
    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip
        grey = (np.clip(np.asarray(image, dtype=np.int64), 0, 65_535) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    return image.convert("RGB")


def resize(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (height, width, 3) of an RGB image; it is left alone where it has this size already."""
    height, width = size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.uint8)


def resize_text(size: tuple[int, int]) -> str:
    """Return what `resize` does, for people."""
    return f"bicubic with antialiasing (Pillow) to {size[0]} x {size[1]} (height x width), aspect ratio not kept"
