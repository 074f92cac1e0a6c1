"""Progress of a download on a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from recshield.report.text import plain, safe


class TransferBar:
    """A listener that draws one bar per download."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.fields[label]}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> TransferBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._progress.stop()

    def started(self, label: str, total: int | None) -> None:
        """Draw a new bar; the one before it goes (a second attempt starts from zero)."""
        if self._task is None:
            self._progress.start()
        else:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task("", total=total, label=plain(label)[:60])

    def advanced(self, size: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, size)

    def waiting(self, label: str) -> None:
        """Say that another process is waited for."""
        self._console.print(safe(f"another process is fetching '{label}'; waiting for it"), soft_wrap=True)
