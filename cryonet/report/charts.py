"""The charts of a report, as pictures for its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryonet.errors import CryonetError
from cryonet.plotting import plot_confidence, plot_hypsometry, plot_reliability
from cryonet.report.measures import Figures
from cryonet.report.pictures import chart

# Text as shapes: a picture in a page finds no font. The salt makes equal pages equal.
_STYLE: Any = {"svg.fonttype": "path", "svg.hashsalt": "cryonet", "font.size": 9}


def draw_charts(found: Figures) -> dict[str, str]:
    """Return the charts by name as data addresses: those for which there is something to draw.

    They are ``confidence``, ``hypsometry``, and ``reliability-KIND`` of the scores by kind.
    """
    drawn: dict[str, tuple[float, Callable[..., Axes], Any]] = {
        "confidence": (2.2, plot_confidence, found.confidence)
    }
    if found.hypsometry is not None:
        drawn["hypsometry"] = (3.4, plot_hypsometry, found.hypsometry)
    for kind, scores in found.scores.items():
        drawn[f"reliability-{kind}"] = (4.0, plot_reliability, scores.probabilities)
    charts = {}
    for name, (height, draw, values) in drawn.items():
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(4.4, height), layout="constrained")
            try:
                draw(values, ax=figure.subplots())
            except CryonetError:
                # Nothing of the kind was mapped: the page says so.
                continue
            charts[name] = chart(figure)
    return charts
