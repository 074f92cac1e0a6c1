"""Executors, audit checks and report formats, each with one bug."""

from __future__ import annotations

import itertools
import json

import torch

from recshield.audit import Check, Finding
from recshield.audit.check import missing
from recshield.matrix.executors import Executor, Local, Outcome
from recshield.report import ReportFormat
from recshield.report.formats.data import Csv
from recshield.report.text import plain

_calls = itertools.count()


class LosesAStep(Local):
    """Leaves the last step out."""

    def run(self, planned, store, context, jobs, listener):
        return super().run(dict(list(planned.items())[:-1]), store, context, jobs, listener)


class ComputesAgain(Executor):
    """Forgets what is in the store."""

    name = "again"

    def run(self, planned, store, context, jobs, listener):
        found = Local().run(planned, store, context, jobs, listener)
        return Outcome(set(), found.failed)


class TellsNobody(Local):
    """Says nothing to its listener."""

    def run(self, planned, store, context, jobs, listener):
        from recshield.matrix.executors import perform

        outcome = Outcome()
        for key, step in planned.items():
            if store.get(key) is not None:
                outcome.reused.add(key)
            elif any(one in outcome.failed for one in step.parents):
                outcome.failed[key] = "lost"
            else:
                try:
                    perform(step, store, context)
                except Exception as error:
                    outcome.failed[key] = str(error)
        return outcome


class StopsAtOnce(TellsNobody):
    """Stops at the first step that fails."""

    def run(self, planned, store, context, jobs, listener):
        outcome = Outcome()
        for key, step in planned.items():
            found = Local().run({key: step}, store, context, 1, listener)
            outcome.reused |= found.reused
            outcome.failed |= found.failed
            if found.failed:
                break
        return outcome


class LeavesThreads(Local):
    """Takes the machine for itself."""

    def run(self, planned, store, context, jobs, listener):
        found = super().run(planned, store, context, jobs, listener)
        torch.set_num_threads(torch.get_num_threads() + 1)
        return found


class ChangesTheSeed(Local):
    """Steps depend on where they run."""

    def run(self, planned, store, context, jobs, listener):
        found = super().run(planned, store, context, jobs, listener)
        for entry in filter(None, map(store.get, planned)):
            meta = json.loads(entry.file("meta.json").read_text())
            meta["facts"]["where"] = "elsewhere"
            entry.file("meta.json").write_text(json.dumps(meta))
        return found


class Few(Check):
    """Counts users."""

    number, name, description = 100, "FEW", "enough users"

    def judge(self, facts, results):
        return Finding("pass", "enough", {"n": 1.0})


class Lower(Few):
    """A name in small letters."""

    name = "few"


class Perhaps(Few):
    """Does not say yes or no."""

    def applies(self, facts):
        return facts["eps"]


class NeedsNames(Few):
    """Names a cell instead of giving it."""

    def needs(self, cell):
        return {"other": cell.id}


class NewVerdict(Few):
    """A word of its own."""

    def judge(self, facts, results):
        return Finding("great", "enough")


class Moody(Few):
    """Another finding each time."""

    def judge(self, facts, results):
        return Finding("pass", f"seen {next(_calls)} times")


class WritesTheVerdict(Few):
    """Changes the table that it judges."""

    def judge(self, facts, results):
        results.steps["seed"] = results.steps["seed"] + 1
        return super().judge(facts, results)


class PassesWithout(Few):
    """Passes without the cell it asks for."""

    def needs(self, cell):
        return {"clean": cell.clean()}

    def judge(self, facts, results):
        other = self.other(facts, results, "clean")
        return missing("the clean cell") if other is not None and other["attack"] != "none" else Finding("pass", "fine")


class Text(ReportFormat):
    """Lines."""

    name, suffix, description = "text", ".txt", "lines"

    def render(self, report, folder):
        return plain(report.title) + "\n" + Csv().render(report, folder)


class NoSuffix(Text):
    """No dot."""

    suffix = "txt"


class TitleAlone(Text):
    """The title alone."""

    def render(self, report, folder):
        return plain(report.title)


class NeedsAnAttack(Text):
    """Fails without an attacked cell."""

    def render(self, report, folder):
        lines = super().render(report, folder)
        return lines if "fgm" in lines else lines.splitlines()[0]


class Dated(Text):
    """Says when it was called."""

    def render(self, report, folder):
        return super().render(report, folder) + str(next(_calls))


class Renames(Text):
    """Writes into the report."""

    def render(self, report, folder):
        object.__setattr__(report, "version", report.version + "!")
        return super().render(report, folder)


class Raw(Text):
    """The title as it is."""

    def render(self, report, folder):
        return report.title + super().render(report, folder)


#: Kind -> sound plugin, [(broken plugin, check that catches it, words, what else fires)].
BUGS = {
    "executor": (
        Local,
        [
            (type("Unnamed", (Local,), {"name": "my own", "__doc__": "Here."}), "name_can_be_written", "'my own'", ()),
            (type("Wordless", (Local,), {}), "docstring_is_complete", "has no docstring", ()),
            (
                LosesAStep,
                "every_step_is_done",
                "steps are not in the store",
                (
                    "results_are_those_of_local",
                    "finished_steps_are_reused",
                    "listener_hears_of_every_step",
                    "a_failed_step_takes_its_children_alone",
                ),
            ),
            (ChangesTheSeed, "results_are_those_of_local", "have other results than", ()),
            (ComputesAgain, "finished_steps_are_reused", "reuses 0 of", ()),
            (TellsNobody, "listener_hears_of_every_step", "hears of 0 starts", ()),
            (StopsAtOnce, "a_failed_step_takes_its_children_alone", "1 steps are named as failed; expected 2", ()),
            (LeavesThreads, "the_process_is_left_as_it_was", "threads afterwards", ()),
        ],
    ),
    "check": (
        Few,
        [
            (
                type("Silent", (Few,), {"description": "", "__doc__": "Few."}),
                "description_is_one_line",
                "write one line",
                (),
            ),
            (type("Wordless", (Few,), {}), "docstring_is_complete", "has no docstring", ()),
            (Lower, "has_a_number_and_a_name", "name 'few'", ()),
            (Perhaps, "applies_says_yes_or_no", "expected True or False", ()),
            (NeedsNames, "needs_are_cells", "expected role -> Cell", ()),
            (NewVerdict, "findings_are_sentences", "verdict 'great' is unknown", ()),
            (Moody, "same_cell_same_finding", "two calls of judge() on one cell differ", ()),
            (WritesTheVerdict, "results_are_not_changed", "the results are changed", ()),
            (PassesWithout, "a_missing_cell_is_not_run", "the verdict is 'pass'", ()),
        ],
    ),
    "report": (
        Text,
        [
            (type("Unnamed", (Text,), {"name": "my text", "__doc__": "Text."}), "name_can_be_written", "'my text'", ()),
            (
                type("Silent", (Text,), {"description": "", "__doc__": "Text."}),
                "description_is_one_line",
                "write one line",
                (),
            ),
            (type("Wordless", (Text,), {}), "docstring_is_complete", "has no docstring", ()),
            (NoSuffix, "suffix_is_one_of_a_file", "such as '.txt'", ()),
            (
                TitleAlone,
                "the_main_figures_are_there",
                "does not name mf, noise, fgm",
                ("a_run_without_attacks_is_written",),
            ),
            (NeedsAnAttack, "a_run_without_attacks_is_written", "names no system", ()),
            (Dated, "same_report_same_bytes", "two renderings of one report differ", ()),
            (Renames, "the_report_is_not_changed", "changes the report", ()),
            (Raw, "control_characters_stay_out", "an escape sequence of the title", ()),
        ],
    ),
}
