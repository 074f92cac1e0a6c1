"""The trained system as an attack sees it: its goal, its gradient, and nothing it has no access to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recshield.core import settings
from recshield.core.errors import AccessDenied, BadValue, NonFiniteScores
from recshield.core.interfaces import LOSSES, Access, Batch, Goal, Recommender
from recshield.core.norms import measure, norm_of
from recshield.core.storage import copy, split, zeros
from recshield.core.surfaces import Delta, Stage, Surface, View, covers
from recshield.data.interactions import HeldOut, Interactions
from recshield.data.visual import IMAGES, clean_values, device_of, image_chunks, pictures
from recshield.evaluation.ranking import first_items
from recshield.matrix.pixels import pixel_gradient
from recshield.training.draws import draw_negatives

#: Triplets whose loss is taken from the scores at once.
_VALUED = 2**18


@dataclass(frozen=True)
class GoalPairs:
    """Triplets that a goal's loss is the mean over, drawn once and for all attacks alike."""

    users: Tensor
    positives: Tensor
    negatives: Tensor  # (draws, rows)

    def batches(self, device: torch.device, size: int) -> Iterator[Batch]:
        """Yield the triplets in a fixed order, all draws of a row in one batch; memory is one batch."""
        n_draws = len(self.negatives)
        step = max(1, size // max(1, n_draws))
        for start in range(0, len(self.users), step):
            end = start + step
            # The draws of a row one after the other: what they share is still near.
            columns = (self.users, self.positives)
            users, positives = (held[start:end].long().repeat_interleave(n_draws) for held in columns)
            yield Batch(users, positives, self.negatives[:, start:end].T.reshape(-1).long()).to(device)

    def __len__(self) -> int:
        return self.negatives.numel()


def degrade_pairs(train: Interactions, data_seed: int) -> GoalPairs:
    """Return the training rows with three draws of one negative each, the same for every system and attack."""
    draws = [draw_negatives(train, data_seed, "degrade", draw) for draw in range(settings.DEGRADE_DRAWS)]
    return GoalPairs(torch.from_numpy(train.users), torch.from_numpy(train.items), torch.from_numpy(np.stack(draws)))


def oracle_pairs(train: Interactions, test: HeldOut, data_seed: int) -> GoalPairs:
    """Return the test rows with twenty negatives each, outside the user's training and test rows."""
    return _beside(train, test.row_users, test.items, settings.ORACLE_NEGATIVES, data_seed, "oracle")


def top_pairs(model: Recommender, train: Interactions, data_seed: int, device: torch.device) -> GoalPairs:
    """Return the first items of every user's clean list with items of the rest: outside them and the training rows."""
    lists = first_items(model.scoring(), train, settings.TOP_ITEMS, device)
    is_shown = lists >= 0
    everyone = np.arange(train.n_users, dtype=np.int32)
    return _beside(train, everyone.repeat(is_shown.sum(axis=1)), lists[is_shown], settings.TOP_DRAWS, data_seed, "top")


def _beside(
    train: Interactions, users: NDArray[np.int32], items: NDArray[np.int32], n_draws: int, data_seed: int, name: str
) -> GoalPairs:
    """Return (user, item) rows, sorted by user, with draws of one item outside the user's rows and training rows."""
    both = train.with_rows(users, items)
    # One draw per row of both, cut to the rows given, which stand behind each user's training rows.
    counts = np.diff(train.indptr)
    first = np.searchsorted(users, np.arange(train.n_users))
    rows = both.indptr[users] + counts[users] + np.arange(len(users)) - first[users]
    draws = [draw_negatives(both, data_seed, name, draw)[rows] for draw in range(n_draws)]
    return GoalPairs(torch.from_numpy(users), torch.from_numpy(items), torch.from_numpy(np.stack(draws)))


def loss_of(model: Recommender, batch: Batch, view: View, name: str) -> Tensor:
    """Return the loss summed over a batch; x is the score of the positive minus that of the negative item."""
    if name == "":
        return model.loss(batch, view)
    x = model.margins(batch, view)
    if name == "bpr":
        return torch.nn.functional.softplus(-x).sum()
    if name == "linear":
        return -x.sum()
    if name in ("margin", "top"):
        return -x.clamp(min=0).sum()
    raise BadValue(f"loss '{name}' is not known; allowed: {', '.join(LOSSES[1:])}, or empty for the model's own")


def _has_values(delta: Tensor) -> bool:
    """Return whether anything is other than zero; the first rows tell, as a rule."""
    return bool(delta[:64].any()) or bool(delta.any())


def _total(parts: list[tuple[float | Tensor, int]]) -> float:
    """Return the sum of summed losses, each over its count; read at the end, not to wait for a device at each."""
    return float(sum(float(value) / count for value, count in parts))


class _RowsOf(torch.autograd.Function):
    """Rows of a leaf, each once; the gradient is added to the leaf's in place, and no table is made for it."""

    @staticmethod
    def forward(ctx: Any, leaf: Tensor, rows: Tensor) -> Tensor:
        """Return leaf[rows]."""
        ctx.leaf, ctx.rows = leaf, rows
        return leaf.detach().index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        """Add the gradient of the rows to the leaf's."""
        if ctx.leaf.grad is None:
            ctx.leaf.grad = torch.zeros_like(ctx.leaf)
        ctx.leaf.grad.index_add_(0, ctx.rows, gradients[0])
        return None, None


@dataclass
class GradientNotes:
    """What was seen along an attack, for the audit."""

    values: list[float] = field(default_factory=list)
    zero_share: float | None = None
    n_queries: int = 0


class TrainedVictim:
    """A system after training (stage SERVE), reached through the access that an attack declares.

    Attributes:
        surfaces: those that the target includes.
        goal: what the attacker wants.
        notes: values of the goal and share of zero gradients along the attack.
    """

    def __init__(
        self,
        model: Recommender,
        train: Interactions,
        pairs: GoalPairs,
        goal: Goal,
        target: str,
        access: Access,
        data_seed: int = settings.DATA_SEED,
    ) -> None:
        self.goal = goal
        self.surfaces: tuple[Surface, ...] = tuple(
            one for one in model.surfaces if covers(target, one.name) and Stage.SERVE in one.stages
        )
        if not self.surfaces:
            raise BadValue(f"model '{model.name}' has no surface '{target}'")
        self.notes = GradientNotes()
        self._model, self._train, self._pairs, self._access = model, train, pairs, access
        self.device = device_of(model, self.surfaces[0].name)
        self._data_seed = data_seed
        self._top_pairs: GoalPairs | None = None
        self._own: Sequence[tuple[Batch, int]] | None = None
        self._at_zero: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
        self._rows: dict[str, Tensor] | None = None

    def _pairs_of(self, loss: str) -> GoalPairs:
        """Return the triplets that a loss is the mean over: the goal's, or those of the clean lists."""
        if loss != "top":
            return self._pairs
        if self._top_pairs is None:
            self._top_pairs = top_pairs(self._model, self._train, self._data_seed, self.device)
        return self._top_pairs

    def _batches(self, loss: str, largest: int = 2**62) -> Iterator[tuple[Batch, int]]:
        """Yield the batches of a loss, each with the number that its sum is divided by."""
        if loss == "" and not self.goal.oracle:
            if self._own is None:
                self._own = self._model.goal_batches(self._train, self._data_seed) or ()
            for batch, count in self._own:
                yield batch.to(self.device), count
            if self._own:
                return
        pairs = self._pairs_of(loss)
        for batch in pairs.batches(self.device, min(self._model.pass_size, largest)):
            yield batch, len(pairs)

    def _allow(self, needed: Access) -> None:
        if not self._access & needed:
            raise AccessDenied(
                f"the attack called what needs {needed.name}, but declares {self._access}; add it to its `access`"
            )

    @property
    def data(self) -> Interactions:
        """DATA: the training rows."""
        self._allow(Access.DATA)
        return self._train

    @property
    def rows(self) -> Mapping[str, Tensor]:
        """Sorted rows of each surface that the goal reads."""
        if self._rows is None:
            is_read = {
                one.name: torch.zeros(one.shape[0], dtype=torch.bool, device=self.device) for one in self.surfaces
            }
            for batch, _ in self._batches(""):
                for name, rows in self._model.rows(batch).items():
                    if name in is_read:
                        is_read[name][rows] = True
            if IMAGES in is_read:  # where an item has no image, there is nothing to perturb
                is_read[IMAGES] &= torch.from_numpy(pictures(self._model).images.is_there).to(self.device)
            self._rows = {name: held.nonzero()[:, 0] for name, held in is_read.items()}
        return self._rows

    def zeros(self) -> dict[str, Tensor]:
        """Return a perturbation of zeros, memory-mapped where large."""
        return {one.name: zeros(one.shape, self.device) for one in self.surfaces}

    def legal(self, delta: Delta) -> dict[str, Tensor]:
        """Return the nearest perturbation with clean + delta inside the surfaces' bounds."""
        return {one.name: self._legal(one, delta[one.name]) for one in self.surfaces if one.name in delta}

    def _legal(self, one: Surface, delta: Tensor) -> Tensor:
        if not one.is_bounded:
            return delta
        low, high = one.bounds
        found = zeros(tuple(delta.shape), delta.device)
        for part in image_chunks(len(delta)):
            clean = clean_values(self._model, one.name, torch.arange(part.start, part.stop, device=delta.device))
            found[part] = delta[part].clamp(low - clean, high - clean)
        return found

    def rankings(self, users: Tensor, k: int, delta: Delta) -> Tensor:
        """RANKINGS: return the (len(users), k) items ranked first, training items left out, -1 beyond the last."""
        self._allow(Access.RANKINGS | Access.SCORES)
        lists = first_items(self._served(users, delta), self._train, k, self.device, users.cpu().numpy())
        return torch.from_numpy(lists.astype(np.int64))

    def scores(self, users: Tensor, delta: Delta, items: Tensor | None = None) -> Tensor:
        """SCORES: return (len(users), n_items) scores, or those of the (len(users), m) items."""
        self._allow(Access.SCORES)
        score = self._served(users, delta)
        with torch.no_grad():
            if items is None:
                return score(users.to(self.device))
            found = torch.empty(items.shape, device=self.device)
            for some in torch.arange(len(users)).split(settings.RANKING_USERS):
                found[some] = score(users[some].to(self.device)).gather(1, items[some].to(self.device))
        return found

    def _served(self, users: Tensor, delta: Delta) -> Callable[[Tensor], Tensor]:
        """Count the queries, and return the scores of a system under a perturbation, which is lowered once."""
        self.notes.n_queries += len(users)
        with torch.no_grad():
            return self._model.scoring(self._model.lower(View(dict(delta))))

    def ascend(self, delta: Delta, loss: str = "") -> tuple[Tensor, dict[str, Tensor]]:
        """GRADIENTS: return the mean loss over the goal's triplets and its gradient, batch by batch."""
        self._allow(Access.GRADIENTS)
        is_clean = not any(_has_values(delta[one.name]) for one in self.surfaces)
        if is_clean and loss in self._at_zero:  # at eps 0 every step of an attack asks for the same
            value, held = self._at_zero[loss]
            self.notes.values.append(float(value))
            return value.clone(), {name: copy(gradient) for name, gradient in held.items()}
        value, gradient = self._ascend(delta, loss)
        if is_clean:
            self._at_zero[loss] = (value.clone(), {name: copy(held) for name, held in gradient.items()})
        return value, gradient

    def _ascend(self, delta: Delta, loss: str) -> tuple[Tensor, dict[str, Tensor]]:
        if any(one.name == IMAGES for one in self.surfaces):
            found, total = pixel_gradient(
                self._model, delta[IMAGES], self.rows[IMAGES], lambda leaves: self._accumulate(leaves, loss)
            )
            gradient = {IMAGES: found}
        else:
            leaves = {one.name: delta[one.name].detach().requires_grad_() for one in self.surfaces}
            total = self._accumulate(leaves, loss)
            gradient = {
                name: held.grad if held.grad is not None else torch.zeros_like(held) for name, held in leaves.items()
            }
        if loss:
            gradient = self._on_goal_rows(gradient)
        self.notes.values.append(total)
        if self.notes.zero_share is None:
            self.notes.zero_share = self._zero_share(gradient)
        return torch.tensor(total, dtype=torch.float64), gradient

    def _cut(
        self, batch: Batch, leaves: Mapping[str, Tensor], loss: str
    ) -> tuple[Mapping[str, Tensor], dict[str, Tensor]]:
        """Return what a batch of a model's own goal reads of the perturbation, and the rows; all of it for triplets.

        Such batches are many and read few rows each; a gradient of all rows for each of them would take longer than
        all else.
        """
        if loss or not self._own or self.goal.oracle:
            return leaves, {}
        rows = {name: held for name, held in self._model.rows(batch).items() if name in leaves}
        return {name: _RowsOf.apply(leaves[name], held) for name, held in rows.items()}, rows

    def _accumulate(self, leaves: dict[str, Tensor], loss: str) -> float:
        """Add the gradient of the mean loss to the leaves, batch by batch; return the mean loss."""
        parts, added = list[tuple[float | Tensor, int]](), dict[str, Tensor]()
        still = View({name: held.detach() for name, held in leaves.items()})
        with torch.enable_grad():
            for batch, count in self._batches(loss):
                found = self._model.add_gradient(batch, still, loss, added, 1 / count)
                if found is None:
                    cut, rows = self._cut(batch, leaves, loss)
                    part = loss_of(self._model, batch, View(cut, rows), loss)
                    if part.requires_grad:
                        (part / count).backward()
                parts.append((part.detach() if found is None else found, count))
        for name, held in added.items():
            before = leaves[name].grad
            leaves[name].grad = held if before is None else before.add_(held)
        return _total(parts)

    def _on_goal_rows(self, gradient: Delta) -> dict[str, Tensor]:
        """Return a gradient that is zero outside the rows that the goal reads, where nothing is perturbed."""
        kept = {name: zeros(tuple(held.shape), held.device) for name, held in gradient.items()}
        for name, rows in self.rows.items():
            for part in split(gradient[name], rows):
                kept[name][part] = gradient[name][part]
        return kept

    def _zero_share(self, gradient: Delta) -> float:
        """Return the share of rows the goal reads whose gradient is zero or not finite."""
        n_dead = n_rows = 0
        for name, rows in self.rows.items():
            for part in split(gradient[name], rows):
                length = gradient[name][part].flatten(1).abs().amax(dim=1)
                n_dead += int((~(length > 0) | ~length.isfinite()).sum())
            n_rows += len(rows)
        return n_dead / max(n_rows, 1)

    def value(self, delta: Delta, loss: str) -> float:
        """Return the mean loss at a perturbation; for the framework, so it needs no access.

        Raises:
            NonFiniteScores: the loss is NaN or infinite.
        """
        view = View(dict(delta))
        with torch.no_grad():
            view = self._model.lower(view)
            batches = self._batches(loss, _VALUED)
            total = _total([(loss_of(self._model, batch, view, loss), count) for batch, count in batches])
        if not np.isfinite(total):
            raise NonFiniteScores("the attacked loss is NaN or infinite; look at the model's training")
        return total

    def mean_norm(self, norm: str) -> float:
        """Return the mean clean norm over the rows, of all surfaces of the target, that the goal reads."""
        lengths = []
        for one in self.surfaces:
            if norm_of(norm).is_whole:
                lengths.append(measure(clean_values(self._model, one.name, self.rows[one.name]), one, norm))
                continue
            step = settings.IMAGE_CHUNK if one.name == IMAGES else max(len(self.rows[one.name]), 1)
            parts = self.rows[one.name].split(step)
            lengths += [measure(clean_values(self._model, one.name, part), one, norm) for part in parts]
        return float(torch.cat(lengths).double().mean())
