"""Selection on validation rows: what is cut, what is chosen, what is trained again, and what must not matter."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import sparse, stats

import recshield
from recshield.core.errors import BadData, BadValue
from recshield.core.interfaces import Defense, Objective, Recommender
from recshield.core.registry import registry
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.frames import as_file
from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.data.validation import cut_validation
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import rank
from recshield.matrix.loading import load_data
from recshield.matrix.store import Entry
from recshield.matrix.watching import Curve
from recshield.run import Prepared, execute, prepare
from recshield.training.objectives import Adversarial, ModelLoss
from recshield_factor import MF, MFConfig

USERS, ITEMS = 60, 40
SMALL = ("mf.dims=8", "mf.batch=64", "mf.std=0.1")


def write_data(folder: Path, test_seed: int = 0) -> str:
    """Write rows of users with taste into a folder; the last two users have two rows, the test rows hang on a seed."""
    rng, other = np.random.default_rng(0), np.random.default_rng(100 + test_seed)
    folder.mkdir()
    train, test = [], []
    for user in range(USERS):
        weight = np.where(np.arange(ITEMS) % 3 == user % 3, 8.0, 1.0)
        drawn = rng.choice(ITEMS, size=10, replace=False, p=weight / weight.sum())
        kept = drawn[:2] if user >= USERS - 2 else drawn
        train += [(user, item, 5, place) for place, item in enumerate(kept)]
        test.append((user, other.choice(np.setdiff1d(np.arange(ITEMS), drawn)), 5, 99))
    for name, rows in (("train", train), ("test", test)):
        (folder / f"{name}.rating").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data(tmp_path_factory.mktemp("selection") / "small")


def done(data: str, model: str, **changes: Any) -> Prepared:
    asked: dict[str, Any] = {"overrides": SMALL, "metrics": ["ndcg@10"], "dataset": data}
    prepared = prepare(models=[model], **(asked | changes))
    execute(prepared)
    return prepared


def entries(prepared: Prepared, kind: str) -> list[Entry]:
    return [prepared.store.need(step.key) for step in prepared.plan.steps.values() if step.kind == kind]


def weights(prepared: Prepared) -> dict[str, torch.Tensor]:
    """Return what the train step of the first cell left behind."""
    cell = prepared.plan.cells[0]
    return load_file(prepared.store.need(prepared.plan.steps_of[cell.id].train).file("model.safetensors"))


def is_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def rows_of(prepared: Prepared) -> tuple[Dataset, HeldOut]:
    return load_data(prepared.store.need(prepared.plan.data_keys[0]))


# the cut


def test_the_latest_row_of_each_user_with_three_rows_is_cut() -> None:
    users = np.array([2, 0, 0, 1, 0, 1, 2, 2, 2, 4])
    items = np.array([5, 1, 3, 2, 0, 3, 1, 5, 4, 0])
    rest, held_out = cut_validation(Interactions.from_rows(users, items, 5, 6), 0)
    assert list(zip(rest.users.tolist(), rest.items.tolist(), strict=True)) == [
        (0, 1), (0, 3), (1, 2), (1, 3), (2, 5), (2, 1), (2, 5), (4, 0),
    ]  # fmt: skip
    assert (rest.n_users, rest.n_items) == (5, 6)
    assert list(zip(held_out.row_users.tolist(), held_out.items.tolist(), strict=True)) == [(0, 0), (2, 4)]


def test_data_in_which_no_user_has_three_rows_cannot_be_selected_on() -> None:
    few = Interactions.from_rows(np.array([0, 0, 1]), np.array([0, 1, 0]), 2, 3)
    with pytest.raises(BadData) as caught:
        cut_validation(few, 0)
    assert str(caught.value) == "nothing can be selected: no user has 3 training rows; leave --select out"


class Spy(MF):
    """A model that notes the rows it is trained on."""

    name = "spy"
    seen: list[Interactions] = []  # noqa: RUF012

    def fit(self, data: Dataset, objective: Any, rng: torch.Generator, epochs: int | None = None) -> None:
        Spy.seen.append(data.train)
        super().fit(data, objective, rng, epochs)


def test_candidates_never_see_the_validation_rows_and_the_refit_sees_all_rows(data: str, plant: Any) -> None:
    plant("model", Spy)
    Spy.seen = []
    prepared = done(data, "spy:epochs=2|3", select="ndcg@10", every=1, overrides=())
    whole = rows_of(prepared)[0].train
    rest, held_out = cut_validation(whole, 0)
    assert len(whole) - len(rest) == len(held_out) == USERS - 2
    assert [len(one) for one in Spy.seen] == [len(rest), len(rest), len(whole)]
    for one in Spy.seen[:2]:
        assert np.array_equal(one.items, rest.items)
        assert not any(item in one.of(user) for user, item in zip(held_out.row_users, held_out.items, strict=True))
    assert np.array_equal(Spy.seen[2].items, whole.items)


# the choice


def by_brute_force(prepared: Prepared, config: MFConfig, metric: str = "ndcg@10") -> list[float]:
    """Return the validation value after each epoch, each from a training of its own."""
    dataset, _ = rows_of(prepared)
    rest, held_out = cut_validation(dataset.train, 0)
    info = DataInfo(dataset.info.name, USERS, dataset.info.n_items, len(rest))
    cut = Dataset(info, rest, dataset.user_ids, dataset.item_ids)
    values = []
    for epochs in range(1, config.epochs + 1):
        made = MF(info, config, generator(0, "start"))
        made.fit(cut, ModelLoss(), generator(0, "fit", 0), epochs=epochs)
        with torch.no_grad():
            ranks = rank(made.score, rest, held_out)
        values.append(float(MetricAtK.parse(metric).per_user(ranks).mean()))
    return values


def test_the_epoch_and_the_choice_with_the_highest_validation_value_are_taken(data: str) -> None:
    prepared = done(data, "mf:lr=0.01|0.3|0.05,epochs=8", select="ndcg@10", every=1, patience=99)
    curves = {}
    for lr in (0.01, 0.3, 0.05):
        curves[lr] = by_brute_force(prepared, MFConfig(dims=8, batch=64, std=0.1, lr=lr, epochs=8))
    best = max(curves, key=lambda lr: max(curves[lr]))
    epoch = 1 + int(np.argmax(curves[best]))
    assert len({max(curve) for curve in curves.values()}) == 3, "else the choice says nothing"
    assert [entry.facts["value"] for entry in entries(prepared, "select")] == [max(one) for one in curves.values()]
    (facts,) = [entry.facts for entry in entries(prepared, "train")]
    assert facts["selected"] == f"epochs={epoch},mf.lr={best}"
    assert facts["selection"] == "validation"
    assert is_same(weights(prepared), weights(done(data, f"mf:lr={best},epochs={epoch}")))


@pytest.mark.parametrize("model", ["mf:epochs=12", "mf:epochs=12,dropout=0.2", "mf:epochs=6,fused=false"])
def test_a_model_selected_at_an_epoch_is_the_model_trained_that_long_bit_for_bit(data: str, model: str) -> None:
    selected = done(data, model, select="ndcg@10", every=2, patience=2)
    (facts,) = [entry.facts for entry in entries(selected, "train")]
    epoch = int(facts["selected"].removeprefix("epochs="))
    options = model.partition("epochs=")[2].partition(",")[2]
    plain = done(data, f"mf:epochs={epoch}" + (f",{options}" if options else ""))
    assert is_same(weights(selected), weights(plain))
    assert not is_same(
        weights(selected), weights(done(data, f"mf:epochs={epoch + 1}" + (f",{options}" if options else "")))
    )


def test_a_chain_is_selected_link_by_link_and_refitted_on_all_rows_bit_for_bit(data: str) -> None:
    chain = "mf:epochs=8+advreg:eps=0.1|0.5,epochs=6"
    selected = done(data, chain, select="ndcg@10", every=2, patience=99)
    base, chain = (entry.facts["selected"] for entry in entries(selected, "train"))
    assert chain.startswith(f"{base}; ")
    defended = chain.removeprefix(f"{base}; ")
    first, rest = base.removeprefix("epochs="), dict(part.split("=") for part in defended.split(","))
    plain = f"mf:epochs={first}+advreg:eps={rest['advreg.eps']},epochs={rest['epochs']}"
    assert is_same(weights(selected), weights(done(data, plain)))
    values = {
        entry.facts["parts"][-1]["options"]["eps"]: entry.facts["value"] for entry in entries(selected, "select")[1:]
    }
    assert float(rest["advreg.eps"]) == max(values, key=values.__getitem__)
    # A candidate of the defense goes on from the best candidate of its base, not from the model refitted on all rows.
    chosen = entries(selected, "select")[1:]
    assert all(entry.facts["acting"] == chosen[0].facts["acting"] for entry in chosen)


def scripted(values: list[float], patience: int) -> tuple[Curve, list[bool]]:
    """Return a curve that has seen the values, and whether it let training go on after each."""
    held_out = HeldOut.from_rows(np.array([0]), np.array([0]))
    train = Interactions.from_rows(np.array([0]), np.array([1]), 1, 3)

    class Scripted(MetricAtK):
        def per_user(self, ranks: Any) -> Any:
            return np.array([left.pop(0)])

    left = list(values)
    metric = MetricAtK.parse("ndcg@2")
    curve = Curve(train, held_out, (Scripted(metric.name, metric.k),), 1, "cpu", 0, patience, keeps_best=True)
    made = MF(DataInfo("one", 1, 3, 1), MFConfig(dims=2), generator(0, "x"))
    return curve, [curve.look(made, epoch) for epoch in range(1, len(values) + 1)]


def test_training_stops_after_as_many_looks_without_a_better_value_as_patience_says() -> None:
    curve, goes_on = scripted([0.1, 0.3, 0.3, 0.2, 0.4, 0.1, 0.2, 0.3], patience=3)
    assert goes_on == [True, True, True, True, True, True, True, False]
    assert (curve.best_epoch, curve.best_value) == (5, 0.4)
    curve, goes_on = scripted([0.3, 0.3], patience=1)
    assert goes_on == [True, False], "an equal value is not better, and the first of equal ones is kept"
    assert curve.best_epoch == 1


def test_patience_ends_the_training_of_a_candidate(data: str) -> None:
    prepared = done(data, "mf:epochs=400,lr=0.3", select="ndcg@10", every=1, patience=2)
    (facts,) = [entry.facts for entry in entries(prepared, "select")]
    assert len(facts["curve"]) == facts["epoch"] + 2 < 400
    assert [row["epoch"] for row in facts["curve"]] == list(range(1, facts["epoch"] + 3))


# what must not matter, and what must not be


def test_the_test_rows_do_not_matter_to_the_selection(tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        folder = write_data(tmp_path / f"seed-{seed}", seed)
        prepared = done(folder, "mf:lr=0.01|0.1,epochs=6", select="ndcg@10", every=1)
        dataset, test = rows_of(prepared)
        facts = [entry.facts | {"parts": None} for entry in entries(prepared, "select")]
        found.append((dataset.train.items.tobytes(), facts, weights(prepared), test.items.tobytes()))
    assert found[0][3] != found[1][3]
    assert found[0][0] == found[1][0]
    assert found[0][1] == found[1][1]
    assert is_same(found[0][2], found[1][2])


def test_selection_on_the_test_rows_fails_leakage_and_on_validation_rows_passes(data: str) -> None:
    for select, verdict in (("test:ndcg@10", "fail"), ("validation:ndcg@10", "pass"), ("", "pass")):
        run = recshield.run_matrix(
            "mf:epochs=4",
            "fgm",
            dataset=data,
            select=select,
            every=2,
            overrides=SMALL,
            metrics="ndcg@10",
            controls="none",
        )
        found, *of_the_run = run.verdicts[run.verdicts["check"] == "LEAKAGE"].to_dict("records")
        assert [one["verdict"] for one in of_the_run] == (["fail"] if verdict == "fail" else [])
        assert found["verdict"] == verdict
        asked = run.table[run.table["attack"] == "fgm"].iloc[0]
        if verdict == "fail":
            assert found["sentence"].startswith(
                "the model was selected by 'test'; a figure to trust needs fixed epochs"
            )
            assert asked["verdict"] == "fail"


def test_the_test_rows_are_what_test_selection_looks_at(data: str) -> None:
    prepared = done(data, "mf:epochs=5", select="test:ndcg@10", every=1, patience=99)
    (facts,) = [entry.facts for entry in entries(prepared, "select")]
    run = execute(prepare(models=["mf:epochs=5"], dataset=data, overrides=SMALL, metrics=["ndcg@10"]))
    assert facts["curve"][-1]["metrics"]["ndcg@10"] == run.table["clean"].iloc[0]


def test_a_curve_changes_no_weight(data: str) -> None:
    for model in ("mf:epochs=4,dropout=0.2", "mf:epochs=3,fused=false,dropout=0.2", "mf:epochs=4+advreg:epochs=3"):
        assert is_same(weights(done(data, model)), weights(done(data, model, curve=1)))


def test_the_curve_holds_the_test_metrics_and_the_norms_of_each_epoch(data: str) -> None:
    run = execute(prepare(models=["mf:epochs=5"], dataset=data, overrides=SMALL, metrics=["ndcg@10"], curve=2))
    curve = run.results.curves.set_index(["epoch", "quantity"])["value"]
    assert sorted(set(run.results.curves["epoch"])) == [2, 4, 5]
    assert set(run.results.curves["rows"]) == {"test"}
    assert curve[5, "ndcg@10"] == run.table["clean"].iloc[0]
    early = done(data, "mf:epochs=2")
    for name, table in (("user", "factors.user"), ("item", "factors.item")):
        squares = float(weights(early)[name].double().square().sum())
        assert curve[2, f"sum of squares {table}"] == pytest.approx(squares, rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"select": "train:ndcg@10"},
            "select 'train:ndcg@10' is not known; write METRIC, for example ndcg@100, or test",
        ),
        ({"select": "ndcg@10", "every": 0}, "every 0 and patience 5 are whole numbers of at least 1"),
        ({"select": "ndcg@10", "patience": 0}, "every 10 and patience 0 are whole numbers of at least 1"),
        ({"curve": -1}, "curve -1 is not allowed; it is a number of epochs, or 0 for no curve"),
        ({"models": ["mf:lr=0.1|0.2"]}, "'mf:lr=0.1|0.2' leaves a choice open; --select METRIC says what it is chosen"),
    ],
)
def test_what_cannot_be_selected_is_an_error(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadValue) as caught:
        prepare(**({"models": ["mf"]} | changes))
    assert str(caught.value).startswith(said)


def test_every_model_is_either_watched_or_taken_as_it_is_at_the_end(data: str) -> None:
    """`popular` tells nothing of epochs: it is selected as it is, and no epochs are noted."""
    assert "popular" in registry().found["model"]
    prepared = done(data, "popular", select="ndcg@10")
    assert [entry.facts["selected"] for entry in entries(prepared, "train")] == [""]


@dataclass(frozen=True)
class Turning(Defense):
    """A third party's defense with one option that acts in training and, above 1, turns the users around in serving."""

    weight: float = 1.0
    epochs: int = 4

    name = "turning"
    warm_start = True

    def objective(self, base: Objective, target: str) -> Objective:
        return Adversarial(base, "factors", Budget("l2", 0.5), self.weight, is_random=True)

    def serve(self, model: Recommender) -> Recommender:
        served = copy.deepcopy(model)
        with torch.no_grad():
            served.user.mul_(-1 if self.weight > 1 else 1)
        return served


@pytest.mark.parametrize("options", ["9|0.1", "0.1|9"])
def test_a_defense_serves_with_the_option_that_was_chosen(data: str, plant: Any, options: str) -> None:
    plant("defense", Turning)
    selected = done(data, f"mf:epochs=6+turning:weight={options}", select="ndcg@10", every=1)
    base, chain = (entry.facts["selected"] for entry in entries(selected, "train"))
    assert chain.startswith(f"{base}; ")
    defended = chain.removeprefix(f"{base}; ")
    chosen = dict(part.split("=") for part in defended.split(","))
    plain = f"mf:{base}+turning:weight={chosen['turning.weight']},epochs={chosen['epochs']}"
    figures = [execute(one).table["clean"].iloc[0] for one in (selected, done(data, plain))]
    assert figures[0] == figures[1]
    other = plain.replace(chosen["turning.weight"], {"9.0": "0.1", "0.1": "9"}[chosen["turning.weight"]])
    assert abs(figures[0] - execute(done(data, other)).table["clean"].iloc[0]) > 0.01


def test_rows_without_an_order_lose_a_random_one_for_validation() -> None:
    """Of rows that stand by item id, the last would always be the largest id."""
    users = np.repeat(np.arange(400), 10)
    whole = Interactions.from_rows(users, np.tile(np.arange(10), 400), 400, 10)
    _, latest = cut_validation(whole, 0)
    assert set(latest.items) == {9}
    rest, drawn = cut_validation(whole, 0, is_ordered=False)
    assert len(rest) == 3600
    counts = np.bincount(drawn.items, minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
    assert np.array_equal(drawn.items, cut_validation(whole, 0, is_ordered=False)[1].items)
    assert not np.array_equal(drawn.items, cut_validation(whole, 1, is_ordered=False)[1].items)


def test_a_sparse_matrix_says_that_its_rows_have_no_order() -> None:
    rng = np.random.default_rng(0)
    rows = sparse.csr_matrix(rng.random((40, 30)) < 0.3)
    prepared = prepare(
        models=["mf:epochs=2"], dataset=str(as_file(rows)), split="random:0.2", select="ndcg@5", metrics=["ndcg@5"]
    )
    execute(prepared)
    assert prepared.store.need(prepared.plan.data_keys[0]).facts["is_ordered"] is False


def test_sampled_candidates_of_a_curve_are_those_of_the_table(data: str) -> None:
    metrics = ["ndcg@10/sampled:20"]
    asked = prepare(models=["mf:epochs=3"], dataset=data, overrides=SMALL, metrics=metrics, curve=1, data_seed=7)
    run = execute(asked)
    curve = run.results.curves.set_index(["epoch", "quantity"])["value"]
    assert curve[3, metrics[0]] == run.table["clean"].iloc[0]
