"""Illumination layers: how the sun of the scene falls on its relief. Optional.

The sun stands where the scene's ``view:sun_azimuth`` and ``view:sun_elevation`` say.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cryonet.illumination import cast_shadow
from cryonet.layers.spec import Array, LayerSpec
from cryonet.layers.terrain import TERRAIN

#: Pixels within which ground is looked for that hides the sun: 2.5 km on a 10 m grid, which
#: a summit 1.5 km higher shades when the sun stands at 30°. Our choice.
REACH = 256

_SLOPE = {spec.name: spec for spec in TERRAIN if spec.name in ("slope", "aspect_sin", "aspect_cos")}


def solar_incidence(arrays: Mapping[str, Array], cell: float, *, sun: tuple[float, float]) -> Array:
    """Return the cosine of the angle between sunlight and the ground's normal, float32.

    It is negative where the ground turns away from the sun, and NaN where slope is.

    Parameters
    ----------
    arrays
        ``elevation``: ``(y, x)`` float32 metres.
    cell
        Side of the square pixels in metres.
    sun
        Azimuth, clockwise from north, and elevation of the sun, degrees.
    """
    azimuth, height = np.radians(sun)
    steep = np.radians(_SLOPE["slope"].compute(arrays, cell))
    east, north = (_SLOPE[name].compute(arrays, cell) for name in ("aspect_sin", "aspect_cos"))
    towards = east * np.float32(np.sin(azimuth)) + north * np.float32(np.cos(azimuth))
    flat = np.cos(steep) * np.float32(np.sin(height))
    cosine = flat + np.sin(steep) * towards * np.float32(np.cos(height))
    return cosine.astype(np.float32)


def shadow(arrays: Mapping[str, Array], cell: float, *, sun: tuple[float, float]) -> Array:
    """Return 1 where other ground hides the sun, else 0, float32; NaN where ground is missing.

    Ground further away than `REACH` pixels is not looked at. Parameters as for
    `solar_incidence`.
    """
    ground = arrays["elevation"]
    dark = cast_shadow(ground, cell=cell, azimuth=sun[0], elevation=sun[1], reach=REACH)
    return np.where(np.isnan(ground), np.float32(np.nan), dark.astype(np.float32))


#: The illumination layers, of the terrain family.
ILLUMINATION = (
    LayerSpec(
        name="solar_incidence",
        family="terrain",
        long_name="cosine of the local solar incidence",
        formula="cos(zenith) cos(slope) + sin(zenith) sin(slope) cos(azimuth - aspect)",
        units="1",
        needs=("elevation",),
        compute=solar_incidence,
        reference="Teillet et al. 1982, Can. J. Remote Sens. 8(2), 84-106",
        halo=1,
        metric=True,
        valid_range=(-1.0, 1.0),
        sun=True,
        optional=True,
    ),
    LayerSpec(
        name="cast_shadow",
        family="terrain",
        long_name="cast shadow",
        formula="1 where a ray to the sun meets ground, else 0",
        units="1",
        needs=("elevation",),
        compute=shadow,
        reference="Dozier et al. 1981, Comput. Geosci. 7(2), 145-151",
        halo=REACH + 1,
        metric=True,
        valid_range=(0.0, 1.0),
        sun=True,
        optional=True,
    ),
)
