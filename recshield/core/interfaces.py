"""What a plugin author implements: Recommender, Attack, Defense; and the Victim that an attack is given."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.settings import ATTACK_TRIPLETS
from recshield.core.surfaces import CLEAN, Budget, Delta, Surface, View

if TYPE_CHECKING:
    from recshield.data.interactions import DataInfo, Dataset, Interactions


class Access(Flag):
    """What an attack may call; a rule of honesty, not a sandbox."""

    DATA = auto()
    RANKINGS = auto()
    SCORES = auto()
    GRADIENTS = auto()

    def __str__(self) -> str:
        return ", ".join(str(one.name) for one in Access if one in self) or "nothing"


@dataclass(frozen=True)
class Goal:
    """What the attacker wants.

    Attributes:
        kind: `degrade`: raise the loss, so that accuracy falls.
        oracle: the pairs are the test pairs (a strong reference, held by the framework) and not the training rows.
    """

    kind: str = "degrade"
    oracle: bool = False

    def __str__(self) -> str:
        return f"{self.kind}:oracle" if self.oracle else self.kind

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Return the goal that `degrade` or `degrade:oracle` names."""
        if text not in ("degrade", "degrade:oracle"):
            raise BadValue(f"goal '{text}' is not known; allowed: degrade, degrade:oracle")
        return cls("degrade", text.endswith(":oracle"))


@dataclass(frozen=True)
class Batch:
    """Triplets (user, positive item, negative item), three int64 tensors of one length; a model may add to them."""

    users: Tensor
    positives: Tensor
    negatives: Tensor

    def __len__(self) -> int:
        return len(self.users)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        return Batch(self.users.to(device), self.positives.to(device), self.negatives.to(device))


@dataclass(frozen=True)
class Objective:
    """What training minimises, as a value; the kinds live in `recshield.training.objectives`."""


#: Losses that `Victim.ascend` knows. "" is the model's own on the goal's triplets; there, with x the score of the
#: positive minus that of the negative item, `bpr` is softplus(-x), `linear` -x and `margin` -max(x, 0). `top` is
#: `margin` between the items that the user's clean list shows first and the rest.
LOSSES = ("", "bpr", "linear", "margin", "top")


@dataclass(frozen=True)
class NoConfig:
    """Configuration of a model that has nothing to configure."""


class Recommender(torch.nn.Module, ABC):
    """A model that scores items for users, and says where it can be touched.

    A subclass takes `(data: DataInfo, config, rng: Generator)`; `config` is an instance of `config_type`, and start
    values come from `recshield.core.seeds.child(rng, "<table name>")`, one generator per table.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Any]] = NoConfig
    exposes: ClassVar[tuple[str, ...]] = ()
    #: Names of surfaces that defenses reach in training and no attacker does (`stages=()`).
    exposes_in_training: ClassVar[tuple[str, ...]] = ()
    #: Triplets that an attack passes through `loss` at once; more where a pass has a cost of its own.
    pass_size: ClassVar[int] = ATTACK_TRIPLETS
    surfaces: tuple[Surface, ...] = ()

    def __init__(self, data: DataInfo, config: Any, rng: Generator) -> None:
        super().__init__()
        self.data = data
        self.config = config

    @abstractmethod
    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train from the present weights on with a fresh optimiser; `epochs` None = the configured number."""

    @abstractmethod
    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (len(users), n_items) finite scores; higher ranks first."""

    def scoring(self, view: View = CLEAN) -> Callable[[Tensor], Tensor]:
        """Return `score` under one view, for a ranking, which asks for the users chunk by chunk.

        What all chunks share can be made once, here; `recshield.core.factored.Factored` does so for inner products.
        """
        return functools.partial(self.score, view=view)

    # Optional from here on: needed by gradient attacks and by training through the generic path.

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the loss summed over the batch, without the regulariser (a scalar)."""
        raise BadValue(f"model '{self.name}' has no loss; gradient attacks and adversarial training need one")

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (len(batch),) score of the positive minus score of the negative item."""
        scores = self.score(batch.users, view)
        picked = scores.gather(1, torch.stack([batch.positives, batch.negatives], dim=1))
        return picked[:, 0] - picked[:, 1]

    def gradient(self, batch: Batch, view: View, loss: str) -> tuple[float, dict[str, Tensor]] | None:
        """Return the summed loss and its gradient with respect to each perturbation of a view that covers all rows.

        The tensors are made anew in each call: who calls may write to them. None (the default): the generic path
        differentiates `loss` or `margins`, to which a model's own is held.
        """
        return None

    def add_gradient(self, batch: Batch, view: View, loss: str, into: dict[str, Tensor], scale: float) -> float | None:
        """Add `scale` times what `gradient` returns to tensors in place, and return the summed loss; None as there.

        A perturbation that `into` has no tensor for yet gets one. A model that never makes the whole gradient of a
        batch needs less memory.
        """
        own = self.gradient(batch, view, loss)
        if own is None:
            return None
        for name, held in own[1].items():
            into[name] = into[name].add_(held, alpha=scale) if name in into else held.mul_(scale)
        return own[0]

    def penalty(self, batch: Batch) -> Tensor:
        """Return the regulariser of the batch, read from the clean parameters (a scalar)."""
        return torch.zeros((), device=batch.users.device)

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        raise BadValue(f"model '{self.name}' yields no batches; training through the generic path needs them")

    def goal_batches(self, train: Interactions, data_seed: int) -> Sequence[tuple[Batch, int]] | None:
        """Return the batches of the loss that `degrade` raises: the sum of each one's `loss` over its number.

        None (the default): the training rows with `DEGRADE_DRAWS` negatives each, and the mean over them. A model whose
        loss is not one of triplets returns batches of its own; the other names of `LOSSES` read triplets all the same.

        Args:
            train: the training rows.
            data_seed: of the draws, the same for every system and attack.
        """
        return None

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the sorted surface rows that the loss of a batch reads, per surface."""
        return {}

    def values(self, surface: str) -> Tensor:
        """Return the clean values of a surface, all rows; for a table of the model, the live parameter."""
        raise BadValue(f"model '{self.name}' has no surface '{surface}'")

    def lower(self, view: View) -> View:
        """Return the view in terms of the surfaces that `score` and `loss` read."""
        return view

    def categories(self, items: Tensor, view: View = CLEAN) -> Tensor:
        """Return (len(items), n_categories) class scores of the items' images as the view shows them."""
        raise BadValue(f"model '{self.name}' reads no images, so it has no class scores of them")

    def blocks(self) -> Mapping[str, Tensor]:
        """Return the live parameters, by name, that `rescaled` scales one by one: the tables of all surfaces."""
        return {one.name: self.values(one.name) for one in self.surfaces}


@dataclass(frozen=True)
class System:
    """A trained model with its defenses; a field of this type names one, and receives it loaded."""

    spec: str
    model: Recommender


class Victim(Protocol):
    """What an attack is given; a call beyond its declared access raises AccessDenied."""

    surfaces: tuple[Surface, ...]
    goal: Goal

    @property
    def data(self) -> Interactions:
        """DATA: the training rows, never test rows."""

    @property
    def rows(self) -> Mapping[str, Tensor]:
        """Sorted rows of each surface that the goal reads; noise and random starts stay on them."""

    def zeros(self) -> dict[str, Tensor]:
        """Return a perturbation of zeros for every surface of the target."""

    def legal(self, delta: Delta) -> dict[str, Tensor]:
        """Return the nearest perturbation with clean + delta inside the surfaces' bounds; the framework clamps, too."""

    def rankings(self, users: Tensor, k: int, delta: Delta) -> Tensor:
        """RANKINGS: return the (len(users), k) item ids ranked first, -1 beyond the last; counted as queries."""

    def scores(self, users: Tensor, delta: Delta, items: Tensor | None = None) -> Tensor:
        """SCORES: return (len(users), n_items) scores, or those of the (len(users), m) items; counted as queries."""

    def ascend(self, delta: Delta, loss: str = "") -> tuple[Tensor, dict[str, Tensor]]:
        """GRADIENTS: return the value of the goal and its gradient with respect to the perturbation.

        Args:
            delta: surface name -> perturbation.
            loss: a name of `LOSSES`; "" = the model's own.
        """


class Attack(ABC):
    """An attack; a subclass is a frozen dataclass whose fields are its parameters.

    Attributes:
        name: as written in a specification; `aliases` are other names of the same attack.
        access: what it may call.
        target: surface or family it wants; "" = the family of the model's first surface.
        projected: False for a published variant that must not be projected into the budget (labelled).
        members: for an ensemble, the attacks that it stands for; its cell takes each user's worst over theirs, and
            `perturb` is never called.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    access: ClassVar[Access]
    target: ClassVar[str] = ""
    projected: ClassVar[bool] = True
    members: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the perturbation, in raw units of each surface; it must not change the victim."""


class Defense(ABC):
    """A defense; a subclass is a frozen dataclass; each method's default is the identity.

    Attributes:
        name: as written in a specification.
        default_target: surface or family that `name` without `@` acts on; "" = the model's first family.
        warm_start: training goes on from the undefended trained model, for `epochs` (a field) more epochs.
    """

    name: ClassVar[str]
    default_target: ClassVar[str] = ""
    warm_start: ClassVar[bool] = False

    def prepare(self, data: Dataset, rng: Generator) -> Dataset:
        """Return the data to train on (before fit); every draw comes from `rng`."""
        return data

    def objective(self, base: Objective, target: str) -> Objective:
        """Return the objective to train with (during fit); `target` is the surface or family named with `@`."""
        return base

    def serve(self, model: Recommender) -> Recommender:
        """Return the model to serve (after fit); never change the one given."""
        return model
