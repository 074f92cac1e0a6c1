"""Picture files of a run, which may come from a stranger: bounded, decoded, compared, written anew."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from recshield.core.errors import BadData
from recshield.core.settings import IMAGE_SIDES
from recshield.data.image_files import BadImage, read_bytes, to_rgb

Pixels = NDArray[np.uint8]
#: Times by which a difference is multiplied.
AMPLIFIED = 16
#: Smallest side over which structural similarity is defined: that of its window.
_SSIM_SIDE = 11
_ADVICE = "the run was changed: run the matrix again"
#: What Pillow raises on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, MemoryError, struct.error,
    zlib.error,
)  # fmt: skip


def read_picture(source: Path | Pixels) -> Pixels:
    """Return (height, width, 3) pixels of a picture of a run.

    Raises:
        BadData: a link out of the folder, no PNG, damaged, or larger than an image of an item can be.
    """
    if not isinstance(source, Path):
        return source
    try:
        held = read_bytes(source)
    except BadImage as error:
        raise BadData.at(source, None, error.said.partition(": ")[2], _ADVICE) from None
    most = IMAGE_SIDES[1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, which are refused here
            with Image.open(io.BytesIO(held), formats=("PNG",)) as image:
                if max(image.size) > most:
                    wrong = f"the picture has {image.width} x {image.height} pixels, and a side has at most {most}"
                    raise BadData.at(source, None, wrong, _ADVICE)
                return np.array(to_rgb(image), dtype=np.uint8)
    except UnidentifiedImageError:
        raise BadData.at(source, None, "the picture is no PNG image", _ADVICE) from None
    except Image.DecompressionBombError:
        raise BadData.at(source, None, f"the picture has too many pixels; a side has at most {most}", _ADVICE) from None
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [""])[0][:100] or type(error).__name__
        raise BadData.at(source, None, f"the picture cannot be read ({reason})", _ADVICE) from None


def read_pair(clean: Path | Pixels, attacked: Path | Pixels) -> tuple[Pixels, Pixels]:
    """Return the pixels of an image before and after an attack.

    Raises:
        BadData: as for `read_picture`, or the two differ in size.
    """
    before, after = read_picture(clean), read_picture(attacked)
    if before.shape != after.shape:
        sizes = " and ".join(f"{one.shape[1]} x {one.shape[0]}" for one in (before, after))
        raise BadData.at(attacked if isinstance(attacked, Path) else "picture", None,
                         f"the clean and the attacked picture differ in size ({sizes})", _ADVICE)  # fmt: skip
    return before, after


def amplified(clean: Pixels, attacked: Pixels, times: int = AMPLIFIED) -> Pixels:
    """Return mid-grey plus the difference of two images, multiplied and cut to what can be shown."""
    change = attacked.astype(np.int32) - clean.astype(np.int32)
    shown: Pixels = np.clip(128 + times * change, 0, 255).astype(np.uint8)
    return shown


def psnr(clean: Pixels, attacked: Pixels) -> float:
    """Return the peak signal-to-noise ratio of two 8-bit images in dB, infinite where they are equal."""
    error = float(((attacked.astype(np.float64) - clean.astype(np.float64)) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(clean: Pixels, attacked: Pixels) -> float:
    """Return the structural similarity of two 8-bit images, NaN for images smaller than its window.

    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, as torchmetrics computes it.
    """
    if min(clean.shape[:2]) < _SSIM_SIDE:
        return math.nan
    import torch
    from torchmetrics.functional import image  # takes seconds to load

    one, other = (torch.from_numpy(held.copy()).permute(2, 0, 1)[None].float().div(255) for held in (attacked, clean))
    return float(torch.as_tensor(image.structural_similarity_index_measure(one, other, data_range=1.0)))


def png(pixels: Pixels, side: int) -> tuple[bytes, int, int]:
    """Return a PNG file of an image, its width and its height; what is larger than `side` is made smaller."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue(), image.width, image.height
