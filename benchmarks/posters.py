"""What posters tell of new films: the figures of cold items with the real features and with permuted ones.

    python benchmarks/posters.py --data-dir DIR --seeds 5

Films of a random fifth are held out of training, of the recommender's and of the extractor's. With permuted features
every film reads the features of another one, so that all that is left is chance. `auc/among:cold` ranks a user's
new films among all new films.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import torch

from recshield.core.interfaces import Recommender
from recshield.core.seeds import generator
from recshield.data.interactions import Dataset, HeldOut
from recshield.evaluation.measuring import measure_all
from recshield.evaluation.metrics import MetricAtK
from recshield.matrix.loading import Context, load_data
from recshield.matrix.visuals import with_visual
from recshield.run import execute, prepare
from recshield.training import ModelLoss
from recshield_visual import DUIF, VBPR, VBPRAMR

_METRICS = tuple(MetricAtK.parse(text) for text in ("auc/among:cold", "hr@10/among:cold", "ndcg@10/among:cold"))
_FILTERS = ("images", "kcore-user:5")


def _data(folder: str) -> tuple[Dataset, HeldOut]:
    """Return training and test rows with the posters and the features of an extractor that saw warm films only."""
    prepared = prepare(
        models=["vbpr"], dataset="ml-latest-small-2016", data_dir=folder, split="cold:0.2", filters=list(_FILTERS),
        skip_bad_images=True, overrides=["vbpr.epochs=1"], metrics=["ndcg@10"],
    )  # fmt: skip
    execute(prepared)
    (step,) = (step for step in prepared.plan.steps.values() if step.kind == "train")
    data, test = load_data(prepared.store.need(step.spec["data"]))
    return with_visual(data, step.spec["visual"], prepared.store, Context()), test


def _permuted(data: Dataset, seed: int) -> Dataset:
    visual = data.info.visual
    assert visual is not None
    order = torch.randperm(data.info.n_items, generator=generator(seed, "permuted features"))
    mixed = dataclasses.replace(visual, features=visual.features[order])
    return dataclasses.replace(data, info=dataclasses.replace(data.info, visual=mixed))


def _figures(model: type[Recommender], data: Dataset, test: HeldOut, seed: int) -> list[float]:
    made = model(data.info, model.config_type(), generator(seed, "start"))
    made.train()
    made.fit(data, ModelLoss(), generator(seed, "fit"))
    made.eval().requires_grad_(False)
    found = measure_all(made.score, data.train, test, _METRICS, torch.device("cpu"))
    return [figure.value for figure in found.values()]


def main() -> None:
    """Print a line per model and kind of features: mean and standard deviation over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data, test = _data(asked.data_dir)
    print(f"{'':22}" + "".join(f"{metric!s:>26}" for metric in _METRICS))
    for model in (DUIF, VBPR, VBPRAMR):
        for name in ("real", "permuted"):
            every = [
                _figures(model, _permuted(data, seed) if name == "permuted" else data, test, seed)
                for seed in range(asked.seeds)
            ]
            mean, spread = np.mean(every, axis=0), np.std(every, axis=0, ddof=1)
            shown = [f"{one:.4f} +- {other:.4f}" for one, other in zip(mean, spread, strict=True)]
            print(f"{model.name:10}{name:12}" + "".join(f"{text:>26}" for text in shown), flush=True)


if __name__ == "__main__":
    main()
