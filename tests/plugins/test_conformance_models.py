"""`puresvd`, `neumf` and `lightgcn` run the conformance kit."""

from __future__ import annotations

from torch import Generator

from recshield.core.interfaces import Objective
from recshield.data.interactions import Dataset
from recshield.testing import RecommenderTests
from recshield.training import ModelLoss
from recshield_factor import LightGCN, LightGCNConfig, NeuMF, NeuMFConfig, PureSVD, PureSVDConfig

EXCUSED = {"weight_zero_is_plain_training": "the closed form has no adversarial twin; by gradient it is checked"}


class ClosedForm(PureSVD):
    """Takes the closed form wherever the kit trains a few epochs with the model's own loss, from the start.

    Source: own.
    """

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        is_plain = isinstance(objective, ModelLoss) and epochs != 0
        super().fit(data, objective, rng, None if is_plain else epochs)


class TestPureSVDByGradient(RecommenderTests):
    recommender = PureSVD


class TestPureSVD(RecommenderTests):
    recommender = ClosedForm
    config = PureSVDConfig(dims=5)
    excused = EXCUSED


class TestPureSVDOfFullRank(RecommenderTests):
    recommender = ClosedForm
    excused = EXCUSED


class TestNeuMF(RecommenderTests):
    recommender = NeuMF


class TestNeuMFWithThreeLayers(RecommenderTests):
    recommender = NeuMF
    config = NeuMFConfig(dims=4, layers="12-10-7-5", std=0.3, batch=50, lr=0.01, l2=0.01)


class TestLightGCN(RecommenderTests):
    recommender = LightGCN


class TestLightGCNWithOneLayer(RecommenderTests):
    recommender = LightGCN
    config = LightGCNConfig(dims=8, layers=1, batch=50, lr=0.01, l2=0.01)
