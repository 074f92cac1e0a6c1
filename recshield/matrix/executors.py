"""Run the steps of a plan that are not in the store yet."""

from __future__ import annotations

import multiprocessing
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from recshield.core.errors import RecshieldError, in_one_line
from recshield.core.interrupts import interruptible
from recshield.core.seeds import number
from recshield.core.threads import threads
from recshield.matrix import peaks, steps
from recshield.matrix.isolation import own_random_state
from recshield.matrix.loading import Context
from recshield.matrix.plan import Step
from recshield.matrix.store import Store
from recshield.training.progress import listening


class Listener(Protocol):
    """Hears how far the work is."""

    def started(self, step: Step) -> None:
        """Hear that a step starts."""

    def advanced(self, step: Step, share: float) -> None:
        """Hear that a share of a step is done."""

    def finished(self, step: Step, is_reused: bool) -> None:
        """Hear that a step is done."""


@dataclass
class Outcome:
    """What became of the steps: keys that were there already, and why others failed."""

    reused: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


class Executor(ABC):
    """Runs steps in an order that respects their parents."""

    name: ClassVar[str]

    @abstractmethod
    def run(
        self, planned: Mapping[str, Step], store: Store, context: Context, jobs: int, listener: Listener
    ) -> Outcome:
        """Run what is not in the store; a step that fails takes its children with it, the rest goes on."""


def perform(step: Step, store: Store, context: Context) -> None:
    """Do one step into the store, with its seconds and peak memory."""

    def compute(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        peaks.reset(context.device)
        start, mark = time.perf_counter(), peaks.mark(context.device)
        with own_random_state(number(step.spec.get("seed", 0), step.kind, step.spec.get("depth", 0))):
            facts = steps.compute(step, store, context, folder)
        seconds = time.perf_counter() - start
        timing = {
            "kind": step.kind,
            "seconds": seconds,
            "cuda_ms": peaks.milliseconds(mark),
            "threads": context.threads,
        }
        return facts, timing | peaks.read(context.device)

    with threads(context.threads):
        store.put(step.key, compute)


def _perform_in_worker(step: Step, store: Store, context: Context) -> str:
    """Do one step; return why it failed, or "" (a stranger's exception may not survive the way between processes)."""
    try:
        perform(step, store, context)
    except Exception as error:  # a plugin may raise anything; the rest of the matrix goes on
        return in_one_line(error)
    return ""


class Local(Executor):
    """On this machine: in this process, or in `jobs` processes."""

    name = "local"

    def run(
        self, planned: Mapping[str, Step], store: Store, context: Context, jobs: int, listener: Listener
    ) -> Outcome:
        """Run what is missing."""
        outcome = Outcome()
        missing = [step for step in planned.values() if store.get(step.key) is None]
        outcome.reused = set(planned) - {step.key for step in missing}
        for step in planned.values():
            if step.key in outcome.reused:
                listener.finished(step, is_reused=True)
        if jobs <= 1:
            self._here(missing, store, context, listener, outcome)
        else:
            self._in_processes(missing, store, context, jobs, listener, outcome)
        return outcome

    def _here(self, missing: list[Step], store: Store, context: Context, listener: Listener, outcome: Outcome) -> None:
        with interruptible() as stop_if_asked:
            for step in missing:
                if _has_failed_parent(step, outcome):
                    continue
                listener.started(step)
                try:
                    with listening(_teller(listener, step, stop_if_asked)):
                        perform(step, store, context)
                except Exception as error:  # a plugin may raise anything; the rest of the matrix goes on
                    stop_if_asked()
                    outcome.failed[step.key] = f"{step.label}: {in_one_line(error)}"
                listener.finished(step, is_reused=False)
                stop_if_asked()

    def _in_processes(
        self,
        missing: list[Step],
        store: Store,
        context: Context,
        jobs: int,
        listener: Listener,
        outcome: Outcome,
    ) -> None:
        waiting = {step.key: step for step in missing}
        running: dict[Future[str], Step] = {}
        pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_quiet)
        try:
            while waiting or running:
                for step in list(waiting.values()):
                    if _has_failed_parent(step, outcome):
                        del waiting[step.key]
                        listener.finished(step, is_reused=False)
                    elif not any(key in waiting or _runs(key, running) for key in step.parents) and len(running) < jobs:
                        del waiting[step.key]
                        listener.started(step)
                        running[pool.submit(_perform_in_worker, step, Store(store.root), context)] = step
                done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    step = running.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise RecshieldError(
                            f"a worker process died during '{step.label}' (out of memory?); run it again"
                        )
                    reason = in_one_line(error) if error is not None else future.result()
                    if reason:
                        outcome.failed[step.key] = f"{step.label}: {reason}"
                    listener.finished(step, is_reused=False)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            # Waited for: the pool's thread would otherwise close its pipe while the interpreter, leaving, writes there.
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def _teller(listener: Listener, step: Step, stop_if_asked: Callable[[], None]) -> Callable[[float], None]:
    def tell(share: float) -> None:
        stop_if_asked()
        listener.advanced(step, share)

    return tell


def _runs(key: str, running: Mapping[Future[str], Step]) -> bool:
    return any(step.key == key for step in running.values())


def _has_failed_parent(step: Step, outcome: Outcome) -> bool:
    for key in step.parents:
        if key in outcome.failed:
            outcome.failed[step.key] = outcome.failed[key]
            return True
    return False


def _quiet() -> None:
    # Ctrl-C reaches the whole process group; the parent ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
