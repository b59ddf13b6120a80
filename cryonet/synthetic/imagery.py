"""The simulated Sentinel-2 image: mixed spectra, light on relief, sensor, numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryonet.illumination import cast_shadow, incidence
from cryonet.scene_writer import Storage
from cryonet.synthetic.cover import Cover
from cryonet.synthetic.drainage import Grid
from cryonet.synthetic.fractal import fractal_field
from cryonet.synthetic.region import Region
from cryonet.synthetic.spectra import BANDS, SKYLIGHT, SPECTRA, STAINS

#: How the optical bands are stored: numbers of 1/10000 above −0.1, 0 where missing.
OPTICAL = Storage("uint16", 1e-4, -0.1, 0)

#: Bands with 20 m pixels on Sentinel-2; the others have 10 m.
COARSE_BANDS = frozenset(BANDS) - {"blue", "green", "red", "nir"}


def ground_fractions(cover: Cover, region: Region, rng: np.random.Generator) -> dict[str, Grid]:
    """Return the share of each spectrum in each pixel; they add up to 1.

    Rock and debris draw their mixture from one field of one distribution, so a debris
    pixel cannot be told from a rock pixel by its spectrum.
    """
    shape = cover.labels.shape
    mixture = region.rock_mix + 0.16 * fractal_field(shape, rng, slope=1.0, longest=16)
    mixture = np.clip(mixture, 0.0, 1.0)
    grain = np.clip(0.35 + 0.25 * fractal_field(shape, rng, slope=2.0, longest=80), 0.0, 1.0)
    dust = np.clip(0.6 + 0.3 * fractal_field(shape, rng, slope=1.8, longest=50), 0.0, 1.0)
    milk = np.clip(0.85 + 0.15 * fractal_field(shape, rng, slope=3.0), 0.0, 1.0)
    woods = np.clip(cover.plants - 0.45, 0.0, 1.0) * 1.8 * region.forest
    lake, snow = (cover.labels == 3).astype(float), cover.snow
    frozen = (1.0 - snow) * (cover.labels == 1)
    plants = (1.0 - snow) * cover.plants
    rest = 1.0 - lake - snow - frozen - plants
    woods = np.minimum(woods, 1.0) * plants
    return {
        "fresh_snow": snow * (1 - grain),
        "old_snow": snow * grain,
        "blue_ice": frozen * (1 - dust),
        "dusty_ice": frozen * dust,
        region.rock[0]: rest * (1 - mixture),
        region.rock[1]: rest * mixture,
        "meadow": plants - woods,
        "forest": woods,
        "clear_water": lake * (1 - milk),
        "turbid_water": lake * milk,
    }


def light(
    surface: Grid, water: NDArray[np.bool_], *, cell: float, azimuth: float, elevation: float
) -> tuple[Grid, Grid]:
    """Return direct sunlight and skylight on each pixel, relative to flat sunlit ground."""
    level = float(np.sin(np.radians(elevation)))
    direct = incidence(surface, cell=cell, azimuth=azimuth, elevation=elevation) / level
    # A partial topographic correction, as in Level-2A, narrows the range of brightness.
    direct = np.where(water, 1.0, direct**0.8)
    dark = cast_shadow(surface, cell=cell, azimuth=azimuth, elevation=elevation)
    sun = direct * (1.0 - ndimage.gaussian_filter(dark.astype(float), 0.5))
    rise = np.hypot(*np.gradient(surface, cell))
    # What a steep pixel does not see of the sky, the slopes across the valley give back,
    # but for a little.
    sky = 1.0 - 0.1 * (1.0 - 1.0 / np.sqrt(1.0 + rise**2))
    return sun, np.where(water, 1.0, sky)


def simulate_bands(
    fractions: dict[str, Grid], sun: Grid, sky: Grid, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Return the reflectance in each band as the sensor's numbers give it."""
    shape = sun.shape
    brightness = np.exp(0.11 * fractal_field(shape, rng, slope=1.0, longest=20))
    stains = [fractal_field(shape, rng, slope=0.8, longest=16) for _ in STAINS]
    rock = sum(share for kind, share in fractions.items() if kind.startswith("rock"))
    stable = fractions["clear_water"] + fractions["turbid_water"]
    brightness = brightness ** (0.5 + 0.5 * (1 - stable))
    bright = fractions["fresh_snow"] + fractions["old_snow"]
    brightness = brightness ** (1 - 0.6 * bright)
    result = {}
    for index, name in enumerate(BANDS):
        reflectance = np.zeros(shape)
        for kind, share in fractions.items():
            reflectance += share * SPECTRA[kind][index]
        tint = sum(field * row[index] for field, row in zip(stains, STAINS, strict=True))
        reflectance *= 1.0 + rock * tint
        share = SKYLIGHT[index]
        seen = reflectance * brightness * ((1 - share) * sun + share * sky)
        result[name] = _sense(seen, rng, coarse=name in COARSE_BANDS)
    return result


def _sense(reflectance: Grid, rng: np.random.Generator, *, coarse: bool) -> NDArray[np.float32]:
    blurred = ndimage.gaussian_filter(reflectance, 0.45, mode="nearest")
    if coarse:
        rows, columns = blurred.shape
        padded = np.pad(blurred, ((0, rows % 2), (0, columns % 2)), mode="edge")
        pairs = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
        blurred = pairs.mean(axis=(1, 3))
    deviation = 0.0012 + 0.006 * blurred
    noisy = blurred + deviation * rng.standard_normal(blurred.shape)
    if coarse:
        noisy = noisy.repeat(2, axis=0).repeat(2, axis=1)[
            : reflectance.shape[0], : reflectance.shape[1]
        ]
    return quantise(noisy)


def quantise(reflectance: Grid) -> NDArray[np.float32]:
    """Return the reflectance that `OPTICAL` keeps, so that storing it loses nothing."""
    numbers = np.clip(np.rint((reflectance - OPTICAL.offset) / OPTICAL.scale), 1, 65535)
    values = numbers.astype(np.float32) * np.float32(OPTICAL.scale)
    return values + np.float32(OPTICAL.offset)
