"""Checks of an executor, on the steps of a small request in a store of their own."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from recshield.matrix.executors import Executor, Local, Outcome
from recshield.matrix.loading import Context
from recshield.matrix.plan import Step
from recshield.matrix.store import Store
from recshield.run import Prepared
from recshield.testing.declarations import check_docstring_is_complete, check_name_can_be_written, said
from recshield.testing.failures import need
from recshield.testing.probes import watched_random_state
from recshield.testing.small_runs import prepared, stored_in

Kind = type[Executor]


class _Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def started(self, step: Step) -> None:
        self.begun[step.key] += 1

    def advanced(self, step: Step, share: float) -> None:
        pass

    def finished(self, step: Step, is_reused: bool) -> None:
        self.done[step.key] += 1


def _run(executor: Kind, asked: Prepared, steps: dict[str, Step] | None = None) -> tuple[Outcome, _Heard]:
    heard = _Heard()
    planned = steps or dict(asked.plan.steps)
    return executor().run(planned, asked.store, Context(), 1, heard), heard


@contextmanager
def _asked() -> Iterator[Prepared]:
    """Give the block a planned request of two models in an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        yield stored_in(prepared(("popular", "random"), ()), Path(folder))


def _measured(store: Store, keys: list[str]) -> dict[str, Any]:
    return {key: store.need(key).facts for key in keys}


@functools.cache
def _by_local() -> dict[str, Any]:
    with _asked() as asked:
        _run(Local, asked)
        return _measured(asked.store, list(asked.plan.steps))


def check_every_step_is_done(executor: Kind) -> None:
    """Every step is in the store afterwards, and none has failed."""
    with _asked() as asked:
        outcome, _ = _run(executor, asked)
        need(not outcome.failed, f"{said(executor)}: steps failed that run elsewhere: {outcome.failed}")
        absent = [step.label for key, step in asked.plan.steps.items() if asked.store.get(key) is None]
        need(not absent, f"{said(executor)}: steps are not in the store: {', '.join(absent[:3])}; perform each of them")


def check_results_are_those_of_local(executor: Kind) -> None:
    """What the steps noted, hashes of all scores included, is what the executor `local` gives.

    Prevents: figures that depend on where they were computed.
    """
    with _asked() as asked:
        _run(executor, asked)
        found = _measured(asked.store, [key for key in asked.plan.steps if asked.store.get(key) is not None])
    apart = [key for key, facts in _by_local().items() if repr(found.get(key)) != repr(facts)]
    need(not apart, f"{said(executor)}: {len(apart)} steps have other results than with the executor 'local'")


def check_finished_steps_are_reused(executor: Kind) -> None:
    """A second run starts nothing and names every step as reused."""
    with _asked() as asked:
        _run(executor, asked)
        outcome, heard = _run(executor, asked)
        need(
            outcome.reused == set(asked.plan.steps) and not heard.begun,
            f"{said(executor)}: a second run starts {sum(heard.begun.values())} steps and reuses {len(outcome.reused)} "
            f"of {len(asked.plan.steps)}; a step in the store is done",
        )


def check_listener_hears_of_every_step(executor: Kind) -> None:
    """Each step is started once and finished once."""
    with _asked() as asked:
        _, heard = _run(executor, asked)
        once = Counter(dict.fromkeys(asked.plan.steps, 1))
        need(
            heard.begun == once and heard.done == once,
            f"{said(executor)}: the listener hears of {sum(heard.begun.values())} starts and "
            f"{sum(heard.done.values())} ends of {len(once)} steps; call started() and finished() once for each",
        )


def check_a_failed_step_takes_its_children_alone(executor: Kind) -> None:
    """A step that fails takes its children with it, with its reason; the others are done."""
    with _asked() as asked:
        steps = dict(asked.plan.steps)
        broken = next(key for key, step in steps.items() if step.kind == "train")
        steps[broken] = dataclasses.replace(steps[broken], spec={})
        lost = {broken}
        for key, step in steps.items():
            lost |= {key} if lost & set(step.parents) else set()
        outcome, _ = _run(executor, asked, steps)
        need(
            set(outcome.failed) == lost,
            f"{said(executor)}: {len(outcome.failed)} steps are named as failed; expected {len(lost)}, the broken one "
            "and what follows from it",
        )
        absent = [steps[key].label for key in steps if key not in lost and asked.store.get(key) is None]
        need(not absent, f"{said(executor)}: steps beside the broken one were not done: {', '.join(absent[:3])}")


def check_the_process_is_left_as_it_was(executor: Kind) -> None:
    """The number of threads and the global random state are the same afterwards."""
    threads = torch.get_num_threads()
    with _asked() as asked, watched_random_state(said(executor)):
        _run(executor, asked)
    found = torch.get_num_threads()
    need(found == threads, f"{said(executor)}: torch has {found} threads afterwards, {threads} before; put it back")


#: Every check of an executor, in the order in which they run.
EXECUTOR_CHECKS: tuple[Callable[..., None], ...] = (
    check_name_can_be_written,
    check_docstring_is_complete,
    check_every_step_is_done,
    check_results_are_those_of_local,
    check_finished_steps_are_reused,
    check_listener_hears_of_every_step,
    check_a_failed_step_takes_its_children_alone,
    check_the_process_is_left_as_it_was,
)
