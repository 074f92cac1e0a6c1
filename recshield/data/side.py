"""Side information of a data set's items as the user asks for it: where images and categories come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recshield.core import settings
from recshield.core.errors import BadData, BadValue
from recshield.data.image_store import ImageSource, read_size
from recshield.data.table import NamedData


@dataclass(frozen=True)
class Side:
    """What was asked for; empty = what the data set has of its own.

    Attributes:
        images: folder of `<item id>.jpg|jpeg|png|webp`.
        image_size: `HEIGHTxWIDTH` of the stored images.
        categories: file of the items' categories.
        skips_bad: a bad image counts as missing.
    """

    images: str = ""
    image_size: str = ""
    categories: str = ""
    skips_bad: bool = False

    def find_images(self, named: type[NamedData] | None, folder: Path | None) -> ImageSource | None:
        """Return where images come from, or None where there are none.

        Args:
            named: the data set, if it has a name.
            folder: of the named data set, None where it is generated.

        Raises:
            BadData: the folder is not there.
            BadSpec: a size that cannot be read.
            BadValue: a size out of bounds, or options of images where there are none.
        """
        own = named.image_size if named else None
        size = read_size(self.image_size) if self.image_size else own or settings.IMAGE_SIZE
        if self.images:
            return ImageSource.of_folder(_path(self.images, "images"), size, skips_bad=self.skips_bad)
        if named and folder and named.image_folder and (folder / named.image_folder).is_dir():
            return ImageSource.of_folder(folder / named.image_folder, size, skips_bad=self.skips_bad)
        if named and not named.folder and own:
            return ImageSource("", named.name, size, f"drawn:{named.name}", self.skips_bad)
        for is_given, option in ((self.image_size, "--image-size"), (self.skips_bad, "--skip-bad-images")):
            if is_given:
                raise BadValue(f"there are no images for {option}; name their folder with --images, or leave it out")
        return None

    def find_categories(self, named: type[NamedData] | None, folder: Path | None) -> str:
        """Return the absolute path of the file of categories, "" where there is none or the data set makes them."""
        if self.categories:
            return str(_path(self.categories, "categories").resolve())
        own = folder / named.category_file if named and folder and named.category_file else None
        return str(own.resolve()) if own and own.is_file() else ""


def _path(text: str, option: str) -> Path:
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError):  # a name too long, no such user, a zero byte
        raise BadData.at(text[:100], None, "this is no path", f"name another with --{option}") from None
    return path
