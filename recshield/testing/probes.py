"""What several checks look at: the global random state, fingerprints of data, random perturbations, options as text."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recshield.core import specs
from recshield.core.errors import RecshieldError
from recshield.core.interfaces import Batch, Recommender, System
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN, Stage, Surface, View
from recshield.data.interactions import Dataset
from recshield.matrix.fitting import state_hash
from recshield.testing.failures import CheckFailed, LeakFound, need
from recshield.testing.pictures import clean_values
from recshield.training.draws import epoch_triplets

#: Epochs of training in a check: enough to move every weight, few enough to be quick.
EPOCHS = 3
#: A seed that nobody else uses.
_UNUSUAL = 987_654_321


def _random_states() -> dict[str, Any]:
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 (the legacy state is what is watched)
    return {"torch": torch.get_rng_state(), "numpy": numpy_state, "random": random.getstate()}


def _restore(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    random.setstate(states["random"])


def _same(one: Any, other: Any) -> bool:
    # numpy's state holds an array, for which == has no single answer; its text does
    return bool(torch.equal(one, other)) if isinstance(one, Tensor) else _numbers(one) == _numbers(other)


def _numbers(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _numbers(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


@contextmanager
def watched_random_state(who: str) -> Iterator[None]:
    """Raise CheckFailed if the block draws from, or seeds, a global generator; put the state back in any case."""
    found = _random_states()
    _seed_all(_UNUSUAL)  # who seeds with 0 must be found out even where 0 was the last seed
    before = _random_states()
    try:
        yield
        after = _random_states()
    finally:
        _restore(found)
    moved = [name for name in before if not _same(before[name], after[name])]
    need(
        not moved,
        f"{who} changed the global random state of {', '.join(moved)}; draw from the generator it is given, "
        "through recshield.core.seeds.child(rng, NAME)",
    )


@contextmanager
def disturbed_random_state(seed: int) -> Iterator[None]:
    """Seed the global generators inside the block, so that whoever draws from them is found out."""
    before = _random_states()
    _seed_all(seed)
    try:
        yield
    finally:
        _restore(before)


def _seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def fingerprint(data: Dataset) -> str:
    """Return a hash of every array of a data set, those that it derives included."""
    train = data.train
    arrays = (train.indptr, train.items, train.users, *train.members, data.user_ids, data.item_ids)
    return hashlib.blake2b(b"".join(held.tobytes() for held in arrays)).hexdigest()


def as_served(model: Recommender) -> Recommender:
    """Return the model as the framework serves it: evaluation mode, no gradient for its own parameters."""
    model.eval()
    model.requires_grad_(False)
    return model


def all_users(model: Recommender) -> Tensor:
    """Return every user id."""
    return torch.arange(model.data.n_users)


def scores(model: Recommender, view: View = CLEAN) -> Tensor:
    """Return the (n_users, n_items) scores, read as the framework reads them."""
    with torch.no_grad():
        return model.score(all_users(model), model.lower(view)).clone()


def loss(model: Recommender, batch: Batch, view: View = CLEAN) -> Tensor:
    """Return the loss of a batch, read as the framework reads it."""
    return model.loss(batch, model.lower(view))


def small_batch(data: Dataset, size: int = 6) -> Batch:
    """Return a few triplets of the training rows; many rows of every table stay outside."""
    drawn = epoch_triplets(data.train, 0, 0)
    columns = (drawn.users, drawn.positives, drawn.negatives)
    return Batch(*(torch.from_numpy(column[:size].copy()).long() for column in columns))


def served_surfaces(model: Recommender) -> tuple[Surface, ...]:
    """Return the surfaces that an attacker can reach after training; scores and triplets read no others."""
    return tuple(one for one in model.surfaces if Stage.SERVE in one.stages)


def random_delta(model: Recommender, seed: int = 0) -> dict[str, Tensor]:
    """Return a Gaussian perturbation of every served surface, as large as the clean values are on average."""
    made = {}
    for surface in served_surfaces(model):
        size = float(clean_values(model, surface.name).detach().abs().mean()) or 1.0
        made[surface.name] = size * torch.randn(surface.shape, generator=generator(seed, "kit", surface.name))
    return made


def zero_delta(model: Recommender) -> dict[str, Tensor]:
    """Return zeros for every served surface."""
    return {surface.name: torch.zeros(surface.shape) for surface in served_surfaces(model)}


def relative_difference(model: Recommender, other: Recommender) -> float:
    """Return the l2 norm of the difference of all weights over the norm of `other`'s."""
    ours, theirs = model.state_dict(), other.state_dict()
    pairs = [(ours[name].double(), theirs[name].double()) for name in theirs]
    apart = sum(float((one - two).square().sum()) for one, two in pairs)
    whole = sum(float(two.square().sum()) for _, two in pairs)
    return float((apart / max(whole, 1e-300)) ** 0.5)


@contextmanager
def unchanged_model(model: Recommender, who: str) -> Iterator[None]:
    """Raise LeakFound if the block changes the model: its state, its clean scores or its mode."""
    state, clean, mode = state_hash(model), scores(model), model.training
    yield
    found = [
        what
        for what, is_changed in (
            ("state_dict", state_hash(model) != state),
            ("clean scores", not torch.equal(scores(model), clean)),
            ("training mode", model.training != mode),
        )
        if is_changed
    ]
    if found:
        raise LeakFound(f"{who} changed the model's {' and '.join(found)}; a perturbation is only ever an argument")


def named_systems(part: Any) -> dict[str, Recommender]:
    """Return the models of the systems that a plugin's fields name."""
    found = {spot.name: getattr(part, spot.name) for spot in dataclasses.fields(part)}
    return {name: held.model for name, held in found.items() if isinstance(held, System)}


def need_frozen(kind: type[Any], who: str) -> None:
    """Raise CheckFailed unless `kind` is a frozen dataclass whose instances compare by value."""
    made = getattr(kind, "__dataclass_params__", None)
    # An undecorated subclass inherits the mark of its base, but its own fields would neither be frozen nor compared.
    has_loose_fields = "__dataclass_params__" not in vars(kind) and bool(
        {"__init__", "__annotations__"} & set(vars(kind))
    )
    need(
        bool(made and made.frozen and made.eq) and not has_loose_fields,
        f"{who}: {kind.__name__} is not a frozen dataclass; write @dataclass(frozen=True) above it",
    )


def need_reprint(options: Any, name: str, who: str) -> None:
    """Raise CheckFailed unless the options, written as a specification, read back as equal options."""
    kind = type(options)
    held = {spot.name: getattr(options, spot.name) for spot in dataclasses.fields(kind) if spot.init}
    loaded = {key: value for key, value in held.items() if isinstance(value, System)}
    texts = [(key, str(value)) for key, value in held.items() if key not in loaded]
    written = tuple(texts)
    text = str(specs.Spec(name, "", written))
    try:
        read = specs.parse(text)
        back = kind(**specs.read_options(kind, who, read.options), **loaded)
    except (RecshieldError, TypeError, ValueError) as error:
        raise CheckFailed(f"{who}: its options print as '{text}', which does not read back: {error}") from error
    need(
        read.name == name and back == options,
        f"{who}: its options print as '{text}', which reads back as {back}; options are int, float, bool, str or "
        "System fields",
    )
