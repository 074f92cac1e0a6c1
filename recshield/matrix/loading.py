"""Where steps run, and the rows that a data step left behind."""

from __future__ import annotations

from dataclasses import dataclass

from safetensors.numpy import load_file

from recshield.data.categories import Categories
from recshield.data.ids import unpack
from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.matrix.store import Entry


@dataclass(frozen=True)
class Context:
    """Where steps run."""

    device: str = "cpu"
    threads: int = 1


def load_data(entry: Entry) -> tuple[Dataset, HeldOut]:
    """Return the training rows and the test rows of a data step."""
    held = load_file(entry.file("data.safetensors"))
    train = Interactions(held["indptr"], held["items"], entry.facts["n_items"], held.get("negatives"))
    info = DataInfo(entry.facts["name"], train.n_users, train.n_items, len(train))
    test = HeldOut(held["test_users"], held["test_indptr"], held["test_items"])
    categories = None
    if "categories" in held:
        categories = Categories(tuple(entry.facts["categories"]), held["categories"].astype(bool))
    return Dataset(info, train, unpack("user_ids", held), unpack("item_ids", held), categories), test
