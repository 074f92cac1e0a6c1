"""Specifications: what can be written, what it means, and what the errors say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recshield.core.errors import BadSpec
from recshield.core.specs import Spec, SystemSpec, parse, parse_system, split_list


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("mf", ["mf"]),
        ("mf,amf", ["mf", "amf"]),
        (" mf , amf ,", ["mf", "amf"]),
        ("pgd:steps=40,rate=2,fgm", ["pgd:steps=40,rate=2", "fgm"]),
        ("mf+advreg:eps=0.5, weight=1, mf", ["mf+advreg:eps=0.5,weight=1", "mf"]),
        ("l2:0.5,linf:4/255", ["l2:0.5", "linf:4/255"]),
        ("a:like=(mf+advreg:eps=1,weight=2),b", ["a:like=(mf+advreg:eps=1,weight=2)", "b"]),
        ("a:like=(x:like=(y,z=1),w=2),source=(m,n),b", ["a:like=(x:like=(y,z=1),w=2),source=(m,n)", "b"]),
    ],
)
def test_a_list_splits_at_commas_that_belong_to_no_specification(text, pieces):
    assert split_list(text) == pieces


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("pgd", Spec("pgd")),
        (" pgd ", Spec("pgd")),
        ("pgd@factors", Spec("pgd", "factors")),
        ("pgd@factors.user:steps=40", Spec("pgd", "factors.user", (("steps", "40"),))),
        ("vbpr-amr:eps=4/255,rate=1e+3", Spec("vbpr-amr", "", (("eps", "4/255"), ("rate", "1e+3")))),
        ("pgd:source=a=b", Spec("pgd", "", (("source", "a=b"),))),
        ("a:like=(mf+d:eps=1,w=2),k=3", Spec("a", "", (("like", "mf+d:eps=1,w=2"), ("k", "3")))),
        ("a:like=(b:like=(c:x=1,y=2),z=3)", Spec("a", "", (("like", "b:like=(c:x=1,y=2),z=3"),))),
    ],
)
def test_a_specification_is_a_name_a_target_and_options(text, spec):
    assert parse(text) == spec


@pytest.mark.parametrize(
    "text", ["", "@factors", "pgd@", "pgd@a@b", "two words", "1st", "(pgd)", "pgd@fac tors", ":a=1"]
)
def test_a_specification_that_cannot_be_read_says_how_to_write_one(text):
    with pytest.raises(BadSpec) as caught:
        parse(text)
    assert str(caught.value) == f"'{text}' cannot be read; write NAME, NAME@SURFACE or NAME:KEY=VALUE,KEY=VALUE"


@pytest.mark.parametrize(("text", "piece"), [("pgd:steps", "steps"), ("pgd:=3", "=3"), ("pgd:a=1,,b=2", "")])
def test_an_option_without_a_name_or_an_equals_sign_is_named(text, piece):
    with pytest.raises(BadSpec) as caught:
        parse(text)
    assert str(caught.value) == f"'{piece}' in '{text}' is not an option; write KEY=VALUE"


def test_an_option_given_twice_is_an_error_even_with_equal_values():
    with pytest.raises(BadSpec) as caught:
        parse("pgd:steps=4,rate=1,steps=4")
    assert str(caught.value) == "option 'steps' stands twice in 'pgd:steps=4,rate=1,steps=4'; give it once"


@pytest.mark.parametrize("tail", ["like=(mf", "like=mf)", "like=)mf(", "like=((mf)"])
def test_unbalanced_parentheses_are_an_error(tail):
    for call in (lambda: parse(f"a:{tail}"), lambda: split_list(tail)):
        with pytest.raises(BadSpec) as caught:
            call()
        expected = f"'{tail}' has unbalanced parentheses; a nested specification stands in one pair of them"
        assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("mf", SystemSpec(Spec("mf"))),
        (" mf + advreg ", SystemSpec(Spec("mf"), (Spec("advreg"),))),
        (
            "mf:dim=8+advreg@factors:eps=0.5,weight=1+jpeg:quality=75",
            SystemSpec(
                Spec("mf", "", (("dim", "8"),)),
                (Spec("advreg", "factors", (("eps", "0.5"), ("weight", "1"))), Spec("jpeg", "", (("quality", "75"),))),
            ),
        ),
        ("mf+advreg:eps=1e+3", SystemSpec(Spec("mf"), (Spec("advreg", "", (("eps", "1e+3"),)),))),
        (
            "mf+distil:teacher=(mf+advreg:eps=1)+jpeg",
            SystemSpec(Spec("mf"), (Spec("distil", "", (("teacher", "mf+advreg:eps=1"),)), Spec("jpeg"))),
        ),
    ],
)
def test_a_system_is_a_model_and_its_defenses(text, system):
    assert parse_system(text) == system


def test_a_plus_in_an_exponent_starts_no_defense():
    system = parse_system("mf+advreg:eps=1e+3,weight=2+jpeg")
    assert [spec.name for spec in system.defenses] == ["advreg", "jpeg"]
    assert system.defenses[0].options == (("eps", "1e+3"), ("weight", "2"))


def test_a_model_with_a_target_is_an_error():
    with pytest.raises(BadSpec) as caught:
        parse_system("mf@factors+advreg")
    assert str(caught.value) == "'mf@factors' names a surface, but a model has no target; write 'mf'"


@pytest.mark.parametrize("text", ["mf+advreg+advreg", "mf+advreg:eps=1+jpeg+advreg@factors:eps=2"])
def test_the_same_defense_twice_is_an_error(text):
    with pytest.raises(BadSpec) as caught:
        parse_system(text)
    assert str(caught.value) == f"defense 'advreg' stands twice in '{text}'; give it once"


@pytest.mark.parametrize("text", ["mf+", "+mf", "mf++advreg", ""])
def test_a_system_with_an_empty_part_is_an_error(text):
    with pytest.raises(BadSpec, match="cannot be read; write NAME"):
        parse_system(text)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,6}", fullmatch=True)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9.%/-]{1,8}|[0-9]e\+[0-9]", fullmatch=True)
SPECS = st.builds(
    lambda name, target, options: Spec(name, target, tuple(options.items())),
    NAMES,
    st.one_of(st.just(""), NAMES),
    st.dictionaries(KEYS, VALUES, max_size=3),
)


#: The same with a system in parentheses as the value of some options, two levels deep.
NESTED = SPECS
for _ in range(2):
    SYSTEMS = st.lists(NESTED, min_size=1, max_size=2).map(lambda parts: "+".join(map(str, parts)))
    NESTED = st.builds(
        lambda name, options: Spec(name, "", tuple(options.items())),
        NAMES,
        st.dictionaries(KEYS, st.one_of(VALUES, SYSTEMS), max_size=2),
    )


@given(spec=NESTED, other=NESTED)
def test_nested_specifications_survive_being_written_and_read(spec, other):
    assert parse(str(spec)) == spec
    assert parse_system(f"mf+{spec}").defenses == (spec,)
    assert split_list(f"{spec},{other}") == [str(spec), str(other)]


@given(spec=SPECS)
def test_a_specification_survives_being_written_and_read(spec):
    assert parse(str(spec)) == spec
    assert str(parse(str(spec))) == str(spec)


@given(model=SPECS, defenses=st.lists(SPECS, max_size=3, unique_by=lambda spec: spec.name))
def test_a_system_survives_being_written_and_read(model, defenses):
    system = SystemSpec(Spec(model.name, "", model.options), tuple(defenses))
    assert parse_system(str(system)) == system


@given(specs=st.lists(SPECS, max_size=4))
def test_a_list_survives_being_written_and_read(specs):
    assert split_list(",".join(map(str, specs))) == [str(spec) for spec in specs]


@pytest.mark.parametrize("text", ["a:like=(mf+d:eps=1,w=2)", "a:like=(mf+d:eps=1,w=2),k=3", "a:like=(b:like=(c:x=1))"])
def test_a_nested_specification_survives_being_written_and_read(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


def test_a_system_with_a_nested_system_survives_being_written_and_read():
    text = "mf+distil:teacher=(mf+advreg:eps=1)+jpeg"
    assert parse_system(str(parse_system(text))) == parse_system(text)


def test_two_pairs_of_parentheses_are_an_error_or_kept():
    try:
        spec = parse("a:like=(x)(y)")
    except BadSpec:
        return
    assert spec.options == (("like", "(x)(y)"),)


def test_spaces_around_the_equals_sign_do_not_count():
    assert parse("pgd:steps = 3") == parse("pgd:steps=3")
