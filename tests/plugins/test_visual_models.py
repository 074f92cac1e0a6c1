"""`vbpr`, `vbpr-amr` and `duif`: their equations, cold items, the warm start, and adversarial training on features."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Recommender, System
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN, Budget, View
from recshield.data.interactions import Dataset, Interactions
from recshield.data.visual import FEATURES, IMAGES
from recshield.matrix.fitting import state_hash
from recshield.matrix.systems import resolve_system
from recshield.testing import small_dataset
from recshield.testing.probes import relative_difference
from recshield.training import ModelLoss
from recshield.training.victims import perturb_batch
from recshield_advreg import AdversarialRegularisation, Continue, Rescaled
from recshield_factor import MF, MFConfig
from recshield_visual import DUIF, VBPR, VBPRAMR, DUIFConfig, VBPRAMRConfig, VBPRConfig

SMALL: dict[str, Any] = {"dims": 4, "std": 0.2, "batch": 32, "epochs": 3}
CONFIGS = {VBPR: VBPRConfig(**SMALL), VBPRAMR: VBPRAMRConfig(**SMALL), DUIF: DUIFConfig(**SMALL)}
MODELS = pytest.mark.parametrize("kind", list(CONFIGS), ids=lambda kind: kind.name)


def built(kind: type[Recommender], config: Any = None, data: Dataset | None = None) -> Any:
    held = data or small_dataset()[0]
    return kind(held.info, config or CONFIGS[kind], generator(0, "start"))


def trained(kind: type[Recommender], config: Any = None, data: Dataset | None = None) -> Any:
    model = built(kind, config, data)
    model.fit(data or small_dataset()[0], ModelLoss(), generator(0, "fit", 0))
    return model


def triplets(*rows: tuple[int, int, int]) -> Batch:
    return Batch(*(torch.tensor(column) for column in zip(*rows, strict=True)))


def with_cold(cold: list[int]) -> Dataset:
    """Return the small data without the rows of some items."""
    data, _ = small_dataset()
    is_kept = ~np.isin(data.train.items, cold)
    train = Interactions.from_rows(data.train.users[is_kept], data.train.items[is_kept], 40, 30)
    return dataclasses.replace(data, train=train)


@MODELS
def test_data_without_images_are_refused_in_one_sentence(kind: type[Recommender]) -> None:
    info = dataclasses.replace(small_dataset()[0].info, visual=None)
    with pytest.raises(BadValue) as caught:
        kind(info, kind.config_type(), generator(0))
    assert str(caught.value) == (
        f"model '{kind.name}' reads the images of items, and 'kit' has none; choose a data set with images, or a model "
        "without"
    )


def test_a_bad_setting_names_its_model() -> None:
    with pytest.raises(BadValue, match="model 'duif': lr_visual is -1; it is a finite number above 0"):
        DUIFConfig(lr_visual=-1)


@MODELS
def test_scores_are_those_of_the_papers_equation(kind: type[Recommender]) -> None:
    """AMR, Eq. 4 (`vbpr-amr`), its first part (`duif`), Eq. 2 with the biases of He and McAuley's Eq. 4 (`vbpr`)."""
    model = trained(kind)
    held = {name: one.detach().double().numpy() for name, one in model.named_parameters()}
    features = model.data.visual.features.double().numpy()
    for user, item in ((0, 0), (3, 29), (39, 7)):
        seen = held["projection"] @ features[item]
        if kind is DUIF:
            wanted = held["user"][user] @ seen
        elif kind is VBPRAMR:
            wanted = held["user"][user] @ (held["item"][item] + seen)
        else:
            own, visual = held["user"][user][:4], held["user"][user][4:]
            wanted = held["item_bias"][item, 0] + own @ held["item"][item] + visual @ seen
            wanted += held["visual_bias"][0] @ features[item]
        assert float(model.score(torch.tensor([user])).detach()[0, item]) == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_the_penalty_is_that_of_equation_10() -> None:
    model = built(VBPRAMR, VBPRAMRConfig(**SMALL | {"l2": 0.5}))
    batch = triplets((0, 1, 2), (3, 1, 4))
    user, item, projection = (held.detach() for held in (model.user, model.item, model.projection))
    rows = [user[0], user[3], item[1], item[1], item[2], item[4]]
    wanted = 0.5 * (sum(float((row**2).sum()) for row in rows) + 2 * float((projection**2).sum()))
    assert model.penalty(batch).item() == pytest.approx(wanted, rel=1e-6)


def test_features_are_no_part_of_the_state_and_a_copy_shares_the_images() -> None:
    model = built(VBPR)
    names = {"user", "item", "projection", "item_bias", "visual_bias", "is_warm"}
    assert set(model.state_dict()) == names
    assert copy.deepcopy(model).visual is model.visual


@MODELS
@pytest.mark.parametrize("loss", ["", "bpr", "linear", "margin"])
def test_the_native_gradient_is_that_of_the_generic_path(kind: type[Recommender], loss: str) -> None:
    model = trained(kind).eval().requires_grad_(False)
    names = [one.name for one in model.surfaces if one.name != IMAGES]
    drawn = {one.name: 0.1 * torch.randn(one.shape, generator=generator(0, one.name)) for one in model.surfaces[1:]}
    batch = triplets(*[(user, user % 30, (7 * user + 1) % 30) for user in range(40)])
    leaves = {name: held.clone().requires_grad_() for name, held in drawn.items()}
    x = model.margins(batch, View(leaves))
    value = {"linear": -x, "margin": -x.clamp(min=0)}.get(loss, torch.nn.functional.softplus(-x)).sum()
    wanted = dict(zip(names, torch.autograd.grad(value, [leaves[name] for name in names]), strict=True))
    found = model.gradient(batch, View(drawn), loss)
    assert found[0] == pytest.approx(float(value), rel=1e-5)
    assert set(found[1]) == set(names)
    for name in names:
        assert torch.allclose(found[1][name], wanted[name], rtol=1e-4, atol=1e-6), name


@MODELS
def test_images_that_nobody_lowered_are_an_error(kind: type[Recommender]) -> None:
    model = built(kind)
    with pytest.raises(BadValue, match=r"pass the view through the model's lower\(\) first"):
        model.score(torch.tensor([0]), View({IMAGES: torch.zeros(30, 3, 8, 8)}))
    with pytest.raises(BadValue, match="holds no table of 'item_images'; read them in chunks"):
        model.values(IMAGES)


def test_a_large_batch_and_small_ones_have_the_same_margins() -> None:
    """Where a batch reads more items than there are, vectors are computed for all items; else for those it reads."""
    model = trained(VBPR)
    rows = [(user, user % 30, (7 * user + 1) % 30) for user in range(40)]
    view = View({FEATURES: 0.1 * torch.randn((30, 24), generator=generator(0))})
    small = torch.cat([model.margins(triplets(row), view) for row in rows])
    assert torch.allclose(model.margins(triplets(*rows), view), small, atol=1e-6)


@MODELS
def test_cold_items_have_no_vector_of_their_own_and_are_no_negatives(kind: type[Recommender]) -> None:
    """AMR, section 4.1.2."""
    cold = [2, 11, 17]
    data = with_cold(cold)
    model = trained(kind, data=data)
    for name in {"item", "item_bias"} & set(model.state_dict()):
        held = model.state_dict()[name]
        assert bool((held[cold] == 0).all())
        assert bool((held[[0, 1, 3]] != 0).all())
    seen = torch.cat([batch.negatives for batch in model.batches(data, generator(0))])
    assert not set(cold) & set(seen.tolist())
    vectors = model.item_vectors(torch.tensor(cold), CLEAN)
    features = model.visual.features[cold]
    alone = features @ model.projection.T
    if kind is VBPR:
        alone = torch.cat([torch.zeros(3, 4), alone, features @ model.visual_bias.T], dim=1)
    assert torch.allclose(vectors, alone, atol=1e-6)


@pytest.mark.parametrize("kind", [VBPR, VBPRAMR], ids=lambda kind: kind.name)
def test_warm_ids_are_those_of_mf_bit_for_bit(kind: type[Recommender]) -> None:
    data, _ = small_dataset()
    settings = dataclasses.replace(CONFIGS[kind], warm=5)
    model = built(kind, settings)
    model.fit(data, ModelLoss(), generator(0, "fit", 0), 0)
    factors = MF(data.info, MFConfig(dims=4, std=0.2, batch=32, lr=0.1, l2=1e-4), generator(0, "start"))
    factors.fit(data, ModelLoss(), generator(0, "fit", 0), 5)
    assert torch.equal(model.user[:, :4], factors.user)
    assert torch.equal(model.item[data.train.popularity() > 0], factors.item[data.train.popularity() > 0])
    before = state_hash(model)
    model.fit(data, ModelLoss(), generator(0, "fit", 1), 0)
    assert state_hash(model) == before, "only the first fit warms up"


def test_warm_users_of_duif_are_those_of_mf_bit_for_bit() -> None:
    data, _ = small_dataset()
    model = built(DUIF, DUIFConfig(**SMALL | {"warm": 5}))
    model.fit(data, ModelLoss(), generator(0, "fit", 0), 0)
    factors = MF(data.info, MFConfig(dims=4, std=0.2, batch=32, lr=0.1, l2=1e-4), generator(0, "start"))
    factors.fit(data, ModelLoss(), generator(0, "fit", 0), 5)
    assert torch.equal(model.user, factors.user)


def defended(kind: type[Recommender], defense: Any, target: str) -> Any:
    data, _ = small_dataset()
    model = trained(kind)
    model.fit(data, defense.objective(ModelLoss(), target), generator(0, "fit", 1), defense.epochs)
    return model


@MODELS
@pytest.mark.parametrize("target", [FEATURES, IMAGES])
def test_weight_zero_is_going_on_and_a_tiny_one_nearly(kind: type[Recommender], target: str) -> None:
    continued = defended(kind, Continue(epochs=2), target)
    weightless, tiny, whole = (
        defended(kind, AdversarialRegularisation(eps=0.3, weight=weight, epochs=2), target)
        for weight in (0.0, 1e-6, 1.0)
    )
    assert state_hash(weightless) == state_hash(continued)
    assert 0 < relative_difference(tiny, continued) < 1e-4 < relative_difference(whole, continued)


def test_the_perturbation_of_features_is_that_of_equations_11_and_12() -> None:
    """By hand: the gradient of -ln s(y_ui - y_uj) is -(1 - s(x)) p_u E for c_i and its opposite for c_j, summed."""
    model = trained(VBPRAMR)
    rows = [(0, 1, 2), (3, 1, 4), (5, 2, 4)]  # items 1, 2 and 4 are read twice, item 2 once on either side
    batch = triplets(*rows)
    user, projection = (held.detach().double().numpy() for held in (model.user, model.projection))
    margins = model.margins(batch).detach().double().numpy()
    gamma = {item: np.zeros(24) for item in (1, 2, 4)}
    for (u, i, j), x in zip(rows, margins, strict=True):
        slope = 1 - 1 / (1 + np.exp(-x))
        gamma[i] -= slope * user[u] @ projection
        gamma[j] += slope * user[u] @ projection
    view = perturb_batch(model, batch, FEATURES, Budget("l2", 0.05), 1)
    assert view.rows[FEATURES].tolist() == [1, 2, 4], "the positive and the negative items alike"
    for place, item in enumerate((1, 2, 4)):
        wanted = 0.05 * gamma[item] / np.linalg.norm(gamma[item])
        assert view.delta[FEATURES][place].numpy() == pytest.approx(wanted, abs=1e-6)


def test_a_perturbation_of_images_in_training_moves_positive_and_negative_items() -> None:
    model = trained(VBPRAMR)
    batch = triplets((0, 1, 2))
    view = perturb_batch(model, batch, IMAGES, Budget("linf", 4 / 255), 1)
    assert view.rows[IMAGES].tolist() == [1, 2]
    assert view.delta[IMAGES].flatten(1).abs().amax(dim=1).tolist() == pytest.approx([4 / 255] * 2)
    lowered = model.lower(view)
    assert float(model.loss(batch, lowered)) > float(model.loss(batch))


def test_the_preset_amr_is_vbpr_amr_under_advreg_on_features() -> None:
    system = resolve_system("amr", {})
    assert system.model.name == "vbpr-amr"
    assert [part.name for part in system.defenses] == ["advreg"]
    assert system.defenses[0].target == FEATURES
    options = dict(system.defenses[0].options)
    assert (options["eps"], options["weight"], options["epochs"], options["steps"]) == (0.05, 1.0, 20, 1)


def test_rescaled_takes_over_the_norm_of_every_block() -> None:
    base, like = trained(VBPR), trained(VBPR, VBPRConfig(**SMALL | {"epochs": 9}))
    features = base.visual.features.clone()
    scaled = Rescaled(like=System("vbpr:epochs=9", like)).serve(base)
    assert set(scaled.blocks()) == {"factors.user", "factors.item", "projection", "item_bias", "visual_bias"}
    for name, held in scaled.blocks().items():
        wanted, before = (float(one.blocks()[name].norm(dim=-1).mean()) for one in (like, base))
        assert float(held.norm(dim=-1).mean()) == pytest.approx(wanted, rel=1e-5)
        assert wanted != pytest.approx(before, rel=1e-3), name
        ratio = held / base.blocks()[name]
        assert float(ratio.max()) == pytest.approx(float(ratio.min()), rel=1e-4), "one factor for the whole block"
    assert torch.equal(base.visual.features, features), "the features are the data's"
