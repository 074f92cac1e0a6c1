"""Ctrl-C that a model swallows, or that comes out of it as another error, ends the run all the same."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from caches import fresh_cache

from recshield.cli import main
from recshield.core.settings import CACHE_VARIABLE
from recshield_factor import MF


class Swallows(MF):
    """Goes on as if nothing had come, as a callback from C does."""

    name = "swallows"
    fits: ClassVar[list[str]] = []

    def fit(self, *given: Any, **named: Any) -> None:
        self.fits.append(self.name)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            super().fit(*given, **named)


class Converts(MF):
    """Raises what Numba raises where Ctrl-C meets it in the midst of a compilation."""

    name = "converts"
    fits: ClassVar[list[str]] = []

    def fit(self, *given: Any, **named: Any) -> None:
        self.fits.append(self.name)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("no compiled object yet") from None


@pytest.fixture(autouse=True)
def ordinary_signal() -> Iterator[None]:
    """Give SIGINT Python's own handler: a test run in the background is started with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("model", [Swallows, Converts])
def test_the_run_ends_and_says_how_to_go_on(
    model: type[MF],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[str, type], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant("model", model)
    monkeypatch.setenv(CACHE_VARIABLE, str(fresh_cache(tmp_path / "cache")))
    model.fits.clear()  # type: ignore[attr-defined]
    asked = ["matrix", "--models", f"random,{model.name},mf", "--attacks", "fgsm", "--seeds", "0,1"]
    short = ["--set", f"{model.name}.epochs=2", "--set", "mf.epochs=2", "--out", str(tmp_path / "run")]
    hook = sys.unraisablehook
    monkeypatch.setattr(sys, "argv", ["recshield", *asked, *short])
    with pytest.raises(SystemExit) as left:
        main()
    monkeypatch.setattr(sys, "unraisablehook", hook)
    said = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 130
    assert "interrupted; finished steps are kept: run the same command again to go on" in said
    assert model.fits == [model.name], "nothing is trained after it"  # type: ignore[attr-defined]
    assert not (tmp_path / "run").exists()
