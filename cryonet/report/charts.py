"""The charts of a report, as pictures for its page."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryonet.errors import CryonetError
from cryonet.plotting import plot_confidence, plot_hypsometry, plot_reliability
from cryonet.report.measures import Figures
from cryonet.report.pictures import chart

# Text as shapes: a picture in a page finds no font. The salt makes equal pages equal.
_STYLE = {"svg.fonttype": "path", "svg.hashsalt": "cryonet", "font.size": 9}


def draw_charts(found: Figures) -> dict[str, str]:
    """Return the charts by name as data addresses: those for which there is something to draw.

    They are ``confidence``, ``hypsometry``, and ``reliability-KIND`` of the scores by kind.
    """
    drawn: dict[str, tuple[float, Callable[[Axes], Axes]]] = {
        "confidence": (2.3, lambda ax: plot_confidence(found.confidence, ax=ax))
    }
    relief = found.hypsometry
    if relief is not None:
        drawn["hypsometry"] = (3.6, lambda ax: plot_hypsometry(relief, ax=ax))
    for kind, scores in found.scores.items():
        pair = scores.probabilities
        drawn[f"reliability-{kind}"] = (4.0, lambda ax, pair=pair: plot_reliability(pair, ax=ax))
    charts = {}
    for name, (height, draw) in drawn.items():
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(5.0, height), layout="constrained")
            try:
                draw(figure.subplots())
            except CryonetError:
                continue
            charts[name] = chart(figure)
    return charts
