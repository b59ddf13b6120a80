"""One interferometric product as its files give it: coherence and phase, or two images."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from cryonet.errors import GridError, SceneError
from cryonet.grid import Window, check_same_grid, pixel_side
from cryonet.scene import scene_from_arrays
from cryonet.sources.checks import check_coherence, wrap_phase
from cryonet.sources.raster import RasterBand, open_band, read_numbers

Array = NDArray[np.float32]
Complex = NDArray[np.complex64]
Kind = Literal["hyp3_gamma", "hyp3_isce_burst", "gamma_pair", "opera_cslc_pair"]

#: Wavelength of Sentinel-1, m: the speed of light over 5.405 GHz.
SENTINEL1 = 299_792_458 / 5.405e9


#: GAMMA's codes of layover and shadow, added up.
_HIDDEN = 2 | 4 | 8 | 16


@dataclass(frozen=True, slots=True, eq=False)
class InsarProduct:
    """An interferogram, or the pair of images that one can be made of.

    Attributes
    ----------
    kind
        What wrote it: ``hyp3_gamma``, ``hyp3_isce_burst``, ``gamma_pair`` or
        ``opera_cslc_pair``.
    grid
        Grid of all its arrays.
    coherence, phase
        float32 ``(y, x)``, NaN where missing: 0 to 1, and wrapped radians. None for a pair
        of images.
    primary, secondary
        complex64 ``(y, x)`` of a pair of images, to be given to
        `cryonet.layers.interferometry.interferogram`; None otherwise.
    looks
        Samples, range times azimuth, that each pixel was made of; None if not stated.
    native_resolution
        Side of a square as large as a pixel, m.
    primary_date, secondary_date
        Days of acquisition, None if not stated.
    wavelength
        In metres, None if not stated.
    files
        Names of the files read.
    wrapped
        Whether an unwrapped phase was wrapped: only the number of turns is lost by it.
    hidden
        Pixels left out because the product's own mask says layover or shadow; None if it
        has no mask.
    """

    kind: Kind
    grid: GeoBox
    looks: int | None
    native_resolution: float
    primary_date: date | None
    secondary_date: date | None
    wavelength: float | None
    files: tuple[str, ...]
    coherence: Array | None = None
    phase: Array | None = None
    primary: Complex | None = None
    secondary: Complex | None = None
    wrapped: bool = False
    hidden: int | None = None

    def images(self) -> tuple[xr.DataArray, xr.DataArray]:
        """Return primary and secondary with their grid.

        Raises
        ------
        SceneError
            If the product holds an interferogram already.
        """
        if self.primary is None or self.secondary is None:
            raise SceneError("the product holds no images", self.kind, "Use its coherence.")
        return wrap_xr(self.primary, self.grid), wrap_xr(self.secondary, self.grid)

    def dataset(self) -> xr.Dataset:
        """Return coherence and phase as scene variables, with looks and native resolution.

        Raises
        ------
        SceneError
            If the product holds images.
        """
        if self.coherence is None or self.phase is None:
            rule = "Make one of its images() with cryonet.layers.interferometry.interferogram."
            raise SceneError("the product holds no interferogram", self.kind, rule)
        scene = scene_from_arrays({"coherence": self.coherence, "phase": self.phase}, self.grid)
        for data in scene.values():
            data.attrs["native_resolution"] = self.native_resolution
            if self.looks is not None:
                data.attrs["looks"] = self.looks
        if self.wrapped:
            scene["phase"].attrs["note"] = "wrapped from unwrapped"
        return scene


def read_rasters(coherence: Path, phase: Path, mask: Path | None = None) -> dict[str, Any]:
    """Return what an `InsarProduct` holds of a raster of coherence and one of phase.

    `mask` holds GAMMA's layover-shadow codes, which are summed: 1 tested, 2 and 4 layover,
    8 and 16 shadow.

    Zero means missing in both, whether or not the files say so: neither GAMMA nor ISCE
    estimates a zero, they leave it where there is nothing. The one pixel lost is the
    reference point, whose unwrapped phase is set to zero.

    Raises
    ------
    SceneError
        If a file cannot be used, or they lie on different grids.
    """
    paths = [coherence, phase, *([mask] if mask else [])]
    bands = [open_band(path) for path in paths]
    for part, path, band in zip(("phase", "mask"), paths[1:], bands[1:], strict=False):
        try:
            check_same_grid(bands[0].grid, band.grid, what=f"coherence and {part}")
        except GridError as error:
            names = f"{coherence.name} and {path.name}: {error.value}"
            raise SceneError(error.what, names, "Give the files of one product.") from error
    known = check_coherence(_numbers(bands[0]), file=coherence.name)
    turned, wrapped = wrap_phase(_numbers(bands[1]))
    hidden = None
    if mask:
        codes = np.nan_to_num(_numbers(bands[2])).astype(np.int64)
        dark = (codes & _HIDDEN) != 0
        hidden = int((dark & np.isfinite(known)).sum())
        known[dark] = turned[dark] = np.nan
    if not np.isfinite(known).any():
        raise SceneError("no pixel has a coherence", coherence.name, "Give a whole product.")
    return {
        "grid": bands[0].grid,
        "native_resolution": round(pixel_side(bands[0].grid), 3),
        "coherence": known,
        "phase": turned,
        "wrapped": wrapped,
        "hidden": hidden,
        "files": tuple(path.name for path in paths),
    }


def _numbers(band: RasterBand) -> Array:
    height, width = band.grid.shape
    values = read_numbers(band, Window(0, 0, height, width))
    return np.where(values == 0, np.float32(np.nan), values)
