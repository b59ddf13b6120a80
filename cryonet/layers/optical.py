"""Optical layers: surface reflectance in ten Sentinel-2 bands, as the scene holds it.

The two atmospheric bands (``coastal``, ``nir09``; 60 m) say little about the ground and
are not layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from cryonet.layers.spec import Array, LayerSpec
from cryonet.scene import VARIABLES


def reflectance(arrays: Mapping[str, Array], cell: float, *, band: str) -> Array:
    """Return a copy of one band's reflectance; NaN where the scene has none.

    Parameters
    ----------
    arrays
        Scene variables by name, ``(y, x)`` float32.
    cell
        Cell size in metres; not used.
    band
        Canonical name of the band.
    """
    return arrays[band].copy()


def _row(band: str, code: str) -> LayerSpec:
    return LayerSpec(
        name=band,
        family="optical",
        long_name=VARIABLES[band].long_name,
        formula=f"reflectance, {code}",
        units="1",
        needs=(band,),
        compute=partial(reflectance, band=band),
        reference="Drusch et al. 2012, Remote Sens. Environ. 120, 25-36",
        valid_range=VARIABLES[band].limits,
    )


#: The optical layers, in order of wavelength, with the Sentinel-2 band each comes from.
OPTICAL = (
    _row("blue", "B2"),
    _row("green", "B3"),
    _row("red", "B4"),
    _row("rededge1", "B5"),
    _row("rededge2", "B6"),
    _row("rededge3", "B7"),
    _row("nir", "B8"),
    _row("nir08", "B8A"),
    _row("swir16", "B11"),
    _row("swir22", "B12"),
)
