"""Tables of an experiment's report: rows in Markdown, and the figures in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryonet.comparison import Difference, Figure, Spread, class_iou, mean_iou_differences, spread
from cryonet.metrics import class_scores, macro_iou

Result = dict[str, Any]


def matrix_of(result: Result) -> NDArray[np.int64]:
    """Return the confusion matrix over all test blocks of a result."""
    total: NDArray[np.int64] = np.array(result["blocks"], np.int64).sum(axis=0)
    return total


def over(results: Sequence[Result], figure: Figure) -> Spread:
    """Return the spread of a figure over results."""
    return spread([figure(matrix_of(result)) for result in results])


def scores_of(result: Result) -> dict[str, Any]:
    """Return IoU, precision and recall of each class, means, and the confusion, for JSON."""
    matrix = matrix_of(result)
    found = class_scores(matrix)
    names = result["classes"]
    by_class = {
        name: {key: plain(found[key][code]) for key in ("iou", "precision", "recall")}
        for code, name in enumerate(names)
    }
    return {
        "scores": by_class,
        "macro_iou": plain(macro_iou(matrix)),
        "macro_iou_foreground": plain(macro_iou(matrix, background=False)),
        "confusion": matrix.tolist(),
    }


def iou_figures(classes: Sequence[str]) -> dict[str, Figure]:
    """Return IoU of each class and their mean, ``macro``, by name."""
    return {**{name: class_iou(code) for code, name in enumerate(classes)}, "macro": macro_iou}


def differences(
    first: Sequence[Result], second: Sequence[Result], *, samples: int
) -> dict[str, Difference]:
    """Return how far results lie above others in IoU, by class and in the mean.

    Results go by seed in the same order; see `cryonet.comparison.mean_iou_differences`.
    """
    one, other = ([np.array(r["blocks"], np.int64) for r in rows] for rows in (first, second))
    places = [[tuple(place) for place in r["places"]] for r in first]
    found = mean_iou_differences(one, other, places=places, samples=samples)
    return dict(zip((*first[0]["classes"], "macro"), found, strict=True))


def plain(value: float) -> float | None:
    """Return a figure as JSON holds it: six digits, None for what is not defined."""
    return round(float(value), 6) if np.isfinite(value) else None


def row(cells: Sequence[object]) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(cells: Sequence[str]) -> list[str]:
    """Return an empty line and the head of a table."""
    return ["", row(cells), row(["---"] * len(cells))]
