"""Attacked images as they would lie on a disk: rounded to 8 bits, saved as PNG, read again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from recshield.core.interfaces import Recommender
from recshield.core.settings import IMAGE_CHUNK
from recshield.core.surfaces import View
from recshield.data.visual import FEATURES, IMAGES, pictures
from recshield.matrix.sampling import sampled_rows
from recshield.matrix.visuals import EIGHT_BITS, FLOATS, LOWERED

Facts = dict[str, Any]
QUALITY = "quality.safetensors"
#: Before the row in the name of a file with an attacked image.
PICTURE = "picture-"
#: Smallest side of an image over which structural similarity is defined: that of its window.
_SSIM_SIDE = 11


def eight_bits(pixels: Tensor) -> NDArray[np.uint8]:
    """Return (B, height, width, 3) of (B, 3, height, width) pixels of [0, 1], rounded to the nearest level."""
    levels: NDArray[np.uint8] = pixels.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return levels


def through_png(levels: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
    """Return an image as a PNG file, and what is read from it again."""
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format="PNG")
    with Image.open(io.BytesIO(file.getvalue()), formats=("PNG",)) as read:
        return file.getvalue(), np.asarray(read.convert("RGB"))


def realise(model: Recommender, delta: Tensor, folder: Path) -> Facts:
    """Write by how much features move, as floats and from the saved 8-bit images, and how visible the change is.

    Args:
        model: its `lower` passes images through extractor and filters.
        delta: (n_items, 3, height, width) inside the bounds.
        folder: gets `LOWERED`, `QUALITY` and some of the attacked images as PNG.

    Returns:
        Number of attacked images and of those that 8 bits leave unchanged; means of PSNR in dB (over the changed
        images) and SSIM (over all attacked images).
    """
    visual, device = pictures(model), delta.device
    view = model.lower(View({IMAGES: delta}))
    floats = view.delta[FEATURES].detach()
    at_rest = model.lower(View())  # what filters do to images that nobody attacks
    bits = at_rest.delta[FEATURES].detach().clone() if FEATURES in at_rest.delta else torch.zeros_like(floats)
    touched = torch.cat([(part.flatten(1) != 0).any(dim=1) for part in delta.split(IMAGE_CHUNK)]).nonzero()[:, 0]
    shown = set(sampled_rows(touched, IMAGES, delta[0].numel() * 4).tolist())
    psnr, ssim = [], []
    for rows in touched.split(IMAGE_CHUNK) if len(touched) else ():
        clean = visual.images.read(rows)
        levels = eight_bits((clean + delta[rows]).clamp(0, 1))
        read = []
        for row, one in zip(rows.tolist(), levels, strict=True):
            file, again = through_png(one)
            read.append(again)
            if row in shown:
                (folder / f"{PICTURE}{row}.png").write_bytes(file)
        attacked = torch.from_numpy(np.stack(read)).to(device).permute(0, 3, 1, 2).float().div(255)
        bits[rows] = model.lower(View({IMAGES: attacked - clean}, {IMAGES: rows})).delta[FEATURES].detach()
        seen = _compared(attacked, clean)
        psnr.append(seen[0])
        ssim += seen[1:]
    save_file({FLOATS: floats.cpu().contiguous(), EIGHT_BITS: bits.cpu().contiguous()}, folder / LOWERED)
    return _quality(touched, psnr, ssim, folder)


def _compared(attacked: Tensor, clean: Tensor) -> list[Tensor]:
    """Return the peak signal-to-noise ratio of each image in dB and, where it is defined, structural similarity."""
    from torchmetrics.functional import image  # takes seconds to load

    found = [image.peak_signal_noise_ratio(attacked, clean, 1.0, dim=(1, 2, 3), reduction="none").cpu()]
    if min(clean.shape[2:]) >= _SSIM_SIDE:
        similar = image.structural_similarity_index_measure(attacked, clean, data_range=1.0, reduction="none")
        found.append(torch.as_tensor(similar).reshape(-1).cpu())
    return found


def _quality(touched: Tensor, psnr: list[Tensor], ssim: list[Tensor], folder: Path) -> Facts:
    noise = torch.cat(psnr) if psnr else torch.zeros(0)
    held = {"rows": touched.cpu(), "psnr": noise}
    if ssim:
        held["ssim"] = torch.cat(ssim)
    save_file(held, folder / QUALITY)
    is_changed = noise.isfinite()
    return {
        "n_attacked_images": len(touched),
        "n_unchanged_images": int((~is_changed).sum()),
        "psnr": float(noise[is_changed].double().mean()) if bool(is_changed.any()) else None,
        "ssim": float(held["ssim"].double().mean()) if "ssim" in held and len(touched) else None,
    }
