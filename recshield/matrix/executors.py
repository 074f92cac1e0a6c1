"""Run the steps of a plan that are not in the store yet."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from recshield.core.errors import RecshieldError, in_one_line
from recshield.core.seeds import number
from recshield.matrix import steps
from recshield.matrix.isolation import own_random_state
from recshield.matrix.loading import Context
from recshield.matrix.plan import Step
from recshield.matrix.store import Store
from recshield.matrix.threads import threads
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
        _reset_peak(context)
        start, mark = time.perf_counter(), _cuda_mark(context)
        with own_random_state(number(step.spec.get("seed", 0), step.kind, step.spec.get("depth", 0))):
            facts = steps.compute(step, store, context, folder)
        seconds = time.perf_counter() - start
        timing = {"kind": step.kind, "seconds": seconds, "cuda_ms": _cuda_since(mark), "threads": context.threads}
        return facts, timing | _peak(context)

    with threads(context.threads):
        store.put(step.key, compute)


def _perform_in_worker(step: Step, store: Store, context: Context) -> str:
    """Do one step; return why it failed, or "" (a stranger's exception may not survive the way between processes)."""
    try:
        perform(step, store, context)
    except Exception as error:  # a plugin may raise anything; the rest of the matrix goes on
        return in_one_line(error)
    return ""


def _reset_peak(context: Context) -> None:
    with contextlib.suppress(OSError):  # without it the peak is that of the process so far
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if context.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(context.device)


def _peak(context: Context) -> dict[str, int]:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        host = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    device = torch.cuda.max_memory_allocated(context.device) if context.device.startswith("cuda") else 0
    return {"peak_host_bytes": host, "peak_device_bytes": device}


def _cuda_mark(context: Context) -> Any:
    if not context.device.startswith("cuda"):
        return None
    mark = torch.cuda.Event(enable_timing=True)
    mark.record()
    return mark


def _cuda_since(mark: Any) -> float | None:
    if mark is None:
        return None
    end = torch.cuda.Event(enable_timing=True)
    end.record()
    end.synchronize()
    return float(mark.elapsed_time(end))


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
        for step in missing:
            if _has_failed_parent(step, outcome):
                continue
            listener.started(step)
            try:
                with listening(_teller(listener, step)):
                    perform(step, store, context)
            except Exception as error:  # a plugin may raise anything; the rest of the matrix goes on
                outcome.failed[step.key] = f"{step.label}: {in_one_line(error)}"
            listener.finished(step, is_reused=False)

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


def _teller(listener: Listener, step: Step) -> Callable[[float], None]:
    return lambda share: listener.advanced(step, share)


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
