"""Cloth for drawn garments: named colours, patterns and a canvas; whole numbers throughout."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

#: Side of the canvas, and how many of its pixels make one of the image.
SIDE, FINE = 256, 4
MIDDLE = SIDE // 2

Colour = tuple[int, int, int]
Point = tuple[int, int]

COLOURS: dict[str, Colour] = {
    "black": (52, 54, 62),
    "blue": (58, 112, 196),
    "brown": (134, 92, 62),
    "green": (66, 146, 92),
    "orange": (236, 132, 44),
    "pink": (240, 138, 172),
    "purple": (128, 84, 170),
    "red": (206, 48, 58),
    "white": (240, 238, 232),
    "yellow": (244, 204, 66),
}
PATTERNS = ("plain", "stripes", "checks", "dots", "zigzag")
#: Pale walls that the garments hang on.
WALLS: tuple[Colour, ...] = ((247, 243, 236), (236, 241, 246), (240, 245, 238), (246, 238, 240), (238, 236, 245))
INK: Colour = (38, 36, 48)

_Y, _X = np.indices((SIDE, SIDE))


def mix(one: Colour, other: Colour, percent: int) -> Colour:
    """Return `one` with so many percent of `other`."""
    red, green, blue = ((a * (100 - percent) + b * percent + 50) // 100 for a, b in zip(one, other, strict=True))
    return red, green, blue


def accent(colour: Colour) -> Colour:
    """Return the second colour of a pattern: pale on dark cloth, dark on pale cloth."""
    luma = (299 * colour[0] + 587 * colour[1] + 114 * colour[2]) // 1000
    return mix(colour, (40, 44, 66), 62) if luma > 165 else mix(colour, (255, 252, 244), 78)


@functools.cache
def weave(pattern: str, width: int) -> NDArray[np.uint8]:
    """Return (SIDE, SIDE) what a pattern shows whose unit is `width` canvas pixels: 0 cloth, 2 accent, 1 both."""
    held = np.zeros((SIDE, SIDE), dtype=np.int64)
    if pattern == "stripes":
        held = _Y // width % 2 * 2
    elif pattern == "checks":
        held = _X // width % 2 + _Y // width % 2
    elif pattern == "dots":
        step = 2 * width
        row = _Y // step
        across, down = (_X + row % 2 * width) % step - width, _Y % step - width
        held = np.where(across * across + down * down <= width * width * 36 // 100, 2, 0)
    elif pattern == "zigzag":
        held = (_Y + np.abs(_X % (4 * width) - 2 * width)) // width % 2 * 2
    return held.astype(np.uint8)


def _lit() -> NDArray[np.uint16]:
    """Return (SIDE, SIDE) brightness of 256 under light from the upper left."""
    across, down = _X - 104, _Y - 90
    return np.clip(262 - across * across // 260 - down * down // 900, 190, 256).astype(np.uint16)


_LIGHT = _lit()


def cloth(colour: Colour, pattern: str, width: int) -> Image.Image:
    """Return a lit canvas full of a pattern."""
    second = accent(colour)
    shown = np.array([colour, mix(colour, second, 50), second], dtype=np.uint16)
    held = weave(pattern, width)
    parts = [(shown[:, part][held] * _LIGHT >> 8).astype(np.uint8) for part in range(3)]
    return Image.merge("RGB", [Image.fromarray(part) for part in parts])


def bend(start: Point, towards: Point, end: Point, n_pieces: int = 10) -> list[Point]:
    """Return the points of a curve from `start` to `end` that is pulled towards a third point."""
    square = n_pieces * n_pieces
    made = []
    for i in range(n_pieces + 1):
        weights = ((n_pieces - i) ** 2, 2 * i * (n_pieces - i), i * i)
        x, y = (
            (sum(w * p[axis] for w, p in zip(weights, (start, towards, end), strict=True)) + square // 2) // square
            for axis in (0, 1)
        )
        made.append((x, y))
    return made


def both(half: Sequence[Point]) -> list[Point]:
    """Return an outline from its right half, given as distance from the middle and height."""
    return [(MIDDLE + x, y) for x, y in half] + [(MIDDLE - x, y) for x, y in reversed(half)]


def polygon(points: Sequence[Point]) -> Image.Image:
    """Return the mask of a polygon."""
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).polygon(list(points), fill=255)
    return mask


def ellipse(left: int, top: int, right: int, bottom: int) -> Image.Image:
    """Return the mask of an ellipse in a box."""
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).ellipse((left, top, right, bottom), fill=255)
    return mask


def box(left: int, top: int, right: int, bottom: int, round_by: int = 0) -> Image.Image:
    """Return the mask of a box, with round corners."""
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).rounded_rectangle((left, top, right, bottom), radius=round_by, fill=255)
    return mask


def less(mask: Image.Image, other: Image.Image) -> Image.Image:
    """Return what is in one mask and not in another."""
    return ImageChops.subtract(mask, other)


def within(mask: Image.Image, other: Image.Image) -> Image.Image:
    """Return what is in both masks."""
    return ImageChops.darker(mask, other)


def joined(*masks: Image.Image) -> Image.Image:
    """Return what is in any of some masks."""
    whole = masks[0]
    for mask in masks[1:]:
        whole = ImageChops.lighter(whole, mask)
    return whole


def grown(mask: Image.Image, by: int) -> Image.Image:
    """Return a mask that is larger by some pixels on every side."""
    slant = by * 7 // 10
    moves = [(by, 0), (-by, 0), (0, by), (0, -by), (slant, slant), (slant, -slant), (-slant, slant), (-slant, -slant)]
    return joined(mask, *(ImageChops.offset(mask, x, y) for x, y in moves))


@dataclass
class Canvas:
    """A picture that parts are put on, one over the other, each with an outline.

    Attributes:
        colour: of the garment.
        pattern: of its cloth.
        width: unit of the pattern in canvas pixels.
        wall: colour behind it.
    """

    colour: Colour
    pattern: str
    width: int
    wall: Colour
    picture: Image.Image = field(init=False)
    texture: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        self.picture = Image.new("RGB", (SIDE, SIDE), self.wall)
        self.texture = cloth(self.colour, self.pattern, self.width)

    @property
    def ink(self) -> Colour:
        """Colour of outlines and seams."""
        return mix(self.colour, INK, 68)

    @property
    def deep(self) -> Colour:
        """Colour of what lies in the shade."""
        return mix(self.colour, INK, 40)

    def shadow(self, left: int, top: int, right: int, bottom: int) -> None:
        """Put a shadow on the wall or the floor."""
        self.put(mix(self.wall, INK, 12), ellipse(left, top, right, bottom))

    def put(self, what: Colour | Image.Image, mask: Image.Image) -> None:
        """Put a colour or cloth where a mask is, without an outline."""
        place = mask.getbbox()
        if place is not None:
            self.picture.paste(what.crop(place) if isinstance(what, Image.Image) else what, place, mask.crop(place))

    def sewn(self, mask: Image.Image, shift: tuple[int, int] = (0, 0)) -> None:
        """Put a part of patterned cloth; `shift` moves the pattern, as on a piece that was cut elsewhere."""
        self.put(self.ink, grown(mask, 4))
        self.put(ImageChops.offset(self.texture, *shift) if shift != (0, 0) else self.texture, mask)

    def flat(self, mask: Image.Image, colour: Colour, outline: int = 4) -> None:
        """Put a part of one colour."""
        if outline:
            self.put(self.ink, grown(mask, outline))
        self.put(colour, mask)

    def seam(self, points: Sequence[Point], width: int = 4, colour: Colour | None = None) -> None:
        """Draw a line."""
        ImageDraw.Draw(self.picture).line(list(points), fill=colour or self.ink, width=width)

    def finished(self) -> NDArray[np.uint8]:
        """Return the picture as (SIDE / FINE, SIDE / FINE, 3)."""
        return np.asarray(self.picture.reduce(FINE), dtype=np.uint8)
