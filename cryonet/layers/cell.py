"""The cell size that slopes and curvatures are measured with."""

from __future__ import annotations

import math

from odc.geo.geobox import GeoBox
from pyproj import Proj

from cryonet.errors import GridError

#: Largest share by which a metre of the projection may differ from a metre on the ground.
MAX_DISTORTION = 0.05

_REMEDY = "Warp the scene to a projected CRS such as UTM, or leave out the terrain layers."


def cell_size(geobox: GeoBox) -> float:
    """Return the side of one pixel of `geobox` in metres.

    The grid must be projected, north up, with square pixels, in a projection that keeps
    lengths within 5 % (UTM keeps 0.1 %, polar stereographic 4 %; Web Mercator fails away
    from the equator).

    Raises
    ------
    GridError
        Naming the rule that the grid breaks.
    """
    width, shear_x, _, shear_y, height = tuple(geobox.affine)[:5]
    if geobox.crs is None or not geobox.crs.projected:
        raise GridError("the grid is not measured in metres", _name(geobox), _REMEDY)
    if shear_x or shear_y or width <= 0 or height >= 0:
        corner = tuple(geobox.affine)[:6]
        raise GridError("the grid is turned or not north up", corner, "Warp it to north up.")
    if not math.isclose(width, -height, rel_tol=1e-3):
        raise GridError("the pixels are not square", (width, -height), "Warp to square pixels.")
    scale = _scale_at_centre(geobox)
    if abs(scale - 1) > MAX_DISTORTION:
        shown = f"{_name(geobox)}, {scale:.2f} m for a metre on the ground"
        raise GridError("the projection stretches lengths here", shown, _REMEDY)
    return float(width) * float(geobox.crs.proj.axis_info[0].unit_conversion_factor)


def _name(geobox: GeoBox) -> str:
    return "no CRS" if geobox.crs is None else str(geobox.crs.proj.name)


def _scale_at_centre(geobox: GeoBox) -> float:
    assert geobox.crs is not None
    box, projection = geobox.boundingbox, Proj(geobox.crs.proj)
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    lon, lat = projection(x, y, inverse=True)
    factors = projection.get_factors(lon, lat)
    return max(factors.meridional_scale, factors.parallel_scale, key=lambda s: abs(s - 1))
