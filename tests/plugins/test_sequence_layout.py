"""Histories in blocks: trimmed and padded layouts give the same figures, and padding reaches nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from histories import made, ragged_data

from recshield.core.errors import BadData, BadValue
from recshield.core.seeds import generator
from recshield.training import ModelLoss
from recshield_sequence import GRU4RecConfig, SASRec, SASRecConfig
from recshield_sequence.batches import training_batches
from recshield_sequence.dropping import Dropper
from recshield_sequence.packing import edges, pack
from recshield_sequence.sasrec import _attended

MODELS = [
    SASRecConfig(dims=8, length=6, blocks=2, heads=2, dropout=0.5, std=0.3, batch=4),
    GRU4RecConfig(dims=8, length=6, dropout=0.5, std=0.3, batch=4),
]


def test_a_block_holds_like_lengths_and_is_trimmed_to_its_longest() -> None:
    packed = pack(np.array([0, 50, 20, 30]), np.array([1, 62, 28, 41]))
    assert packed.shapes == ((1, 1), (1, 8), (2, 12))  # lengths 1, 12, 8, 11
    assert packed.size == 1 + 8 + 24
    assert packed.rows.tolist() == [0, *range(20, 28), *range(30, 41), *range(50, 62)]
    assert packed.places.tolist() == [0, *range(1, 9), *range(9, 20), *range(21, 33)]
    assert packed.last.tolist() == [0, 32, 8, 19]  # in the order given
    assert packed.ages[packed.rows == 21].tolist() == [6]
    assert packed.ages[packed.rows == 27].tolist() == [0]  # counted from the most recent


def test_edges_reach_any_length_and_grow_by_a_quarter() -> None:
    found = edges(50)
    assert found[0] == 1
    assert found[-1] >= 50
    assert (np.diff(found) <= np.maximum(1, found[:-1] // 4)).all()


@pytest.mark.parametrize("config", MODELS, ids=lambda one: type(one).__name__)
def test_trimmed_and_padded_batches_give_the_same_loss_and_gradient(config: SASRecConfig | GRU4RecConfig) -> None:
    data = ragged_data()
    model = made(config, data)
    found = []
    for width in (0, config.length):
        model.zero_grad()
        batches = list(training_batches(data.train, config.length, config.batch, generator(1, "epoch"), width))
        assert [len(one.packed.shapes) > 1 for one in batches] == [width == 0] * 2
        losses = torch.stack([model.loss(one) for one in batches])
        losses.sum().backward()
        found.append((losses.detach(), {name: one.grad.clone() for name, one in model.named_parameters()}))
    (trimmed, trimmed_slopes), (padded, padded_slopes) = found
    assert torch.allclose(trimmed, padded, rtol=1e-5)
    for name, slope in trimmed_slopes.items():
        assert torch.allclose(slope, padded_slopes[name], rtol=1e-5, atol=1e-5), name
        assert bool(slope.any()) or name.endswith("attention_bias") or name == "position", name


@pytest.mark.parametrize("config", MODELS, ids=lambda one: type(one).__name__)
def test_padding_never_influences_a_score(config: SASRecConfig | GRU4RecConfig) -> None:
    data = ragged_data()
    model = made(config, data)
    everyone = torch.arange(data.info.n_users)
    together = model.score(everyone)
    alone = torch.cat([model.score(user[None]) for user in everyone])
    assert torch.allclose(together, alone, rtol=1e-5, atol=1e-6)
    # The same histories padded to 30 positions, most of which stand behind the last row.
    offsets = data.train.indptr
    known = np.flatnonzero(np.diff(offsets) > 0)
    ends = offsets[known + 1]
    wide = pack(np.maximum(offsets[known], ends - config.length), ends, 30)
    vectors = torch.nn.functional.embedding(model.row_items[wide.rows].long(), model.item)
    states = model.encode(wide, vectors, Dropper(0.0, 0, torch.device("cpu")))[wide.last]
    assert torch.allclose(states @ model.item.T, together[torch.from_numpy(known)], rtol=1e-5, atol=1e-6)


def test_what_stands_behind_a_history_does_not_reach_it() -> None:
    data = ragged_data()
    model = made(MODELS[0], data)
    assert isinstance(model, SASRec)
    values = torch.randn((2 * 6, 8), generator=generator(0, "values"))
    garbage = values.clone()
    garbage[[4, 5, 9, 10, 11]] = 1e3  # behind four rows of the first line and three of the second
    still = Dropper(0.0, 0, torch.device("cpu"))
    clean, moved = (model.layers[0](one, ((2, 6),), still) for one in (values, garbage))
    assert torch.equal(clean[[0, 1, 2, 3, 6, 7, 8]], moved[[0, 1, 2, 3, 6, 7, 8]])
    assert not torch.equal(clean, moved)


@pytest.mark.parametrize("config", MODELS, ids=lambda one: type(one).__name__)
def test_a_change_at_one_position_changes_no_earlier_output(config: SASRecConfig | GRU4RecConfig) -> None:
    data = ragged_data()
    model = made(config, data)
    packed = pack(np.array([3]), np.array([9]))
    vectors = torch.randn((6, 8), generator=generator(0, "vectors"))
    moved = vectors.clone()
    moved[3] += 1.0
    still = Dropper(0.0, 0, torch.device("cpu"))
    clean, changed = model.encode(packed, vectors, still), model.encode(packed, moved, still)
    assert torch.equal(clean[:3], changed[:3])
    assert bool((clean[3:] != changed[3:]).any(dim=1).all())


@pytest.mark.parametrize("config", MODELS, ids=lambda one: type(one).__name__)
def test_a_user_without_a_history_gets_equal_scores(config: SASRecConfig | GRU4RecConfig) -> None:
    data = ragged_data()
    model = made(config, data)
    scores = model.score(torch.tensor([0, 4, 0]))
    assert torch.equal(scores[[0, 2]], torch.zeros(2, 40))
    assert bool(scores[1].std() > 0)
    assert torch.equal(model.score(torch.tensor([0])), torch.zeros(1, 40))


def test_only_the_most_recent_rows_are_read() -> None:
    data = ragged_data()
    model = made(MODELS[0], data)
    before = model.score(torch.tensor([5]))
    first = int(data.train.indptr[5])
    model.row_items[first + 12 - 6 - 1] = 0  # twelve rows, the last six are read
    assert torch.equal(model.score(torch.tensor([5])), before)
    model.row_items[first + 12 - 6] = 0
    assert not torch.equal(model.score(torch.tensor([5])), before)


def test_every_user_is_met_once_an_epoch_in_random_order() -> None:
    data = ragged_data(tuple(range(2, 30)))
    orders = []
    for seed in (0, 1):
        batches = list(training_batches(data.train, 50, 8, generator(seed, "epoch")))
        met = [batch.users.unique().tolist() for batch in batches]
        assert sorted(user for users in met for user in users) == list(range(28))
        assert sum(len(batch) for batch in batches) == len(data.train) - 28
        orders.append(met)
        for batch in batches:
            assert batch.targets is not None
            rows = batch.targets.numpy()
            assert (data.train.items[rows] == batch.positives.numpy()).all()
            assert (data.train.users[rows] == batch.users.numpy()).all()
            assert (data.train.users[rows - 1] == batch.users.numpy()).all()  # the input stands just before
    assert orders[0] != orders[1]


def test_dropout_keeps_the_mean_and_follows_its_seed() -> None:
    ones = torch.ones(100_000)
    cpu = torch.device("cpu")
    for share in (0.2, 0.5):
        dropped = Dropper(share, 7, cpu)(ones)
        assert abs(float((dropped == 0).float().mean()) - share) < 0.01
        assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)], abs=1e-4)
        assert torch.equal(dropped, Dropper(share, 7, cpu)(ones))
        assert not torch.equal(dropped, Dropper(share, 8, cpu)(ones))
    drop = Dropper(0.5, 7, cpu)
    assert not torch.equal(drop(ones), drop(ones))
    assert Dropper(0.0, 7, cpu)(ones) is ones


def test_attention_weights_are_dropped_without_bias_and_later_positions_never_read() -> None:
    query, key, value = (torch.randn((64, 2, 5, 4), generator=generator(0, name)) for name in "qkv")
    cpu = torch.device("cpu")
    wanted = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    nearly_still = Dropper(2**-16, 0, cpu)
    torch.testing.assert_close(_attended(query, key, value, nearly_still), wanted, rtol=1e-3, atol=1e-2)
    found = torch.stack([_attended(query, key, value, Dropper(0.5, seed, cpu)) for seed in range(400)])
    error = (found.mean(dim=0) - wanted) / (found.std(dim=0) / 20).clamp(min=1e-6)
    assert float(error.abs().max()) < 6, "the mean over seeds is what is read without dropout"
    assert float(error.std()) == pytest.approx(1.0, abs=0.1)
    changed = value.clone()
    changed[:, :, 3] += 1.0
    moved = _attended(query, key, changed, Dropper(0.5, 7, cpu))
    assert torch.equal(moved[:, :, :3], found[7][:, :, :3])


def test_dropout_acts_in_training_alone() -> None:
    data = ragged_data()
    model = made(MODELS[0], data)
    batch = next(training_batches(data.train, 6, 8, generator(0, "epoch")))
    served = float(model.loss(batch))
    assert float(model.loss(dataclasses.replace(batch, seed=5))) == served
    model.train()
    assert float(model.loss(batch)) == float(model.loss(batch)) != served
    assert float(model.loss(dataclasses.replace(batch, seed=5))) != float(model.loss(batch))


def test_more_rows_than_the_model_was_built_for_are_an_error() -> None:
    data = ragged_data()
    model = SASRec(dataclasses.replace(data.info, n_interactions=3), SASRecConfig(dims=8), generator(0, "start"))
    with pytest.raises(BadData, match=r"was built for 3 training rows and is fitted to 44; build it from the info"):
        model.fit(data, ModelLoss(), generator(0, "fit"), 1)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"heads": 3}, "model 'sasrec': heads is 3; it is at least 1 and divides dims (64)"),
        ({"length": 0}, "model 'sasrec': length is 0; it is at least 1"),
        ({"blocks": 0}, "model 'sasrec': blocks is 0; it is at least 1"),
        ({"dropout": 1.0}, "model 'sasrec': dropout is 1.0; it is at least 0 and below 1"),
        ({"lr": 0.0}, "model 'sasrec': lr is 0.0; it is a finite number above 0"),
    ],
)
def test_settings_out_of_range_are_errors(wrong: dict[str, float], text: str) -> None:
    with pytest.raises(BadValue) as raised:
        SASRecConfig(**wrong)  # type: ignore[arg-type]
    assert str(raised.value) == text
