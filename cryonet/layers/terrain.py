"""Terrain layers: elevation, and what a 3 x 3 window of it tells of the surface.

The window is written as in Horn (1981), north up, with square cells of side L metres::

    a b c
    d e f
    g h i

Horn's weighted differences give slope and aspect, those of Zevenbergen and Thorne (1987)
the curvatures; zx points east, zy to grid north. `terrain` gives slope and aspect after
either. All measures of a window are made in one pass over the elevation.

What happens where the formulas end:

- A missing or infinite value anywhere in the window makes the pixel NaN.
- At the raster's own edge the surface is continued by a straight line through the two
  outermost pixels (2 v0 - v1), so that no frame is lost and a plane keeps its slope.
- Ground with a gradient below `FLAT` is flat: both aspect components are 0, no direction,
  and so are both curvatures, which the formulas leave undefined there. That is our choice;
  NaN would lose every lake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np

from cryonet.errors import LayerError
from cryonet.layers.spec import Array, Direction, LayerSpec
from cryonet.layers.terrain_kernel import FLAT, MEASURES, arctangent, measure_all
from cryonet.scene import VARIABLES

__all__ = ["FLAT", "MEASURES", "TERRAIN", "Gradient", "arctangent", "terrain"]

#: Whose differences slope and aspect are made of.
Gradient = Literal["horn", "zevenbergen_thorne"]


def terrain(
    elevation: Array,
    cell: float,
    *,
    names: Sequence[str] = MEASURES,
    gradient: Gradient = "horn",
) -> dict[str, Array]:
    """Return measures of the elevation's 3 x 3 windows, by name, all made in one pass.

    Parameters
    ----------
    elevation
        ``(y, x)`` metres, row 0 in the north; taken as float32. NaN or infinity is missing.
    cell
        Side of the square pixels in metres.
    names
        Of `MEASURES`: ``slope`` in degrees; ``aspect_sin`` and ``aspect_cos``, the eastward
        and northward component of the unit vector that points downslope, 0 on flat ground;
        ``profile_curvature`` and ``planform_curvature`` in 1/m, positive where convex and
        on spurs; ``tpi``, ``tri`` and ``roughness`` in metres.
    gradient
        Slope and aspect after Horn, who weighs all eight neighbours, or after Zevenbergen
        and Thorne, who take the four nearest: sharper, and with more of the noise. The
        curvatures are always those of Zevenbergen and Thorne.

    Returns
    -------
    dict
        ``(y, x)`` float32 each, in the order of `names`; NaN and edges by the rules above.

    Raises
    ------
    LayerError
        For an unknown name or gradient, an elevation that is not two-dimensional, or a cell
        size that is not a positive number.

    References
    ----------
    Horn 1981, Proc. IEEE 69(1), 14-47. Zevenbergen and Thorne 1987, Earth Surf. Process.
    Landf. 12, 47-56. Riley et al. 1999, Intermt. J. Sci. 5, 23-27 (tri). Weiss 2001, ESRI
    User Conference (tpi). Wilson et al. 2007, Mar. Geod. 30, 3-35 (roughness).

    Examples
    --------
    >>> heights = np.array([[190, 170, 155], [183, 165, 145], [175, 160, 122]], np.float32)
    >>> for gradient in ("horn", "zevenbergen_thorne"):
    ...     made = terrain(heights, 100.0, names=["slope"], gradient=gradient)
    ...     print(f"{made['slope'][1, 1]:.4f}")
    12.5125
    11.1153
    """
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in MEASURES:
            raise LayerError("there is no such terrain measure", name, _one_of(MEASURES))
    if gradient not in get_args(Gradient):
        raise LayerError("there is no such gradient", gradient, _one_of(get_args(Gradient)))
    # One type and memory layout, so that the kernel is compiled once.
    heights = np.require(elevation, np.float32, ["C", "W"])
    if heights.ndim != 2:
        raise LayerError("the elevation is not a map", heights.shape, "Give an array (y, x).")
    if not (math.isfinite(cell) and cell > 0):
        raise LayerError("the cell size is not a length", cell, "Give metres above 0.")
    made = {name: np.empty(heights.shape, np.float32) for name in wanted}
    if heights.size:
        unasked = np.empty((0, 0), np.float32)
        outs = tuple(made.get(name, unasked) for name in MEASURES)
        measure_all(heights, float(cell), gradient == "horn", outs)
    return made


def _one_of(known: Sequence[str]) -> str:
    return f"Choose from {', '.join(known)}."


def terrain_layers(names: Sequence[str], arrays: Mapping[str, Array], cell: float) -> list[Array]:
    """Return the 3 x 3 measures called `names` of ``arrays["elevation"]``, as `terrain` does.

    Raises
    ------
    LayerError
        See `terrain`.
    """
    made = terrain(arrays["elevation"], cell, names=names)
    return [made[name] for name in names]


def terrain_layer(arrays: Mapping[str, Array], cell: float, *, name: str) -> Array:
    """Return one 3 x 3 measure of the elevation: see `terrain_layers`."""
    return terrain_layers([name], arrays, cell)[0]


def elevation(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return a copy of the elevation in metres; NaN where the scene has none."""
    return arrays["elevation"].copy()


_HORN = "Horn 1981, Proc. IEEE 69(1), 14-47"
_CURVATURE = (
    "Zevenbergen and Thorne 1987, Earth Surf. Process. Landf. 12, 47-56; "
    "naming: Minar et al. 2020, Earth-Sci. Rev. 211, 103414"
)


def _row(
    name: str, units: str, title: str, formula: str, reference: str,
    *, limits: tuple[float, float] = (float("-inf"), float("inf")), direction: Direction = "scalar",
) -> LayerSpec:  # fmt: skip
    return LayerSpec(
        name=name,
        family="terrain",
        long_name=title,
        formula=formula,
        units=units,
        needs=("elevation",),
        compute=partial(terrain_layer, name=name),
        reference=reference,
        halo=1,
        metric=True,
        valid_range=limits,
        direction=direction,
        vector="" if direction == "scalar" else "aspect",
        together=terrain_layers,
    )


_UP = (0.0, float("inf"))

#: The terrain layers.
TERRAIN = (
    LayerSpec(
        name="elevation",
        family="terrain",
        long_name="elevation",
        formula="elevation",
        units="m",
        needs=("elevation",),
        compute=elevation,
        reference="the scene's elevation model",
        valid_range=VARIABLES["elevation"].limits,
    ),
    _row("slope", "degree", "slope", "arctan(sqrt(zx^2 + zy^2))", _HORN, limits=(0.0, 90.0)),
    _row(
        "aspect_sin", "1", "sine of aspect (downslope, east)", "-zx / sqrt(zx^2 + zy^2); flat: 0",
        _HORN, limits=(-1.0, 1.0), direction="east",
    ),
    _row(
        "aspect_cos", "1", "cosine of aspect (downslope, north)",
        "-zy / sqrt(zx^2 + zy^2); flat: 0", _HORN, limits=(-1.0, 1.0), direction="north",
    ),
    _row(
        "profile_curvature", "1/m", "profile curvature",
        "-(zxx zx^2 + 2 zxy zx zy + zyy zy^2) / ((zx^2 + zy^2) (1 + zx^2 + zy^2)^1.5); flat: 0",
        _CURVATURE,
    ),
    _row(
        "planform_curvature", "1/m", "planform curvature",
        "-(zxx zy^2 - 2 zxy zx zy + zyy zx^2) / (zx^2 + zy^2)^1.5; flat: 0", _CURVATURE,
    ),
    _row(
        "tpi", "m", "topographic position index", "e - mean of the 8 neighbours",
        "Weiss 2001, ESRI User Conference; 3 x 3: Wilson et al. 2007, Mar. Geod. 30, 3-35",
    ),
    _row(
        "tri", "m", "terrain ruggedness index", "sqrt(sum of (e - neighbour)^2)",
        "Riley et al. 1999, Intermt. J. Sci. 5, 23-27", limits=_UP,
    ),
    _row(
        "roughness", "m", "roughness", "max - min of the 3 x 3 window",
        "Wilson et al. 2007, Mar. Geod. 30, 3-35", limits=_UP,
    ),
)  # fmt: skip
