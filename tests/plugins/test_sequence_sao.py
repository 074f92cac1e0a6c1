"""SAO by hand: Eq. 6 to 10 on a tiny model, both variants; weight 0 is SASRec continued, bit for bit."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from histories import made, ragged_data
from torch import Tensor
from torch.nn.functional import logsigmoid

from recshield.core.registry import registry
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, View
from recshield.matrix.fitting import state_hash
from recshield.matrix.systems import resolve_system
from recshield.training import Adversarial, ModelLoss, evaluate
from recshield.training.victims import perturb_batch
from recshield_sequence import SASRec, SASRecConfig
from recshield_sequence.batches import SequenceBatch, training_batches
from recshield_sequence.dropping import Dropper
from recshield_sequence.packing import pack
from recshield_sequence.sequential import NEGATIVE, SEQUENCE, TARGET, Sequential

CONFIG = SASRecConfig(dims=8, length=6, blocks=1, heads=1, dropout=0.0, std=0.3, batch=32, lr=0.01)
EPS = 0.2


def tiny() -> tuple[Sequential, SequenceBatch]:
    """Return a model and one training batch of every user."""
    data = ragged_data()
    model = made(CONFIG, data)
    return model, next(training_batches(data.train, 6, 32, generator(0, "epoch")))


def loss_by_hand(
    model: Sequential, batch: SequenceBatch, inputs: Tensor, liked: Tensor, other: Tensor, at_input: Tensor
) -> Tensor:
    """Return Eq. 5 (Eq. 9 in its arguments), user by user and position by position.

    Args:
        model: its encoder.
        batch: histories and triplets.
        inputs: (n_rows, dims) added to the item where a row is input.
        liked: (n_rows, dims) added to the item where a row is target.
        other: (n_rows, dims) added to the negative of a row.
        at_input: (n_items, dims) added to items where they are input.
    """
    offsets, items = model.row_offsets.tolist(), model.row_items.long()
    negative_of = dict(zip(batch.targets.tolist(), batch.negatives.tolist(), strict=True))  # type: ignore[union-attr]
    total = torch.zeros(())
    for first, behind in itertools.pairwise(offsets):
        if behind - first < 2:
            continue
        rows = range(max(first, behind - 1 - 6), behind - 1)
        vectors = torch.stack([model.item[items[row]] + at_input[items[row]] + inputs[row] for row in rows])
        packed = pack(*(torch.tensor([edge]).numpy() for edge in (rows[0], rows[-1] + 1)))
        states = model.encode(packed, vectors, Dropper(0.0, 0, torch.device("cpu")))
        for state, row in zip(states, rows, strict=True):
            target, negative = row + 1, negative_of[row + 1]
            positive_score = state @ (model.item[items[target]] + liked[target])
            negative_score = state @ (model.item[negative] + other[target])
            total = total - logsigmoid(positive_score) - logsigmoid(-negative_score)  # ln(1 - s(x)) = ln s(-x)
    return total


def zeros(model: Sequential) -> tuple[Tensor, Tensor, Tensor]:
    rows, items = (torch.zeros(one.shape) for one in (model.sequence, model.table))
    return rows, rows.clone(), items


def unit(slope: Tensor) -> Tensor:
    """Return each row over its length (Eq. 8); zero where it is zero."""
    length = slope.norm(dim=1, keepdim=True)
    return torch.where(length > 0, slope / length.clamp(min=1e-30), slope)


def test_the_loss_is_equation_5_and_under_perturbations_equation_9() -> None:
    model, batch = tiny()
    rows, more, items = zeros(model)
    with torch.no_grad():
        assert float(model.loss(batch)) == pytest.approx(float(loss_by_hand(model, batch, rows, rows, rows, items)))
        delta, negative = (torch.randn(rows.shape, generator=generator(0, name)) for name in ("delta", "negative"))
        clean, moved = float(model.loss(batch)), float(model.loss(batch, View({SEQUENCE: delta, NEGATIVE: negative})))
        by_hand = float(loss_by_hand(model, batch, delta, delta, negative, items))
        assert moved == pytest.approx(by_hand, rel=1e-4)
        assert abs(moved - clean) > 1
        one_side = float(loss_by_hand(model, batch, delta, more, negative, items))
        assert one_side != pytest.approx(by_hand, rel=1e-3)


def test_the_perturbation_is_equation_8_one_vector_per_position() -> None:
    model, batch = tiny()
    delta, _, items = zeros(model)
    negative = delta.clone()
    leaves = [delta.requires_grad_(), negative.requires_grad_()]
    slopes = torch.autograd.grad(loss_by_hand(model, batch, delta, delta, negative, items), leaves)
    view = perturb_batch(model, batch, SEQUENCE, Budget("l2", EPS), steps=1)
    assert set(view.delta) == {SEQUENCE, NEGATIVE}
    for name, slope in zip((SEQUENCE, NEGATIVE), slopes, strict=True):
        rows, found = view.rows[name], view.delta[name]
        assert isinstance(found, Tensor)
        assert rows.tolist() == slope.abs().amax(dim=1).nonzero()[:, 0].tolist()
        assert torch.allclose(found, EPS * unit(slope)[rows], atol=1e-5)
        assert torch.allclose(found.norm(dim=1), torch.full((len(rows),), EPS), rtol=1e-4)


def test_the_objective_of_the_paper_is_equation_10() -> None:
    model, batch = tiny()
    delta, _, items = zeros(model)
    negative = delta.clone()
    leaves = [delta.requires_grad_(), negative.requires_grad_()]
    slopes = torch.autograd.grad(loss_by_hand(model, batch, delta, delta, negative, items), leaves)
    moved, other = (EPS * unit(slope) for slope in slopes)
    clean = loss_by_hand(model, batch, delta, delta, negative, items)
    by_hand = (clean + 0.7 * loss_by_hand(model, batch, moved, moved, other, items)).detach()
    found = evaluate(model, Adversarial(ModelLoss(), SEQUENCE, Budget("l2", EPS), 0.7), batch)
    assert float(found.detach()) == pytest.approx(float(by_hand), rel=1e-5)


def test_the_published_code_takes_the_gradient_everywhere_and_moves_targets_alone() -> None:
    model, batch = tiny()
    rows, _, items = zeros(model)
    held = model.row_items.long()
    negative_of = torch.zeros(len(held), dtype=torch.long)
    assert batch.targets is not None
    negative_of[batch.targets] = batch.negatives
    leaf = items.requires_grad_()
    everywhere = loss_by_hand(model, batch, rows, leaf[held], leaf[negative_of], leaf)
    (slope,) = torch.autograd.grad(everywhere, [leaf])
    targets = torch.cat([batch.positives, batch.negatives]).unique()
    moved = torch.zeros_like(items)
    moved[targets] = EPS * unit(slope)[targets]
    view = perturb_batch(model, batch, TARGET, Budget("l2", EPS), steps=1)
    assert view.rows[TARGET].tolist() == targets.tolist()
    assert torch.allclose(torch.as_tensor(view.delta[TARGET]), moved[targets], atol=1e-5)
    with torch.no_grad():
        by_hand = loss_by_hand(model, batch, rows, moved[held], moved[negative_of], torch.zeros_like(items))
        assert float(model.loss(batch, view)) == pytest.approx(float(by_hand), rel=1e-5)
    # The gradient of the target side alone is another one.
    half = loss_by_hand(model, batch, rows, leaf[held], leaf[negative_of], torch.zeros_like(items))
    (narrow,) = torch.autograd.grad(half, [leaf])
    assert not torch.allclose(unit(narrow), unit(slope), atol=0.1)


def test_the_perturbation_is_found_without_dropout_and_leaves_the_mode() -> None:
    data = ragged_data()
    dropping = made(SASRecConfig(dims=8, length=6, blocks=1, dropout=0.5, std=0.3), data)
    plain = made(SASRecConfig(dims=8, length=6, blocks=1, dropout=0.0, std=0.3), data)
    batch = next(training_batches(data.train, 6, 32, generator(0, "epoch")))
    budget = Budget("l2", EPS)
    views = [perturb_batch(one.train(), batch, SEQUENCE, budget, 1) for one in (dropping, plain)]
    assert torch.equal(torch.as_tensor(views[0].delta[SEQUENCE]), torch.as_tensor(views[1].delta[SEQUENCE]))
    assert dropping.training


@pytest.mark.parametrize("target", [SEQUENCE, TARGET])
def test_weight_zero_is_sasrec_continued_bit_for_bit(target: str) -> None:
    data = ragged_data()
    start = SASRec(data.info, SASRecConfig(dims=8, length=6, batch=4, std=0.1), generator(0, "start"))
    start.fit(data, ModelLoss(), generator(0, "fit"), 3)
    found = {}
    for weight in (None, 0.0, 1e-6, 1.0):
        model = copy.deepcopy(start)
        added = Adversarial(ModelLoss(), target, Budget("l2", EPS), weight or 0.0)
        model.fit(data, ModelLoss() if weight is None else added, generator(0, "fit", 1), 3)
        found[weight] = model
    assert state_hash(found[None]) == state_hash(found[0.0])
    hashes = {state_hash(model) for model in found.values()}
    assert len(hashes) == 3
    apart = {weight: float((found[weight].item - found[None].item).detach().norm()) for weight in (1e-6, 1.0)}
    assert 0 < apart[1e-6] < apart[1.0]


def test_the_presets_are_the_paper_and_its_code() -> None:
    assert {"asasrec", "asasrec-paper"} <= set(registry().presets)
    for name, target in (("asasrec-paper", SEQUENCE), ("asasrec", TARGET)):
        system = resolve_system(name, {})
        (defense,) = system.defenses
        assert (system.model.name, defense.name, defense.target) == ("sasrec", "advreg", target)
        assert dict(defense.options) | {"eps": 0.2, "weight": 1.0, "epochs": 60, "steps": 1} == dict(defense.options)
