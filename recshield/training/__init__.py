"""Objectives, the generic loop, negative sampling and fused kernels."""

from recshield.training.draws import Triplets, draw_negatives, epoch_triplets
from recshield.training.loop import train
from recshield.training.objectives import Adversarial, ModelLoss, evaluate
from recshield.training.progress import epoch_done, report_progress

__all__ = [
    "Adversarial",
    "ModelLoss",
    "Triplets",
    "draw_negatives",
    "epoch_done",
    "epoch_triplets",
    "evaluate",
    "report_progress",
    "train",
]
