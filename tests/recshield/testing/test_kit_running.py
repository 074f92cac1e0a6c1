"""`run_checks`, its outcomes, the pytest base classes, the probes and the small data."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import recshield.testing
from recshield.core.errors import UnknownName
from recshield.testing import CHECKS, CheckFailed, CheckOutcome, NotApplicable, TwoTables, run_checks
from recshield.testing.data import one_item_dataset, one_user_dataset, small_dataset
from recshield.testing.failures import outcome
from recshield.testing.kit import name_of
from recshield.testing.probes import disturbed_random_state, fingerprint, scores, watched_random_state
from recshield.testing.reference import trained_tables
from recshield.testing.suites import RecommenderTests


def _raise(error):
    raise error


def test_an_outcome_says_passed_failed_or_not_applicable():
    assert outcome("one", lambda: None) == CheckOutcome("one", True, "", True)
    assert outcome("one", lambda: _raise(CheckFailed("wrong"))) == CheckOutcome("one", False, "wrong", True)
    assert outcome("one", lambda: _raise(NotApplicable("no loss"))) == CheckOutcome(
        "one", True, "not applicable: no loss", False
    )


def test_an_exception_of_the_plugin_is_a_failure_that_names_it():
    assert outcome("one", lambda: _raise(ValueError("boom"))) == CheckOutcome("one", False, "raised ValueError: boom")


def test_run_checks_goes_on_after_a_failure_and_keeps_the_order():
    class Broken(TwoTables):
        def score(self, users, view=None):
            raise RuntimeError("no scores")

    found = run_checks("recommender", Broken)
    assert [one.name for one in found] == [name_of(check) for check in CHECKS["recommender"]]
    by_name = {one.name: one for one in found}
    assert by_name["options_reprint"].passed
    assert by_name["scoring_twice_is_identical"].message == "raised RuntimeError: no scores"


def test_an_unknown_kind_is_an_error_with_a_suggestion():
    with pytest.raises(UnknownName, match="no kind of plugin 'atack'; did you mean 'attack'"):
        run_checks("atack", TwoTables)


def test_names_of_checks_are_distinct_and_each_has_a_docstring():
    for kind, held in CHECKS.items():
        names = [name_of(check) for check in held]
        assert len(set(names)) == len(names), kind
        for check in held:
            assert check.__doc__, check
            assert check.__name__.startswith("check_")


def test_every_function_called_check_is_in_its_list():
    from recshield.testing import attacks, defenses, recommenders, views

    listed = {check for held in CHECKS.values() for check in held}
    for module in (attacks, defenses, recommenders, views):
        for name, held in vars(module).items():
            if name.startswith("check_") and held.__module__ == module.__name__:
                assert held in listed, f"{module.__name__}.{name} is in no list of checks"


class TestABaseClass(RecommenderTests):
    """The reference model, one check excused."""

    recommender = TwoTables
    excused = {"one_item_data": "to show that it is skipped"}  # noqa: RUF012


def _excusing(excused):
    return type("Suite", (RecommenderTests,), {"recommender": TwoTables, "excused": excused})()


def test_an_excused_check_is_skipped_with_its_reason():
    from recshield.testing.recommenders import check_one_item_data

    with pytest.raises(pytest.skip.Exception, match="excused: never trained"):
        _excusing({"one_item_data": "never trained"}).test_recommender(check_one_item_data)


def test_an_excuse_for_a_check_that_does_not_exist_is_an_error():
    from recshield.testing.recommenders import check_one_item_data

    with pytest.raises(UnknownName, match="no check 'one_itm_data'; did you mean 'one_item_data'"):
        _excusing({"one_itm_data": "typed wrong"}).test_recommender(check_one_item_data)


def test_a_check_that_does_not_apply_is_skipped_with_its_reason():
    from recshield.testing.recommenders import check_fused_path_equals_generic_path

    with pytest.raises(pytest.skip.Exception, match="has no option 'fused'"):
        _excusing({}).test_recommender(check_fused_path_equals_generic_path)


@pytest.mark.parametrize(
    ("library", "draw"),
    [
        ("torch", lambda: torch.rand(1)),
        ("numpy", lambda: np.random.rand()),  # noqa: NPY002
        ("random", random.random),
    ],
)
def test_a_draw_from_each_global_generator_is_seen_and_undone(library, draw):
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    with pytest.raises(CheckFailed, match=f"changed the global random state of {library};"), watched_random_state("it"):
        draw()
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]


def test_disturbing_the_global_generators_changes_draws_and_is_undone():
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 2):
        with disturbed_random_state(seed):
            drawn.append((float(torch.rand(1)), np.random.rand(), random.random()))  # noqa: NPY002
    assert all(one != other for one, other in zip(*drawn, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_small_data_is_the_same_each_time_and_has_taste():
    data, test = small_dataset()
    again, _ = small_dataset()
    assert fingerprint(data) == fingerprint(again)
    assert (data.info.n_users, data.info.n_items, len(test)) == (40, 30, 40)
    liked = np.mean(data.train.items % 3 == data.train.users % 3)
    assert liked > 0.6  # a third by chance
    assert len(data.train.of(39)) == 0
    assert all(item not in data.train.of(user) for user, item in zip(test.row_users, test.items, strict=True))


def test_the_reference_model_learns_the_taste():
    data, test = small_dataset()
    found = scores(trained_tables())
    found[data.train.users.astype(int), data.train.items.astype(int)] = -torch.inf
    held_out = torch.from_numpy(test.items).long()
    better = (found > found.gather(1, held_out[:, None])).sum(dim=1).float()
    by_chance = (30 - 8 - 1) / 2
    assert float(better[:-1].mean()) < 0.6 * by_chance


def test_edge_data_have_one_user_and_one_item():
    assert (one_user_dataset().info.n_users, len(one_user_dataset().train)) == (1, 3)
    assert (one_item_dataset().info.n_items, len(one_item_dataset().train)) == (1, 3)


def test_every_public_name_of_the_kit_loads():
    assert all(getattr(recshield.testing, name) is not None for name in recshield.testing.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        recshield.testing.nothing  # noqa: B018


def test_only_the_base_classes_need_pytest():
    for path in Path(recshield.testing.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        outer = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
        named = {alias.name for one in outer for alias in one.names} | {getattr(one, "module", "") for one in outer}
        has_pytest = bool(named & {"pytest", "recshield.testing.suites"})
        assert has_pytest == (path.name == "suites.py"), path
