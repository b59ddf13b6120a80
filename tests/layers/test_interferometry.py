"""Coherence and phase: against direct sums, closed forms and their symmetries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from scipy import ndimage

from cryonet.errors import CryonetError, GridError, LayerError
from cryonet.layers.interferometry import (
    coherence,
    expected_coherence_at_zero,
    interferogram,
)

Complex = NDArray[np.complex64]
CROP = Path(__file__).resolve().parents[3] / "shared" / "data" / "insar_crop"


def speckle(shape: tuple[int, ...], seed: int) -> Complex:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def pair(shape: tuple[int, int], true: float = 0.6, phase: float = 0.7) -> tuple[Complex, Complex]:
    """Return two images of one coherence; primary leads secondary by `phase`."""
    common, other = speckle(shape, 1), speckle(shape, 2)
    second = (true * common + np.sqrt(1 - true**2) * other) * np.exp(-1j * phase)
    return common, second.astype(np.complex64)


def holed(shape: tuple[int, int]) -> tuple[Complex, Complex]:
    """Return a pair with NaN in one, fill in the other, and a corner where both have none."""
    one, two = pair(shape)
    rng = np.random.default_rng(3)
    one[rng.random(shape) < 0.15] = np.nan
    two[rng.random(shape) < 0.15] = 0
    one[: shape[0] // 3, : shape[1] // 3] = 0
    two[: shape[0] // 3, : shape[1] // 3] = 0
    return one, two


def known_products(
    one: Complex, two: Complex
) -> tuple[NDArray[np.bool_], list[NDArray[np.float64]]]:
    known = np.isfinite(one) & np.isfinite(two) & (one != 0) & (two != 0)
    a, b = (np.where(known, image, 0).astype(complex) for image in (one, two))
    cross = a * b.conj()
    return known, [cross.real, cross.imag, np.abs(a) ** 2, np.abs(b) ** 2]


def direct(
    one: Complex, two: Complex, window: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coherence and phase as defined, sample by sample in double precision."""
    known, products = known_products(one, two)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # `correlate1d` centres an even window as uniform_filter does.
        for axis, side in enumerate(window):
            values = ndimage.correlate1d(values, np.ones(side), axis, mode="constant")
        return values

    re, im, p, q = (total(values) for values in products)
    count, inside = total(known.astype(float)), total(np.ones(one.shape))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.hypot(re, im) / np.sqrt(p * q)
    none = 2 * np.rint(count) < np.rint(inside)
    return tuple(np.where(none, np.nan, values) for values in (found, np.arctan2(im, re)))


WINDOWS = [(5, 20), (1, 2), (2, 1), (3, 3), (4, 7), (16, 5), (7, 64), (30, 30), (80, 90)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(67, 83), (300, 701), (1, 40), (40, 1)])
def test_windows_agree_with_direct_sums(shape: tuple[int, int], window: tuple[int, int]) -> None:
    for one, two in (pair(shape), holed(shape)):
        found = coherence(one, two, window=window).values
        expected, phase = direct(one, two, window)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        np.testing.assert_allclose(found, expected, atol=3e-6)
        both = interferogram(one, two, looks=window, every_pixel=True)
        np.testing.assert_array_equal(both["coherence"], found)
        # Where little is coherent the same rounding turns the phase by more.
        for name, values in (("phase_cos", np.cos(phase)), ("phase_sin", np.sin(phase))):
            np.testing.assert_allclose(expected * both[name], expected * values, atol=5e-6)
        angle = np.exp(1j * both["phase"].values.astype(float))
        np.testing.assert_allclose(angle.real, both["phase_cos"], atol=4e-7)
        np.testing.assert_allclose(angle.imag, both["phase_sin"], atol=4e-7)
        assert np.nanmax(np.abs(both["phase"])) <= np.pi


@pytest.mark.parametrize("looks", [(1, 1), (2, 3), (5, 20), (8, 2)])
def test_blocks_agree_with_direct_sums(looks: tuple[int, int]) -> None:
    for one, two in (pair((67, 83)), holed((67, 83))):
        found = interferogram(one, two, looks=looks)
        known, products = known_products(one, two)
        rows, cols = 67 // looks[0], 83 // looks[1]

        def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
            cut = values[: rows * looks[0], : cols * looks[1]]  # noqa: B023
            return cut.reshape(rows, looks[0], cols, looks[1]).sum((1, 3))  # noqa: B023

        re, im, p, q = (total(values) for values in products)
        none = 2 * total(known.astype(float)) < looks[0] * looks[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.where(none, np.nan, np.hypot(re, im) / np.sqrt(p * q))
        phase = np.where(none, np.nan, np.arctan2(im, re))
        assert found["coherence"].shape == (rows, cols)
        np.testing.assert_allclose(found["coherence"], expected, atol=3e-6)
        np.testing.assert_allclose(found["phase"], phase, atol=3e-5)
        np.testing.assert_allclose(found["phase_cos"], np.cos(phase), atol=3e-5)
        np.testing.assert_allclose(found["phase_sin"], np.sin(phase), atol=3e-5)


@pytest.mark.parametrize(
    ("looks", "mean"), [(4, 0.4571), (9, 0.2995), (20, 0.1994), (25, 0.1781), (80, 0.0992)]
)
def test_the_bias_at_zero_is_the_closed_form(looks: int, mean: float) -> None:
    assert expected_coherence_at_zero(looks) == pytest.approx(mean, abs=5e-5)
    sides = {4: (2, 2), 9: (3, 3), 20: (4, 5), 25: (5, 5), 80: (8, 10)}[looks]
    shape = (sides[0] * 90, sides[1] * 90)
    one, two = speckle(shape, 5), speckle(shape, 6)
    blocks = interferogram(one, two, looks=sides)["coherence"]
    assert float(blocks.mean()) == pytest.approx(mean, rel=0.015)
    inside = (slice(10, -10), slice(10, -10))
    windows = coherence(one, two, window=sides).values[inside]
    assert windows.mean() == pytest.approx(mean, rel=0.02)


def test_the_bias_is_known_for_many_looks() -> None:
    assert expected_coherence_at_zero(1) == pytest.approx(1.0)
    # For large L it tends to sqrt(pi / (4 L)).
    assert expected_coherence_at_zero(10**6) == pytest.approx(np.sqrt(np.pi / 4e6), rel=1e-4)
    with pytest.raises(LayerError, match="looks does not fit: 0"):
        expected_coherence_at_zero(0)


def test_a_true_coherence_is_found_with_many_looks() -> None:
    one, two = pair((400, 400), true=0.6, phase=0.7)
    found = interferogram(one, two, looks=(20, 20))
    assert float(found["coherence"].mean()) == pytest.approx(0.6, abs=0.01)
    assert float(found["phase"].mean()) == pytest.approx(0.7, abs=0.01)


def test_phases_on_both_sides_of_the_wrap_land_together() -> None:
    one = speckle((8, 8), 0)
    near = []
    for phase in (np.pi - 1e-3, -np.pi + 1e-3, np.pi, -np.pi):
        two = (one * np.exp(-1j * phase)).astype(np.complex64)
        found = interferogram(one, two, looks=(4, 4))
        wrapped = found["phase"].values.astype(float)
        assert (wrapped > -np.pi).all() and (wrapped <= np.pi).all()
        near.append(np.stack([found["phase_cos"].values, found["phase_sin"].values]))
    np.testing.assert_allclose(near[0], near[1], atol=2.1e-3)
    np.testing.assert_allclose(near[2], near[3], atol=1e-6)
    np.testing.assert_allclose(near[2][0], -1.0, atol=1e-6)


def test_the_reference_phase_is_taken_off() -> None:
    one, two = pair((90, 120), phase=0.7)
    rows, cols = np.indices(one.shape)
    ramp = 0.9 * rows - 0.4 * cols + 4000.0
    bent = (two * np.exp(-1j * ramp)).astype(np.complex64)
    plain = interferogram(one, two, looks=(5, 10))
    flat = interferogram(one, bent, looks=(5, 10), reference_phase=ramp)
    for name in plain:
        np.testing.assert_allclose(flat[name], plain[name], atol=1e-5)
    window = coherence(one, bent, window=(5, 10), reference_phase=ramp)
    np.testing.assert_allclose(window, coherence(one, two, window=(5, 10)), atol=1e-5)
    # Without it a phase that turns within the window takes the coherence away.
    assert float(coherence(one, bent, window=(5, 10)).mean()) < float(window.mean()) - 0.2


def test_a_missing_reference_phase_is_a_missing_sample() -> None:
    one, two = pair((20, 20))
    ramp = np.zeros((20, 20))
    ramp[:10] = np.nan
    found = interferogram(one, two, looks=(10, 10), reference_phase=ramp)
    assert np.isnan(found["phase"].values[0]).all() and np.isfinite(found["phase"].values[1]).all()


@pytest.mark.parametrize("factor", [1e-9, 3.7j, -2.0, 1e12])
def test_scaling_one_image_changes_no_coherence(factor: complex) -> None:
    one, two = pair((60, 70))
    scaled = (one * factor).astype(np.complex64)
    np.testing.assert_allclose(
        coherence(scaled, two, window=(4, 9)), coherence(one, two, window=(4, 9)), atol=2e-6
    )
    for each in (False, True):
        plain, turned = (
            interferogram(image, two, looks=(5, 5), every_pixel=each) for image in (one, scaled)
        )
        np.testing.assert_allclose(turned["coherence"], plain["coherence"], atol=2e-6)
        angle = np.angle(factor)
        both = [p["phase_cos"].values + 1j * p["phase_sin"].values for p in (plain, turned)]
        held = plain["coherence"].values
        np.testing.assert_allclose(held * both[1], held * both[0] * np.exp(1j * angle), atol=3e-6)


def test_swapping_the_images_turns_the_phase_round() -> None:
    one, two = holed((60, 70))
    there, back = interferogram(one, two, looks=(4, 6)), interferogram(two, one, looks=(4, 6))
    np.testing.assert_allclose(back["phase"], -there["phase"], atol=1e-6)
    np.testing.assert_allclose(back["phase_cos"], there["phase_cos"], atol=1e-6)
    np.testing.assert_allclose(back["phase_sin"], -there["phase_sin"], atol=1e-6)
    np.testing.assert_allclose(back["coherence"], there["coherence"], atol=1e-6)
    np.testing.assert_allclose(
        coherence(two, one, window=(3, 6)), coherence(one, two, window=(3, 6)), atol=1e-6
    )


def test_an_image_is_coherent_with_itself() -> None:
    one = speckle((50, 60), 0)
    np.testing.assert_allclose(coherence(one, one, window=(5, 5)), 1.0, atol=1e-6)
    assert float(coherence(one, one, window=(5, 5)).max()) <= 1.0


@pytest.mark.parametrize("every_pixel", [False, True])
def test_bright_images_and_half_a_turn_stay_in_range(every_pixel: bool) -> None:
    # float32 rounds pi upwards, and cannot hold the square of such a sum.
    one = 1e14 * speckle((30, 40), 0)
    found = interferogram(one, -one, looks=(5, 5), every_pixel=every_pixel)
    np.testing.assert_allclose(np.abs(found["phase"]), np.pi, atol=1e-6)
    assert np.abs(found["phase"].values.astype(float)).max() <= np.pi
    np.testing.assert_allclose(found["phase_cos"], -1, atol=1e-6)
    np.testing.assert_allclose(found["phase_sin"], 0, atol=1e-6)


@pytest.mark.parametrize("every_pixel", [False, True])
def test_samples_that_cancel_have_no_coherence_and_no_phase(every_pixel: bool) -> None:
    one = np.ones((2, 2), np.complex64)
    two = one * np.array([[1, -1], [1, -1]], np.complex64)
    found = interferogram(one, two, looks=(2, 2), every_pixel=every_pixel)
    assert float(found["coherence"][-1, -1]) == 0
    for name in ("phase", "phase_cos", "phase_sin"):
        assert np.isnan(found[name][-1, -1])


def test_many_rows_of_a_block_lose_no_small_samples() -> None:
    one = np.ones((1000, 3), np.complex64)
    one[0] = 5000
    two = -one
    two[0] = 5000
    expected = (5000**2 - 999) / (5000**2 + 999)
    found = interferogram(one, two, looks=(1000, 1))["coherence"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_bright_target_leaves_nothing_behind() -> None:
    # Running sums that subtract what leaves them would keep its rounding error.
    one, two = pair((120, 500))
    bright = [image.copy() for image in (one, two)]
    for image in bright:
        image[60, 250] = 1e9
    plain, beside = coherence(one, two, window=(5, 20)), coherence(*bright, window=(5, 20))
    near = np.zeros(one.shape, bool)
    near[57:64, 239:262] = True
    np.testing.assert_array_equal(beside.values[~near], plain.values[~near])
    assert float(beside[60, 250]) == pytest.approx(1.0, abs=1e-5)


def test_threads_change_nothing() -> None:
    one, two = holed((700, 90))
    for threads in (2, 3):
        xr.testing.assert_identical(
            coherence(one, two, window=(5, 20), threads=threads),
            coherence(one, two, window=(5, 20)),
        )
        for each in (False, True):
            xr.testing.assert_identical(
                interferogram(one, two, looks=(2, 5), every_pixel=each, threads=threads),
                interferogram(one, two, looks=(2, 5), every_pixel=each),
            )


def located(image: Complex, cell: tuple[float, float], crs: str = "EPSG:32645") -> xr.DataArray:
    place = Affine(cell[0], 0, 86.0, 0, -cell[1], 28.0)
    if crs != "EPSG:4326":
        place = Affine(cell[0], 0, 478000, 0, -cell[1], 3108140)
    return wrap_xr(image, GeoBox(image.shape, place, crs))


def test_the_grid_is_zoomed_out_and_the_resolution_recorded() -> None:
    one, two = (located(image, (5.0, 10.0)) for image in pair((43, 85)))
    found = interferogram(one, two, looks=(4, 20))
    grid = found.odc.geobox
    assert tuple(grid.shape) == (10, 4) and grid.crs.epsg == 32645
    assert tuple(grid.affine)[:6] == (100.0, 0.0, 478000.0, 0.0, -40.0, 3108140.0)
    for values in found.values():
        assert values.dtype == np.float32
        assert values.attrs["looks"] == 80
        assert values.attrs["native_resolution"] == pytest.approx(np.sqrt(100 * 40), abs=1e-3)
    window = coherence(one, two, window=(2, 4))
    assert window.odc.geobox == one.odc.geobox
    assert window.attrs["looks"] == 8
    assert window.attrs["native_resolution"] == pytest.approx(20.0)


def test_degrees_are_measured_on_the_ellipsoid_and_arrays_have_no_resolution() -> None:
    one, two = (located(image, (0.001, 0.001), "EPSG:4326") for image in pair((40, 40)))
    side = interferogram(one, two, looks=(2, 2))["coherence"].attrs["native_resolution"]
    # A thousandth of a degree at 28 degrees north: 110.8 m by 98.4 m.
    assert side == pytest.approx(2 * np.sqrt(110.8 * 98.4), rel=0.002)
    bare = interferogram(*pair((40, 40)), looks=(2, 2))["coherence"]
    assert "native_resolution" not in bare.attrs and bare.attrs["looks"] == 4


def test_images_of_different_grids_are_refused() -> None:
    one, two = pair((20, 20))
    with pytest.raises(GridError, match="differ in position"):
        coherence(located(one, (5, 5)), located(two, (5.1, 5)), window=(3, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": (0, 3)}, "window does not fit"),
        ({"window": (1, 1)}, "window does not fit"),
        ({"window": (2.5, 3)}, "window does not fit"),
        ({"window": (3, 2000)}, "window does not fit"),
        ({"window": (3,)}, "window does not fit"),
        ({"secondary": np.ones((20, 21), np.complex64)}, "differ in size"),
        ({"secondary": np.ones((20, 20))}, "secondary is of another type"),
        ({"primary": np.ones((2, 20, 20), np.complex64)}, "primary is not an image"),
        ({"reference_phase": np.ones((20, 20), complex)}, "reference phase is of another type"),
        ({"reference_phase": np.ones((20, 19))}, "differ in size"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, object], message: str) -> None:
    one, two = pair((20, 20))
    given: dict[str, object] = {"primary": one, "secondary": two, "window": (3, 3), **change}
    with pytest.raises(LayerError, match=message):
        coherence(given.pop("primary"), given.pop("secondary"), **given)  # type: ignore[arg-type]


def test_a_window_of_one_sample_is_refused_and_a_block_of_one_is_not() -> None:
    blocks = interferogram(*pair((9, 9)), looks=(1, 1))
    np.testing.assert_allclose(blocks["coherence"], 1, atol=1e-6)
    with pytest.raises(LayerError, match=r"looks does not fit: \(1, 1\)"):
        interferogram(*pair((9, 9)), looks=(1, 1), every_pixel=True)


def test_speckle_with_the_coherence_and_phase_of_a_real_pair_gives_them_back() -> None:
    names = ("8rlks_flat_eqa_cc.tif", "8rlks_eqa_unw.tif")
    paths = [CROP / f"cropA_20180106-20180130_VV_{name}" for name in names]
    if not CROP.exists():
        pytest.skip("the real pair is not here: see data/README.md")
    fields = []
    for path in paths:
        with rasterio.open(path) as source:
            fields.append(source.read(1).astype(float))
    true, phase = fields
    known = (true != 0) & (phase != 0)
    side = 12
    fine = [np.kron(field, np.ones((side, side))) for field in (true, phase)]
    one, other = speckle(fine[0].shape, 8), speckle(fine[0].shape, 9)
    two = fine[0] * one + np.sqrt(1 - fine[0] ** 2) * other
    two = (two * np.exp(-1j * fine[1])).astype(np.complex64)
    two[np.kron(known, np.ones((side, side))) == 0] = 0
    found = interferogram(one, two, looks=(side, side))
    np.testing.assert_array_equal(np.isnan(found["phase"]), ~known)
    # The spread of an estimate from L samples is near (1 - g^2) / sqrt(2 L), and of its
    # phase sqrt(1 - g^2) / (g sqrt(2 L)) (Rodriguez and Martin 1992).
    sure = known & (true > 0.4)
    spread = 1 / np.sqrt(2 * side**2)
    errors = (found["coherence"].values - true)[sure] / ((1 - true[sure] ** 2) * spread)
    assert abs(errors.mean()) < 0.1 and errors.std() == pytest.approx(1, abs=0.05)
    turned = np.angle(np.exp(1j * (found["phase"].values - phase)))[sure]
    turned *= true[sure] / np.sqrt(1 - true[sure] ** 2) / spread
    assert abs(turned.mean()) < 0.1 and turned.std() == pytest.approx(1, abs=0.05)


def test_a_block_larger_than_the_image_is_refused() -> None:
    with pytest.raises(CryonetError, match="larger than the image"):
        interferogram(*pair((20, 20)), looks=(21, 1))
