"""Pictures of scenes, layers, splits, scores and errors, with matplotlib.

Every function takes data and returns the Axes it drew on: the one given, or that of a new
figure. Nothing is shown or saved here.
"""

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
from cryonet.plotting.differences import plot_differences
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

__all__ = [
    "layer_gallery",
    "plot_change",
    "plot_classes",
    "plot_comparison",
    "plot_composite",
    "plot_confidence",
    "plot_confusion",
    "plot_differences",
    "plot_distributions",
    "plot_errors",
    "plot_history",
    "plot_hypsometry",
    "plot_layer",
    "plot_outlines",
    "plot_reliability",
    "plot_spectra",
    "plot_splits",
]
