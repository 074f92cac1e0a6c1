"""Drawings of garments and accessories: one function each, whose lengths and widths vary."""

from __future__ import annotations

from collections.abc import Callable

from recshield.data.fabrics import (
    MIDDLE,
    Canvas,
    Colour,
    Point,
    bend,
    both,
    box,
    ellipse,
    joined,
    less,
    mix,
    polygon,
    within,
)

#: From what varies and its lowest and highest value to a whole number.
Vary = Callable[[str, int, int], int]

_METAL: Colour = (206, 188, 128)
_PALE: Colour = (250, 248, 242)
_DARK: Colour = (58, 56, 66)


def _at(points: list[Point]) -> list[Point]:
    """Return points whose first number is a distance to the right of the middle."""
    return [(MIDDLE + x, y) for x, y in points]


def _top(canvas: Canvas, vary: Vary, bottom: int, sleeve: int, drop: int) -> tuple[int, int]:
    """Put sleeves and body of anything with both; return the half widths at shoulder and hem."""
    shoulder, body = vary("shoulder", 48, 58), vary("body", 40, 50)
    hem = body + vary("flare", -2, 10)
    reach = sleeve * 4 // 10 if sleeve < 80 else sleeve * 22 // 100
    for side in (1, -1):
        arm = [(shoulder - 6, 58), (shoulder + 4, 62), (shoulder + 22 + reach, 62 + sleeve)]
        arm += [(shoulder - 6 + reach, 72 + sleeve), (body - 8, 114)]
        canvas.sewn(polygon([(MIDDLE + side * x, y) for x, y in arm]), (9, 5))
    half = [(22, 46), (shoulder, 58), (body, 108), (hem, bottom - 4), (hem - 4, bottom)]
    canvas.sewn(polygon(both(half)))
    if drop:
        canvas.flat(polygon(both([(22, 45), (12, 45 + drop * 2 // 3), (0, 45 + drop)])), canvas.deep)
    else:
        canvas.flat(within(ellipse(MIDDLE - 24, 30, MIDDLE + 24, 62), box(0, 46, 255, 255)), canvas.deep)
    return shoulder, hem


def t_shirt(canvas: Canvas, vary: Vary) -> None:
    """Short sleeves; round or pointed neck."""
    _top(canvas, vary, vary("length", 190, 214), vary("sleeve", 34, 58), vary("neck", 0, 1) * 38)


def jumper(canvas: Canvas, vary: Vary) -> None:
    """Long sleeves, ribbed hem; sometimes a rolled neck."""
    bottom, sleeve = vary("length", 180, 204), vary("sleeve", 112, 128)
    _, hem = _top(canvas, vary, bottom, sleeve, 0)
    canvas.flat(box(MIDDLE - hem, bottom - 14, MIDDLE + hem, bottom + 4, 4), mix(canvas.colour, canvas.ink, 30))
    for x in range(MIDDLE - hem + 8, MIDDLE + hem - 4, 10):
        canvas.seam([(x, bottom - 12), (x, bottom + 2)], 2)
    if vary("neck", 0, 1):
        canvas.flat(box(MIDDLE - 24, 30, MIDDLE + 24, 54, 8), mix(canvas.colour, canvas.ink, 18))


def coat(canvas: Canvas, vary: Vary) -> None:
    """Long, open in front, with lapels, buttons and sometimes a belt."""
    bottom = vary("length", 206, 234)
    _, hem = _top(canvas, vary, bottom, vary("sleeve", 112, 128), 56)
    canvas.flat(polygon(both([(14, 46), (0, 96)])), _PALE, 2)
    for side in (1, -1):
        lapel = [(22, 44), (34, 62), (22, 70), (30, 76), (2, 118), (0, 98)]
        canvas.flat(polygon([(MIDDLE + side * x, y) for x, y in lapel]), mix(canvas.colour, canvas.ink, 22))
    canvas.seam([(MIDDLE, 116), (MIDDLE, bottom)])
    for y in range(128, bottom - 20, 26):
        canvas.flat(ellipse(MIDDLE + 8, y, MIDDLE + 16, y + 8), _METAL, 2)
    if vary("belt", 0, 1):
        canvas.flat(box(MIDDLE - hem + 2, 150, MIDDLE + hem - 2, 164), _DARK, 2)
        canvas.flat(box(MIDDLE - 10, 147, MIDDLE + 10, 167, 3), _METAL, 2)


def dress(canvas: Canvas, vary: Vary) -> None:
    """Narrow at the waist, wide at the hem; straps or short sleeves."""
    bottom, hem, waist = vary("length", 196, 236), vary("hem", 54, 86), vary("waist", 26, 34)
    if vary("sleeves", 0, 1):
        for side in (1, -1):
            arm = [(34, 48), (44, 52), (62, 84), (44, 92), (34, 80)]
            canvas.sewn(polygon([(MIDDLE + side * x, y) for x, y in arm]), (9, 5))
        top = [(20, 42), (44, 50), (40, 92)]
    else:
        top = [(24, 30), (32, 30), (38, 66), (42, 92)]
    skirt = bend((waist, 122), (waist + 8, 160), (hem, bottom - 6))
    canvas.sewn(polygon(both([*top, *skirt, *bend((hem, bottom - 6), (hem // 2, bottom + 6), (0, bottom + 4))])))
    depth = vary("neck", 62, 80)
    neck = both([(20, 28), (20, 48), *bend((20, 48), (16, depth), (0, depth))])
    canvas.put(canvas.wall, less(polygon(neck), box(0, 0, 255, 22)))
    canvas.seam(neck[1:-1])
    canvas.flat(box(MIDDLE - waist - 2, 117, MIDDLE + waist + 2, 128), mix(canvas.colour, canvas.ink, 45), 2)


def skirt(canvas: Canvas, vary: Vary) -> None:
    """A band, and cloth in folds; short to long, narrow to wide."""
    bottom, hem, waist = vary("length", 136, 222), vary("hem", 50, 92), vary("waist", 34, 42)
    edge = bend((hem, bottom), (hem // 2, bottom + 14), (0, bottom + 12))
    canvas.sewn(polygon(both([(waist, 60), *bend((waist + 4, 72), (waist + 12, 100), (hem, bottom)), *edge])))
    for share in (-2, -1, 0, 1, 2):
        x = MIDDLE + hem * share * 3 // 10
        canvas.seam([(MIDDLE + waist * share * 3 // 10, 92), (x, bottom - 4)], 3, canvas.deep)
    canvas.flat(box(MIDDLE - waist - 2, 50, MIDDLE + waist + 2, 66, 4), mix(canvas.colour, canvas.ink, 35))


def trousers(canvas: Canvas, vary: Vary) -> None:
    """Two legs, short to long, narrow to wide."""
    bottom = (vary("length", 148, 162), vary("length", 218, 234))[min(vary("kind", 0, 3), 1)]
    hip, foot = vary("hip", 46, 52), vary("foot", 14, 30)
    outer = hip + (foot - 18) * (bottom - 84) // 150
    inner = max(outer - 2 * foot, 6)
    half = [(38, 34), (hip, 84), (outer, bottom), (inner, bottom), (3, 112)]
    canvas.sewn(polygon(both(half)))
    canvas.seam([(MIDDLE, 48), (MIDDLE, 110)], 3)
    for side in (1, -1):
        canvas.seam([(MIDDLE + side * 22, 48), (MIDDLE + side * (hip - 6), 76)], 3)
    canvas.flat(box(MIDDLE - 40, 28, MIDDLE + 40, 44, 3), mix(canvas.colour, canvas.ink, 35))
    canvas.flat(box(MIDDLE - 7, 30, MIDDLE + 7, 42, 2), _METAL, 2)


def shoe(canvas: Canvas, vary: Vary) -> None:
    """From the side: a low shoe with laces and a sole of some height, or a pump with a heel."""
    if vary("kind", 0, 2) == 0:
        _pump(canvas, vary("heel", 30, 62))
        return
    high, sole = vary("ankle", 84, 118), vary("sole", 14, 26)
    canvas.shadow(22, 186, 238, 210)
    back = bend((34, 176), (24, 140), (38, high))
    tongue = bend((98, high - 8), (120, 138), (168, 142))
    canvas.sewn(polygon([*back, (76, high + 14), (98, high - 8), *tongue, *bend((168, 142), (232, 146), (232, 178))]))
    canvas.flat(
        within(ellipse(176, 138, 262, 222), polygon([(170, 130), (236, 130), (236, 178), (170, 178)])), _PALE, 2
    )
    canvas.flat(box(26, 176, 236, 176 + sole, 9), _PALE)
    for step in range(4):
        x, y = 108 + step * 15, high + (140 - high) * (step + 1) // 5
        canvas.seam([(x - 12, y + 12), (x + 8, y - 2)], 6, _PALE)


def _pump(canvas: Canvas, heel: int) -> None:
    ground = 200
    canvas.shadow(22, ground - 10, 238, ground + 12)
    canvas.flat(polygon([(34, ground - heel - 14), (62, ground - heel), (50, ground), (38, ground)]), canvas.deep)
    top = bend((30, ground - heel - 56), (112, ground - heel + 22), (172, ground - 40))
    toe = bend((172, ground - 40), (228, ground - 30), (236, ground))
    sole = bend((150, ground), (104, ground - 2), (64, ground - heel))
    canvas.sewn(polygon([*top, *toe, *sole, (32, ground - heel - 8)]))


def boot(canvas: Canvas, vary: Vary) -> None:
    """From the side: a shaft of some height, a heel, a sole."""
    top, wide, heel = vary("shaft", 30, 104), vary("wide", 34, 46), vary("heel", 8, 26)
    ground = 208
    canvas.shadow(36, ground - 8, 230, ground + 14)
    shaft = [(60, top), (60 + 2 * wide, top), (58 + 2 * wide, 138)]
    foot = [*bend((58 + 2 * wide, 138), (216, 146), (216, ground - heel)), (58, ground - heel), (62, 150)]
    canvas.sewn(polygon(shaft + foot))
    canvas.flat(box(54, ground - heel - 4, 220, ground - heel + 6, 4), _DARK)
    canvas.flat(box(56, ground - heel, 96, ground, 2), _DARK)
    canvas.flat(box(56, top - 4, 64 + 2 * wide, top + 10, 4), mix(canvas.colour, canvas.ink, 35))
    if vary("strap", 0, 1):
        canvas.flat(box(62, 146, 56 + 2 * wide, 158), _DARK, 2)
        canvas.flat(box(84, 143, 104, 161, 3), _METAL, 2)


def bag(canvas: Canvas, vary: Vary) -> None:
    """A handle, a body that widens, perhaps a flap with a clasp."""
    top, wide, grows = vary("top", 104, 128), vary("wide", 54, 80), vary("grows", -6, 18)
    rise, grip = vary("rise", 40, 76), vary("grip", 26, 42)
    canvas.shadow(26, 206, 230, 228)
    ring = less(
        ellipse(MIDDLE - grip, top - rise, MIDDLE + grip, top + rise),
        ellipse(MIDDLE - grip + 10, top - rise + 10, MIDDLE + grip - 10, top + rise - 10),
    )
    canvas.flat(within(ring, box(0, 0, 255, top + 4)), canvas.deep)
    low = min(wide + grows, 96)
    canvas.sewn(joined(polygon(both([(wide, top), (low, 206)])), box(MIDDLE - low, 196, MIDDLE + low, 216, 10)))
    if vary("flap", 0, 1):
        flap = both([(wide - 2, top), *bend((wide - 4, top + 34), (wide // 2, top + 54), (0, top + 52))])
        canvas.flat(polygon(flap), mix(canvas.colour, canvas.ink, 20))
        canvas.flat(ellipse(MIDDLE - 9, top + 40, MIDDLE + 9, top + 58), _METAL, 3)
    else:
        canvas.seam([(MIDDLE - wide + 6, top + 14), (MIDDLE + wide - 6, top + 14)], 4)


def hat(canvas: Canvas, vary: Vary) -> None:
    """A brim with a band, a woolly hat with a bobble, or a cap with a peak."""
    kind, high = vary("kind", 0, 2), vary("high", 60, 96)
    if kind == 0:
        brim, half = vary("brim", 84, 112), vary("half", 46, 56)
        canvas.sewn(ellipse(MIDDLE - brim, 142, MIDDLE + brim, 198), (11, 7))
        crown = [*bend((half - 12, 168 - high), (half, 168 - high), (half + 2, 164)), (0, 176)]
        canvas.sewn(polygon(both([(0, 174 - high), *crown])))
        canvas.flat(polygon(both([(half, 142), (half + 2, 164), (0, 176), (0, 154)])), canvas.ink, 0)
    elif kind == 1:
        middle = 176 - high * 13 // 10
        canvas.sewn(within(ellipse(56, middle, 200, 250), box(0, 0, 255, 172)))
        canvas.flat(box(50, 158, 206, 192, 12), mix(canvas.colour, canvas.ink, 25))
        for x in range(62, 200, 12):
            canvas.seam([(x, 162), (x, 188)], 3)
        canvas.flat(ellipse(MIDDLE - 22, middle - 26, MIDDLE + 22, middle + 18), mix(canvas.colour, _PALE, 40))
    else:
        canvas.sewn(within(ellipse(42, 160 - high, 190, 250), box(0, 0, 255, 164)))
        canvas.seam(bend((116, 162 - high), (104, 120), (110, 162)), 3)
        canvas.flat(
            polygon([*bend((108, 160), (200, 146), (238, 178)), *bend((238, 186), (180, 168), (108, 172))]), canvas.deep
        )
        canvas.flat(ellipse(108, 154 - high, 124, 166 - high), canvas.deep, 3)


def watch(canvas: Canvas, vary: Vary) -> None:
    """A strap, and a round or square face with two hands."""
    wide, face, hour = vary("strap", 20, 32), vary("face", 38, 54), vary("hour", 0, 3)
    canvas.sewn(box(MIDDLE - wide, 14, MIDDLE + wide, 242, 10))
    for y in range(202, 236, 12):
        canvas.flat(ellipse(MIDDLE - 4, y - 4, MIDDLE + 4, y + 4), canvas.ink, 0)
    frame = (_METAL, (188, 192, 200), canvas.deep)[vary("metal", 0, 2)]
    canvas.flat(box(MIDDLE + face, 120, MIDDLE + face + 12, 136, 3), frame, 3)
    is_round = vary("round", 0, 2) > 0
    dial = _PALE if vary("dial", 0, 2) else _DARK
    for size, colour in ((face, frame), (face - 9, dial)):
        place = (MIDDLE - size, MIDDLE - size, MIDDLE + size, MIDDLE + size)
        canvas.flat(ellipse(*place) if is_round else box(*place, 10), colour, 4 if size == face else 2)
    hands = mix(dial, _DARK if dial == _PALE else _PALE, 85)
    reach = face - 20
    x, y = ((0, -1), (1, 0), (0, 1), (-1, 0))[hour]
    canvas.seam([(MIDDLE, MIDDLE), (MIDDLE + x * reach * 6 // 10, MIDDLE + y * reach * 6 // 10)], 7, hands)
    canvas.seam([(MIDDLE, MIDDLE), (MIDDLE + reach * 7 // 10, MIDDLE - reach * 7 // 10)], 5, hands)
    canvas.flat(ellipse(MIDDLE - 5, MIDDLE - 5, MIDDLE + 5, MIDDLE + 5), hands, 0)


def scarf(canvas: Canvas, vary: Vary) -> None:
    """A loop around no neck, and two tails with fringes."""
    wide, low, long = vary("wide", 22, 32), vary("low", 150, 186), vary("long", 196, 224)
    for tail, end, lean in ((-26, low, -10), (24, long, 12)):
        x = MIDDLE + tail
        cut = [(x - wide + lean, end), (x + wide + lean, end)]
        for place in range(x - wide + lean + 2, x + wide + lean, 9):
            canvas.seam([(place, end), (place, end + 16)], 5, canvas.deep)
        canvas.sewn(polygon([(x - wide + 6, 92), (x + wide - 6, 92), cut[1], cut[0]]), (tail, 13))
    loop = less(ellipse(50, 24, 206, 128), ellipse(88, 34, 168, 82))
    canvas.flat(ellipse(84, 30, 172, 86), canvas.deep, 0)
    canvas.sewn(loop)
    canvas.sewn(box(MIDDLE - 24, 84, MIDDLE + 28, 130, 12), (17, 3))


#: Category -> its drawing.
GARMENTS: dict[str, Callable[[Canvas, Vary], None]] = {
    "bag": bag,
    "boot": boot,
    "coat": coat,
    "dress": dress,
    "hat": hat,
    "jumper": jumper,
    "scarf": scarf,
    "shoe": shoe,
    "skirt": skirt,
    "t-shirt": t_shirt,
    "trousers": trousers,
    "watch": watch,
}
