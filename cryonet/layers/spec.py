"""LayerSpec: what one feature layer is, as a row of a literal table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: Scene variables a layer needs, cut to one window, and the cell size in metres.
Compute = Callable[[Mapping[str, Array], float], Array]

Family = Literal[
    "optical", "indices", "pca", "tasseled_cap", "terrain", "texture", "coherence", "phase"
]

#: How a layer behaves when the map is turned: a plain value, or the eastward or
#: northward component of a direction. The components of one direction share `vector`.
Direction = Literal["scalar", "east", "north"]


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One feature layer.

    Attributes
    ----------
    name
        The one name: variable, channel label, manifest key, menu entry. A layer that is
        a scene variable unchanged carries that variable's name.
    family
        One of the eight input families.
    long_name, formula, units, reference
        For tables, axes and captions; `units` is ``"1"`` for ratios.
    needs
        Canonical scene variables, all required.
    compute
        From a mapping of 2-D float32 arrays (finite, or NaN where missing) and the cell
        size in metres to one new array of the same shape, NaN where it cannot be known.
    halo
        Pixels around a window that `compute` must see for the window to be exact. At the
        raster's own edge there are none, and `compute` says what it does instead.
    metric
        Whether `compute` needs square, north-up pixels measured in metres.
    valid_range
        Smallest and largest value for physically possible input. Noise can step past it:
        reflectance scatters about zero in shadow, and a ratio of two such values is free.
    direction, vector
        See `Direction`; `vector` names the direction both components belong to.
    """

    name: str
    family: Family
    long_name: str
    formula: str
    units: str
    needs: tuple[str, ...]
    compute: Compute
    reference: str
    halo: int = 0
    metric: bool = False
    valid_range: tuple[float, float] = (float("-inf"), float("inf"))
    direction: Direction = "scalar"
    vector: str = ""
