"""Pictures of scenes, layers, splits, scores, errors and explanations, with matplotlib.

Every function takes data and returns the Axes it drew on: the one given, or that of a new
figure. Nothing is shown or saved here.
"""

from cryonet.plotting.attribution import plot_families, plot_waterfall
from cryonet.plotting.attribution_maps import plot_attribution_maps
from cryonet.plotting.charts import (
    plot_confidence,
    plot_confusion,
    plot_distributions,
    plot_history,
    plot_hypsometry,
    plot_reliability,
    plot_spectra,
)
from cryonet.plotting.comparison import plot_comparison
from cryonet.plotting.curves import plot_curves
from cryonet.plotting.differences import plot_differences
from cryonet.plotting.explanation import explanation_figure
from cryonet.plotting.gallery import layer_gallery
from cryonet.plotting.maps import (
    plot_change,
    plot_classes,
    plot_composite,
    plot_errors,
    plot_layer,
    plot_outlines,
    plot_splits,
)
from cryonet.plotting.stages import plot_stages

__all__ = [
    "explanation_figure",
    "layer_gallery",
    "plot_attribution_maps",
    "plot_change",
    "plot_classes",
    "plot_comparison",
    "plot_composite",
    "plot_confidence",
    "plot_confusion",
    "plot_curves",
    "plot_differences",
    "plot_distributions",
    "plot_errors",
    "plot_families",
    "plot_history",
    "plot_hypsometry",
    "plot_layer",
    "plot_outlines",
    "plot_reliability",
    "plot_spectra",
    "plot_splits",
    "plot_stages",
    "plot_waterfall",
]
