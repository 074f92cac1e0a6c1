"""APGD against the figures and the algorithm of Croce and Hein 2020 (AutoAttack), in one dimension."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from recshield.core.interfaces import Goal
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Surface
from recshield_gradient import APGD
from recshield_gradient.auto import checkpoints

SURFACE = Surface("line", (1, 1), Budget("linf", 1.0))
#: Value of the k-th call at x, and its gradient.
Function = Callable[[int, float], tuple[float, float]]


class Line:
    """A victim with one number; notes every point at which it is asked."""

    surfaces, goal = (SURFACE,), Goal()

    def __init__(self, function: Function) -> None:
        self.function, self.points, self.values = function, [], []
        self.rows = {"line": torch.zeros(1, dtype=torch.long)}

    def zeros(self) -> dict[str, torch.Tensor]:
        return {"line": torch.zeros((1, 1))}

    def legal(self, delta):
        return dict(delta)

    def ascend(self, delta: dict[str, torch.Tensor], loss: str = "") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        x = float(delta["line"])
        value, slope = self.function(len(self.points), x)
        self.points.append(x)
        self.values.append(value)
        return torch.tensor(value, dtype=torch.float64), {"line": torch.tensor([[slope]])}


def points(function: Function, steps: int) -> tuple[list[float], float, Line]:
    line = Line(function)
    found = APGD(steps=steps).perturb(line, Budget("linf", 1.0), generator(0, "x"))
    return line.points, float(found["line"]), line


def tent(_: int, x: float) -> tuple[float, float]:
    """Return -|x - 1/4| and its slope: the gradient flips its sign at 1/4."""
    return -abs(x - 0.25), 1.0 if x < 0.25 else -1.0


def test_the_checkpoints_of_100_steps_are_those_published() -> None:
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


def test_the_step_is_halved_at_checkpoints_as_by_hand() -> None:
    """Ten steps look at 3, 5, 6, 7, ...; the step is 2, then 1 after the look at 3, then 1/2 after the look at 5.

    x1 = P(2) = 1;  x2 = 1 + 3/4 (-1 - 1) + 1/4 (1 - 0) = -1/4;  x3 = -1/4 + 3/4 (1 + 1/4) + 1/4 (-1/4 - 1) = 3/8,
    the best so far; 2 of 3 steps rose, less than 3/4: from x3 on with step 1.
    x4 = 3/8 - 3/4 + 1/4 (3/8 + 1/4) = -7/32;  x5 = -7/32 + 3/4 + 1/4 (-7/32 - 3/8) = 49/128; 1 of 2 rose: from x3 on
    with step 1/2.  x6 = 3/8 - 3/8 + 1/4 (3/8 + 7/32) = 19/128, the best; it rose: the step stays.
    x7 = 19/128 + 3/8 + 1/4 (19/128 - 3/8): the step before it led from x3 to x6.
    """
    asked, _, _ = points(tent, 10)
    assert checkpoints(10) == [0, 3, 5, 6, 7, 8, 9, 10]
    assert asked[:7] == pytest.approx([0, 1, -1 / 4, 3 / 8, -7 / 32, 49 / 128, 19 / 128], abs=1e-7)
    x7 = 19 / 128 + 3 / 4 * 1 / 2 + 1 / 4 * (19 / 128 - 3 / 8)
    assert asked[7] == pytest.approx(x7, abs=1e-7)


def test_the_point_with_the_highest_value_is_kept() -> None:
    asked, found, line = points(tent, 40)
    assert len(asked) == 41
    assert found == asked[line.values.index(max(line.values))]
    assert found == pytest.approx(0.25, abs=0.01), "halving must come close to the top"
    asked, found, line = points(below_the_best, 30)
    assert found == asked[line.values.index(max(line.values))] == asked[17] != asked[-1]


def algorithm_1(function: Function, steps: int, eps: float = 1.0) -> list[float]:
    """Return the iterates of Algorithm 1 of the paper; its checkpoint w looks at x(0) to x(w)."""
    looks, size, momentum = checkpoints(steps), 2 * eps, 0.75
    x, f, g = [0.0], [], []

    def ask(at: float) -> None:
        value, slope = function(len(f), at)
        f.append(value)
        g.append(slope)

    def clip(at: float) -> float:
        return max(-eps, min(eps, at))

    ask(0.0)
    here, before, slope, place = 0.0, 0.0, g[0], 0
    rose: list[bool] = []
    held, best_at_look, is_halved_at_look = f[0], f[0], False
    for step in range(1, steps + 1):
        z = clip(here + size * (slope > 0) - size * (slope < 0))
        following = z if step == 1 else clip(here + momentum * (z - here) + (1 - momentum) * (here - before))
        ask(following)
        x.append(following)
        rose.append(f[-1] > held)
        before, here, held, slope = here, following, f[-1], g[-1]
        if f[-1] > f[place]:
            place = step
        if step in looks:
            span = step - looks[looks.index(step) - 1]
            is_halved = sum(rose) < 0.75 * span or (not is_halved_at_look and f[place] == best_at_look)
            if is_halved:
                size /= 2
                here, held, slope = x[place], f[place], g[place]
            rose, best_at_look, is_halved_at_look = [], f[place], is_halved
    return x


def below_the_best(call: int, x: float) -> tuple[float, float]:
    """Rise to 17, fall to 3, then rise for ever below 17: only the second condition can halve, at 41."""
    value = float(call) if call <= 17 else 3 + (call - 18) * 0.1
    return value, 1.0 if call % 2 else -1.0


@pytest.mark.parametrize(("function", "steps"), [(tent, 10), (tent, 60), (below_the_best, 100)])
def test_the_iterates_are_those_of_algorithm_1(function: Function, steps: int) -> None:
    asked, _, _ = points(function, steps)
    assert asked == pytest.approx(algorithm_1(function, steps), abs=1e-5)


def test_a_stalled_best_value_halves_the_step_although_every_step_rises() -> None:
    asked, found, _ = points(below_the_best, 100)
    best = asked[17]
    assert found == best
    # The look at 22 lets the step be; the look at 41 goes back to the best point (slope +1 there) with a step of 1.
    after_22 = asked[22] + 3 / 4 * (-1.0 - asked[22]) + 1 / 4 * (asked[22] - asked[21])
    assert asked[23] == pytest.approx(max(-1.0, after_22), abs=1e-6)
    after_41 = best + 3 / 4 * (min(1.0, best + 1.0) - best) + 1 / 4 * (best - asked[40])
    assert asked[42] == pytest.approx(min(1.0, after_41), abs=1e-6)
