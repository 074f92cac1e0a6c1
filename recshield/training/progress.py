"""How far a long fit is, told to whoever listens, and a look at the model after an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch

from recshield.core.interfaces import Recommender


class Watcher(Protocol):
    """Looks at a model between two epochs; never changes it."""

    def wants(self, epoch: int, epochs: int) -> bool:
        """Return whether it looks after `epoch` (counted from 1) of `epochs`."""

    def look(self, model: Recommender, epoch: int) -> bool:
        """Look at the model; return whether training goes on."""


_listener: ContextVar[Callable[[float], None] | None] = ContextVar("recshield_progress", default=None)
_watcher: ContextVar[Watcher | None] = ContextVar("recshield_watcher", default=None)


def report_progress(share: float) -> None:
    """Say that a share (0 to 1) of the present fit is done; free of cost where nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(share)


def epoch_done(model: Recommender, epoch: int, epochs: int, write: Callable[[], None] | None = None) -> bool:
    """Say that `epoch` (counted from 1) of `epochs` is done; return whether training goes on.

    A model that calls this after every epoch can be stopped early and selected on validation rows.

    Args:
        model: as it is now.
        epoch: that was finished.
        epochs: that are planned.
        write: brings the model's parameters up to date, where they live elsewhere during training.
    """
    report_progress(epoch / epochs)
    watcher = _watcher.get()
    if watcher is None or not watcher.wants(epoch, epochs):
        return True
    if write is not None:
        write()
    was_training, state = model.training, torch.get_rng_state()
    model.eval()
    goes_on = watcher.look(model, epoch)
    model.train(was_training)
    torch.set_rng_state(state)
    return goes_on


@contextmanager
def listening(listener: Callable[[float], None]) -> Iterator[None]:
    """Call `listener` with each share reported inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Let `watcher` look after the epochs that are finished inside the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
