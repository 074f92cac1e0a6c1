"""A training and a test file side by side: user, item, rating, timestamp, separated by tabs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recshield.core.errors import BadData
from recshield.data.delimited import Column, read_columns
from recshield.data.plain import find
from recshield.data.table import Reader, Table

_PAIRS = (("train.rating", "test.rating"), ("trainingset.tsv", "testset.tsv"))
_ENDINGS = (".train.rating", ".test.rating")
_COLUMNS = (Column("user", 0), Column("item", 1), Column("rating", 2, is_whole=False), Column("timestamp", 3))


class SplitPair(Reader):
    """The split that the files give; a user's rows are in order of time, ties keep the order of the file."""

    name = "split-pair"
    description = (
        "[NAME.]train.rating + .test.rating, or trainingset.tsv + testset.tsv: user, item, rating, time (tabs)"
    )

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the pair at `path`, a folder or either file."""
        folder = path if path.is_dir() else path.parent
        for pair in (*_PAIRS, *_named_pairs(path)):
            found = tuple(find(folder, name) or folder / name for name in pair)
            if path.is_dir() and any(file.exists() for file in found):
                missing = [file.name for file in found if not file.exists()]
                if missing:
                    raise BadData.at(
                        folder, None, f"{missing[0]} is missing", f"this format needs both of {', '.join(pair)}"
                    )
                return found
            if path.name.removesuffix(".gz") in pair:
                return found
        return ()

    def read(self, files: tuple[Path, ...]) -> Table:
        """Return the rows of both files."""
        train, test = (read_columns(file, _COLUMNS, "\t") for file in files)
        joined = {key: np.concatenate([train[key], test[key]]) for key in train}
        is_test = np.zeros(len(joined["user"]), dtype=bool)
        is_test[len(train["user"]) :] = True
        return Table(
            joined["user"],
            joined["item"],
            joined["rating"].astype(np.float32),
            joined["timestamp"].astype(np.int64),
            is_test,
        )


def _named_pairs(path: Path) -> list[tuple[str, str]]:
    """Return the pairs `NAME.train.rating`, `NAME.test.rating` that a folder or a file of one stands for."""
    names = [file.name for file in path.iterdir()] if path.is_dir() else [path.name]
    plain = sorted({name.removesuffix(".gz") for name in names})
    starts = [name.removesuffix(ending) for name in plain for ending in _ENDINGS if name.endswith(ending)]
    found = list(dict.fromkeys((start + _ENDINGS[0], start + _ENDINGS[1]) for start in starts))
    if len(found) > 1:
        listed = ", ".join(pair[0] for pair in found[:10])
        raise BadData.at(path, None, f"several training files: {listed}", "name the file to read")
    return found
