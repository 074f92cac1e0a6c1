"""What a report says, as values: sections made of blocks, blocks made of phrases; no format is known here.

Every text that comes from data, specifications or plugins is untrusted; formats escape whatever they write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Name:
    """A name from data, a specification or a plugin; formats set it apart from prose."""

    text: str


@dataclass(frozen=True)
class Number:
    """A figure: its full value, and how a reader sees it."""

    value: float
    text: str


@dataclass(frozen=True)
class Verdict:
    """A verdict of the audit: `pass`, `warn`, `unproven`, `fail`, `not run` or "" where none was given."""

    word: str


Inline = str | Name | Number | Verdict
Phrase = tuple[Inline, ...]


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    phrase: Phrase


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[Phrase, ...]


@dataclass(frozen=True)
class Listing:
    """Text that stands as it is, such as a command."""

    text: str


@dataclass(frozen=True)
class Definitions:
    """Terms and what they are."""

    pairs: tuple[tuple[str, Phrase], ...]


@dataclass(frozen=True)
class Table:
    """A table; every row has one phrase per column.

    Attributes:
        key: unique within its section.
        caption: what it shows, in one sentence.
        columns: titles.
        numeric: for each column, whether it holds figures (set to the right).
        rows: phrases.
        is_folded: a reader opens it first, where the format can fold.
    """

    key: str
    caption: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Phrase, ...], ...]
    is_folded: bool = False


@dataclass(frozen=True)
class Panel:
    """One picture of a chart: a Vega-Lite specification with its data inside."""

    title: str
    alt: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """Pictures of the same kind, side by side where there is room.

    Attributes:
        key: unique within its section; exported files carry it.
        caption: what they show, in one sentence or two.
        panels: the pictures.
    """

    key: str
    caption: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Estimate:
    """Clean and attacked value of one metric, means over users and seeds.

    Attributes:
        metric: as a person writes it, `ndcg@100`.
        clean: without attack.
        attacked: under attack; NaN for a system nobody attacked.
        change: relative, -0.12 is a loss of 12 %.
        low: lower end of its interval, NaN where the metric has no values per user.
        high: upper end.
        n_users: users it is over.
        n_seeds: seeds it is over.
    """

    metric: str
    clean: float
    attacked: float
    change: float
    low: float
    high: float
    n_users: int
    n_seeds: int


@dataclass(frozen=True)
class CellFinding:
    """What one check found on one cell; `seeds` says where several seeds differ."""

    number: int
    check: str
    verdict: str
    sentence: str
    seeds: str = ""


@dataclass(frozen=True)
class MatrixCell:
    """One cell: a system under an attack at a budget, over all seeds.

    Attributes:
        key: unique within its matrix.
        title: what it is.
        verdict: the worst over its seeds.
        is_flipping: seeds disagree on the verdict.
        marks: what a reader must know before comparing it.
        estimates: one per metric, the main one first.
        facts: what was attacked, with what power.
        findings: what every check found, the worst first.
        command: what computes it again.
    """

    key: str
    title: Phrase
    verdict: str
    is_flipping: bool
    marks: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    facts: Definitions
    findings: tuple[CellFinding, ...]
    command: str


@dataclass(frozen=True)
class MatrixRow:
    """One system at one place; `cells` stand in the order of the attacks, None where there is none."""

    system: str
    surface: str
    goal: str
    stage: str
    norm: str
    eps: str
    clean: tuple[Estimate, ...]
    cells: tuple[MatrixCell | None, ...]


@dataclass(frozen=True)
class Matrix:
    """Systems x attacks.

    Attributes:
        metrics: as a person writes them, the main one first.
        lower_is_better: those of them where a rise is a loss.
        attacks: columns.
        notes: what a reader must know about an attack, by column.
        rows: systems at budgets.
    """

    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    attacks: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True)
class Image:
    """A PNG file, made by recshield from pixels that it has read.

    Attributes:
        alt: what it shows.
        png: its bytes.
        width: pixels.
        height: pixels.
    """

    alt: str
    png: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Shot:
    """One attacked image: `images` stand in the order of the gallery's columns."""

    title: Phrase
    facts: tuple[Phrase, ...]
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Gallery:
    """Attacked images.

    Attributes:
        key: unique within its section; exported files carry it.
        caption: what they show.
        columns: titles of the images of each shot.
        shots: a row each.
    """

    key: str
    caption: str
    columns: tuple[str, ...]
    shots: tuple[Shot, ...]


Block = Prose | Bullets | Listing | Definitions | Table | Chart | Matrix | Gallery


@dataclass(frozen=True)
class Section:
    """A numbered part of a chapter; `lead` says what it is for."""

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Chapter:
    """One run: a name for it, what it was run on, and its sections."""

    key: str
    title: str
    facts: Definitions
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Report:
    """Everything that any format writes.

    Attributes:
        title: of the whole.
        version: of recshield.
        chapters: one per run.
        changes: what is different from another run, where one was named.
    """

    title: str
    version: str
    chapters: tuple[Chapter, ...]
    changes: Section | None = field(default=None)
