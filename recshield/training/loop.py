"""The one generic training loop: any model with `batches` and `loss`, any objective, any torch optimiser."""

from __future__ import annotations

import torch
from torch import Generator

from recshield.core.interfaces import Objective, Recommender
from recshield.core.seeds import child
from recshield.data.interactions import Dataset
from recshield.training.objectives import evaluate
from recshield.training.progress import epoch_done


def train(
    model: Recommender,
    data: Dataset,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rng: Generator,
    epochs: int,
) -> None:
    """Minimise the objective by mini-batches, every training row once an epoch.

    Args:
        model: trained in place.
        data: training rows.
        objective: `ModelLoss()` or `Adversarial(...)`.
        optimizer: over the model's parameters.
        rng: epoch `e` draws from the child generator called `epoch`, `e`.
        epochs: at least 0; fewer are done where a watcher has seen enough.
    """
    device = next(model.parameters()).device
    for epoch in range(epochs):
        model.train()
        own = child(rng, "epoch", epoch)
        noise = child(own, "noise")
        for batch in model.batches(data, own):
            optimizer.zero_grad(set_to_none=True)
            value = evaluate(model, objective, batch.to(device), noise, epoch)
            value.backward()
            optimizer.step()
        if not epoch_done(model, epoch + 1, epochs):
            break
    model.eval()
