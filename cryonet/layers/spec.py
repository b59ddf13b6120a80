"""LayerSpec: what one feature layer is, as a row of a literal table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: From ``(arrays, cell)``: the scene variables a layer needs, cut to one window, by name, and
#: the cell size in metres; and from the fit if the layer needs one.
Compute = Callable[..., Array]

#: Several layers in one pass: their names, then as `Compute`, and the fit if they need one.
Together = Callable[..., list[Array]]

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
    together
        From ``(names, arrays, cell)`` to a list of layers: what rows that share it are
        computed with in one pass. `compute` gives the same, one layer at a time.
    fit
        Which of `cryonet.layers.fits.Fits` the layer needs; then `compute` and `together`
        take it as the keyword ``fit``.
    sun
        Whether `compute` takes the sun's azimuth and elevation, degrees, as keyword ``sun``.
    optional
        Whether the layer is left out of the full stack, and computed only if it is named.
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
    together: Together | None = None
    fit: Literal["", "pca", "texture"] = ""
    sun: bool = False
    optional: bool = False
