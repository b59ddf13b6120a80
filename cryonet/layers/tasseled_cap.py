"""Tasseled cap: brightness, greenness and wetness of six Sentinel-2 bands.

The coefficients were derived for top-of-atmosphere reflectance. On surface reflectance
(level 2A) the values are shifted; they serve as features, not as comparable measurements.

References
----------
Shi and Xu 2019, Derivation of tasseled cap transformation coefficients for Sentinel-2 MSI
at-sensor reflectance data, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 12(10).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from cryonet.layers.spec import Array, LayerSpec

#: The bands, in the order of the coefficients.
TC_BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")

#: One weight a band; the three rows are orthonormal within 2e-4.
COEFFICIENTS: Mapping[str, tuple[float, ...]] = {
    "brightness": (0.3510, 0.3813, 0.3437, 0.7196, 0.2396, 0.1949),
    "greenness": (-0.3599, -0.3533, -0.4734, 0.6633, 0.0087, -0.2856),
    "wetness": (0.2578, 0.2305, 0.0883, 0.1071, -0.7611, -0.5308),
}


def tasseled_cap(arrays: Mapping[str, Array], cell: float, *, axis: str) -> Array:
    """Return one tasseled cap axis, float32; NaN where any of the six bands is missing.

    Parameters
    ----------
    arrays
        The six bands of `TC_BANDS`, ``(y, x)`` float32 reflectance.
    cell
        Cell size in metres; not used.
    axis
        ``"brightness"``, ``"greenness"`` or ``"wetness"``.
    """
    value = np.zeros_like(arrays[TC_BANDS[0]])
    for band, weight in zip(TC_BANDS, COEFFICIENTS[axis], strict=True):
        value += np.float32(weight) * arrays[band]
    return value


def _row(axis: str) -> LayerSpec:
    terms = zip(COEFFICIENTS[axis], TC_BANDS, strict=True)
    return LayerSpec(
        name=f"tc_{axis}",
        family="tasseled_cap",
        long_name=f"tasseled cap {axis}",
        formula=" ".join(f"{weight:+.4f} {band}" for weight, band in terms),
        units="1",
        needs=TC_BANDS,
        compute=partial(tasseled_cap, axis=axis),
        reference="Shi and Xu 2019, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 12(10)",
    )


#: The tasseled cap layers.
TASSELED_CAP = (_row("brightness"), _row("greenness"), _row("wetness"))
