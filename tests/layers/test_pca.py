"""Principal components against scikit-learn, and what is fitted against what was seen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition

from conftest import SHARED
from cryonet.errors import LayerError
from cryonet.layers import Fits, build_stack, fit_layers
from cryonet.layers.fits import fit_grey
from cryonet.layers.linear import weighted_sums
from cryonet.layers.pca import PCA_BANDS, fit_pca


def correlated(count: int, bands: int = 10, seed: int = 0) -> np.ndarray:
    """Return pixels ``(band, pixel)`` whose bands go together, as reflectances do."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(bands, bands)) * 0.5 ** np.arange(bands)
    return (0.3 + 0.1 * mixing @ rng.normal(size=(bands, count))).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(0, 4000), max_size=6))
def test_streamed_axes_are_scikit_learns(seed: int, cuts: list[int]) -> None:
    pixels = correlated(4000, seed=seed)
    pixels[3, ::17] = np.nan
    edges = [0, *sorted(cuts), 4000]
    found = fit_pca(pixels[:, a:b] for a, b in itertools.pairwise(edges))
    known = pixels[:, np.isfinite(pixels).all(axis=0)].T.astype(float)
    expected = decomposition.PCA(3, svd_solver="covariance_eigh").fit(known)
    assert found.pixels == len(known)
    np.testing.assert_allclose(found.mean, expected.mean_, atol=1e-9)
    np.testing.assert_allclose(found.variance, expected.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(found.explained, expected.explained_variance_ratio_, rtol=1e-6)
    agree = np.abs((np.array(found.axes) * expected.components_).sum(axis=1))
    np.testing.assert_allclose(agree, 1, atol=1e-6)


def test_the_weight_of_largest_size_is_positive() -> None:
    pixels = correlated(500)
    for image in (pixels, -pixels):
        for axis in fit_pca([image]).axes:
            assert max(axis, key=abs) > 0


def test_bright_far_away_blocks_lose_no_digits() -> None:
    # Sums of squares around a mean of a million would leave nothing of a variance of 0.01.
    pixels = 1e6 + correlated(4000).astype(np.float64)
    found = fit_pca([pixels[:, :100], pixels[:, 100:]])
    expected = decomposition.PCA(3).fit((pixels - 1e6).T)
    np.testing.assert_allclose(found.variance, expected.explained_variance_, rtol=1e-6)


def test_components_are_scikit_learns_and_missing_where_a_band_is(make_scene) -> None:
    scene = make_scene((30, 41), seed=4, holes=0.02)
    fits = fit_layers([scene])
    stack = build_stack(scene, "pca", fits=fits)
    pixels = np.stack([scene[b].values for b in PCA_BANDS]).reshape(10, -1)
    known = np.isfinite(pixels).all(axis=0)
    expected = decomposition.PCA(3).fit(pixels[:, known].T.astype(float))
    for number in range(3):
        values = stack[f"pca_{number + 1}"].values.ravel()
        np.testing.assert_array_equal(np.isfinite(values), known)
        scores = expected.transform(pixels[:, known].T.astype(float))[:, number]
        sign = np.sign((scores * values[known]).sum())
        np.testing.assert_allclose(values[known], sign * scores, atol=2e-6)


def test_components_of_the_fitted_pixels_are_uncorrelated(make_scene) -> None:
    scene = make_scene((50, 50), seed=5)
    stack = build_stack(scene, "pca", fits=fit_layers([scene]))
    values = np.stack([layer.values.ravel() for layer in stack.values()])
    correlation = np.corrcoef(values)
    np.testing.assert_allclose(correlation, np.eye(3), atol=1e-4)
    assert (np.diff(values.var(axis=1)) < 0).all()


def test_sums_over_bands_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    bands = rng.random((6, 37, 53), dtype=np.float32)
    bands[2, 5, 7] = np.nan
    weights, shifts = rng.normal(size=(4, 6)), rng.normal(size=4)
    found = weighted_sums(list(bands), weights, shifts)
    expected = np.einsum("kb,byx->kyx", weights, bands.astype(float)) + shifts[:, None, None]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.isnan(found[:, 5, 7]).all() and np.isnan(found).sum() == 4


def test_masks_lazy_scenes_and_order_of_blocks(make_scene) -> None:
    scenes = [make_scene((300, 20), seed=1), make_scene((40, 31), seed=2)]
    masks = [np.random.default_rng(0).random(s["red"].shape) < 0.3 for s in scenes]
    fits = fit_layers(scenes, masks=masks)
    assert fits.names == ("pca", "texture")
    assert fits.pca is not None and fits.texture is not None
    assert fits.pca.pixels == fits.texture.pixels == sum(int(m.sum()) for m in masks)
    lazy = fit_layers([s.chunk({"y": 32}) for s in scenes], masks=masks)
    assert lazy == fits
    changed = [s.copy(deep=True) for s in scenes]
    for scene, mask in zip(changed, masks, strict=True):
        for band in PCA_BANDS:
            scene[band].values[~mask] = 3.0
    assert fit_layers(changed, masks=masks) == fits
    assert Fits.model_validate_json(fits.model_dump_json()) == fits


def test_grey_limits_are_quantiles() -> None:
    values = np.random.default_rng(0).gamma(3, 0.1, (1, 50_000)).astype(np.float32)
    found = fit_grey(iter([values[:, :7], values[:, 7:]]))
    low, high = np.quantile(values, (0.01, 0.99))
    assert found.low == pytest.approx(low, abs=2e-4)
    assert found.high == pytest.approx(high, abs=2e-4)
    assert found.pixels == 50_000


def test_what_cannot_be_fitted_is_refused(make_scene) -> None:
    with pytest.raises(LayerError, match=r"too few pixels to fit the PCA: 9\. Give more than 10"):
        fit_pca([correlated(9)])
    with pytest.raises(LayerError, match="do not vary"):
        fit_pca([np.full((10, 50), 0.2)])
    with pytest.raises(LayerError, match="nothing to fit grey limits"):
        fit_grey(iter([np.full((1, 9), np.nan, np.float32)]))
    scene = make_scene((20, 20)).drop_vars("nir08")
    assert fit_layers([scene]).names == ("texture",)
    with pytest.raises(LayerError, match="fit of pca lacks bands: nir08"):
        fit_layers([scene], names=["pca"])
    empty = xr.full_like(make_scene((20, 20)), np.nan)
    with pytest.raises(LayerError, match="too few pixels"):
        fit_layers([empty], names=["pca"])


def test_real_imagery_has_scikit_learns_axes() -> None:
    import rasterio

    path = SHARED / "everest_landsat7" / "LE71400412000304SGS00_RGB.tif"
    if not path.exists():
        pytest.skip("the real image is not here: see data/README.md")
    with rasterio.open(path) as source:
        pixels = source.read().reshape(3, -1).astype(np.float32)
    found = fit_pca(np.array_split(pixels, 9, axis=1), bands=("red", "green", "blue"))
    expected = decomposition.PCA(3, svd_solver="covariance_eigh").fit(pixels.T.astype(float))
    np.testing.assert_allclose(found.variance, expected.explained_variance_, rtol=1e-6)
    assert found.explained[0] > 0.9
