"""Tasseled cap: brightness, greenness and wetness of Sentinel-2 bands.

Three published sets of coefficients; the six-band set is the default, the others are
optional layers. All were derived for top-of-atmosphere reflectance. On surface reflectance
(level 2A) the values are shifted; they serve as features, not as comparable measurements.
Level 2A has no cirrus band, so its weights, at most 0.002, are left out.

References
----------
Shi and Xu 2019, Derivation of tasseled cap transformation coefficients for Sentinel-2 MSI
at-sensor reflectance data, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 12(10).
Nedkov 2017, Orthogonal transformation of segmented images from the satellite Sentinel-2,
C. R. Acad. Bulg. Sci. 70(5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cryonet.layers.linear import weighted_sums
from cryonet.layers.spec import Array, LayerSpec

#: The axes, in the order of the coefficients.
AXES = ("brightness", "greenness", "wetness")


@dataclass(frozen=True, slots=True)
class TasseledCap:
    """One published set: a weight for each axis and band; the rows are orthonormal."""

    title: str
    bands: tuple[str, ...]
    coefficients: tuple[tuple[float, ...], ...]
    reference: str


_SHI = "Shi and Xu 2019, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 12(10)"
_SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
_ALL = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08",
    "nir09", "swir16", "swir22",
)  # fmt: skip

#: The sets by the prefix of their layers' names.
TASSELED_CAPS: Mapping[str, TasseledCap] = {
    "tc": TasseledCap(
        "tasseled cap",
        _SIX,
        (
            (0.3510, 0.3813, 0.3437, 0.7196, 0.2396, 0.1949),
            (-0.3599, -0.3533, -0.4734, 0.6633, 0.0087, -0.2856),
            (0.2578, 0.2305, 0.0883, 0.1071, -0.7611, -0.5308),
        ),
        _SHI,
    ),
    "tc13": TasseledCap(
        "tasseled cap of all bands",
        _ALL,
        (
            (
                0.2381, 0.2569, 0.2934, 0.3020, 0.3099, 0.3740,
                0.4180, 0.3580, 0.3834, 0.0103, 0.0896, 0.0780,
            ),
            (
                -0.2266, -0.2818, -0.3020, -0.4283, -0.2959, 0.1602,
                0.3127, 0.3138, 0.4261, 0.1454, -0.1341, -0.2538,
            ),
            (
                0.1825, 0.1763, 0.1615, 0.0486, 0.0170, 0.0223,
                0.0219, -0.0755, -0.0910, -0.1369, -0.7701, -0.5293,
            ),
        ),
        f"{_SHI}, 13 bands without cirrus",
    ),
    "tc_nedkov": TasseledCap(
        "tasseled cap after Nedkov",
        _ALL,
        (
            (
                0.0356, 0.0822, 0.1360, 0.2611, 0.2964, 0.3338,
                0.3877, 0.3895, 0.4750, 0.0949, 0.3882, 0.1366,
            ),
            (
                -0.0635, -0.1128, -0.1680, -0.3480, -0.3303, 0.0852,
                0.3302, 0.3165, 0.3625, 0.0467, -0.4578, -0.4064,
            ),
            (
                0.0649, 0.1363, 0.2802, 0.3072, 0.5288, 0.1379,
                -0.0001, -0.0807, -0.1389, -0.0302, -0.4064, -0.5602,
            ),
        ),
        "Nedkov 2017, C. R. Acad. Bulg. Sci. 70(5), 687-692, without cirrus",
    ),
}  # fmt: skip


def tasseled_cap(
    bands: Sequence[Array], *, kind: str = "tc", axes: Sequence[str] = AXES
) -> NDArray[np.float32]:
    """Return tasseled cap axes ``(axis, y, x)`` float32; NaN where any band is missing.

    Parameters
    ----------
    bands
        The bands of the set, in its order, ``(y, x)`` float32 reflectance.
    kind
        A key of `TASSELED_CAPS`.
    axes
        Which of `AXES`.
    """
    rows = [TASSELED_CAPS[kind].coefficients[AXES.index(axis)] for axis in axes]
    return weighted_sums(bands, np.array(rows), np.zeros(len(rows)))


def _together(
    names: Sequence[str], arrays: Mapping[str, Array], cell: float, *, kind: str
) -> list[Array]:
    axes = [name.removeprefix(f"{kind}_") for name in names]
    return list(tasseled_cap([arrays[b] for b in TASSELED_CAPS[kind].bands], kind=kind, axes=axes))


def _single(arrays: Mapping[str, Array], cell: float, *, name: str, kind: str) -> Array:
    return _together([name], arrays, cell, kind=kind)[0]


def _rows(kind: str, cap: TasseledCap) -> tuple[LayerSpec, ...]:
    together = partial(_together, kind=kind)
    return tuple(
        LayerSpec(
            name=f"{kind}_{axis}",
            family="tasseled_cap",
            long_name=f"{cap.title}, {axis}",
            formula=" ".join(
                f"{weight:+.4f} {band}" for weight, band in zip(weights, cap.bands, strict=True)
            ),
            units="1",
            needs=cap.bands,
            compute=partial(_single, name=f"{kind}_{axis}", kind=kind),
            reference=cap.reference,
            together=together,
            optional=kind != "tc",
        )
        for axis, weights in zip(AXES, cap.coefficients, strict=True)
    )


#: The tasseled cap layers of every set.
TASSELED_CAP = tuple(row for kind, cap in TASSELED_CAPS.items() for row in _rows(kind, cap))
