"""Progress of a matrix on a terminal: what runs, how much is left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from recshield.matrix.plan import Step
from recshield.report.text import plain


def _weight(step: Step) -> float:
    """Return a guess of the work in a step, for the estimate of the time left."""
    if step.kind in ("train", "select"):
        held = step.spec["parts"] if step.kind == "select" else step.spec["parts"][0]
        epochs = next((part["options"]["epochs"] for part in reversed(held) if "epochs" in part["options"]), 1)
        return 1.0 + float(epochs) / 10
    if step.kind == "attack":
        return 1.0 + float(step.spec["attack"]["options"].get("steps", 1))
    return 1.0


class Bar:
    """A listener that draws one bar over all steps."""

    def __init__(self, console: Console, steps: list[Step]) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[label]}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}/{task.fields[n_steps]} steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._weights = {step.key: _weight(step) for step in steps}
        self._shares: dict[str, float] = {}
        self._n_done = 0
        self._reused = 0.0
        self._task: TaskID = self._progress.add_task(
            "", total=sum(self._weights.values()), label="", done=0, n_steps=len(steps)
        )

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, step: Step) -> None:
        """Show the step's name."""
        self._progress.update(self._task, label=plain(step.label)[:60])

    def advanced(self, step: Step, share: float) -> None:
        """Move the bar within a step."""
        done = self._weights.get(step.key, 0.0) * share
        self._progress.advance(self._task, done - self._shares.get(step.key, 0.0))
        self._shares[step.key] = done

    def finished(self, step: Step, is_reused: bool) -> None:
        """Move the bar to the end of a step; a reused one leaves the estimate as it is."""
        self._n_done += 1
        weight = self._weights.get(step.key, 0.0)
        if is_reused:
            self._reused += weight
            self._progress.update(self._task, total=sum(self._weights.values()) - self._reused, done=self._n_done)
        else:
            self._progress.advance(self._task, weight - self._shares.pop(step.key, 0.0))
            self._progress.update(self._task, done=self._n_done)
