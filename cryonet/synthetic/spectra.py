"""Typical Sentinel-2 reflectances of the ground, as rows of a literal table.

The values are rounded and are our choice: they follow the shape of the published spectra
named beside each row, and their level is set so that each class of a scene has its median
inside the interquartile range of hand-classified Sentinel-2 pixels on four glaciers
(RaineyAbe/glacier-snow-cover-mapping, MIT licence; the tests hold the quartiles).

References
----------
Warren 1982: Optical properties of snow, Reviews of Geophysics 20.
Zeng, Cao, Feng, Liang, Chen, Sheng 1984: A study of the spectral reflection characteristics
for snow, ice and water in the north of China, IAHS Publ. 145.
Dozier, Green, Nolin, Painter 2009: Interpretation of snow properties from imaging
spectrometry, Remote Sensing of Environment 113.
Casey, Kääb, Benn 2012: Geochemical characterization of supraglacial debris via in situ and
optical remote sensing methods, The Cryosphere 6.
Kokaly et al. 2017: USGS Spectral Library Version 7, Data Series 1035.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

#: The bands of a synthetic scene, in the order of the table's columns.
BANDS = (
    "blue",
    "green",
    "red",
    "rededge1",
    "rededge2",
    "rededge3",
    "nir",
    "nir08",
    "swir16",
    "swir22",
)

_ROWS: tuple[tuple[str, tuple[float, ...]], ...] = (
    # Warren 1982, Dozier et al. 2009: bright and flat, falling as grains grow, dark in SWIR.
    ("fresh_snow", (0.93, 0.94, 0.94, 0.94, 0.88, 0.825, 0.775, 0.746, 0.025, 0.022)),
    ("old_snow", (0.80, 0.82, 0.83, 0.83, 0.785, 0.73, 0.69, 0.661, 0.018, 0.016)),
    # Zeng et al. 1984: glacier ice, clean and with dust.
    ("blue_ice", (0.47, 0.48, 0.45, 0.45, 0.41, 0.37, 0.32, 0.305, 0.011, 0.010)),
    ("dusty_ice", (0.30, 0.31, 0.30, 0.305, 0.29, 0.26, 0.22, 0.21, 0.018, 0.017)),
    # Casey et al. 2012, Kokaly et al. 2017: schist and gneiss, granite, limestone, slate.
    ("rock_brown", (0.104, 0.132, 0.156, 0.172, 0.178, 0.182, 0.180, 0.184, 0.230, 0.222)),
    ("rock_pale", (0.134, 0.160, 0.178, 0.192, 0.198, 0.204, 0.204, 0.209, 0.256, 0.240)),
    ("rock_grey", (0.130, 0.154, 0.166, 0.178, 0.184, 0.190, 0.191, 0.195, 0.240, 0.230)),
    ("rock_dark", (0.108, 0.130, 0.138, 0.148, 0.156, 0.163, 0.166, 0.170, 0.228, 0.210)),
    # Kokaly et al. 2017: dry meadow, conifers.
    ("meadow", (0.045, 0.080, 0.070, 0.125, 0.240, 0.280, 0.300, 0.315, 0.220, 0.130)),
    ("forest", (0.020, 0.035, 0.024, 0.055, 0.150, 0.180, 0.195, 0.205, 0.095, 0.045)),
    # Zeng et al. 1984: clear water; water with rock flour is bright in green.
    ("clear_water", (0.070, 0.075, 0.040, 0.032, 0.020, 0.018, 0.014, 0.011, 0.008, 0.007)),
    ("turbid_water", (0.122, 0.172, 0.128, 0.100, 0.046, 0.041, 0.034, 0.026, 0.013, 0.011)),
)

#: Reflectance of each kind of ground in `BANDS`.
SPECTRA: Mapping[str, NDArray[np.float64]] = {name: np.array(row) for name, row in _ROWS}

#: Share of the light of a flat, sunlit pixel that comes from the sky and from bright slopes
#: around, in `BANDS`. Our choice: shadowed snow then falls on the shadowed snow of the
#: hand-classified pixels.
SKYLIGHT = np.array((0.46, 0.42, 0.37, 0.36, 0.34, 0.33, 0.32, 0.32, 0.36, 0.36))

#: How iron staining and the share of sheet silicates change rock in `BANDS`, relative, for
#: one standard deviation. Our choice.
STAINS = (
    np.array((-0.045, -0.02, 0.012, 0.02, 0.018, 0.014, 0.01, 0.008, 0.015, 0.01)),
    np.array((0.008, 0.008, 0.004, 0.0, -0.004, -0.008, -0.012, -0.012, -0.03, -0.055)),
)
