"""The models of `recshield_visual` run the conformance kit, with small images and an extractor of a few weights."""

from __future__ import annotations

from recshield.testing import RecommenderTests
from recshield_visual import DUIF, VBPR, VBPRAMR, DUIFConfig, VBPRAMRConfig, VBPRConfig


class TestVBPRAMR(RecommenderTests):
    recommender = VBPRAMR
    config = VBPRAMRConfig(dims=8, std=0.1, batch=50)


class TestVBPRAMRWithDefaults(RecommenderTests):
    recommender = VBPRAMR


class TestVBPRAMRFromWarmIds(RecommenderTests):
    recommender = VBPRAMR
    config = VBPRAMRConfig(dims=8, std=0.1, batch=8, l2=0.01, warm=2)


class TestVBPR(RecommenderTests):
    recommender = VBPR
    config = VBPRConfig(dims=8, std=0.1, batch=50)


class TestVBPRFromWarmIds(RecommenderTests):
    recommender = VBPR
    config = VBPRConfig(dims=8, std=0.1, batch=8, l2=0.01, warm=2)


class TestDUIF(RecommenderTests):
    recommender = DUIF
    config = DUIFConfig(dims=8, std=0.1, batch=50)


class TestDUIFFromWarmUsers(RecommenderTests):
    recommender = DUIF
    config = DUIFConfig(dims=8, std=0.1, batch=8, warm=2)
