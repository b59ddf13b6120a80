"""What the terminal shows: progress with time left, and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table

from cryonet.catalogue_plan import Plan
from cryonet.doctor import Finding
from cryonet.evaluate import Scores
from cryonet.sources.area import AREAS

_SIGNS = {"good": "[green]✓", "poor": "[yellow]![/]", "bad": "[red]✗"}


class ConsoleProgress:
    """A progress bar on standard error, with the time left; Ctrl-C cancels."""

    def __init__(self, title: str) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=None)
        self._title = title

    def step(self, done: int, total: int, message: str = "") -> None:
        """Show that `done` of `total` units are finished."""
        text = f"{self._title}: {message}" if message else self._title
        self._bar.update(self._task, completed=done, total=total, description=text)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def score_table(scores: Scores) -> Table:
    """Return the scores by class as a table for the terminal."""
    table = Table(title="Scores, each pixel counted once")
    table.add_column("class")
    for name in ("IoU", "precision", "recall", "F1", "labelled km²", "mapped km²", "error"):
        table.add_column(name, justify="right")
    for row in scores.classes:
        error = row.area_error
        table.add_row(
            row.name,
            *(_figure(value) for value in (row.iou, row.precision, row.recall, row.f1)),
            f"{row.labelled_km2:.3f}",
            f"{row.predicted_km2:.3f}",
            "–" if math.isnan(error) else f"{error:+.1%}",
        )
    table.caption = (
        f"IoU: macro {_figure(scores.macro_iou)}, macro without other "
        f"{_figure(scores.macro_iou_foreground)}, micro {_figure(scores.micro_iou)}"
    )
    return table


def confusion_table(scores: Scores) -> Table:
    """Return the confusion matrix, in pixels, as a table for the terminal."""
    names = [row.name for row in scores.classes]
    table = Table(title="Confusion matrix, pixels: rows are labels, columns the map")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for name, counts in zip(names, scores.confusion.tolist(), strict=True):
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def probability_table(scores: Scores) -> Table:
    """Return how far the probabilities are from the shares of right pixels."""
    table = Table(title="Expected calibration error of the probabilities")
    table.add_column("probabilities")
    for name in ("temperature", "likeliest class", "mean of classes"):
        table.add_column(name, justify="right")
    for row in scores.probabilities:
        name = "as the model gave them" if row.temperature == 1 else "calibrated"
        figures = (row.temperature, row.table.ece, row.classwise_ece)
        table.add_row(name, *(_figure(value) for value in figures))
    return table


def area_uncertainty_table(scores: Scores) -> Table:
    """Return areas and their uncertainty from the probabilities and from a buffer."""
    table = Table(title="Areas and their uncertainty, km²")
    table.add_column("class")
    for name in ("mapped", "± buffer", "expected", "± independent", "± correlated", "± together"):
        table.add_column(name, justify="right")
    for row in scores.areas:
        figures = (row.buffer, row.expected, row.independent, row.correlated, row.together)
        table.add_row(row.name, f"{row.mapped:.3f}", *(f"{value:.3f}" for value in figures))
    table.caption = (
        "Expected: the sum of the probabilities. Its ± is one standard deviation, if errors of "
        "pixels are independent, go together over the correlation length, or all go together."
    )
    return table


def doctor_table(findings: Iterable[Finding]) -> Table:
    """Return the report of `cryonet.doctor` as a table."""
    table = Table(box=None, title="cryonet doctor", title_justify="left", pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        found = escape(finding.value)
        table.add_row(_SIGNS[finding.state], finding.name, found, escape(finding.remedy))
    return table


def candidates_table(plan: Plan) -> Table:
    """Return the passes that were looked at for a scene, the best first."""
    order = plan.order
    table = Table(title=f"{len(plan.candidates)} passes over {order.area.title}, the best first")
    for heading in ("", "day and satellite", "tiles"):
        table.add_column(heading)
    for heading in ("cloud", "missing", "snow", "sun", "marks"):
        table.add_column(heading, justify="right")
    table.add_column("picture", overflow="fold")
    for place, candidate in enumerate(plan.candidates):
        cover, taken = candidate.cover, candidate.acquisition
        table.add_row(
            "[green]✓" if place in plan.chosen else "",
            escape(taken.name),
            str(len(taken.items)),
            *(f"{share:.0%}" for share in (cover.cloud, cover.missing, cover.snow)),
            f"{candidate.height:.0f}°",
            f"{candidate.total:.2f}",
            f"[link={taken.thumbnail}]{escape(taken.thumbnail)}[/link]" if taken.thumbnail else "–",
        )
    table.caption = (
        "✓ is loaded. Cloud (with its shadow) and snow are of what a pass covers of the area, "
        "after its scene classification. Fewer marks are better: cloud and missing ground, snow, "
        "months from the season, a low sun."
    )
    return table


def areas_table() -> Table:
    """Return the named study areas."""
    table = Table(title="Study areas: boxes and months are our choice")
    for heading in ("name", "where", "west south east north", "months", "why"):
        table.add_column(heading, overflow="fold")
    for area in AREAS.values():
        box = " ".join(f"{edge:g}" for edge in area.box)
        table.add_row(area.name, area.title, box, ", ".join(map(str, area.months)), area.reason)
    return table
