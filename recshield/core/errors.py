"""Every error that recshield raises on purpose: what is wrong, what is allowed, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class RecshieldError(Exception):
    """Bad input or a broken promise; the command line prints it without a traceback and exits with 2."""


def raised(error: BaseException) -> str:
    """Return an error's type and what it says, on one line.

    Errors of torch and others run over several lines, and what quotes them is one sentence.
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def in_one_line(error: BaseException) -> str:
    """Return what an error says on one line; one that is not recshield's own is named by its type."""
    return " ".join(str(error).split()) if isinstance(error, RecshieldError) else raised(error)


class UnknownName(RecshieldError):
    """A name that no installed plugin, data set, norm or option carries."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], advice: str = "see `recshield plugins`") -> UnknownName:
        """Return the error with the nearest known name as a suggestion."""
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        guess = f" did you mean '{close[0]}'?" if close else ""
        listed = ", ".join(names) or "none"
        return cls(f"no {kind} '{name}';{guess} installed: {listed}. {advice}")


class UnknownOption(RecshieldError):
    """A key that the named model, attack or defense does not take."""

    @classmethod
    def among(cls, owner: str, key: str, allowed: dict[str, str]) -> UnknownOption:
        """Return the error; `allowed` maps each option to its default as text."""
        close = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
        guess = f" did you mean '{close[0]}'?" if close else ""
        listed = ", ".join(f"{name} ({default})" for name, default in allowed.items()) or "none"
        return cls(f"{owner} has no option '{key}';{guess} options and defaults: {listed}")


class BadSpec(RecshieldError):
    """A specification such as `pgd@factors:steps=40` that cannot be read."""


class BadValue(RecshieldError):
    """A value outside what is allowed."""


class BadData(RecshieldError):
    """Data that cannot be used; names the file and the line where there is one."""

    @classmethod
    def at(cls, path: Path | str, line: int | None, wrong: str, allowed: str) -> BadData:
        """Return the error for `path`, 1-based `line`, what is wrong there and what is allowed."""
        where = f"{path}, line {line}" if line is not None else f"{path}"
        return cls(f"{where}: {wrong}; {allowed}")


class AccessDenied(RecshieldError):
    """An attack called something that its declared access does not include."""


class PerturbationLeak(RecshieldError):
    """An attack changed the model; a perturbation must only ever be an argument."""


class NonFiniteScores(RecshieldError):
    """A model returned NaN or infinite scores (NaN would rank first)."""


class DeviceMissing(RecshieldError):
    """The device asked for is not there."""


class PluginFailed(RecshieldError):
    """A plugin could not be imported, shares its name with another, raised something, or returned what it must not."""


class StoreDamaged(RecshieldError):
    """A store entry whose content does not match its recorded hashes."""


class OutputRefused(RecshieldError):
    """The output folder cannot be written, or holds something that is not a run."""


class FetchFailed(RecshieldError):
    """A download that failed, is not what was expected, or may not be made yet."""
