"""Matrix factorisation with BPR on a GPU: tables, draws and updates stay there, and an epoch is a few launches.

The arithmetic is that of `kernels.FactorTrainer` up to float rounding, from the same triplets in the same order.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from recshield.core.devices import trusted
from recshield.core.seeds import number
from recshield.data.interactions import Interactions
from recshield.training.draws import draw_order, epoch_triplets
from recshield.training.kernels import FactorTrainer

_STEP = 0x9E3779B97F4A7C15
_TO_SHARE = 1.0 / 9007199254740992.0  # 2^-53
#: How kernels are launched: a warp for each row, products and sums fused.
_LAUNCH = {"num_warps": 1, "enable_fp_fusion": True}
#: Launches that one graph holds at most: each takes some of the device's memory.
_LAUNCHES = 4096
#: Reads that are laid out at once: what is held for a while is some 60 bytes of each.
_READS = 2**24
#: Largest difference of a trained value between a GPU and the CPU, over a few updates of values around 1.
TOLERANCE = 1e-4


def _signed(value: int) -> int:
    """Return the int64 with the bits of a 64-bit number."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _shifted(value: Tensor, by: int) -> Tensor:
    """Return the bits moved down, zeros behind them."""
    return value.bitwise_right_shift(by).bitwise_and((1 << (64 - by)) - 1)


def mix(value: Tensor) -> Tensor:
    """Return splitmix64 of int64 counters (Steele et al. 2014); products wrap."""
    value = (value ^ _shifted(value, 30)) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ _shifted(value, 27)) * _signed(0x94D049BB133111EB)
    return value ^ _shifted(value, 31)


class Sampler:
    """Draws the triplets of an epoch on a device: those of `epoch_triplets`, to the last one.

    The order of the rows is shuffled by the CPU, as each exchange waits for the one before it, while the device works
    on the epoch before.
    """

    def __init__(self, train: Interactions, device: torch.device) -> None:
        held = train.eligible
        indptr, members = held.members
        before = np.repeat(np.arange(train.n_users) * held.n_items, np.diff(indptr))

        def put(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
            return torch.from_numpy(numbers).to(device)

        self._device, self._n_items, self._n_rows = device, held.n_items, len(train)
        self._users, self._items = put(train.users.astype(np.int64)), put(train.items.astype(np.int64))
        # Free items before each member, users one behind another: ascending, so that one search serves all rows.
        self._free_before = put(members + before - _places(indptr))
        self._first = put(indptr[:-1].copy())[self._users]
        self._n_free = put(held.n_items - np.diff(indptr))[self._users]
        self._names = None if train.negatives is None else put(train.negatives.astype(np.int64))
        self._counters = torch.arange(self._n_rows, device=device) * _signed(_STEP)

    def negatives(self, seed: int) -> Tensor:
        """Return (n_rows,) int64 items as `draw_negatives` draws them."""
        bits = mix(self._counters + _signed(number(seed, "negatives", 0)))
        place = (_shifted(bits, 11).double() * _TO_SHARE * self._n_free.double()).long()
        found = torch.searchsorted(self._free_before, self._users * self._n_items + place, right=True)
        drawn = place + found - self._first
        if self._names is not None:
            drawn = self._names[drawn.clamp(0, self._n_items - 1)]
        return torch.where(self._n_free > 0, drawn, self._items)

    def epoch(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the users, positives and negatives of an epoch, three (n_rows,) int64 tensors."""
        order = torch.from_numpy(draw_order(self._n_rows, seed, 0).astype(np.int64))
        if self._device.type == "cuda":
            order = order.pin_memory()
        order = order.to(self._device, non_blocking=True)
        return self._users[order], self._items[order], self.negatives(seed)[order]


@dataclass
class DeviceTrainer:
    """Mini-batch Adagrad on two tables of a device, in place; the counterpart of `FactorTrainer`.

    Attributes:
        user_table: (n_users, width) float32 on the device.
        item_table: (n_items, width) float32 there.
        n_triplets: of an epoch.
        batch: triplets per update; the last, smaller batch of an epoch is used too.
        rate: Adagrad learning rate.
        accumulator: start value of Adagrad's sums of squares.
        l2: weight of the squared norms of the rows each triplet reads.
        eps_user: norm of the adversarial vector of each user row; None = no adversarial term.
        eps_item: the same for item rows.
        weight: of the adversarial term.
        clean: weight of the clean term.

    Source: He et al. 2018 (APR), Eq. 8, 11, 13 to 16.
    """

    user_table: Tensor
    item_table: Tensor
    n_triplets: int
    batch: int
    rate: float
    accumulator: float
    l2: float = 0.0
    eps_user: float | None = None
    eps_item: float | None = None
    weight: float = 0.0
    clean: float = 1.0
    _graph: torch.cuda.CUDAGraph | None = field(init=False, default=None)
    _n_recorded: int = field(init=False, default=0)
    _n_epochs: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.batch = max(min(self.batch, self.n_triplets), 1)
        device, width = self.user_table.device, self.user_table.shape[1]
        n_reads, self._n_batches = 3 * self.batch, -(-self.n_triplets // self.batch)
        self._sums = [torch.full_like(table, self.accumulator) for table in (self.user_table, self.item_table)]
        shape = (self._n_batches, n_reads)
        self._triplets = torch.zeros((3, self._n_batches * self.batch), dtype=torch.int32, device=device)
        self._order, self._keys, self._heads, self._stops = (
            torch.zeros(shape, dtype=torch.int32, device=device) for _ in range(4)
        )
        self._rows, self._gradient, self._moved = (torch.zeros((n_reads, width), device=device) for _ in range(3))
        self._slopes, self._eps = torch.zeros(self.batch, device=device), torch.zeros(2, device=device)
        self._start = torch.zeros(1, dtype=torch.int64, device=device)

    @property
    def _has_term(self) -> bool:
        return self.eps_user is not None or self.eps_item is not None

    def epoch(self, triplets: tuple[Tensor, Tensor, Tensor], share: float = 1.0) -> None:
        """Train on triplets of the device in their order; the host does not wait for it.

        Args:
            triplets: users, positives and negatives of one epoch, (n_triplets,) int64 each.
            share: of each eps that applies in this epoch.
        """
        with torch.cuda.device_of(self.user_table):
            self._lay_out(triplets)
            for place, eps in enumerate((self.eps_user, self.eps_item)):
                self._eps[place].fill_(share * (eps or 0.0))
            self._start.zero_()
            if self._n_epochs == 1 and self.user_table.is_cuda:
                self._record()  # the first epoch has compiled the kernels, which a recording could not
            n_replays = self._n_batches // self._n_recorded if self._graph is not None else 0
            for _ in range(n_replays):
                assert self._graph is not None
                self._graph.replay()
            self._pass(self._n_batches - n_replays * self._n_recorded)
        self._n_epochs += 1

    def _record(self) -> None:
        """Record the launches of so many batches that a few replays make an epoch, as many as one graph should hold."""
        most = max(1, _LAUNCHES // (4 if self._has_term else 2))
        count = self._n_batches // -(-self._n_batches // most)
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(self.user_table.device)
        try:
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._pass(count)
                self._start.add_(count)
        except RuntimeError as error:
            warnings.warn(
                f"an epoch could not be recorded, and takes longer: {str(error).splitlines()[0]}",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        self._graph, self._n_recorded = graph, count

    def _lay_out(self, triplets: tuple[Tensor, Tensor, Tensor]) -> None:
        """Find for all batches which reads are of one row: sorted by row, they stand together behind their head."""
        n_users, n_rows = len(self.user_table), len(self.user_table) + len(self.item_table)
        keys = torch.full_like(self._triplets, n_rows)  # of reads behind the last triplet
        for role, column in enumerate(triplets):
            self._triplets[role, : self.n_triplets] = column
            keys[role, : self.n_triplets] = column + (n_users if role else 0)
        n_reads = 3 * self.batch
        by_batch = keys.view(3, self._n_batches, self.batch).transpose(0, 1)
        every = torch.arange(n_reads, dtype=torch.int32, device=keys.device)
        for first in range(0, self._n_batches, max(_READS // n_reads, 1)):
            own = slice(first, first + max(_READS // n_reads, 1))
            ordered, order = by_batch[own].reshape(-1, n_reads).sort(dim=1, stable=True)
            is_first = torch.ones_like(ordered, dtype=torch.bool)
            is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
            places = every.expand(ordered.shape)
            heads = torch.where(is_first, places, 0).cummax(dim=1).values
            # The next head behind each place, found from the end of the line to its start.
            nexts = torch.where(is_first, places, n_reads).flip(1).cummin(dim=1).values.flip(1)
            behind = torch.nn.functional.pad(nexts[:, 1:], (0, 1), value=n_reads)
            self._keys[own], self._order[own] = ordered, order.int()
            self._heads[own] = torch.empty_like(heads).scatter_(1, order, heads)
            self._stops[own] = torch.where(is_first & (ordered < n_rows), behind, 0)

    def _pass(self, count: int) -> None:
        """Launch the kernels of the next `count` batches, one behind another."""
        from recshield.training import triton_kernels as kernels  # not everybody has triton

        n_users, width = self.user_table.shape
        block = 1 << (width - 1).bit_length()
        n_reads = 3 * self.batch
        tables = (self.user_table, self.item_table)
        sizes = {"n_triplets": self.n_triplets, "width": width, "batch": self.batch, "block": block, **_LAUNCH}
        found = (self._rows, self._slopes, self._order, self._stops, self._keys, self._gradient)
        for ahead in range(count):
            kernels.read_rows[(self.batch,)](
                *tables,
                self._triplets,
                self._rows,
                self._slopes,
                self._start,
                ahead,
                n_places=self._triplets.shape[1],
                **sizes,
            )
            if self._has_term:
                more = (self._moved, self._eps, n_users, width, self.batch, self._start, ahead)
                kernels.move_rows[(n_reads,)](*found, *more, block=block, **_LAUNCH)
                read = (self._moved, self._heads, self._rows, self._slopes, self._start, ahead)
                kernels.read_moved[(self.batch,)](*read, **sizes)
            kernels.update_rows[(n_reads,)](
                *tables,
                *self._sums,
                *found,
                n_users,
                width,
                self.batch,
                self._start,
                ahead,
                self.rate,
                self.l2,
                self.clean,
                self.weight,
                has_term=self._has_term,
                block=block,
                **_LAUNCH,
            )


def _places(indptr: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return where each value of a ragged array stands in its line."""
    return np.arange(indptr[-1]) - np.repeat(indptr[:-1], np.diff(indptr))


def fits(device: torch.device) -> bool:
    """Return whether the kernels may train there: on a CUDA device where a small training equals that of the CPU."""
    return trusted("training", device, difference, TOLERANCE)


def difference(device: torch.device, epochs: int = 3) -> float:
    """Return how far small BPR + adversarial trainings of the device are from the CPU's: the largest difference.

    Raises:
        ImportError: there is no Triton.
        RuntimeError: the device refuses the kernels.
    """
    # Fewer columns than a warp has lanes, and more; numbers that compilers treat apart, and others.
    # As a tensor, as Python's `max` overlooks what is not a number.
    found = [_difference(device, epochs, width, batch) for width, batch in ((6, 8), (64, 16))]
    return float(torch.tensor(found).max())


def _difference(device: torch.device, epochs: int, width: int, batch: int) -> float:
    rng = np.random.default_rng(0)
    n_users, n_items = 9, 7
    train = Interactions.from_rows(rng.integers(n_users, size=30), rng.integers(n_items, size=30), n_users, n_items)
    tables = [rng.standard_normal((rows, width)).astype(np.float32) for rows in (n_users, n_items)]
    there = [torch.from_numpy(table.copy()).to(device) for table in tables]
    settings = (batch, 0.05, 0.1, 0.01, 0.3, 0.2, 0.7)
    on_cpu = FactorTrainer(tables[0], tables[1], *settings)
    on_device = DeviceTrainer(there[0], there[1], len(train), *settings)
    sampler = Sampler(train, device)
    for epoch in range(epochs):
        drawn = epoch_triplets(train, epoch, 0)
        on_cpu.epoch(drawn)
        on_device.epoch(sampler.epoch(epoch))
    on_cpu.write()
    pairs = zip(tables, there, strict=True)
    return float(torch.stack([(torch.from_numpy(table) - held.cpu()).abs().max() for table, held in pairs]).max())
