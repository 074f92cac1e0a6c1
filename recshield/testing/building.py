"""How the checks make a model, and how they name it in what they say."""

from __future__ import annotations

from typing import Any

from recshield.core.interfaces import Batch, Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN
from recshield.data.interactions import Dataset
from recshield.testing.data import small_dataset
from recshield.testing.failures import CheckFailed, applies_if
from recshield.testing.probes import EPOCHS, as_served, loss, small_batch
from recshield.training.objectives import ModelLoss

Kind = type[Recommender]


def said(recommender: Kind) -> str:
    """Return how a message names a model."""
    return f"model '{recommender.name}'"


def configured(recommender: Kind, config: Any) -> Any:
    """Return the configuration given, else the defaults."""
    if config is not None:
        return config
    try:
        return recommender.config_type()
    except TypeError as error:
        raise CheckFailed(f"{said(recommender)} has no default configuration ({error}); give the check one") from error


def built(recommender: Kind, config: Any, data: Dataset, seed: int = 0) -> Recommender:
    """Return the model at its start values, as the framework makes it."""
    return recommender(data.info, configured(recommender, config), generator(seed, "start"))


def fitted(recommender: Kind, config: Any, data: Dataset, seed: int = 0) -> Recommender:
    """Return the model after a few epochs, ready to serve."""
    model = built(recommender, config, data, seed)
    model.fit(data, ModelLoss(), generator(seed, "fit"), EPOCHS)
    return as_served(model)


def ready(recommender: Kind, config: Any) -> tuple[Recommender, Dataset]:
    """Return the model fitted on `small_dataset()`, and the data."""
    data, _ = small_dataset()
    return fitted(recommender, config, data), data


def need_loss(recommender: Kind) -> None:
    """Leave the check where the model has no loss."""
    applies_if(recommender.loss is not Recommender.loss, f"{said(recommender)} has no loss")


def touchable(recommender: Kind, config: Any) -> Recommender:
    """Return the fitted model; leave the check where it can be touched nowhere."""
    model, _ = ready(recommender, config)
    applies_if(bool(model.surfaces), f"{said(recommender)} has no surface")
    return model


def attackable(recommender: Kind, config: Any) -> tuple[Recommender, Batch]:
    """Return the fitted model and a few triplets; leave the check where it has no surface or no loss."""
    need_loss(recommender)
    model, data = ready(recommender, config)
    applies_if(bool(model.surfaces), f"{said(recommender)} has no surface")
    return model, small_batch(data)


def clean_loss(model: Recommender, batch: Batch) -> float:
    """Return the loss of a batch without a perturbation."""
    return float(loss(model, batch, CLEAN).detach())
