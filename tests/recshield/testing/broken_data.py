"""Metrics, data sets and readers, each with one bug."""

from __future__ import annotations

import itertools

import numpy as np

from recshield.core.errors import BadData
from recshield.data import NamedData, Reader, Table
from recshield.evaluation import Metric

_calls = itertools.count()


class Place(Metric):
    """Mean of one over the place. Source: own."""

    name = "place"
    description = "one over the place, 0 beyond K"

    def per_user(self, ranks, k):
        first = np.minimum.reduceat(ranks.ranks, ranks.indptr[:-1])
        return np.where(first < k, 1.0 / (first + 1.0), 0.0)


class Unnamed(Place):
    """A name of two words."""

    name = "one place"


class TwoLines(Place):
    """Described in two lines."""

    description = "one over\nthe place"


class Wordless(Place):
    pass


class NoInterface:
    """Not a metric."""

    name, description = "place", "one over the place"
    has_per_user = is_cut = is_accuracy = is_higher_better = True
    needs_lists = False
    is_mean = staticmethod(lambda: True)
    per_user = Place.per_user

    def overall(self, ranks, k):
        return float(self.per_user(ranks, k).mean())


class OneValue(Place):
    """One value for all."""

    def per_user(self, ranks, k):
        return super().per_user(ranks, k)[:1]


class Infinite(Place):
    """Divides by what may be nothing."""

    def overall(self, ranks, k):
        return float("inf")


class OverTheBest(Place):
    """Divided by the best user's value."""

    def per_user(self, ranks, k):
        held = super().per_user(ranks, k)
        return held / held.max() if held.max() else held


class ReadsTheRowOfTheUser(Place):
    """Reads row i for user i, as if each had one test item."""

    def per_user(self, ranks, k):
        held = ranks.ranks[: len(ranks.users)]
        return np.where(held < k, 1.0 / (held + 1.0), 0.0)


class ReadsTheLastRow(Place):
    """Reads the last test item of each user, not the best."""

    def per_user(self, ranks, k):
        held = ranks.ranks[ranks.indptr[1:] - 1]
        return np.where(held < k, 1.0 / (held + 1.0), 0.0)


class WeighsByTheNumber(Place):
    """Multiplies by the number of the user."""

    def per_user(self, ranks, k):
        return super().per_user(ranks, k) * (1 + ranks.users)


class LikesThePlaceAfterTheThird(Place):
    """Has a hump."""

    def per_user(self, ranks, k):
        first = np.minimum.reduceat(ranks.ranks, ranks.indptr[:-1])
        return super().per_user(ranks, k) + (first == 3)


class OneMore(Place):
    """Counts one place more than K."""

    def per_user(self, ranks, k):
        return super().per_user(ranks, k + 1)


class OneFewer(Place):
    """Counts one place fewer than K."""

    def per_user(self, ranks, k):
        return super().per_user(ranks, k - 1)


class Drawn(Place):
    """Breaks ties by a draw."""

    def per_user(self, ranks, k):
        return super().per_user(ranks, k) + np.random.rand() * 1e-3  # noqa: NPY002


class SortsTheRanks(Place):
    """Sorts what it is given."""

    def per_user(self, ranks, k):
        ranks.ranks.sort()
        return super().per_user(ranks, k)


class WrongWay(Place):
    """Says that lower is better."""

    is_higher_better = False


class IgnoresK(Place):
    """Reads all places, whatever K is."""

    def per_user(self, ranks, k):
        return super().per_user(ranks, 10**6)


class ReadsListsInSecret(Place):
    """Reads the lists without saying so."""

    def per_user(self, ranks, k):
        ranks.first(k)
        return super().per_user(ranks, k)


class NeedsManyUsers(Place):
    """The spread over users with one degree of freedom less."""

    def overall(self, ranks, k):
        held = self.per_user(ranks, k)
        return float(held.sum() * (len(held) - 1) / (len(held) - 1)) if len(held) > 1 else float("inf")


class Rows(NamedData):
    """Users and items."""

    name, description, licence = "rows", "generated", "CC0-1.0"

    def generate(self):
        return Table(np.repeat(np.arange(5), 4), np.tile(np.arange(4), 5))


class NoLicence(Rows):
    """Nobody may use it."""

    licence = ""


class ColumnsApart(Rows):
    """A time is missing."""

    def generate(self):
        return Table(np.arange(6), np.arange(6), times=np.arange(5))


class AnotherEachTime(Rows):
    """Draws from the global generator."""

    def generate(self):
        return Table(np.repeat(np.arange(5), 4), np.random.permutation(20))  # noqa: NPY002


class OneRowEach(Rows):
    """Nothing can be held out."""

    def generate(self):
        return Table(np.arange(6), np.arange(6))


class DrawsTooSmall(Rows):
    """Images of another size than it says."""

    image_size = (32, 32)

    def draw(self, item):
        return np.zeros((16, 16, 3), np.uint8)


class NobodysFiles(Rows):
    """Files without a publisher."""

    folder = "nobody"


class Lines(Reader):
    """Lines of `user item`."""

    name, description = "lines", "NAME.pairs: user item"

    def files(self, path):
        return (path,) if path.suffix == ".pairs" and path.is_file() else ()

    def read(self, files):
        text = files[0].read_text("utf-8", errors="replace").splitlines()
        try:
            rows = np.array([[int(cell) for cell in line.split()] for line in text], np.int64)
            return Table(rows[:, 0], rows[:, 1])
        except (ValueError, IndexError):
            raise BadData.at(files[0], None, "a line is not two numbers", "write USER ITEM") from None


class TakesEverything(Lines):
    """Claims whatever is there."""

    def files(self, path):
        return tuple(sorted(path.iterdir())) if path.is_dir() else (path,)


class KnowsNothing(Lines):
    """Claims nothing."""

    def files(self, path):
        return ()


class HalfATable(Lines):
    """Reads more users than items."""

    def read(self, files):
        held = super().read(files)
        return Table(held.users, held.items[:-1])


class Shuffles(Lines):
    """Another order each time."""

    def read(self, files):
        held = super().read(files)
        return Table(held.users, np.roll(held.items, next(_calls)))


class SkipsWhatItCannotRead(Lines):
    """Rows are lost without a word."""

    def read(self, files):
        rows = [line.split() for line in files[0].read_text("utf-8", errors="replace").splitlines()]
        held = np.array([row for row in rows if len(row) == 2 and "".join(row).isdigit()], np.int64).reshape(-1, 2)
        return Table(held[:, 0], held[:, 1])


class RaisesWhatComes(Lines):
    """A traceback where a sentence is due."""

    def read(self, files):
        rows = np.loadtxt(files[0], dtype=np.int64)
        return Table(rows[:, 0], rows[:, 1])


#: Kind -> sound plugin, [(broken plugin, check that catches it, words, what else fires)].
BUGS = {
    "metric": (
        Place,
        [
            (Unnamed, "name_can_be_written", "'one place'", ()),
            (TwoLines, "description_is_one_line", "write one line", ()),
            (Wordless, "docstring_is_complete", "Wordless has no docstring", ()),
            (NoInterface, "is_a_metric", "does not inherit recshield.evaluation.Metric", ()),
            (
                OneValue,
                "one_value_per_user",
                "of shape (1,); expected float64 of (40,)",
                ("a_user_stands_alone", "names_of_users_do_not_count"),
            ),
            (
                Infinite,
                "figure_is_finite",
                "the figure of a sound ranking is inf",
                ("better_is_the_way_it_says", "k_is_read", "one_user", "k_cuts_after_k_places"),
            ),
            (OverTheBest, "a_user_stands_alone", "must not depend on the others", ()),
            (
                Drawn,
                "same_ranks_same_bits",
                "changed the global random state of numpy",
                (
                    "lists_are_asked_for",
                    "a_user_stands_alone",
                    "order_of_test_items_does_not_count",
                    "names_of_users_do_not_count",
                    "k_cuts_after_k_places",
                ),
            ),
            (
                SortsTheRanks,
                "ranks_are_not_changed",
                "the ranks are changed",
                ("a_user_stands_alone", "names_of_users_do_not_count"),
            ),
            (
                ReadsTheRowOfTheUser,
                "a_user_stands_alone",
                "lie between two values of `indptr`",
                ("order_of_test_items_does_not_count", "names_of_users_do_not_count"),
            ),
            (ReadsTheLastRow, "order_of_test_items_does_not_count", "the order of a user's test items", ()),
            (WeighsByTheNumber, "names_of_users_do_not_count", "the number of a user must not count", ()),
            (LikesThePlaceAfterTheThird, "a_higher_place_is_never_worse", "in place 4 are better than in place 3", ()),
            (OneMore, "k_cuts_after_k_places", "in place 11 count other than those in place 21", ()),
            (OneFewer, "k_cuts_after_k_places", "in place 10 are no better than those in place 11", ()),
            (
                WrongWay,
                "better_is_the_way_it_says",
                "says that lower is better",
                ("a_higher_place_is_never_worse", "k_cuts_after_k_places"),
            ),
            (IgnoresK, "k_is_read", "at K 1, 5 and 30", ("k_cuts_after_k_places",)),
            (ReadsListsInSecret, "lists_are_asked_for", "raised BadValue: no lists of 10 items", ()),
            (NeedsManyUsers, "one_user", "the figure over one user is inf", ()),
        ],
    ),
    "dataset": (
        Rows,
        [
            (type("Unnamed", (Rows,), {"name": "my rows", "__doc__": "Rows."}), "name_can_be_written", "'my rows'", ()),
            (
                type("Silent", (Rows,), {"description": "", "__doc__": "Rows."}),
                "description_is_one_line",
                "write one line",
                (),
            ),
            (type("Wordless", (Rows,), {}), "docstring_is_complete", "has no docstring", ()),
            (NoLicence, "licence_is_one_line", "licence is ''", ()),
            (
                ColumnsApart,
                "generates_rows",
                "column 'times' has shape (5,) beside 6 users",
                ("users_can_be_held_out",),
            ),
            (AnotherEachTime, "generates_the_same_each_time", "changed the global random state of numpy", ()),
            (OneRowEach, "users_can_be_held_out", "no user has two items", ()),
            (DrawsTooSmall, "images_have_the_size", "expected uint8 of (32, 32, 3)", ()),
            (NobodysFiles, "files_are_described", "publisher is empty", ()),
        ],
    ),
    "reader": (
        Lines,
        [
            (
                type("Unnamed", (Lines,), {"name": "my lines", "__doc__": "Lines."}),
                "name_can_be_written",
                "'my lines'",
                (),
            ),
            (
                type("Silent", (Lines,), {"description": 3, "__doc__": "Lines."}),
                "description_is_one_line",
                "write one line",
                (),
            ),
            (type("Wordless", (Lines,), {}), "docstring_is_complete", "has no docstring", ()),
            (TakesEverything, "other_files_are_left_alone", "files() claims other", ()),
            (
                KnowsNothing,
                "finds_its_sample",
                "does not recognise its sample",
                ("reads_rows", "reads_the_same_each_time", "a_damaged_file_is_bad_data"),
            ),
            (HalfATable, "reads_rows", "column 'items' has shape (11,) beside 12 users", ()),
            (Shuffles, "reads_the_same_each_time", "two readings of one file differ", ()),
            (SkipsWhatItCannotRead, "a_damaged_file_is_bad_data", "a damaged file gives 12 rows", ()),
            (RaisesWhatComes, "a_damaged_file_is_bad_data", "raise BadData.at", ()),
        ],
    ),
}
