"""Reflectances against hand-classified Sentinel-2 pixels, and debris against rock."""

from __future__ import annotations

import csv
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score

from conftest import SHARED
from cryonet.illumination import cast_shadow, incidence
from cryonet.synthetic.cover import Cover
from cryonet.synthetic.imagery import ground_fractions, simulate_bands
from cryonet.synthetic.region import REGIONS
from cryonet.synthetic.spectra import BANDS, SPECTRA

GetScene = Callable[..., xr.Dataset]

#: First and third quartile of reflectance in BANDS of the hand-classified pixels
#: (RaineyAbe/glacier-snow-cover-mapping, Sentinel-2_SR_training_data.csv, MIT licence).
QUARTILES = {
    "snow": (
        (0.6380, 0.6792, 0.7084, 0.7286, 0.6961, 0.6579, 0.6364, 0.6105, 0.0148, 0.0129),
        (0.8800, 0.8952, 0.8792, 0.9023, 0.8357, 0.7691, 0.7308, 0.6974, 0.0321, 0.0286),
    ),
    "shadowed snow": (
        (0.2396, 0.2104, 0.1688, 0.1689, 0.1468, 0.1813, 0.1606, 0.1512, 0.0062, 0.0066),
        (0.5996, 0.5244, 0.4332, 0.4185, 0.3923, 0.3655, 0.3122, 0.3098, 0.0183, 0.0165),
    ),
    "ice": (
        (0.2623, 0.2736, 0.2633, 0.2659, 0.2373, 0.2050, 0.1801, 0.1721, 0.0109, 0.0100),
        (0.4535, 0.4622, 0.4435, 0.4544, 0.4184, 0.3715, 0.3477, 0.3295, 0.0198, 0.0186),
    ),
    "rock and debris": (
        (0.0968, 0.1182, 0.1194, 0.1295, 0.1424, 0.1483, 0.1452, 0.1469, 0.1952, 0.1767),
        (0.1346, 0.1614, 0.1830, 0.2008, 0.2170, 0.2264, 0.2232, 0.2303, 0.2809, 0.2573),
    ),
    "water": (
        (0.1012, 0.1262, 0.0657, 0.0608, 0.0231, 0.0217, 0.0171, 0.0117, 0.0090, 0.0078),
        (0.1240, 0.1712, 0.1304, 0.1060, 0.0475, 0.0442, 0.0353, 0.0301, 0.0191, 0.0153),
    ),
}

#: The bands as the hand-classified pixels name them, and their numbers for the classes.
COLUMNS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
NUMBERS = {"snow": "1", "shadowed snow": "2", "ice": "3", "rock and debris": "4", "water": "5"}


def grounds(scene: xr.Dataset) -> dict[str, np.ndarray]:
    """Return where a scene shows one kind of ground, found by height, label and light."""
    labels, height = scene["labels"].values, scene["elevation"].values.astype(float)
    low, high = np.quantile(height, (0.02, 0.98))
    above = (height - scene.attrs["equilibrium_line"]) / (high - low)
    sun = {
        "cell": 10.0,
        "azimuth": scene.attrs["view:sun_azimuth"],
        "elevation": scene.attrs["view:sun_elevation"],
    }
    dark, cosine = cast_shadow(height, **sun), incidence(height, **sun)
    lit = ~dark & (cosine > 0.2)
    snow = (labels == 1) & (above > 0.16)
    return {
        "snow": snow & lit,
        "shadowed snow": snow & (dark | (cosine <= 0.05)),
        "ice": (labels == 1) & (above < 0) & lit,
        "rock and debris": (labels == 2) & lit,
        "water": labels == 3,
    }


def test_the_quartiles_are_those_of_the_pixels() -> None:
    path = SHARED / "usgs_benchmark_points" / "Sentinel-2_SR_training_data.csv"
    if not path.exists():
        pytest.skip("the hand-classified pixels are not here: see data/README.md")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for kind, (first, third) in QUARTILES.items():
        values = [
            [float(r[c] or "nan") for c in COLUMNS] for r in rows if r["class"] == NUMBERS[kind]
        ]
        found = np.nanquantile(values, (0.25, 0.75), axis=0)
        np.testing.assert_allclose(found, (first, third), atol=6e-5, err_msg=kind)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", QUARTILES)
def test_each_kind_of_ground_looks_as_on_real_glaciers(
    scene: GetScene, region: str, seed: int, kind: str
) -> None:
    made = scene(384, seed, region)
    where = grounds(made)[kind]
    assert where.sum() > 200
    first, third = QUARTILES[kind]
    for band, low, high in zip(BANDS, first, third, strict=True):
        assert low <= np.nanmedian(made[band].values[where]) <= high, band


def test_every_spectrum_is_a_reflectance_in_every_band() -> None:
    for region in REGIONS.values():
        assert set(region.rock) <= set(SPECTRA)
    for kind, values in SPECTRA.items():
        assert values.shape == (len(BANDS),), kind
        assert (values > 0).all() and (values < 1).all(), kind


def accuracy(features: np.ndarray, debris: np.ndarray, known: np.ndarray) -> float:
    """Return the balanced accuracy of a random forest on squares it was not trained on."""
    rng = np.random.default_rng(0)
    squares = np.add(*np.indices(debris.shape) // 48) % 2 == 0
    scores = []
    for trained in (squares, ~squares):
        chosen = np.concatenate(
            [rng.choice(np.flatnonzero(known & trained & (debris == k)), 2000) for k in (0, 1)]
        )
        table = features.reshape(len(features), -1).T
        forest = RandomForestClassifier(40, min_samples_leaf=5, random_state=0)
        forest.fit(table[chosen], debris.ravel()[chosen])
        rest = np.flatnonzero(known & ~trained)[::7]
        scores.append(balanced_accuracy_score(debris.ravel()[rest], forest.predict(table[rest])))
    return float(np.mean(scores))


def test_in_the_same_light_debris_has_the_colour_of_rock() -> None:
    rng = np.random.default_rng(5)
    debris = np.zeros((288, 288), np.uint8)
    debris[np.add(*np.indices((288, 288)) // 9) % 2 == 0] = 2
    cover = Cover(debris, np.zeros((288, 288)), np.zeros((288, 288)), np.zeros((288, 288)))
    even = np.ones((288, 288))
    for region in REGIONS.values():
        bands = simulate_bands(ground_fractions(cover, region, rng), even, even, rng)
        known = np.ones(debris.shape, bool)
        found = accuracy(np.stack(list(bands.values())), debris == 2, known)
        assert abs(found - 0.5) < 0.02


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_slope_and_coherence_find_the_debris_that_optics_cannot(
    scene: GetScene, region: str, seed: int
) -> None:
    made = scene(384, seed, region)
    red, green, nir, swir = (made[n].values for n in ("red", "green", "nir", "swir16"))
    bare = ((nir - red) / (nir + red) < 0.15) & ((green - swir) / (green + swir) < 0)
    labels, coherence = made["labels"].values, made["coherence"].values
    known = bare & np.isin(labels, (0, 2)) & np.isfinite(coherence)
    optics = accuracy(np.stack([made[n].values for n in BANDS]), labels == 2, known)
    slope = np.hypot(*np.gradient(made["elevation"].values, 10.0))
    more = accuracy(np.stack([slope, coherence]), labels == 2, known)
    # Debris lies on gentler ground than rock walls, so light tells a little.
    assert optics < 0.7
    assert more > 0.85
    assert more > optics + 0.2
