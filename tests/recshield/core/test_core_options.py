"""Options: texts become typed fields of a dataclass, and unknown or ill-typed ones are errors."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from recshield.core.errors import BadValue, UnknownOption
from recshield.core.interfaces import System
from recshield.core.specs import build, number, option_defaults, option_types, parse, read_options


@dataclass(frozen=True)
class Toy:
    steps: int = 10
    rate: float = 0.5
    is_random: bool = False
    loss: str = "bpr"


@dataclass(frozen=True)
class Needy:
    epochs: int
    derived: int = field(init=False, default=3)


def test_every_field_is_an_option_with_its_type_and_default():
    assert option_types(Toy) == {"steps": int, "rate": float, "is_random": bool, "loss": str}
    assert option_defaults(Toy) == {"steps": "10", "rate": "0.5", "is_random": "False", "loss": "bpr"}
    assert option_defaults(Needy) == {"epochs": "required"}


def test_options_become_values_of_the_types_of_their_fields():
    spec = parse("toy:steps=40,rate=4/255,is_random=true,loss=margin")
    read = read_options(Toy, "attack 'toy'", spec.options)
    assert read == {"steps": 40, "rate": 4 / 255, "is_random": True, "loss": "margin"}
    assert {key: type(value) for key, value in read.items()} == option_types(Toy)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("1e-3", 0.001), ("1e+3", 1000.0), ("4/255", 0.01568627450980392), ("-2", -2.0), (".5", 0.5)],
)
def test_numbers_are_decimals_exponents_and_fractions(text, value):
    assert number(text, "eps") == value


@pytest.mark.parametrize("text", ["", "a", "4/0", "4/", "/255", "1/2/3", "0,5", "10%", "0x10"])
def test_what_is_no_number_is_an_error(text):
    with pytest.raises(BadValue) as caught:
        number(text, "budget 'l2'")
    assert str(caught.value) == f"budget 'l2': '{text}' is not a number; write 0.5, 1e-3 or 4/255"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("FALSE", False), ("0", False)]
)
def test_truth_is_written_in_words_or_as_0_and_1(text, value):
    assert read_options(Toy, "attack 'toy'", [("is_random", text)]) == {"is_random": value}


@pytest.mark.parametrize("text", ["40", "40.0", "4e1", "+40", "120/3"])
def test_whole_numbers_can_be_written_in_any_way_that_is_whole(text):
    assert read_options(Toy, "attack 'toy'", [("steps", text)]) == {"steps": 40}


@pytest.mark.parametrize(
    ("key", "text", "wrong"),
    [
        ("steps", "2.5", "'2.5' is not a whole number"),
        ("steps", "4/255", "'4/255' is not a whole number"),
        ("steps", "nan", "'nan' is not a whole number"),
        ("steps", "inf", "'inf' is not a whole number"),
        ("steps", "ten", "'ten' is not a number; write 0.5, 1e-3 or 4/255"),
        ("rate", "fast", "'fast' is not a number; write 0.5, 1e-3 or 4/255"),
        ("is_random", "yes", "'yes' is not true or false"),
    ],
)
def test_a_value_of_the_wrong_type_names_owner_and_option(key, text, wrong):
    with pytest.raises(BadValue) as caught:
        read_options(Toy, "attack 'toy'", [(key, text)])
    assert str(caught.value) == f"attack 'toy', option '{key}': {wrong}"


def test_an_option_may_name_a_system_and_an_empty_text_but_no_empty_number():
    @dataclass(frozen=True)
    class Like:
        like: System
        loss: str = "bpr"
        steps: int = 1

    assert option_types(Like)["like"] is System
    assert read_options(Like, "defense 'like'", parse("like:like=(mf+d:eps=1),loss=").options) == {
        "like": "mf+d:eps=1",
        "loss": "",
    }
    with pytest.raises(BadValue, match="defense 'like', option 'steps': '' is not a number"):
        read_options(Like, "defense 'like'", parse("like:steps=").options)


def test_an_option_of_a_type_that_cannot_be_written_is_an_error():
    @dataclass(frozen=True)
    class Odd:
        layers: tuple[int, ...] = (8,)

    with pytest.raises(BadValue, match=r"option 'layers': options of type tuple\[int, \.\.\.\] cannot be written"):
        read_options(Odd, "model 'odd'", [("layers", "8")])


def test_an_unknown_option_is_an_error_with_the_nearest_one_and_all_defaults():
    with pytest.raises(UnknownOption) as caught:
        build(Toy, "attack 'toy'", parse("toy:stpes=4").options, {})
    assert str(caught.value) == (
        "attack 'toy' has no option 'stpes'; did you mean 'steps'? "
        "options and defaults: steps (10), rate (0.5), is_random (False), loss (bpr)"
    )


def test_an_unknown_option_that_is_near_to_none_gets_no_guess():
    with pytest.raises(UnknownOption) as caught:
        read_options(Needy, "defense 'needy'", [("zzz", "1")])
    assert str(caught.value) == "defense 'needy' has no option 'zzz'; options and defaults: epochs (required)"


def test_a_field_that_is_not_set_from_outside_is_no_option():
    with pytest.raises(UnknownOption, match="no option 'derived'"):
        read_options(Needy, "defense 'needy'", [("derived", "1")])


def test_a_missing_required_option_is_named():
    with pytest.raises(BadValue) as caught:
        build(Needy, "defense 'needy'", (), {})
    assert str(caught.value) == "defense 'needy' needs the option 'epochs'; write epochs=VALUE after a colon"


def test_the_specification_wins_over_overrides_and_overrides_over_defaults():
    built = build(Toy, "attack 'toy'", (("steps", "3"),), {"steps": "7", "rate": "2"})
    assert built == Toy(steps=3, rate=2.0)
    assert build(Toy, "attack 'toy'", (), {}) == Toy()


def test_a_fraction_too_large_for_a_float_is_an_error():
    with pytest.raises(BadValue, match="is not a number"):
        number("1" + "0" * 400 + "/3", "eps")


def test_a_large_whole_number_keeps_its_digits():
    assert read_options(Toy, "attack 'toy'", [("steps", "9007199254740993")]) == {"steps": 9007199254740993}


@pytest.mark.parametrize("text", ["nan", "inf", "1e999"])
def test_a_float_option_is_finite(text):
    with pytest.raises(BadValue, match=f"'{text}' is not"):
        read_options(Toy, "attack 'toy'", [("rate", text)])
