"""A generated shop of drawn garments, and users whose taste is for what can be seen."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recshield.core.seeds import number
from recshield.data.fabrics import COLOURS, PATTERNS, WALLS, Canvas, Colour
from recshield.data.garments import GARMENTS
from recshield.data.table import NamedData, Table

_SEED = 20_190_408
_USERS, _ITEMS = 1_200, 800
#: Least and most events of a user.
_EVENTS = (10, 33)
#: How strongly a user likes a first and a second category, colour and pattern.
_TASTE = {"category": (3.4, 2.4), "colour": (2.6, 1.8), "pattern": (1.8, 0.0)}
#: How much popularity weighs, and what nobody can see.
_POPULARITY, _HIDDEN = 0.5, 0.6


@dataclass(frozen=True)
class Garment:
    """What an item is."""

    category: str
    colour: str
    pattern: str


@functools.cache
def shop() -> tuple[Garment, ...]:
    """Return the garments: every category equally often, colours and patterns at random, plain ones more often."""
    made = []
    for item in range(_ITEMS):
        category = _pick(tuple(GARMENTS), item, len(GARMENTS))
        colour = _drawn(tuple(COLOURS), item, "colour")
        pattern = _drawn(("plain", *PATTERNS), item, "pattern")
        made.append(Garment(category, colour, pattern))
    return tuple(made)


def _pick(names: Sequence[str], item: int, n_names: int) -> str:
    """Return one of some names, shuffled anew for every round of items."""
    turn, place = divmod(item, n_names)
    order = sorted(range(n_names), key=lambda name: number(_SEED, turn, name, "order"))
    return names[order[place]]


def _drawn(names: Sequence[str], item: int, what: str) -> str:
    return names[number(_SEED, item, what) % len(names)]


def _vary(item: int, what: str, low: int, high: int) -> int:
    return low + number(_SEED, item, what) % (high - low + 1)


def _shade(item: int, colour: Colour) -> Colour:
    """Return a colour a little lighter, darker or otherwise, as no two dyes are the same."""
    light = _vary(item, "light", -12, 12)
    red, green, blue = (
        min(max(value + light + _vary(item, f"tint{place}", -8, 8), 20), 246) for place, value in enumerate(colour)
    )
    return red, green, blue


class SyntheticFashion(NamedData):
    """A shop of garments and accessories, and users who like categories, colours and patterns.

    A user's events are drawn without replacement from a softmax over how much the user likes the item's category,
    colour and pattern, its popularity (a Zipf law) and something that cannot be seen. So images say much about
    taste, and items that nobody has touched yet can be recommended by what they look like.
    """

    name = "synthetic-fashion"
    description = f"generated, {_USERS} users with taste, {_ITEMS} drawn garments in {len(GARMENTS)} categories"
    licence = "CC0-1.0"
    image_size = (64, 64)
    extractor = "smallcnn:epochs=20,width=0.5"

    def generate(self) -> Table:
        """Return the rows, in order of time within each user."""
        rng = np.random.default_rng(_SEED)
        scores = np.zeros((_USERS, _ITEMS))
        for what, weights in _TASTE.items():
            scores += self._liking(rng, what, weights)
        scores += -_POPULARITY * np.log1p(rng.permutation(_ITEMS))
        scores += _HIDDEN * rng.standard_normal((_USERS, 4)) @ rng.standard_normal((4, _ITEMS)) / 2
        # The k largest of score + Gumbel noise are k draws without replacement, in order.
        scores += rng.gumbel(size=scores.shape)
        lengths = rng.integers(*_EVENTS, size=_USERS)
        ranked = np.argsort(-scores, axis=1)[:, : lengths.max()]
        kept = np.arange(lengths.max()) < lengths[:, None]
        # In random order, so that the test row is not the least liked one.
        ranked = np.take_along_axis(ranked, np.argsort(np.where(kept, rng.random(ranked.shape), 2.0), axis=1), axis=1)
        users = np.repeat(np.arange(_USERS), lengths)
        times = np.concatenate([np.arange(length) for length in lengths])
        return Table(users, ranked[kept], np.ones(len(users), np.float32), times.astype(np.int64))

    def _liking(self, rng: np.random.Generator, what: str, weights: tuple[float, float]) -> NDArray[np.float64]:
        """Return (n_users, n_items) how much users like one attribute of items; a user has two favourites."""
        names = sorted({getattr(garment, what) for garment in shop()})
        place = np.array([names.index(getattr(garment, what)) for garment in shop()])
        taste = np.zeros((_USERS, len(names)))
        for weight in weights:
            taste[np.arange(_USERS), rng.integers(len(names), size=_USERS)] += weight
        liking: NDArray[np.float64] = taste[:, place]
        return liking

    def draw(self, item: int | str) -> NDArray[np.uint8]:
        """Return the (64, 64, 3) drawing of an item."""
        place = int(item)
        garment = shop()[place]
        canvas = Canvas(
            _shade(place, COLOURS[garment.colour]),
            garment.pattern,
            _vary(place, "unit", 13, 17),
            WALLS[_vary(place, "wall", 0, len(WALLS) - 1)],
        )
        GARMENTS[garment.category](canvas, functools.partial(_vary, place))
        return canvas.finished()

    def categories(self) -> dict[str, tuple[str, ...]]:
        """Return category, colour and pattern of each item."""
        return {
            str(item): (f"category:{made.category}", f"colour:{made.colour}", f"pattern:{made.pattern}")
            for item, made in enumerate(shop())
        }
