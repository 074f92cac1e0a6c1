"""Extractors, each with one bug."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from recshield.testing.pictures import TinyExtractor


@dataclass
class Loose:
    """Options that can change.

    Attributes:
        grid: of parts.
    """

    grid: int = 2


@dataclass(frozen=True)
class Tuples:
    """Options that cannot be written.

    Attributes:
        sizes: of parts.
    """

    sizes: tuple[int, ...] = (1, 2)


class LooseConfig(TinyExtractor):
    """Its options can change."""

    config_type = Loose


class TupleConfig(TinyExtractor):
    """Its options cannot be written."""

    config_type = Tuples


class WrongWidth(TinyExtractor):
    """Fewer features than it says."""

    def forward(self, pixels):
        return super().forward(pixels)[:, 1:]


class Blind(TinyExtractor):
    """Reads nothing."""

    def forward(self, pixels):
        return super().forward(torch.full_like(pixels, 0.5)) + 0 * pixels.mean()


class NoGradient(TinyExtractor):
    """Features as figures."""

    def forward(self, pixels):
        return super().forward(pixels).detach()


class OverTheLargest(TinyExtractor):
    """Divided by the largest of the batch."""

    def forward(self, pixels):
        held = super().forward(pixels)
        return held / held.abs().max()


class ClassesOfTheBatch(TinyExtractor):
    """One score for all images."""

    def classes(self, pixels):
        return super().classes(pixels).mean(dim=0)


class LearnsAtRandom(TinyExtractor):
    """Draws from the global generator."""

    def fit(self, images, categories, rng):
        self.kernel += 0.1 * torch.randn(self.kernel.shape)
        return {}


class SeedsAll(TinyExtractor):
    """Seeds the global generator."""

    def fit(self, images, categories, rng):
        torch.manual_seed(0)
        return {}


class KeepsItsScale(TinyExtractor):
    """What it learns is no buffer."""

    scale = 1.0

    def fit(self, images, categories, rng):
        self.scale = 2.0
        return {}

    def forward(self, pixels):
        return self.scale * super().forward(pixels)


class InPlace(TinyExtractor):
    """Normalises what it is given."""

    def forward(self, pixels):
        if not pixels.requires_grad:
            pixels.mul_(0.5)
        return super().forward(pixels)


class TwoLinedPipeline(TinyExtractor):
    """Says it in two lines."""

    def pipeline(self):
        return "resize\ncrop"


#: Kind -> sound plugin, [(broken plugin, check that catches it, words, what else fires)].
BUGS = {
    "extractor": (
        TinyExtractor,
        [
            (
                type("Unnamed", (TinyExtractor,), {"name": "my one", "__doc__": "One."}),
                "name_can_be_written",
                "'my one'",
                (),
            ),
            (type("Wordless", (TinyExtractor,), {}), "docstring_is_complete", "has no docstring", ()),
            (LooseConfig, "options_are_a_frozen_dataclass", "Loose is not a frozen dataclass", ()),
            (TupleConfig, "options_reprint", "sizes=((1, 2))", ()),
            (
                WrongWidth,
                "features_have_the_width",
                "expected float32 of (5, width = 24)",
                ("classes_are_scores_per_category",),
            ),
            (
                Blind,
                "images_move_the_features",
                "two different images have the same features",
                ("pixels_have_a_gradient",),
            ),
            (NoGradient, "pixels_have_a_gradient", "features have no gradient", ()),
            (OverTheLargest, "an_image_stands_alone", "change with the other images", ()),
            (ClassesOfTheBatch, "classes_are_scores_per_category", "class scores have shape (3,)", ()),
            (
                LearnsAtRandom,
                "same_seed_same_bits",
                "two fits with one seed differ",
                ("global_random_state_untouched",),
            ),
            (SeedsAll, "global_random_state_untouched", "changed the global random state of torch", ()),
            (KeepsItsScale, "state_round_trips", "a loaded extractor gives other features", ()),
            (InPlace, "images_are_not_changed", "the images are changed", ()),
            (TwoLinedPipeline, "pipeline_is_one_line", "write one line", ()),
        ],
    ),
}
