"""What a file of published figures holds: every key, with its meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from recshield.config import MatrixConfig
from recshield.core import settings
from recshield.core.errors import RecshieldError
from recshield.core.specs import split_list
from recshield.evaluation.metrics import MetricAtK
from recshield.matrix.budgets import BudgetRequest

Selection = Literal["fixed", "validation", "test"]
#: Options of a request that the figures themselves determine.
_DETERMINED = (
    "models", "attacks", "defenses", "dataset", "data_dir", "budget", "goal", "metrics", "seeds", "select", "curve",
    "device",
)  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Strict):
    """A data set of the paper.

    Attributes:
        dataset: its name in `recshield datasets`; "" where nobody publishes the authors' rows.
        about: what it is, and why it cannot be had where it cannot.
        instead: a data set to show the shape of the table on where this one is not here.
    """

    dataset: str = ""
    about: str
    instead: str = ""


class _Measured(_Strict):
    """A system, clean or under one attack."""

    system: str
    attack: str = ""
    budget: str = ""
    goal: str = settings.GOAL
    change: bool = False  # the relative change under the attack, not the figure itself

    @field_validator("system", "attack")
    @classmethod
    def _one(cls, text: str) -> str:
        if len(split_list(text)) > 1:
            raise ValueError(f"'{text}' names several; give one")
        return text

    @model_validator(mode="after")
    def _belongs_together(self) -> _Measured:
        if bool(self.attack) != bool(self.budget):
            raise ValueError("attack and budget go together; give both or neither")
        if self.change and not self.attack:
            raise ValueError("a change is one under an attack; give attack and budget")
        if self.budget and len(_asked(BudgetRequest.parse, self.budget).sizes) != 1:
            raise ValueError(f"budget '{self.budget}' has several sizes; give one")
        return self


class Row(_Measured):
    """A row of a published table.

    Attributes:
        label: what the paper calls the system.
        data: a key of `data`.
        published: metric -> figure.
        tolerance: metric -> the largest difference that counts as matched; one number for all metrics.
        where: table, row and column.
        or_above: a figure above the published one matches, too.
        selections: how epochs are chosen; default: the paper's.
        seeds: default: the paper's.
    """

    label: str = ""
    data: str
    published: dict[str, float]
    tolerance: float | dict[str, float]
    where: str
    or_above: bool = False
    selections: list[Selection] | None = None
    seeds: list[int] | None = None

    @model_validator(mode="after")
    def _has_metrics(self) -> Row:
        for metric in self.published:
            _asked(MetricAtK.parse, metric)
            if self.tolerance_of(metric) < 0:
                raise ValueError(f"the tolerance of {metric} is below 0")
        return self

    def tolerance_of(self, metric: str) -> float:
        """Return the tolerance of one metric."""
        if not isinstance(self.tolerance, dict):
            return self.tolerance
        if metric not in self.tolerance:
            raise ValueError(f"{metric} has no tolerance; give one number, or one for every metric")
        return self.tolerance[metric]


class Side(_Measured):
    """One side of a claim."""

    metric: str

    @field_validator("metric")
    @classmethod
    def _known(cls, text: str) -> str:
        return str(_asked(MetricAtK.parse, text))


class Claim(_Strict):
    """A sentence of the paper that says which of two figures is the lower one.

    Attributes:
        says: the sentence.
        where: where it stands.
        data: a key of `data`.
        lower: what should be lower.
        higher: what should be higher.
        selections: how epochs are chosen; default: the paper's.
        seeds: default: the paper's.
    """

    says: str
    where: str
    data: str
    lower: Side
    higher: Side
    selections: list[Selection] | None = None
    seeds: list[int] | None = None


class Paper(_Strict):
    """Published figures, where they stand, and how they are asked for.

    Attributes:
        title: of the paper.
        source: authors, place, year.
        read_from: where the figures were read.
        notes: what a reader must know.
        data: the paper's data sets.
        selections: how epochs are chosen: `fixed`, on `validation` rows (honest) or on `test` rows (as the published
            code did; the audit fails it).
        select: the metric that chooses.
        seeds: of training and attack draws.
        options: more options of `recshield matrix`, for all requests.
        figures: the published figures.
        claims: what the text says without a figure.
    """

    title: str
    source: str
    read_from: str
    notes: list[str] = []
    data: dict[str, Data]
    selections: Annotated[list[Selection], Field(min_length=1)] = ["validation"]
    select: str = settings.METRICS[0]
    seeds: Annotated[list[int], Field(min_length=1)] = list(settings.SEEDS)
    options: dict[str, Any] = {}
    figures: list[Row]
    claims: list[Claim] = []

    @field_validator("options")
    @classmethod
    def _allowed(cls, held: dict[str, Any]) -> dict[str, Any]:
        allowed = [spot.alias or name for name, spot in MatrixConfig.model_fields.items()]
        allowed = [name for name in allowed if name not in _DETERMINED]
        for key in held:
            if key not in allowed:
                raise ValueError(f"no option '{key}' here; allowed: {', '.join(allowed)}")
        try:
            MatrixConfig.model_validate(held)
        except ValidationError as error:
            raise ValueError(f"options: {error.errors()[0]['msg']}") from None
        return held

    @model_validator(mode="after")
    def _names_its_data(self) -> Paper:
        named: list[Row | Claim] = [*self.figures, *self.claims]
        for one in named:
            if one.data not in self.data:
                raise ValueError(f"data '{one.data}' ({one.where}) is not described; known: {', '.join(self.data)}")
        return self


def _asked(parse: Any, text: str) -> Any:
    """Parse a text; pydantic takes a ValueError alone."""
    try:
        return parse(text)
    except RecshieldError as error:
        raise ValueError(str(error)) from None
