"""One page of an explanation: bars, waterfall, maps and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryonet.explain.attribution import Attribution
from cryonet.plotting.attribution import plot_families, plot_waterfall, title_of
from cryonet.plotting.attribution_maps import MOST, plot_attribution_maps
from cryonet.plotting.curves import plot_curves

#: Width of the page, and the height of the curves, inches.
_WIDTH, _CURVES = 12.0, 3.6


def explanation_figure(
    attribution: Attribution,
    values: xr.DataArray | NDArray[np.float32] | None = None,
    *,
    curves: Mapping[str, Any] | None = None,
    note: str = "",
) -> Figure:
    """Return a page with all that an attribution shows, under one title.

    To the left the families with their layers and the waterfall, to the right the strongest
    layers beside their maps, below the curves of deletion and insertion. What there is not is
    left out.

    Parameters
    ----------
    values
        As for `plot_attribution_maps`; without them there are no maps.
    curves
        The arguments of `plot_curves`.
    note
        A last line: which scene and model, and that they are synthetic.
    """
    mapped = values is not None and attribution.maps is not None
    layers = min(MOST, len(attribution.layers)) if mapped else 0
    families = len(attribution.by_family)
    bars = 1.4 + 0.55 * families + (0.5 * families if attribution.by_layer else 0.0)
    fall = 1.6 + 0.34 * (families + 2)
    height = max(bars + fall, 1.0 + 2.6 * layers)
    below = _CURVES if curves else 0.0
    page = Figure(figsize=(_WIDTH if mapped else 7.6, height + below + 0.9), layout="constrained")
    page.suptitle(title_of(attribution), fontsize=11, x=0.01, ha="left")
    # What matplotlib returns hangs on the numbers of rows and columns.
    parts: Any = page.subfigures(2, 1, height_ratios=(height, below)) if curves else [page]
    upper: Any = parts[0].subfigures(1, 2, width_ratios=(1.0, 1.0)) if mapped else [parts[0]]
    first, second = upper[0].subplots(2, 1, height_ratios=(bars, fall))
    titles = {"families, and their strongest layers": plot_families(attribution, ax=first)}
    titles["from the baseline's evidence to that of the inputs"] = plot_waterfall(
        attribution, ax=second
    )
    for title, ax in titles.items():
        ax.set_title(title, loc="left", fontsize=9.5)
    if values is not None and mapped:
        plot_attribution_maps(attribution, values, figure=upper[1])
    if curves:
        plot_curves(**curves, ax=parts[1].subplots())
    if note:
        page.supxlabel(note, fontsize=8, x=0.01, ha="left")
    return page
