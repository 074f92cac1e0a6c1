"""Named generators: a draw depends on the seed and its names, and on nothing else."""

from __future__ import annotations

import hashlib

import pytest
import torch

from recshield.core.seeds import child, generator, number


def test_the_number_is_half_of_an_8_byte_blake2b_of_seed_and_names():
    digest = hashlib.blake2b(b"3\x1fitems\x1f7", digest_size=8).hexdigest()
    assert number(3, "items", 7) == int(digest, 16) // 2


def test_numbers_fit_the_seed_of_a_generator():
    assert all(0 <= number(seed, "table") < 2**63 for seed in range(1000))


@pytest.mark.parametrize(
    "names", [("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a", 1), ("a", 2), ()]
)
def test_other_names_give_other_numbers(names):
    others = [("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a", 1), ("a", 2), ()]
    assert [number(0, *other) == number(0, *names) for other in others].count(True) == 1


def test_other_seeds_give_other_numbers():
    assert len({number(seed, "items") for seed in range(1000)}) == 1000


def test_the_same_seed_and_names_give_the_same_draws():
    assert torch.equal(torch.rand(5, generator=generator(4, "items")), torch.rand(5, generator=generator(4, "items")))


def test_a_child_does_not_depend_on_what_its_parent_has_drawn():
    fresh, used = generator(4, "fit"), generator(4, "fit")
    torch.rand(1000, generator=used)
    assert child(fresh, "items").initial_seed() == child(used, "items").initial_seed()


def test_making_a_child_draws_nothing_from_its_parent():
    parent = generator(4, "fit")
    child(parent, "items")
    assert torch.equal(torch.rand(5, generator=parent), torch.rand(5, generator=generator(4, "fit")))


def test_children_differ_by_name_and_by_parent():
    made = [
        child(generator(4, "fit"), "items"),
        child(generator(4, "fit"), "users"),
        child(generator(5, "fit"), "items"),
        child(generator(4, "attack"), "items"),
        child(child(generator(4, "fit"), "items"), "items"),
    ]
    assert len({rng.initial_seed() for rng in made}) == len(made)


def test_a_table_keeps_its_values_when_another_grows():
    def tables(n_users):
        rng = generator(0, "fit")
        users = torch.randn(n_users, 3, generator=child(rng, "users"))
        return users, torch.randn(4, 3, generator=child(rng, "items"))

    assert torch.equal(tables(5)[1], tables(50)[1])


def test_the_global_seed_plays_no_part_and_is_left_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = torch.rand(3, generator=child(generator(0, "fit"), "items"))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, torch.rand(3, generator=child(generator(0, "fit"), "items")))
