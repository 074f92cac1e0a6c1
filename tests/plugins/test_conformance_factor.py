"""The models of `recshield_factor` run the conformance kit."""

from __future__ import annotations

from recshield.testing import RecommenderTests
from recshield_factor import MF, MFConfig, Popular, Random


class TestMF(RecommenderTests):
    recommender = MF


class TestMFInSmallBatches(RecommenderTests):
    recommender = MF
    config = MFConfig(dims=8, l2=0.01, batch=50)


class TestGenericMF(RecommenderTests):
    recommender = MF
    config = MFConfig(dims=8, l2=0.01, batch=100, fused=False)


class TestPopular(RecommenderTests):
    recommender = Popular


class TestRandom(RecommenderTests):
    recommender = Random
    excused = {"docstring_names_its_source": "a floor of recshield's own"}  # noqa: RUF012
