"""What may be asked for: the options of a request, read and checked before anything is planned."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recshield.core import settings, specs
from recshield.core.errors import BadValue, DeviceMissing
from recshield.core.registry import registry
from recshield.evaluation.metrics import MetricAtK
from recshield.matrix.budgets import BudgetRequest, check_targets
from recshield.matrix.request import Selection


def stages(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the stages at which attacks act, each once, or raise BadValue."""
    for text in texts:
        if text not in ("serve", "fit"):
            raise BadValue(f"stage '{text}' is not known; allowed: serve (after training), fit (before it)")
    return tuple(dict.fromkeys(texts)) or (settings.STAGE,)


def selection(text: str, every: int, patience: int) -> Selection | None:
    """Return the selection that `ndcg@100` or `test:ndcg@100` names, None for an empty text."""
    if not text:
        return None
    head, colon, rest = text.partition(":")
    if colon and head.strip() not in ("test", "validation"):
        raise BadValue(f"select '{text}' is not known; write METRIC, for example ndcg@100, or test:METRIC")
    metric = MetricAtK.parse(rest if colon else text)
    metric.check_main()
    return Selection(str(metric), head.strip() if colon else "validation", every, patience)


def queries(attacks: Sequence[str], count: int) -> list[str]:
    """Return the options, as `--set` takes them, that give every attack which asks so many queries; none for 0."""
    if not count:
        return []
    kinds = [registry().get("attack", specs.parse(text).name) for text in attacks]
    names = [kind.name for kind in dict.fromkeys(kinds) if "queries" in specs.option_types(kind)]
    if not names:
        known = [name for name, kind in registry().found["attack"].items() if "queries" in specs.option_types(kind)]
        raise BadValue(f"queries {count}: none of the attacks asks; add one of {', '.join(known)}, or leave it out")
    return [f"{name}.queries={count}" for name in names]


def budgets(texts: Sequence[str]) -> tuple[BudgetRequest, ...]:
    """Return the budgets; every surface that one names is exposed by some installed model."""
    requests = tuple(BudgetRequest.parse(text) for text in texts)
    check_targets(requests, [name for model in registry().found["model"].values() for name in model.exposes])
    return requests


def check(models: Sequence[str], seeds: Sequence[int], threads: int, device: str, controls: str, audit: str) -> None:
    """Raise an error where a request cannot be run."""
    if not models:
        raise BadValue("no model was given; name at least one, for example --models mf")
    if not seeds or any(seed < 0 for seed in seeds):
        raise BadValue(f"seeds {list(seeds)} are not allowed; give whole numbers of at least 0")
    if threads < 1:
        raise BadValue(f"threads {threads} is not allowed; it is at least 1")
    if controls not in ("auto", "none"):
        raise BadValue(f"controls '{controls}' is not known; allowed: auto, none")
    _check_audit(audit, controls)
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise DeviceMissing(f"device '{device}' is not known; allowed: cpu, cuda, cuda:N") from None
    if kind not in ("cpu", "cuda"):
        raise DeviceMissing(f"device '{device}' is not supported; allowed: cpu, cuda, cuda:N")
    n_devices = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if n_devices and (torch.device(device).index or 0) >= n_devices:
        raise DeviceMissing(
            f"device '{device}' was asked for, but there are {n_devices}; allowed: cuda:0 to cuda:{n_devices - 1}"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise DeviceMissing(
            f"device '{device}' was asked for, but torch {torch.__version__} sees no CUDA; use --device cpu"
        )


def _check_audit(audit: str, controls: str) -> None:
    """Raise BadValue where the audit is unknown or has no cells to go by."""
    if audit not in ("quick", "full"):
        raise BadValue(f"audit '{audit}' is not known; allowed: quick, full")
    if audit == "full" and controls == "none":
        raise BadValue("audit 'full' adds cells and controls 'none' leaves them out; give one of the two")
