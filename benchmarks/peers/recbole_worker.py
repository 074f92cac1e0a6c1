"""RecBole's BPR under its own trainer. Arguments: rows.npz, dimensions, threads, a scratch folder, batch."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import BPR
from recbole.trainer import Trainer
from serve import serve


def main() -> None:
    """Time epochs of its trainer, sampling included."""
    path, dims, threads, scratch, batch = sys.argv[1:6]
    torch.set_num_threads(int(threads))
    held = np.load(path)
    folder = Path(scratch) / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{user}\t{item}" for user, item in zip(held["users"], held["items"], strict=True)]
    few = [f"{user}\t{item}" for user, item in zip(held["users"][:100], held["items"][:100], strict=True)]
    head = "user_id:token\titem_id:token"
    # All rows are trained on; its parts for validation and test have to be there, and are never used.
    for part, rows in (("train", lines), ("valid", few), ("test", few)):
        (folder / f"rows.{part}.inter").write_text("\n".join([head, *rows]) + "\n")
    sys.argv = sys.argv[:1]  # it would read them as settings
    settings = {
        "data_path": scratch, "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id"]},
        "embedding_size": int(dims), "train_batch_size": int(batch), "learning_rate": 0.001, "use_gpu": False,
        "show_progress": False, "state": "ERROR", "checkpoint_dir": scratch, "save_dataset": False,
    }  # fmt: skip
    config = Config(model="BPR", dataset="rows", config_dict=settings)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    trainer = Trainer(config, BPR(config, train.dataset))
    trainer.model.train()
    count = iter(range(10**9))

    def epoch() -> float:
        start = time.perf_counter()
        trainer._train_epoch(train, next(count), show_progress=False)
        return time.perf_counter() - start

    serve({"epoch": epoch})


if __name__ == "__main__":
    main()
