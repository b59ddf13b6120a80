"""Co-occurrence texture against scikit-image, a direct count, and Haralick's example."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import graycomatrix

from conftest import SHARED
from cryonet.errors import LayerError
from cryonet.layers.texture import MEASURES, glcm, quantise

#: scikit-image's angles with rows downwards, in the order of OFFSETS: its π/4 points down.
ANGLES = (0.0, 3 * np.pi / 4, np.pi / 2, np.pi / 4)


def measures_of(p: np.ndarray) -> dict[str, float]:
    """Return the measures of one normalised, symmetric matrix after their definitions."""
    i, j = np.indices(p.shape)
    mean = (p * i).sum()
    variance = (p * (i - mean) ** 2).sum()
    inside = p[p > 0]
    product = (p * (i - mean) * (j - mean)).sum()
    return {
        "contrast": (p * (i - j) ** 2).sum(),
        "dissimilarity": (p * abs(i - j)).sum(),
        "homogeneity": (p / (1 + (i - j) ** 2)).sum(),
        "asm": (p**2).sum(),
        "entropy": -(inside * np.log(inside)).sum(),
        "mean": mean,
        "variance": variance,
        "correlation": product / variance if variance > 1e-9 else 1.0,
    }


def by_scikit_image(grey: np.ndarray, levels: int) -> dict[str, float]:
    """Return the mean of the four directions for one whole window."""
    p = graycomatrix(grey, [1], ANGLES, levels=levels, symmetric=True, normed=True)
    # At one pixel's distance the rounded sine and cosine are the diagonal neighbours.
    each = [measures_of(p[:, :, 0, k]) for k in range(4)]
    return {name: float(np.mean([one[name] for one in each])) for name in MEASURES}


def by_hand(grey: np.ndarray, levels: int, offsets: tuple[tuple[int, int], ...]) -> dict:
    """Count the pairs of one window one by one; level `levels` is missing."""
    found = []
    for down, right in offsets:
        p = np.zeros((levels, levels))
        for (r, c), level in np.ndenumerate(grey):
            q, s = r + down, c + right
            if not (0 <= q < grey.shape[0] and 0 <= s < grey.shape[1]):
                continue
            other = grey[q, s]
            if max(level, other) < levels:
                p[level, other] += 1
                p[other, level] += 1
        if p.any():
            found.append(measures_of(p / p.sum()))
    return {name: float(np.mean([one[name] for one in found])) for name in MEASURES if found}


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ((0, 1), (0.583333, 0.416667, 0.808333, 0.145833, 2.094729, 1.291667, 1.039931, 0.719533)),
        ((-1, 0), (1.0, 0.666667, 0.70, 0.138889, 2.094729, 1.166667, 0.972222, 0.485714)),
        ((-1, 1), (0.444444, 0.444444, 0.777778, 0.148148, 2.043192, 1.222222, 0.839506, 0.735294)),
        (
            (-1, -1),
            (1.777778, 1.111111, 0.511111, 0.117284, 2.216102, 1.222222, 1.061728, 0.162791),
        ),
    ],
)
def test_the_example_image(offset: tuple[int, int], expected: tuple[float, ...]) -> None:
    image = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]], np.float32)
    found = glcm(image, limits=(0, 4), levels=4, window=9, offsets=[offset])
    middle = [float(found[name][2, 2]) for name in MEASURES]
    np.testing.assert_allclose(middle, expected, atol=1e-6)
    opposite = glcm(image, limits=(0, 4), levels=4, window=9, offsets=[(-offset[0], -offset[1])])
    xr.testing.assert_identical(found, opposite)


def compare(image: np.ndarray, limits: tuple[float, float], places: np.ndarray) -> None:
    found = glcm(image, limits=limits)
    grey = quantise(image, limits, 32)
    for row, col in places:
        window = grey[row - 3 : row + 4, col - 3 : col + 4]
        expected = by_scikit_image(window, 32)
        for name in MEASURES:
            value = float(found[name][row, col])
            # float32 holds values over 128 with a spacing of 1.5e-5.
            assert value == pytest.approx(expected[name], rel=1e-6, abs=1e-5), name


def test_every_pixel_is_scikit_images() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((31, 38)).astype(np.float32)
    smooth = ndimage.gaussian_filter(rng.normal(size=(31, 38)), 2).astype(np.float32)
    places = np.stack(np.mgrid[3:28, 3:35], axis=-1).reshape(-1, 2)[::5]
    compare(noise, (0.0, 1.0), places)
    compare(smooth, (float(smooth.min()), float(smooth.max())), places)


def test_real_relief_and_imagery_are_scikit_images() -> None:
    import rasterio

    rng = np.random.default_rng(1)
    for name in (
        "oetztal_srtm/srtm_oetztal.tif",
        "everest_landsat7/LE71400412000304SGS00_B4.tif",
    ):
        path = SHARED / name
        if not path.exists():
            pytest.skip("the real rasters are not here: see data/README.md")
        with rasterio.open(path) as source:
            image = source.read(1)[:300, :300].astype(np.float32)
        places = rng.integers(3, 297, (150, 2))
        compare(image, tuple(np.quantile(image, (0.02, 0.98))), places)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    window=st.sampled_from([3, 5, 7]),
    holes=st.floats(0, 0.7),
    seed=st.integers(0, 999),
)
def test_holes_edges_and_odd_sizes_are_counted_by_hand(
    shape: tuple[int, int], window: int, holes: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random(shape).astype(np.float32)
    image[rng.random(shape) < holes] = np.nan
    offsets = ((0, 1), (-1, 1), (2, -1))
    found = glcm(image, limits=(0, 1), levels=6, window=window, offsets=offsets)
    grey = quantise(image, (0.0, 1.0), 6)
    half = window // 2
    for (row, col), _ in np.ndenumerate(image):
        part = grey[
            max(row - half, 0) : row + half + 1, max(col - half, 0) : col + half + 1
        ].astype(int)
        expected = by_hand(part, 6, offsets) if (part < 6).mean() >= 0.5 else {}
        for name in MEASURES:
            value = float(found[name][row, col])
            wanted = expected.get(name, np.nan)
            assert value == pytest.approx(wanted, abs=1e-5, nan_ok=True), name


def test_threads_blocks_and_fewer_measures_change_nothing() -> None:
    image = np.random.default_rng(3).random((300, 41)).astype(np.float32)
    image[50:60, 5:20] = np.nan
    whole = glcm(image, limits=(0, 1))
    xr.testing.assert_identical(whole, glcm(image, limits=(0, 1), threads=3))
    few = glcm(image, limits=(0, 1), measures=["variance", "contrast"])
    assert list(few) == ["variance", "contrast"]
    xr.testing.assert_identical(few, whole[["variance", "contrast"]])


def test_turning_the_image_turns_the_texture() -> None:
    image = np.random.default_rng(4).random((21, 26)).astype(np.float32)
    found, turned = glcm(image, limits=(0, 1)), glcm(np.rot90(image).copy(), limits=(0, 1))
    for name in MEASURES:
        np.testing.assert_allclose(turned[name], np.rot90(found[name]), atol=2e-6)
    east = glcm(image, limits=(0, 1), offsets=[(0, 1)])
    north = glcm(np.rot90(image).copy(), limits=(0, 1), offsets=[(-1, 0)])
    np.testing.assert_allclose(north["contrast"], np.rot90(east["contrast"]), atol=1e-5)


def test_an_even_image_has_no_texture() -> None:
    found = glcm(np.full((9, 9), 3.2, np.float32), limits=(0, 10), levels=20)
    flat = {
        "contrast": 0, "dissimilarity": 0, "homogeneity": 1, "asm": 1, "entropy": 0,
        "mean": 6, "variance": 0, "correlation": 1,
    }  # fmt: skip
    for name, value in flat.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


def test_levels_run_from_limit_to_limit_and_beyond() -> None:
    values = np.array([[-9.0, 0.0, 0.24, 0.26, 0.99, 1.0, 9.0, np.nan, np.inf]])
    assert quantise(values, (0.0, 1.0), 4).tolist() == [[0, 0, 0, 1, 3, 3, 3, 4, 4]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": 6}, "odd side"),
        ({"window": 33}, "3 to 31"),
        ({"levels": 256}, "2 to 255"),
        ({"limits": (1.0, 1.0)}, "lower one first"),
        ({"limits": (0.0, float("nan"))}, "lower one first"),
        ({"offsets": [(0, 0)]}, r"not \(0, 0\)"),
        ({"offsets": [(0, 7)]}, "shorter than 7"),
        ({"offsets": []}, "one or more"),
        ({"measures": ["contrast", "colour"]}, "no such measure: colour"),
        ({"measures": []}, "Known are contrast"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(LayerError, match=said):
        glcm(np.zeros((9, 9), np.float32), **{"limits": (0.0, 1.0), **change})
    with pytest.raises(LayerError, match="not flat"):
        glcm(np.zeros((2, 9, 9), np.float32), limits=(0, 1))


def test_a_data_array_keeps_its_place() -> None:
    image = xr.DataArray(np.eye(9), dims=("y", "x"), coords={"y": np.arange(9.0)}, name="nir")
    found = glcm(image, limits=(0, 1))
    assert found["asm"].attrs["long_name"] == MEASURES["asm"]
    np.testing.assert_array_equal(found["y"], image["y"])
    assert found["asm"].dtype == np.float32
