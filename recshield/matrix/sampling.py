"""Perturbations that are too large to keep whole: a seeded sample of rows, and every row's norm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from recshield.core import settings
from recshield.core.norms import measure
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Surface


def sampled_rows(rows: Tensor, name: str, row_bytes: int) -> Tensor:
    """Return some of the rows, ascending; fewer where a row is large.

    Args:
        rows: to draw from.
        name: of the surface.
        row_bytes: bytes of one row.
    """
    count = min(settings.PERTURBATION_SAMPLE, max(settings.SAMPLE_BYTES // max(row_bytes, 1), settings.SAMPLE_LEAST))
    drawn = torch.randperm(len(rows), generator=generator(0, "sample", name))[:count]
    picked: Tensor = rows[drawn.sort().values.to(rows.device)]
    return picked


def write_sample(
    held: Mapping[str, Tensor],
    spanned: Mapping[str, tuple[int, ...]],
    norm: str,
    target: Path,
    metadata: dict[str, str],
) -> None:
    """Write `rows/`, `sample/` and `norms/` of each surface's perturbation to a file.

    Args:
        held: surface -> perturbation.
        spanned: surface -> its `norm_dims`.
        norm: whose value every row keeps.
        target: file to write.
        metadata: of the file.
    """
    kept: dict[str, Tensor] = {}
    for name, values in held.items():
        rows = sampled_rows(torch.arange(len(values)), name, values[0].numel() * 4 if len(values) else 0)
        surface = Surface(name, tuple(values.shape), Budget(norm, 0.0), spanned[name])
        kept[f"rows/{name}"] = rows
        kept[f"sample/{name}"] = values[rows].cpu().contiguous()
        kept[f"norms/{name}"] = measure(values, surface, norm).cpu()
    save_file(kept, target, metadata=metadata)
