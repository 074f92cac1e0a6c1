"""Charts as Vega-Lite specifications, their data inside; pictures are made of them by the formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

#: Colours by what they are for; the page swaps the neutral ones in the dark.
INK, MUTED, GRID, ACCENT = "#1c2126", "#5b6570", "#dfe3e7", "#2a5b8c"
#: Told apart by readers with any colour vision (Okabe and Ito 2008), dark enough for thin lines.
SERIES = ("#0072b2", "#d55e00", "#008f68", "#a8518a", "#8a6d00", "#3d8fc4", "#5a4fb0", "#7a3b1e")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
REFERENCE = "#6b7580"
FONT = "Helvetica Neue, Helvetica, Arial, sans-serif"

Rows = Sequence[dict[str, Any]]


def _finished(chart: Any, width: int, height: int | None) -> dict[str, Any]:
    axis = {
        "labelColor": MUTED, "titleColor": MUTED, "gridColor": GRID, "domainColor": GRID, "tickColor": GRID,
        "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "titlePadding": 8, "labelLimit": 200,
    }  # fmt: skip
    legend = {
        "labelColor": INK, "titleColor": MUTED, "labelFontSize": 11, "titleFontSize": 11, "orient": "bottom",
        "titleFontWeight": "normal", "symbolOpacity": 1, "labelLimit": 150, "columnPadding": 14,
    }  # fmt: skip
    sized = chart.properties(width=width) if height is None else chart.properties(width=width, height=height)
    made: dict[str, Any] = (
        sized.configure(background="transparent", font=FONT, padding={"left": 10, "right": 10, "top": 6, "bottom": 4})
        .configure_axis(**axis)
        .configure_legend(**legend)
        .configure_view(stroke=None)
        .to_dict()
    )
    return made


def _series(names: Sequence[str], references: Sequence[str]) -> tuple[list[str], list[list[int]], list[str]]:
    """Return colours, dashes and shapes of series; references are grey and dashed."""
    colours, dashes, shapes = [], [], []
    place = 0
    for name in names:
        if name in references:
            colours.append(REFERENCE)
            dashes.append([3, 3])
            shapes.append("square")
            continue
        colours.append(SERIES[place % len(SERIES)])
        dashes.append(DASHES[place // len(SERIES) % len(DASHES)])
        shapes.append(SHAPES[place % len(SHAPES)])
        place += 1
    return colours, dashes, shapes


def standing(rows: Rows, kinds: Sequence[str], metric: str, top: float) -> dict[str, Any]:
    """Return systems as lines from what is left under attack to the clean figure.

    Args:
        rows: `system`, `kind` and `value`, systems in order.
        kinds: all four, in the order of the legend, the clean figure first; each looks the same in every picture.
        metric: title of the axis.
        top: largest value of all pictures that stand side by side.
    """
    frame = pd.DataFrame(list(rows))
    systems = list(dict.fromkeys(frame["system"]))
    y = alt.Y("system:N", sort=systems, title=None, axis=alt.Axis(grid=False, ticks=False, domain=False, labelColor=INK,
              labelFontSize=12, labelPadding=10))  # fmt: skip
    span = frame.groupby("system", sort=False)["value"].agg(["min", "max"]).reset_index()
    ticks = alt.Axis(tickCount=6, domain=False, ticks=False)
    line = alt.Chart(span).mark_rule(stroke=GRID, strokeWidth=5, strokeCap="round")
    line = line.encode(
        y=y, x=alt.X("min:Q", title=metric, scale=alt.Scale(domain=[0, top], nice=True), axis=ticks), x2="max:Q"
    )
    looks = zip(
        kinds, (INK, REFERENCE, SERIES[1], "#8c2d04"), ("circle", "square", "diamond", "triangle-left"), strict=True
    )
    domain, colours, shapes = zip(*(look for look in looks if look[0] in set(frame["kind"])), strict=True)
    legend = alt.Legend(columns=2)
    points = alt.Chart(frame[::-1]).mark_point(filled=True, size=110, opacity=1, strokeWidth=2.5).encode(
        y=y,
        x="value:Q",
        color=alt.Color("kind:N", title=None, scale=alt.Scale(domain=domain, range=colours)),
        shape=alt.Shape("kind:N", title=None, scale=alt.Scale(domain=domain, range=shapes), legend=legend),
    )  # fmt: skip
    return _finished(alt.layer(line, points), 380, max(34 * len(systems), 60))


def lines(
    rows: Rows, names: Sequence[str], references: Sequence[str], x: str, y: str, is_share: bool
) -> dict[str, Any]:
    """Return a line per name with its band.

    Args:
        rows: `name`, `x`, `y`, `low` and `high`.
        names: every series, in the order of its colours (the same in all panels).
        references: series drawn grey and dashed.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        is_share: whether values are shares, shown as percentages.
    """
    frame = pd.DataFrame(list(rows))
    colours, dashes, shapes = _series(names, references)
    shown = [place for place, name in enumerate(names) if name in set(frame["name"])]

    def scale(values: Sequence[Any]) -> Any:
        return alt.Scale(domain=[names[place] for place in shown], range=[values[place] for place in shown])

    base = alt.Chart(frame).encode(x=alt.X("x:Q", title=x, axis=alt.Axis(grid=False, tickCount=5)))
    y_axis = alt.Axis(format=".0%" if is_share else ".3~g", tickCount=5, domain=False, ticks=False)
    colour = alt.Color(
        "name:N", title=None, scale=scale(colours), legend=alt.Legend(columns=5, symbolStrokeWidth=0)
    )  # no dashed rim
    dash = alt.StrokeDash("name:N", title=None, scale=scale(dashes))
    shape = alt.Shape("name:N", title=None, scale=scale(shapes))
    y_scale = alt.Scale(zero=True, nice=True)
    band = base.mark_area(opacity=0.14).encode(y=alt.Y("low:Q", title=y, axis=y_axis, scale=y_scale), y2="high:Q",
                                                color=colour)  # fmt: skip
    drawn = base.mark_line(strokeWidth=2).encode(y=alt.Y("y:Q", title=y), color=colour, strokeDash=dash)
    points = base.mark_point(filled=True, size=46, opacity=1).encode(y="y:Q", color=colour, shape=shape)
    return _finished(alt.layer(band, drawn, points), 330, 220)


def front(rows: Rows, metric: str, under: str) -> dict[str, Any]:
    """Return systems by clean figure and figure under attack, and the front of those that none beats in both.

    Args:
        rows: `system`, `clean`, `attacked` and `is_front`.
        metric: main metric.
        under: what the attacked figure is under.
    """
    frame = pd.DataFrame(list(rows))
    x = alt.X("clean:Q", title=f"clean {metric}", scale=alt.Scale(zero=False, nice=True, padding=24),
              axis=alt.Axis(grid=True, tickCount=5, domain=False, ticks=False))  # fmt: skip
    y = alt.Y("attacked:Q", title=under, scale=alt.Scale(zero=False, nice=True, padding=18),
              axis=alt.Axis(tickCount=5, domain=False, ticks=False))  # fmt: skip
    on = frame[frame["is_front"]].sort_values("clean")
    steps = alt.Chart(on).mark_line(stroke=ACCENT, strokeWidth=1.5, strokeDash=[4, 3], interpolate="step-before")
    base = alt.Chart(frame)
    shape = alt.Shape("standing:N", title=None, scale=alt.Scale(domain=["on the front", "beaten in both"],
                      range=["circle", "cross"]))  # fmt: skip
    colour = alt.Color("standing:N", title=None, scale=alt.Scale(domain=["on the front", "beaten in both"],
                       range=[ACCENT, REFERENCE]))  # fmt: skip
    frame["standing"] = ["on the front" if one else "beaten in both" for one in frame["is_front"]]
    base = alt.Chart(frame)
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, shape=shape, color=colour)
    text = base.mark_text(align="center", baseline="bottom", dy=-9, fontSize=11, color=INK, limit=150)
    named = text.encode(x=x, y=y, text="system:N")
    return _finished(alt.layer(steps.encode(x=x, y=y), points, named), 330, 240)


def spread(rows: Rows, title: str) -> dict[str, Any]:
    """Return the middle half and the middle 90 % of how ranks move, one line per attack.

    Args:
        rows: `attack`, `p5`, `p25`, `p50`, `p75` and `p95`: rank after over rank before.
        title: of the axis.
    """
    frame = pd.DataFrame(list(rows))
    y = alt.Y("attack:N", sort=list(frame["attack"]), title=None,
              axis=alt.Axis(grid=False, ticks=False, domain=False, labelColor=INK, labelFontSize=12))  # fmt: skip
    scale = alt.Scale(type="log", base=2, nice=True)
    axis = alt.Axis(tickCount=6, labelExpr="datum.value >= 1 ? '\N{MULTIPLICATION SIGN} ' + format(datum.value, '~g') "
                    ": '\N{MULTIPLICATION SIGN} ' + format(datum.value, '.2~g')",
                    labelOverlap="greedy", labelSeparation=10)  # fmt: skip
    base = alt.Chart(frame).encode(y=y)
    low = alt.X("p5:Q", title=title, scale=scale, axis=axis)
    whole = base.mark_rule(stroke=REFERENCE, strokeWidth=1.5).encode(x=low, x2="p95:Q")
    half = base.mark_rule(stroke=ACCENT, strokeWidth=8, opacity=0.55).encode(x=alt.X("p25:Q", scale=scale), x2="p75:Q")
    middle = base.mark_tick(color=INK, thickness=2.5, size=16).encode(x=alt.X("p50:Q", scale=scale))
    still = alt.Chart(pd.DataFrame({"x": [1.0]})).mark_rule(stroke=MUTED, strokeDash=[2, 3]).encode(
        x=alt.X("x:Q", scale=scale)
    )  # fmt: skip
    return _finished(alt.layer(still, whole, half, middle), 330, max(26 * len(frame), 52))
