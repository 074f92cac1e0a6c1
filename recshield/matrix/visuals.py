"""The steps behind visual models: the image store, and the features that an extractor makes of it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recshield.core.compiled import cache_folder
from recshield.core.errors import BadValue, NonFiniteScores
from recshield.core.extractors import Extractor
from recshield.core.registry import registry
from recshield.core.seeds import generator
from recshield.data import image_store
from recshield.data.image_store import ImageSource
from recshield.data.images import Images
from recshield.data.interactions import Dataset
from recshield.data.visual import Visual, image_chunks
from recshield.matrix.loading import Context, load_data
from recshield.matrix.store import Store
from recshield.training.progress import report_progress

Facts = dict[str, Any]
Held = Mapping[str, Any]
#: What a features step leaves: the extractor's weights, and the features over their largest absolute value.
STATE, _FEATURES = "extractor.safetensors", "features.safetensors"
#: What an attack step on images leaves beside its perturbation: by how much each item's features move.
LOWERED = "lowered.safetensors"
#: Names of the two in it: as floats, and from the saved 8-bit images.
FLOATS, EIGHT_BITS = "floats", "eight_bits"
#: Share of a features step that training an extractor is taken to be, for the progress bar.
_FIT_SHARE = 0.9


def images(spec: Held, store: Store, context: Context, folder: Path) -> Facts:  # noqa: ARG001
    """Build the image store of a data set's items."""
    data, _ = load_data(store.need(spec["data"]))
    source = ImageSource.from_json(spec["images"])
    partial = cache_folder() / "partial" / spec["name"]
    return image_store.build(source, data.item_ids, folder, partial, report_progress)


def features(spec: Held, store: Store, context: Context, folder: Path) -> Facts:
    """Train an extractor or read its weights, and extract the features of all images."""
    data, _ = load_data(store.need(spec["data"]))
    held = image_store.load(store.need(spec["images"]).folder)
    extractor = _build(spec["extractor"], held, data, spec["data_seed"])
    told = dict(extractor.fit(_warm(held, data), data.categories, generator(spec["data_seed"], "extractor", "fit")))
    return _kept(extractor, held, told, context, folder)


def features_of_weights(
    spec: Held, weights: Mapping[str, Tensor], told: Facts, store: Store, context: Context, folder: Path
) -> Facts:
    """Extract the features of all images with weights that were saved, in place of training an extractor.

    Raises:
        BadValue: the weights do not fit the extractor.
    """
    data, _ = load_data(store.need(spec["data"]))
    held = image_store.load(store.need(spec["images"]).folder)
    extractor = _build(spec["extractor"], held, data, spec["data_seed"])
    try:
        extractor.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise BadValue(f"the weights of extractor '{extractor.name}' do not fit it ({reason})") from None
    return _kept(extractor, held, told, context, folder)


def _kept(extractor: Extractor, held: Images, told: Facts, context: Context, folder: Path) -> Facts:
    """Extract and write the features, and the weights beside them."""
    extractor.eval().requires_grad_(False).to(context.device)
    values = extract(extractor, held, torch.device(context.device))
    scale = float(values.abs().max())
    if not (scale > 0 and torch.isfinite(values).all()):
        raise NonFiniteScores(f"the features of extractor '{extractor.name}' are all zero, NaN or infinite")
    state = {name: one.detach().cpu().contiguous() for name, one in extractor.state_dict().items()}
    save_file(state, folder / STATE)
    save_file({"features": (values / scale).contiguous()}, folder / _FEATURES)
    return {"facts": told, "pipeline": extractor.pipeline(), "scale": scale, "hash": _hash(extractor, state)}


def _warm(held: Images, data: Dataset) -> Images:
    """Return the images that an extractor may train on: those of cold items count as missing."""
    if data.train.negatives is None:
        return held
    is_warm = np.zeros(len(held), dtype=bool)
    is_warm[data.train.negatives] = True
    return Images(held.pixels, held.is_there & is_warm)


def extract(extractor: Extractor, held: Images, device: torch.device) -> Tensor:
    """Return (n_items, width) unscaled features on CPU, chunk by chunk in item order."""
    parts = []
    with torch.no_grad():
        for part in image_chunks(len(held)):
            parts.append(extractor(held.read(torch.arange(part.start, part.stop, device=device))).cpu())
            report_progress(_FIT_SHARE + (1 - _FIT_SHARE) * part.stop / len(held))
    return torch.cat(parts)


def with_visual(data: Dataset, ref: Held | None, store: Store, context: Context) -> Dataset:
    """Return the data set with what a visual model reads, where its system has it."""
    if not ref:
        return data
    held = image_store.load(store.need(ref["images"]).folder)
    entry = store.need(ref["features"])
    extractor = _build(ref["extractor"], held, data, ref["data_seed"])
    extractor.load_state_dict(load_file(entry.file(STATE)))
    extractor.eval().requires_grad_(False)
    values = load_file(entry.file(_FEATURES))["features"]
    if ref.get("poison"):
        values = values + load_file(store.need(ref["poison"]).file(LOWERED))[EIGHT_BITS]
    visual = Visual(held, extractor, values, entry.facts["scale"]).to(context.device)
    return dataclasses.replace(data, info=dataclasses.replace(data.info, visual=visual))


def _build(part: Held, held: Images, data: Dataset, seed: int) -> Extractor:
    plugin = registry().get("extractor", part["name"])
    n_categories = len(data.categories.names) if data.categories else 0
    config = plugin.config_type(**part["options"])
    made: Extractor = plugin(held.size, n_categories, config, generator(seed, "extractor", "start"))
    if not isinstance(made, Extractor):
        raise BadValue(f"extractor '{part['name']}' is not a subclass of recshield.core.extractors.Extractor")
    return made


def _hash(extractor: Extractor, state: Mapping[str, Tensor]) -> str:
    """Return a hash of the whole pipeline: layer, resize, crop, normalisation and every weight."""
    total = hashlib.blake2b(extractor.pipeline().encode(), digest_size=16)
    for name, one in sorted(state.items()):
        total.update(f"{name}{tuple(one.shape)}{one.dtype}".encode())
        total.update(one.numpy().tobytes())
    return total.hexdigest()
