"""Every hook a plugin can implement. A hook returns classes; recshield makes the instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from recshield.core.settings import PLUGIN_GROUP

hookspec = pluggy.HookspecMarker(PLUGIN_GROUP)
hookimpl = pluggy.HookimplMarker(PLUGIN_GROUP)


@hookspec
def recshield_recommenders() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.core.Recommender`."""
    return ()


@hookspec
def recshield_attacks() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.core.Attack`, each a frozen dataclass."""
    return ()


@hookspec
def recshield_defenses() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.core.Defense`, each a frozen dataclass."""
    return ()


@hookspec
def recshield_metrics() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.evaluation.Metric`."""
    return ()


@hookspec
def recshield_datasets() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.data.NamedData`."""
    return ()


@hookspec
def recshield_readers() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.data.Reader`."""
    return ()


@hookspec
def recshield_extractors() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.core.extractors.Extractor`."""
    return ()


@hookspec
def recshield_executors() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.matrix.Executor`."""
    return ()


@hookspec
def recshield_checks() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.audit.Check`."""
    return ()


@hookspec
def recshield_reports() -> Sequence[type[Any]]:
    """Return subclasses of `recshield.report.ReportFormat`."""
    return ()


@hookspec
def recshield_presets() -> dict[str, str]:
    """Return names for systems: `{"amf": "mf+advreg:eps=0.5,weight=1,epochs=200"}`."""
    return {}
