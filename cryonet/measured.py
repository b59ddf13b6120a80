"""What was measured of a model on labelled scenes, as its manifest keeps it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cryonet.layers.spec import Family

#: A figure of 0 to 1; None where it is undefined.
Share = Annotated[float, Field(ge=0, le=1)] | None

#: Which pixels of a scene were scored: ``all`` of a scene the model was not trained on.
ScoredSplit = Literal["test", "validation", "all"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassFigures(_Frozen):
    """The scores of one class, and how many of the scored pixels are labelled as it."""

    name: str
    iou: Share
    precision: Share
    recall: Share
    labelled: Annotated[int, Field(ge=0)]


class SceneFigures(_Frozen):
    """The scores on one scene: which of its pixels, and each class.

    `datetime` is empty and `bbox` None where the scene does not state them; the box is west,
    south, east, north in degrees. `missing` are optional families that the scene lacks.
    """

    scene: str
    split: ScoredSplit
    synthetic: bool
    datetime: str = ""
    bbox: tuple[float, float, float, float] | None = None
    missing: tuple[Family, ...] = ()
    pixels: Annotated[int, Field(ge=1)]
    classes: tuple[ClassFigures, ...]
    macro_iou: Share


class ProbabilityFigures(_Frozen):
    """How far the probabilities are from the shares of right pixels, over all scored pixels."""

    temperature: Annotated[float, Field(gt=0)]
    ece: Annotated[float, Field(ge=0, le=1)]
    classwise_ece: Annotated[float, Field(ge=0, le=1)]


class FamilyFigures(_Frozen):
    """The IoU of each class, over all scored pixels, with some families filled.

    Without families it is the score of the whole model. `optional` says whether the model was
    trained to do without them.
    """

    without: tuple[Family, ...]
    optional: bool
    iou: tuple[Share, ...]
    macro_iou: Share


class Failure(_Frozen):
    """One of the blocks with the largest share of wrong pixels, and what is confused most.

    `row` and `col` are those of its first pixel; `confused` counts the pixels of the pair.
    """

    scene: str
    row: Annotated[int, Field(ge=0)]
    col: Annotated[int, Field(ge=0)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    pixels: Annotated[int, Field(ge=1)]
    wrong: Annotated[int, Field(ge=1)]
    labelled: str
    mapped: str
    confused: Annotated[int, Field(ge=1)]


class Measured(_Frozen):
    """All that was measured, in one go and on the same pixels."""

    created: str
    scenes: Annotated[tuple[SceneFigures, ...], Field(min_length=1)]
    probabilities: tuple[ProbabilityFigures, ...]
    families: tuple[FamilyFigures, ...]
    failures: tuple[Failure, ...] = ()
